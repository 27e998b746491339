"""A trial as its training sees it: when it waits, what is safe on disk by then, and how it ends."""

import json
import math
import pickle
import random
import shutil

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greyhound.errors import CheckpointError, SpaceError, StudyError, TrialPruned, TrialStopped
from greyhound.evaluators import checkpoint
from greyhound.evaluators.function import Function
from greyhound.evaluators.live import LiveTrial
from greyhound.jobs import Answer, Choice, Constraint, Job, Note, Progress
from greyhound.space import Float, parameter_from_dict
from greyhound.study import Study
from greyhound.trial import TrialState, Verdict

GO_ON = Answer(Verdict.CONTINUE, None)
PAUSE = Answer(Verdict.PAUSE)
STOP = Answer(Verdict.STOP)


class Counter:
    """A training without arithmetic: it counts its steps and draws a number in each."""

    def __init__(self):
        self.drawn = []

    def state_dict(self):
        return {"drawn": list(self.drawn)}

    def load_state_dict(self, state):
        self.drawn = state["drawn"]


def train(trial, last=10):
    """Draws up to step `last`, reporting each."""
    counter = Counter()
    for step in range(trial.checkpoint(counter=counter), last):
        counter.drawn.append(random.random())
        trial.report(step + 1, score=counter.drawn[-1])
    return {"sum": sum(counter.drawn)}


def kept_step(folder):
    loaded = checkpoint.load(folder, {"counter": Counter()})
    return loaded.step if loaded else None


# When a training waits


@given(until=st.integers(1, 12), each=st.integers(1, 4), last=st.integers(1, 12))
def test_a_training_waits_at_the_first_report_at_or_past_each_milestone_and_nowhere_else(until, each, last, make_line):
    line = make_line(lambda step: Answer(Verdict.CONTINUE, step + until))
    trial = LiveTrial(Job(3, {}, 7, objectives=("score",), until=until, max_steps=100), line)
    expected, milestone = [], until
    for step in range(each, each * last + 1, each):
        trial.report(step, score=0.0)
        if step >= milestone:
            expected.append(step)
            milestone = step + until
    assert [told.step for told in line.sent if told.waits] == expected
    assert line.waited == len(expected)


def test_a_trial_that_nobody_judges_never_waits(job, line):
    assert Function(train)(job(until=None), line).state is TrialState.COMPLETED
    assert line.waited == 0
    assert [step for step, _ in line.reports] == list(range(1, 11))


def test_the_last_step_is_not_waited_for(job, line):
    assert Function(train)(job(until=10, max_steps=10), line).state is TrialState.COMPLETED
    assert line.waited == 0


def test_the_checkpoint_is_on_disk_before_the_report_that_waits(job, make_line):
    seen = []

    def judge(step):
        seen.append((step, kept_step(task.directory)))
        return Answer(Verdict.CONTINUE, step + 3)

    task = job(until=2)
    Function(train)(task, make_line(judge))
    assert seen == [(2, 2), (5, 5), (8, 8)]


def test_the_checkpoint_of_the_last_step_is_written_before_its_report(job, make_line, tmp_path):
    steps = []

    class Watching(make_line):
        def send(self, message):
            super().send(message)
            steps.append((message.step, kept_step(tmp_path / "trial")))

    Function(train)(job(max_steps=10), Watching())
    assert steps[-1] == (10, 10)


def kept(folder):
    """The step and the state in a folder's checkpoint."""
    counter = Counter()
    return checkpoint.load(folder, {"counter": counter}).step, counter.drawn


def test_the_checkpoint_of_a_training_that_ends_itself_is_of_its_end(job, line):
    """Whether it has no max_steps, has a patience of its own, or never reports."""
    for task, said in ((job(), 10), (job(max_steps=20), 10), (job(max_steps=20, directory=job().directory / "b"), 0)):
        counter = Counter()

        def patient(trial, counter=counter, said=said):
            trial.checkpoint(counter=counter)
            for step in range(1, 11):
                counter.drawn.append(step)
                if step <= said:
                    trial.report(step, score=float(step))
            return None if said else 1.0

        shutil.rmtree(task.directory, ignore_errors=True)
        assert Function(patient)(task, line).state is TrialState.COMPLETED
        assert kept(task.directory) == (said, counter.drawn)


