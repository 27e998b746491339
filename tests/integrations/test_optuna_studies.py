"""Studies that move between Optuna's storages and ours."""

import importlib
import json
from wsgiref.util import setup_testing_defaults

import optuna
import pytest

import greyhound as gh
from greyhound.errors import SpaceError, StorageError
from greyhound.integrations.optuna import add_trials, distributions_of, export_study, import_study, space_of
from greyhound.storage import to_url
from greyhound.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial):
    x = trial.suggest_float("x", 1e-3, 10.0, log=True)
    if trial.suggest_categorical("kind", ["flat", "deep", None]) == "deep":
        trial.suggest_int("layers", 1, 9, step=2)
    trial.set_user_attr("twice", 2 * x)
    trial.set_constraint("small", x - 5)
    for step in range(3):
        trial.report(x + 3 - step, step)
    if x > 8:
        raise ValueError("too large")
    if x < 0.01:
        raise optuna.TrialPruned
    return x


def simple(trial):
    x = trial.suggest_float("x", 1e-3, 10.0, log=True)
    return {
        "value": x,
        "constraint small": x - 5,
        "kind": trial.suggest_categorical("kind", ["flat", "deep", None]) == "flat",
    }


def filled(storage=None, n_trials=20):
    study = optuna.create_study(study_name="theirs", storage=storage, sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial({"x": 9.0, "kind": "flat"})
    study.enqueue_trial({"x": 0.002, "kind": "deep", "layers": 5})
    study.optimize(objective, n_trials=n_trials, catch=(ValueError,))
    study.enqueue_trial({"x": 2.0, "kind": "flat"})
    return study


def journal(path):
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))


@pytest.mark.parametrize("kind", ["study", "storage", "url", "sqlite file", "journal file"])
def test_a_study_comes_from_every_storage_and_goes_on(kind, tmp_path):
    path = tmp_path / "optuna%20what?.store"
    storage = {"study": None, "journal file": journal(path), "storage": journal(path)}.get(kind, to_url(path))
    theirs = filled(storage)
    source = {"study": theirs, "storage": storage, "url": storage}.get(kind, path)
    ours = import_study(source, storage=tmp_path / "ours.db", study_name="ours")
    assert len(ours.trials) == 20
    assert ours.best.params == theirs.best_params
    assert ours.best.metrics["value"] == theirs.best_value
    states = [trial.state for trial in ours.trials]
    assert states[:2] == [TrialState.FAILED, TrialState.STOPPED]
    for trial, frozen in zip(ours.trials, theirs.trials, strict=False):
        assert trial.params == frozen.params
        assert trial.attrs == frozen.user_attrs
        assert [(report.step, report.metrics["value"]) for report in trial.reports] == [
            (step + 1, value) for step, value in frozen.intermediate_values.items()
        ]
        assert trial.metrics["constraint small"] == frozen.constraints["small"] if not trial.state.failed else True
        assert trial.started == frozen.datetime_start.timestamp()
    ours.close()
    more = {"storage": tmp_path / "ours.db", "name": "ours"}
    again = gh.tune(simple, budget="+2 trials", workers="serial", progress=False, **more)
    assert again.trials[20].params["x"] == 2.0  # what waited in Optuna goes first
    assert len(again.trials) == 22
    assert [str(limit) for limit in again.history.limits] == ["constraint small <= 0"]


def test_with_a_space_a_study_goes_on_as_a_declared_one():
    theirs = filled()
    space = gh.Space(
        x=gh.Float(1e-3, 10.0, log=True),
        kind=gh.Categorical(["flat", "deep", None]),
        layers=gh.Int(1, 9, step=2, when={"kind": "deep"}),
    )
    ours = import_study(theirs, space=space)
    assert ours.history.space == space
    assert [trial.params for trial in ours.trials] == [trial.params for trial in theirs.trials[:20]]
    with pytest.raises(SpaceError, match="unknown parameter 'layers'; there are x, kind"):
        import_study(theirs, space={"x": space["x"], "kind": gh.Categorical(["flat", None])})


def test_several_named_objectives():
    theirs = optuna.create_study(directions=["maximize", "minimize"])
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        theirs.set_metric_names(["gain", "cost"])
    theirs.optimize(lambda trial: (trial.suggest_float("x", 0, 1), trial.params["x"] ** 2), n_trials=4)
    ours = import_study(theirs)
    assert {goal.metric: goal.maximize for goal in ours.history.objectives} == {"gain": True, "cost": False}
    assert len(ours.front) == 4
    back = export_study(ours)
    assert back.metric_names == ["gain", "cost"]
    assert [trial.values for trial in back.trials] == [trial.values for trial in theirs.trials]


def test_there_and_back_is_the_same(tmp_path):
    theirs = filled()
    back = export_study(import_study(theirs), storage=f"sqlite:///{tmp_path}/back.db", name="back")
    for one, other in zip(back.trials, theirs.trials, strict=False):
        assert (one.state, one.params, one.intermediate_values) == (
            other.state,
            other.params,
            other.intermediate_values,
        )
        assert one.values == (other.values if one.state == optuna.trial.TrialState.COMPLETE else None)
        assert one.datetime_start == other.datetime_start
        assert one.user_attrs["twice"] == other.user_attrs["twice"]
        assert one.constraints == other.constraints
    assert back.best_params == theirs.best_params
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        export_study(import_study(theirs), storage=f"sqlite:///{tmp_path}/back.db", name="back")


