"""Loggers: what the study was told is found where people look; one that fails changes nothing."""

import csv
import json
import math
import time

import pytest

import greyhound as gh
from greyhound.integrations.loggers import CSV, Logger, MLflow, TensorBoard, WandB
from greyhound.integrations.loggers.base import named
from greyhound.study import Study
from greyhound.trial import TrialState

SPACE = gh.Space(x=gh.Float(0.0, 1.0, default=0.5), kind=gh.Categorical(["a", "b"], default="a"))
OPTIONS = {"maximize": "score", "max_steps": 4, "workers": "serial", "sampler": "random", "progress": False}


class Walk:
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def train(trial):
    for step in range(trial.checkpoint(walk=Walk()), trial.max_steps):
        trial.report(step + 1, score=trial.params["x"] * (step + 1), **{"top@1": 0.5})


def told(study):
    """All that was reported: (trial, step, metric, value)."""
    return {
        (trial.number, report.step, name, value)
        for trial in study.trials
        for report in trial.reports
        for name, value in report.metrics.items()
    }


def run(logger, budget=5, **options):
    return gh.tune(train, SPACE, budget=budget, callbacks=[logger], **{**OPTIONS, **options})


def test_csv_has_every_report_and_every_ending(tmp_path):
    study = run(CSV(tmp_path / "logs"))
    with open(tmp_path / "logs" / "reports.csv") as file:
        rows = {(int(r["trial"]), int(r["step"]), r["metric"], float(r["value"])) for r in csv.DictReader(file)}
    assert rows == told(study)
    with open(tmp_path / "logs" / "trials.csv") as file:
        ended = {int(row["trial"]): row for row in csv.DictReader(file)}
    for trial in study.trials:
        row = ended[trial.number]
        assert (row["state"], int(row["step"])) == (trial.state.value, trial.step)
        assert json.loads(row["params"]) == trial.params
        assert json.loads(row["metrics"]) == trial.metrics


def test_tensorboard_has_scalars_and_hparams(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    study = run(TensorBoard(tmp_path))
    found = {}
    for trial in study.trials:
        events = EventAccumulator(str(tmp_path / f"trial-{trial.number:05d}"))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found |= {(trial.number, each.step, tag): each.value for each in events.Scalars(tag)}
        content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        assert start.hparams["x"].number_value == trial.params["x"]
        assert start.hparams["kind"].string_value == trial.params["kind"]
        ended = "_hparams_/session_end_info" in events.summary_metadata
        assert ended == (trial.state is TrialState.COMPLETED)
    assert found == pytest.approx({(trial, step, tag): value for trial, step, tag, value in told(study)})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["digits", 'it\'s "digits": 1/2'])
def test_mlflow_has_a_child_run_a_trial_and_finds_it_again(tmp_path, name):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    first = run(MLflow(name, tracking_uri=uri), 2, storage=tmp_path / "study.db", name="digits", scheduler="asha")
    first.close()
    study = run(MLflow(name, tracking_uri=uri), 5, storage=tmp_path / "study.db", name="digits", scheduler="asha")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("greyhound").experiment_id
    runs = {each.data.tags["greyhound.trial"]: each for each in client.search_runs([experiment])}
    parent = runs.pop("study")
    assert parent.info.run_name == name
    assert len(runs) == len(study.trials) == 5, "a trial that went on has one run"
    found = set()
    for number, each in runs.items():
        trial = study.trials[int(number)]
        assert each.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert each.data.params == {"x": str(trial.params["x"]), "kind": trial.params["kind"]}
        assert each.info.status == {"completed": "FINISHED", "paused": "SCHEDULED"}[trial.state.value]
        for name in trial.metrics:
            history = client.get_metric_history(each.info.run_id, name.replace("@", "_"))
            found |= {(trial.number, point.step, name, point.value) for point in history}
    assert found == told(study)
    assert parent.data.metrics["best_score"] == study.best.metrics["score"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_studies_of_one_name_apart(tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    studies = [run(MLflow("digits", tracking_uri=uri), 2, seed=seed, scheduler="none") for seed in (1, 2)]
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("greyhound").experiment_id])
    children = [each for each in runs if each.data.tags["greyhound.trial"] != "study"]
    assert len(runs) - len(children) == len({each.data.tags["mlflow.parentRunId"] for each in children}) == 2
    assert len(children) == 4
    assert {(each.data.params["x"], each.data.metrics["score"]) for each in children} == {
        (str(trial.params["x"]), trial.metrics["score"]) for study in studies for trial in study.trials
    }