def test_weights_that_are_put_back_at_the_end_are_kept_with_the_value_that_is_returned(job, line):
    def restoring(trial, returned):
        counter = Counter()
        trial.checkpoint(counter=counter)
        for step in range(1, 4):
            counter.drawn.append(step)
            trial.report(step, score=float(step))
        counter.drawn = [1]
        return returned

    for returned, state in ((1.0, [1]), ({"score": 3.0}, [1, 2, 3]), (None, [1, 2, 3]), (math.nan, [1, 2, 3])):
        task = job(max_steps=3, directory=job().directory / str(returned))
        Function(lambda trial, returned=returned: restoring(trial, returned))(task, line)
        assert kept(task.directory) == (3, state)


def test_a_pause_that_arrives_late_saves_first(job, line):
    def until_told(trial):
        counter = Counter()
        trial.checkpoint(counter=counter)
        for step in range(1, 10):
            counter.drawn.append(step)
            if step == 6:
                line.answers.append(PAUSE)
            trial.report(step, score=0.0)

    task = job(until=None)
    assert Function(until_told)(task, line).state is TrialState.PAUSED
    counter = Counter()
    assert checkpoint.load(task.directory, {"counter": counter}).step == 6
    assert counter.drawn == [1, 2, 3, 4, 5, 6]


def test_a_stop_that_arrives_late_is_obeyed_at_the_next_report(job, line):
    line.answers.extend([GO_ON, STOP])
    assert Function(train)(job(), line).state is TrialState.STOPPED
    assert len(line.reports) == 2


def test_a_go_ahead_moves_the_milestone(job, make_line):
    line = make_line(lambda step: Answer(Verdict.CONTINUE, {2: 7, 7: None}[step]))
    Function(train)(job(until=2), line)
    assert [told.step for told in line.sent if told.waits] == [2, 7]