def test_a_study_of_ours_is_one_of_theirs(tmp_path):
    space = gh.Space(
        lr=gh.Float(1e-4, 1.0, log=True, default=0.01),
        size=gh.Ordinal([16, 32, 64], default=16),
        shape=gh.Categorical([(3,), (3, 3)], default=(3,)),
        bias=gh.Bool(default=True),
        rate=gh.Float(0.0, 0.9, when={"bias": True}, default=0.5),
    )
    with gh.Study(space, maximize="accuracy", subject_to="ms <= 5", max_steps=9, budget="14 trials") as ours:
        while (trial := ours.ask()) is not None:
            for step in range(1, 10):
                verdict = ours.report(
                    trial, step, accuracy=step * trial.params["lr"], ms=float(trial.params["size"] / 8)
                )
                if verdict is not gh.Verdict.CONTINUE:
                    break
        theirs = export_study(ours, storage=journal(tmp_path / "j.log"), name="ours")
    assert len(theirs.trials) == 14
    finished = [trial for trial in theirs.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert theirs.trials[0] in finished
    assert {trial.state for trial in theirs.trials} == {
        optuna.trial.TrialState.COMPLETE,
        optuna.trial.TrialState.PRUNED,
    }
    assert theirs.best_value == ours.best.metrics["accuracy"]
    assert theirs.trials[0].constraints == {"ms <= 5": -3.0}
    assert theirs.trials[0].params["shape"] == "(3,)"
    assert len(theirs.trials[0].intermediate_values) == 9
    assert not theirs.trials_dataframe().empty
    assert optuna.importance.get_param_importances(theirs, params=["lr"]) == {"lr": 1.0}


def test_distributions_there_and_back():
    given = {
        "a": optuna.distributions.FloatDistribution(0.1, 0.9, step=0.2),
        "b": optuna.distributions.FloatDistribution(1e-5, 1.0, log=True),
        "c": optuna.distributions.IntDistribution(1, 64, log=True),
        "d": optuna.distributions.CategoricalDistribution(["x", None, 3, True]),
    }
    space = space_of(given)
    assert distributions_of(space) == given
    study = optuna.create_study()
    assert space.validate(study.ask(given).params)


def test_frozen_trials_are_added():
    ours = gh.Study({"x": gh.Float(0, 1)})
    frozen = optuna.create_trial(
        params={"x": 0.25}, distributions={"x": optuna.distributions.FloatDistribution(0, 1)}, value=3.0
    )
    assert add_trials(ours, [frozen]) == 1
    assert ours.best.params == {"x": 0.25}


def test_what_is_none_of_optunas_is_told_in_a_sentence_and_left_as_it_is(tmp_path):
    gh.Study({"x": gh.Float(0, 1)}, minimize="loss", storage=tmp_path / "ours.db").close()
    before = (tmp_path / "ours.db").read_bytes()
    with pytest.raises(StorageError, match=r"ours.db: is a SQLite database, but none of Optuna's\."):
        import_study(tmp_path / "ours.db")
    assert (tmp_path / "ours.db").read_bytes() == before
    (tmp_path / "trials.csv").write_text("trial,x\n0,1\n")
    with pytest.raises(StorageError, match=r"trials.csv: is neither a SQLite database nor a journal"):
        import_study(tmp_path / "trials.csv")
    with pytest.raises(StorageError, match="give a study or a storage of Optuna's, a URL or a file; got 3"):
        import_study(3)


def test_what_is_missing_is_told_in_a_sentence(tmp_path):
    with pytest.raises(StorageError, match="there is no such file"):
        import_study(tmp_path / "nothing.db")
    filled(f"sqlite:///{tmp_path}/o.db", 3)
    with pytest.raises(StorageError, match="holds no study 'mine'; there is 'theirs'"):
        import_study(tmp_path / "o.db", "mine")
    import_study(tmp_path / "o.db", storage=tmp_path / "ours.db").close()
    with pytest.raises(StorageError, match="study 'theirs' has trials already; give another study_name"):
        import_study(tmp_path / "o.db", storage=tmp_path / "ours.db")


def test_optuna_dashboard_shows_a_study_of_ours():
    dashboard = importlib.import_module("optuna_dashboard")
    ours = gh.Study({"x": gh.Float(0, 1), "on": gh.Bool()}, maximize="accuracy", max_steps=2, scheduler="none")
    for _ in range(3):
        trial = ours.ask()
        ours.report(trial, 1, accuracy=trial.params["x"])
        ours.report(trial, 2, accuracy=2 * trial.params["x"])
    storage = optuna.storages.InMemoryStorage()
    export_study(ours, storage=storage, name="ours")
    app = dashboard.wsgi(storage)

    def get(path):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "after=0"}
        setup_testing_defaults(environ)
        return json.loads(b"".join(app(environ, lambda status, headers, *_: None)))

    [summary] = get("/api/studies")["study_summaries"]
    assert (summary["study_name"], summary["directions"]) == ("ours", ["maximize"])
    shown = get(f"/api/studies/{summary['study_id']}")["trials"]
    assert [trial["values"][0] for trial in shown] == [trial.metrics["accuracy"] for trial in ours.trials]
    assert [len(trial["intermediate_values"]) for trial in shown] == [2, 2, 2]