@pytest.mark.slow
def test_wandb_keeps_studies_of_one_name_apart(tmp_path):
    for _ in range(2):
        run(WandB("digits", folder=tmp_path), 2, scheduler="none")
    assert len({each.name for each in (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")}) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "id_"), [("digits", "digits"), ("my/digits: it's #1?", "my_digits_ it_s _1_-81b23902")]
)
def test_wandb_has_a_run_a_trial_offline(tmp_path, name, id_):
    study = run(WandB(name, folder=tmp_path), 2, scheduler="none")
    files = list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2
    for trial in study.trials:
        (file,) = [each for each in files if f"{id_}-{trial.number}-" in each.name]
        give_up = time.monotonic() + 20  # its service may write a little after the run has ended
        while b"score" not in (data := file.read_bytes()) and time.monotonic() < give_up:
            time.sleep(0.05)
        assert b"score" in data
        assert str(trial.params["x"]).encode() in data


def returning_more(trial):
    for step in range(1, trial.max_steps + 1):
        trial.report(step, score=trial.params["x"] * step)
    return {"score": trial.params["x"] * trial.max_steps, "test": 0.25}


def test_what_a_training_returns_after_its_last_report_is_no_second_ending(tmp_path):
    class Calls(Logger):
        def __init__(self):
            super().__init__()
            self.made = []

        def begin(self, trial):
            self.made.append(("begin", trial.number))

        def report(self, trial, step, metrics):
            self.made.append(("report", trial.number))

        def end(self, trial):
            self.made.append(("end", trial.number, trial.state))

        def late(self, trial, metrics):
            self.made.append(("late", trial.number, dict(metrics), trial.metrics["test"]))

    calls = Calls()
    options = {**OPTIONS, "scheduler": "none", "max_steps": 1}
    gh.tune(returning_more, SPACE, budget=2, callbacks=[calls, CSV(tmp_path)], **options)
    assert calls.made == [
        told
        for n in (0, 1)
        for told in (
            ("begin", n), ("report", n), ("end", n, TrialState.COMPLETED), ("late", n, {"test": 0.25}, 0.25),
        )
    ]  # fmt: skip
    with open(tmp_path / "trials.csv") as file:
        assert [(row["trial"], row["state"]) for row in csv.DictReader(file)] == [
            ("0", "completed"),
            ("1", "completed"),
        ]
    with open(tmp_path / "reports.csv") as file:
        late = [tuple(row.values()) for row in csv.DictReader(file) if row["metric"] == "test"]
    assert late == [("0", "1", "test", "0.25"), ("1", "1", "test", "0.25")]


def test_tensorboard_has_what_a_training_returns_after_its_last_report(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    gh.tune(returning_more, SPACE, budget=1, callbacks=[TensorBoard(tmp_path)], **OPTIONS)
    events = EventAccumulator(str(tmp_path / "trial-00000"))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("test")] == [(4, 0.25)]
    assert [each.step for each in events.Scalars("score")] == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_what_a_training_returns_after_its_last_report(tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    gh.tune(returning_more, SPACE, budget=1, callbacks=[MLflow("late", tracking_uri=uri)], **OPTIONS)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("greyhound").experiment_id
    runs = {each.data.tags["greyhound.trial"]: each for each in client.search_runs([experiment])}
    assert runs["0"].data.metrics["test"] == 0.25
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


@pytest.mark.slow
def test_wandb_has_what_a_training_returns_after_its_last_report(tmp_path):
    gh.tune(returning_more, SPACE, budget=1, callbacks=[WandB("late", folder=tmp_path)], **OPTIONS)
    files = list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len({file.name for file in files}) == 1, "it is one run"
    give_up = time.monotonic() + 20
    while not any(b"test" in file.read_bytes() for file in files):  # its service may write a little later
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_names_stay_apart_whatever_is_taken_out_of_them():
    assert named("digits: 1", "'") == "digits: 1"
    assert len({named(name, "[:/]") for name in ("a:b", "a/b", "a_b", "a:b/")}) == 4
    assert named("a:b", "[:/]") == named("a:b", "[:/]"), "a study that goes on finds its runs"


def test_a_logger_that_fails_changes_nothing_and_is_told_of_once(caplog):
    class Failing(Logger):
        def begin(self, trial):
            raise OSError("the disk is full")

        def report(self, trial, step, metrics):
            raise KeyError(step)

        def end(self, trial):
            raise KeyError("end")

    def broken(history, event):
        raise ValueError("a broken callback")

    study = gh.tune(train, SPACE, budget=3, callbacks=[Failing(), broken], **OPTIONS)
    plain = gh.tune(train, SPACE, budget=3, **OPTIONS)
    assert told(study) == told(plain)
    messages = [record.getMessage() for record in caplog.records]
    assert len([text for text in messages if "the logger Failing failed; the study goes on: OSError" in text]) == 1
    assert len([text for text in messages if "a broken callback" in text]) == 1


def test_a_slow_logger_does_not_hold_up_the_study():
    class Slow(Logger):
        written = 0

        def begin(self, trial):
            time.sleep(0.05)

        def report(self, trial, step, metrics):
            self.written += 1

        def end(self, trial):
            pass

    logger = Slow()
    with Study(SPACE, maximize="score", budget=4, callbacks=[logger]) as study:
        while (trial := study.ask()) is not None:
            study.report(trial, 1, score=trial.params["x"])
            study.tell(trial, score=trial.params["x"])
        assert logger.written < 4, "the study was quicker"
    assert logger.written == 4, "closing waits for it"


def test_parameters_that_a_training_names_itself_are_there_and_failures_are_told(tmp_path):
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        if trial.number == 1:
            raise ValueError("a mistake of mine")
        return math.nan if trial.number == 2 else x

    study = gh.tune(objective, minimize="value", budget=3, workers="serial", progress=False, callbacks=[CSV(tmp_path)])
    with open(tmp_path / "trials.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["completed", "failed", "diverged"]
    assert json.loads(rows[0]["params"]) == study.trials[0].params != {}
    assert rows[1]["error"] == "ValueError: a mistake of mine"