@settings(max_examples=8)
@given(pauses=st.sets(st.integers(1, 9)))
def test_a_training_that_is_paused_anywhere_ends_as_if_it_never_was(pauses, make_line, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    random.seed(5)
    unbroken = [random.random() for _ in range(10)]
    random.seed(5)
    line = make_line(lambda step: PAUSE)
    step = 0
    for until in [*sorted(pauses), None]:
        task = Job(3, {}, 7, step=step, until=until, objectives=("score",), directory=folder / "trial")
        outcome = Function(train)(task, line)
        random.seed(99)
        step = line.reports[-1][0]
    assert outcome.state is TrialState.COMPLETED
    assert line.reports == [(at, {"score": value}) for at, value in enumerate(unbroken, 1)]
    assert outcome.metrics == {"sum": sum(unbroken)}


# Checkpoints


def test_a_fresh_training_starts_at_step_0(job, line):
    assert LiveTrial(job(), line).checkpoint(counter=Counter()) == 0


def test_a_trial_with_a_parent_takes_up_its_weights_and_step_and_tells_none_of_its_reports(job, line, tmp_path):
    kept = Counter()
    kept.drawn = [1.0, 2.0]
    checkpoint.save(tmp_path / "parent", 2, {"counter": kept}, [(1, {"score": 0.1}), (2, {"score": 0.2})])
    trial, counter = LiveTrial(job(parent=tmp_path / "parent"), line), Counter()
    assert trial.checkpoint(counter=counter) == 2
    assert counter.drawn == [1.0, 2.0]
    assert line.sent == []


def test_its_own_checkpoint_comes_before_that_of_the_parent(job, line, tmp_path):
    checkpoint.save(tmp_path / "parent", 2, {"counter": Counter()})
    checkpoint.save(tmp_path / "trial", 5, {"counter": Counter()})
    assert LiveTrial(job(step=5, parent=tmp_path / "parent"), line).checkpoint(counter=Counter()) == 5


def test_a_trial_whose_checkpoint_is_gone_starts_over(job, line):
    trial = LiveTrial(job(step=5), line)
    assert trial.checkpoint(counter=Counter()) == 0
    assert trial.step == 0


def test_without_a_folder_nothing_is_kept_and_nothing_fails(job, line):
    task = job(directory=None, until=3)
    assert Function(train)(task, line).state is TrialState.COMPLETED
    with pytest.raises(StudyError, match="its study keeps no files"):
        _ = LiveTrial(task, line).directory


def test_the_folder_is_there_once_it_is_asked_for(job, line):
    assert not job().directory.exists()
    assert LiveTrial(job(), line).directory.is_dir()


def test_objects_that_cannot_be_kept_are_told_by_name(job, line):
    with pytest.raises(StudyError, match="history is a list without state_dict and load_state_dict"):
        LiveTrial(job(), line).checkpoint(counter=Counter(), history=[])


def test_a_second_checkpoint_call_is_told(job, line):
    trial = LiveTrial(job(), line)
    trial.checkpoint(counter=Counter())
    with pytest.raises(StudyError, match="register all objects in one call"):
        trial.checkpoint(counter=Counter())


def test_a_damaged_checkpoint_fails_the_trial_with_the_way_out(job, line):
    task = job(step=4)
    task.directory.mkdir()
    (task.directory / checkpoint.TORCH_NAME).write_bytes(b"half a file")
    outcome = Function(train)(task, line)
    assert outcome.state is TrialState.FAILED
    assert "remove it to start the trial over" in outcome.error
    with pytest.raises(CheckpointError):
        LiveTrial(task, line).checkpoint(counter=Counter())


# Reports lost with a coordinator


def lost(folder, reported):
    """A checkpoint after `reported` steps."""
    reports = [(step, {"score": step / 10}) for step in range(1, reported + 1)]
    checkpoint.save(folder, reported, {"counter": Counter()}, reports)


@settings(max_examples=12)
@given(known=st.integers(0, 8), reported=st.integers(1, 8))
def test_reports_that_the_study_does_not_know_are_told_again(known, reported, make_line, tmp_path_factory):
    folder, line = tmp_path_factory.mktemp("trial"), make_line()
    lost(folder, reported)
    trial = LiveTrial(Job(3, {}, 7, step=known, objectives=("score",), directory=folder), line)
    assert trial.checkpoint(counter=Counter()) == reported
    assert line.reports == [(step, {"score": step / 10}) for step in range(known + 1, reported + 1)]


def test_attributes_and_constraints_on_their_way_with_a_lost_report_are_told_again(job, line, make_line):
    first = LiveTrial(job(), make_line())
    first.checkpoint(counter=Counter())
    first.set_user_attr("data", {"rows": 9})
    first.set_constraint("memory", 2.0)
    first.report(1, score=0.1)
    second = LiveTrial(job(), line)
    second.set_user_attr("data", {"rows": 10})
    assert second.checkpoint(counter=Counter()) == 1
    notes = [Note(3, {"data": {"rows": 10}}), Constraint(3, "memory", 2.0)]
    assert line.sent[1:] == [*notes, Progress(3, 1, {"score": 0.1})]
    known = make_line()
    LiveTrial(job(step=1), known).checkpoint(counter=Counter())
    assert known.sent == [], "the study knows the report, and so what was sent before it"


def test_a_lost_report_that_has_to_be_judged_is_waited_for(job, make_line, tmp_path):
    lost(tmp_path / "trial", 6)
    line = make_line(lambda step: Answer(Verdict.CONTINUE, 9))
    trial = LiveTrial(job(step=4, until=6), line)
    trial.checkpoint(counter=Counter())
    assert [told.waits for told in line.sent] == [False, True]
    assert trial.until == 9


@pytest.mark.parametrize(("answer", "state"), [(PAUSE, TrialState.PAUSED), (STOP, TrialState.STOPPED)])
def test_the_verdict_on_a_lost_report_is_obeyed_before_another_step(answer, state, job, make_line, tmp_path):
    lost(tmp_path / "trial", 6)
    line = make_line(lambda step: answer)
    assert Function(train)(job(step=4, until=6), line).state is state
    assert [step for step, _ in line.reports] == [5, 6]


def test_a_lost_last_report_is_not_waited_for(job, line, tmp_path):
    lost(tmp_path / "trial", 6)
    outcome = Function(lambda trial: train(trial, 6))(job(step=4, until=6, max_steps=6), line)
    assert outcome.state is TrialState.COMPLETED
    assert line.waited == 0


def test_a_training_that_had_nothing_left_to_train_completes_with_what_it_reported(job, line, tmp_path):
    lost(tmp_path / "trial", 10)

    def silent(trial):
        train(trial)

    assert Function(silent)(job(step=10), line).state is TrialState.COMPLETED


# What may be reported


@pytest.mark.parametrize(
    "value",
    [1, 0.5, True, np.float32(0.5), np.int64(3), np.array(0.5), torch.tensor(0.5), torch.tensor([0.5]),
     torch.tensor(0.5, requires_grad=True), np.array([0.5]), np.array([[3]]), torch.tensor(0.5, dtype=torch.bfloat16)],
)  # fmt: skip
def test_whatever_holds_one_number_is_a_metric(value, job, line):
    LiveTrial(job(), line).report(1, score=value)
    [(_, metrics)] = line.reports
    assert type(metrics["score"]) is float
    assert metrics["score"] == (value.item() if hasattr(value, "item") else value)


@pytest.mark.parametrize("name", ["self", "args", "trial", "metrics"])
def test_a_metric_may_have_any_name(name, job, line):
    LiveTrial(job(), line).report(1, **{name: 0.5})
    assert line.reports == [(1, {name: 0.5})]


@pytest.mark.parametrize(
    "value",
    [None, "good", "0.5", b"0.5", [0.5], np.zeros(2), np.zeros(0), np.array("0.5"), torch.zeros(2), 1j, 10**400,
     pytest.param(-(10**5000), id="5000 digits"), object()],
)  # fmt: skip
def test_what_is_no_number_is_told_by_the_metric_s_name(value, job, line):
    with pytest.raises(StudyError, match="metric 'loss' must be a number"):
        LiveTrial(job(), line).report(1, score=0.5, loss=value)
    assert line.sent == []


@pytest.mark.parametrize(
    "step", [-1, 1.5, 1.0, math.nan, "1", True, None, 2**60, torch.tensor(1.5), torch.tensor([1, 2]), np.array([1])]
)
def test_a_step_that_is_none_is_told(step, job, line):
    with pytest.raises(StudyError, match=r"trial\.report"):
        LiveTrial(job(), line).report(step, score=0.5)
    assert line.sent == []


@pytest.mark.parametrize("step", [3, np.int64(3), torch.tensor(3)])
def test_whole_numbers_of_any_library_are_steps(step, job, line):
    LiveTrial(job(), line).report(step, score=0.5)
    [(told, _)] = line.reports
    assert (type(told), told) == (int, 3)


def test_a_step_by_name_is_the_same_as_by_place(job, line):
    trial = LiveTrial(job(), line)
    trial.report(1, score=0.5)
    trial.report(step=2, score=0.6)
    assert line.reports == [(1, {"score": 0.5}), (2, {"score": 0.6})]


@pytest.mark.parametrize(
    ("args", "named"),
    [((), {}), ((1,), {}), ((1, 2, 3), {}), ((), {"score": 0.5}), ((1, 2), {"score": 0.5}),
     ((1,), {"step": 1, "score": 0.5})],
)  # fmt: skip
def test_a_report_that_cannot_be_understood_says_how_to_write_it(args, named, job, line):
    with pytest.raises(StudyError, match=r"trial\.report\(3, accuracy=0\.9\)"):
        LiveTrial(job(), line).report(*args, **named)
    assert line.sent == []


@given(value=st.floats(allow_nan=False, allow_infinity=False), step=st.integers(0, 10**6))
def test_numbers_arrive_as_they_were_reported(value, step, make_line):
    line = make_line()
    LiveTrial(Job(3, {}, 7, objectives=("score",)), line).report(step, score=value)
    assert line.reports == [(step, {"score": value})]


# How a training ends


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_objective_that_is_no_finite_number_ends_the_trial_as_diverged(value, job, line):
    def diverge(trial):
        trial.report(1, score=0.5)
        trial.report(2, score=value)
        trial.report(3, score=0.5)

    outcome = Function(diverge)(job(until=2), line)
    assert outcome.state is TrialState.DIVERGED
    assert "NaN or infinite" in outcome.error
    assert [step for step, _ in line.reports] == [1, 2], "the report is told, and no step follows"
    assert line.waited == 0


def test_a_nan_in_another_metric_than_the_objectives_ends_nothing(job, line):
    trial = LiveTrial(job(), line)
    trial.report(1, score=0.5, ratio=math.nan)
    trial.report(2, score=0.5)
    assert len(line.reports) == 2


def test_a_nan_in_any_of_several_objectives_diverges(job, line):
    trial = LiveTrial(job(objectives=("score", "speed")), line)
    with pytest.raises(TrialStopped):
        trial.report(1, score=0.5, speed=math.nan)
    assert trial.diverged


def test_weights_of_a_diverged_step_are_not_kept(job, line):
    def diverge(trial):
        trial.checkpoint(counter=Counter())
        trial.report(1, score=0.5)
        trial.report(2, score=math.nan)

    Function(diverge)(job(until=2, max_steps=2), line)
    assert kept_step(job().directory) == 1


def test_except_exception_does_not_keep_a_training_from_its_end(job, make_line):
    def stubborn(trial):
        for step in range(1, 10):
            try:
                trial.report(step, score=0.5)
            except Exception:
                pytest.fail("the verdict was swallowed")

    for answer, state in ((PAUSE, TrialState.PAUSED), (STOP, TrialState.STOPPED)):
        line = make_line(lambda step, answer=answer: answer)
        assert Function(stubborn)(job(until=4), line).state is state
        assert len(line.reports) == 4


# Objectives written for Optuna


def pruned_by(error):
    def objective(trial):
        for step in range(1, 9):
            trial.report(step / 10, step)
            if trial.should_prune():
                raise error
        return 1.0

    return objective


@pytest.mark.parametrize("error", [TrialPruned, optuna.TrialPruned, type("TrialPruned", (Exception,), {})])
@pytest.mark.parametrize(("answer", "state"), [(PAUSE, TrialState.PAUSED), (STOP, TrialState.STOPPED)])
def test_an_objective_for_optuna_prunes_itself(error, answer, state, job, make_line):
    line = make_line(lambda step: answer)
    outcome = Function(pruned_by(error))(job(until=3), line)
    assert outcome.state is state
    assert outcome.error is None
    assert line.reports == [(1, {"score": 0.1}), (2, {"score": 0.2}), (3, {"score": 0.3})]


def test_an_objective_for_optuna_that_is_let_go_on_is_not_pruned(job, line):
    outcome = Function(pruned_by(TrialPruned))(job(until=3), line)
    assert (outcome.state, outcome.metrics) == (TrialState.COMPLETED, {"score": 1.0})


def test_an_objective_that_prunes_itself_unasked_is_stopped(job, line):
    def gives_up(trial):
        trial.report(0.5, 1)
        raise optuna.TrialPruned

    assert Function(gives_up)(job(), line).state is TrialState.STOPPED


def test_an_objective_that_does_not_ask_trains_on(job, make_line):
    line = make_line(lambda step: STOP)

    def ignorant(trial):
        for step in range(1, 5):
            trial.report(step / 10, step)
        return 0.4

    assert Function(ignorant)(job(until=2), line).state is TrialState.COMPLETED


def test_should_prune_is_false_before_the_first_report(job, line):
    assert LiveTrial(job(), line).should_prune() is False


def test_an_objective_for_optuna_that_prunes_itself_for_a_nan_has_diverged(job, line):
    def diverge(trial):
        trial.report(math.nan, 1)
        if trial.should_prune():
            raise optuna.TrialPruned

    assert Function(diverge)(job(), line).state is TrialState.DIVERGED


@pytest.mark.parametrize(
    ("args", "named"),
    [((0.5, 3), {}), ((0.5,), {"step": 3}), ((), {"value": 0.5, "step": 3}), ((3,), {"value": 0.5})],
)
def test_a_value_and_a_step_tell_the_only_objective_however_they_are_given(args, named, job, line):
    LiveTrial(job(), line).report(*args, **named)
    assert line.reports == [(3, {"score": 0.5})]


def test_an_unnamed_value_needs_a_single_objective(job, line):
    with pytest.raises(StudyError, match="needs a study with one objective"):
        LiveTrial(job(objectives=("score", "speed")), line).report(0.5, 3)


def test_user_attributes_are_told_and_remembered_as_json_keeps_them(job, line):
    trial = LiveTrial(job(), line)
    trial.set_user_attr("shape", (3, 4))
    assert line.sent == [Note(3, {"shape": [3, 4]})]
    assert trial.user_attrs == {"shape": [3, 4]}


def test_user_attributes_may_be_numbers_of_numpy_or_none_that_are_finite(job, line):
    trial = LiveTrial(job(), line)
    trial.set_user_attr("best", {"epoch": np.int64(3), "loss": [np.float32(0.5), torch.tensor(2)], "new": np.True_})
    assert trial.user_attrs["best"] == {"epoch": 3, "loss": [0.5, 2], "new": True}
    assert [type(value) for value in trial.user_attrs["best"].values()] == [int, list, bool]
    trial.set_user_attr("auc", math.nan)
    trial.set_user_attr("worst", np.float64(math.inf))
    assert math.isnan(line.sent[1].attrs["auc"])
    assert line.sent[2] == Note(3, {"worst": math.inf})


@pytest.mark.parametrize("value", [object(), {1, 2}, np.zeros(2), {(1, 2): 3}, {"loss": [{1}]}])
def test_an_attribute_that_json_cannot_hold_is_told_by_name(value, job, line):
    trial = LiveTrial(job(), line)
    with pytest.raises(StudyError, match="attribute 'odd'"):
        trial.set_user_attr("odd", value)
    assert line.sent == []
    assert trial.user_attrs == {}


@pytest.mark.parametrize(("name", "near"), [("set_system_attr", "set_user_attr"), ("system_attrs", "user_attrs")])
def test_what_a_trial_does_not_have_is_told_with_what_is_near(name, near, job, line):
    trial = LiveTrial(job(), line)
    assert not hasattr(trial, "storage")
    with pytest.raises(AttributeError, match=f"a trial has no '{name}'; did you mean '{near}'?"):
        getattr(trial, name)


# Parameters that the training names


def sampled(trial):
    """Every signature of Optuna, ranges that depend on earlier values among them."""
    layers = trial.suggest_int("layers", 1, 4)
    return {
        "layers": layers,
        **{f"width {at}": trial.suggest_int(f"width {at}", 8, 8 * layers, step=8) for at in range(layers)},
        "units": trial.suggest_int("units", 1, 1024, log=True),
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5, step=0.1),
        "momentum": trial.suggest_float("momentum", 0.1 * layers, 0.9),
        "kind": trial.suggest_categorical("kind", ["adam", "sgd", None, True]),
    }


@given(seed=st.integers(0, 2**31 - 1))
def test_suggestions_lie_in_their_ranges_as_optuna_s_do(seed, make_line):
    trial = LiveTrial(Job(3, {}, seed, define_by_run=True), make_line())
    mine = sampled(trial)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    theirs = optuna.trial.FixedTrial(mine)
    assert sampled(theirs) == mine
    assert all(not isinstance(mine[name], bool) for name in ("layers", "units", "lr"))
    for name, distribution in theirs.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(mine[name])), name
    assert trial.params == mine


def test_choices_are_told_once_with_the_range_that_they_came_from(job, line):
    trial = LiveTrial(job(params={}, define_by_run=True), line)
    drawn = sampled(trial)
    assert sampled(trial) == drawn, "asked again, the same values are given"
    assert [(told.name, told.value) for told in line.sent] == list(drawn.items())
    for told in line.sent:
        assert isinstance(told, Choice)
        assert parameter_from_dict(told.name, json.loads(json.dumps(told.parameter))).contains(told.value)


def test_drawn_values_depend_on_the_seed_and_the_name_alone(job, make_line):
    def draw(seed, names):
        trial = LiveTrial(job(params={}, seed=seed, define_by_run=True), make_line())
        return {name: trial.suggest_float(name, 0, 1) for name in names}

    assert draw(7, "abc") == draw(7, "abc")
    assert draw(7, "cab") == draw(7, "abc")
    assert len({*draw(7, "abc").values(), *draw(8, "abc").values()}) == 6


@given(proposed=st.integers(-5, 15))
def test_a_proposal_is_taken_where_it_fits_and_replaced_where_it_does_not(proposed, make_line):
    task = Job(3, {}, 7, suggestions={"depth": proposed}, define_by_run=True)
    depth = LiveTrial(task, make_line()).suggest_int("depth", 1, 9)
    assert depth == proposed if 1 <= proposed <= 9 else 1 <= depth <= 9


def test_in_a_study_with_a_space_suggestions_are_the_trial_s_parameters(job, line):
    trial = LiveTrial(job(params={"x": 0.5, "n": 3, "kind": "sgd"}), line)
    assert (trial.suggest_float("x", 0, 1), trial.suggest_int("n", 1, 9)) == (0.5, 3)
    assert trial.suggest_categorical("kind", ["adam", "sgd"]) == "sgd"
    assert line.sent == []
    with pytest.raises(StudyError, match="no 'y' for this trial; it has x, n, kind"):
        trial.suggest_float("y", 0, 1)


def test_numbers_are_of_the_kind_that_was_asked_for(job, line):
    trial = LiveTrial(job(params={"x": 1, "n": 3.0}), line)
    assert type(trial.suggest_float("x", 0, 1)) is float
    assert type(trial.suggest_int("n", 1, 9)) is int


def test_a_wrong_range_fails_the_trial_and_says_why(job, line):
    outcome = Function(lambda trial: trial.suggest_float("lr", 1.0, 0.1))(job(params={}, define_by_run=True), line)
    assert outcome.state is TrialState.FAILED
    assert "lr: low must be below high; got low=1.0, high=0.1" in outcome.error.splitlines()[-1]


@pytest.mark.parametrize("name", ["", 5, None, ["x"]])
def test_a_parameter_s_name_is_text(name, job, line):
    trial = LiveTrial(job(params={}, define_by_run=True), line)
    with pytest.raises(SpaceError, match="a parameter's name must be text; got "):
        trial.suggest_float(name, 0, 1)
    assert line.sent == []


# What the trial knows of itself


def test_the_full_length_is_told_or_what_to_write(job, line):
    assert LiveTrial(job(max_steps=30), line).max_steps == 30
    with pytest.raises(StudyError, match="give max_steps="):
        _ = LiveTrial(job(), line).max_steps


def test_a_worker_without_a_gpu_trains_on_the_cpu(job, line, monkeypatch):
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert LiveTrial(job(), line).device == "cpu"


def test_changing_the_trial_s_parameters_leaves_the_job_alone(job, line):
    task = job()
    LiveTrial(task, line).params["x"] = 9
    assert task.params == {"x": 0.5}


def test_what_is_told_can_cross_to_another_process(job, line):
    trial = LiveTrial(job(params={}, define_by_run=True), line)
    sampled(trial)
    trial.set_user_attr("shape", [1])
    trial.report(np.int64(1), score=torch.tensor(0.5))
    for told in line.sent:
        assert pickle.loads(pickle.dumps(told)) == told
    assert isinstance(line.sent[-1], Progress)


def test_answers_are_obeyed_in_the_order_in_which_they_came(job, line):
    line.answers.extend([Answer(Verdict.CONTINUE, 2), Answer(Verdict.CONTINUE, 5), STOP])
    trial = LiveTrial(job(until=None), line)
    trial.report(1, score=0.0)
    assert trial.until == 2
    trial.report(2, score=0.0)
    assert trial.until == 5
    with pytest.raises(TrialStopped):
        trial.report(3, score=0.0)


# In a loop of ask and tell


def own_loop(scheduler, keeps=True):
    """A study trained by `study.report`, and the steps that were trained of each trial."""
    options = {"scheduler": scheduler, "sampler": "random", "budget": "60 trials"}
    study = Study({"x": Float(0, 1)}, maximize="score", max_steps=9, **options)
    trained = []
    while (trial := study.ask()) is not None:
        counter = Counter()
        start = trial.checkpoint(counter=counter) if keeps else trial.step
        assert len(counter.drawn) == start or not keeps
        for step in range(start + 1, trial.max_steps + 1):
            counter.drawn.append(step)
            trained.append((trial.number, step))
            if study.report(trial, step, score=trial.params["x"] * step) is not Verdict.CONTINUE:
                break
    return study, trained


@pytest.mark.parametrize("scheduler", ["freeze_thaw", "asha", "hyperband", "median", "none"])
def test_an_own_loop_trains_each_step_once_and_leaves_nothing_running(scheduler):
    study, trained = own_loop(scheduler)
    assert study.finished
    assert len(set(trained)) == len(trained) == study.history.total_steps
    assert not study.history.count(TrialState.RUNNING)
    assert torch.load(study.best.checkpoint)["objects"]["counter"]["drawn"] == list(range(1, 10))


def test_what_is_told_of_a_trial_belongs_to_the_states_that_are_kept():
    study = Study({"x": Float(0, 1)}, maximize="score", budget="2 trials")
    while (trial := study.ask()) is not None:
        counter = Counter()
        trial.checkpoint(counter=counter)
        counter.drawn = [trial.number]
        study.tell(trial, score=trial.number)
    assert torch.load(study.best.checkpoint)["objects"]["counter"]["drawn"] == [1]


def test_a_loop_that_goes_on_behind_its_verdict_changes_nothing_that_was_kept():
    study = Study({"x": Float(0, 1)}, maximize="score", max_steps=9, budget="20 trials", scheduler="asha")
    trial, counter = study.ask(), Counter()
    trial.checkpoint(counter=counter)
    verdicts = []
    for step in range(1, 10):
        counter.drawn.append(step)
        verdicts.append(study.report(trial, step, score=step))
    paused = verdicts.index(Verdict.PAUSE) + 1
    assert kept_step(trial.job.directory) == paused < 9


def test_a_diverged_step_is_not_kept_in_an_own_loop_either():
    study = Study({"x": Float(0, 1)}, maximize="score", max_steps=9, budget="20 trials", scheduler="none")
    trial = study.ask()
    trial.checkpoint(counter=Counter())
    assert study.report(trial, 1, score=0.5) is Verdict.CONTINUE
    assert study.report(trial, 2, score=math.nan) is Verdict.STOP
    assert study.trials[0].state is TrialState.DIVERGED
    assert kept_step(trial.job.directory) in (None, 1)


def test_an_own_loop_copies_members_of_a_population_or_is_told_to():
    population = {"name": "pbt", "population": 4, "interval": 3}
    study, trained = own_loop(population)
    copied = [trial for trial in study.trials if trial.parent is not None]
    assert copied
    assert all(min(step for number, step in trained if number == trial.number) > 1 for trial in copied)
    with pytest.raises(StudyError, match="starts from another trial's checkpoint, but the training keeps none"):
        own_loop(population, keeps=False)
