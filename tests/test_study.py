"""Ask and tell: what a study hands out, what it makes of reports, and that it goes on."""

import math
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from greyhound import events as ev
from greyhound.errors import MissingExtraError, SpaceError, StorageError, StudyError
from greyhound.jobs import Note
from greyhound.schedulers import Start, Traits, Wait
from greyhound.space import Categorical, Float, Int, Space
from greyhound.storage import Memory, open_journal, presence
from greyhound.study import Study
from greyhound.trial import TrialState, Verdict

SPACE = Space(x=Float(0.0, 1.0), n=Int(1, 9))


@dataclass(frozen=True)
class EveryThird:
    """Judges at every third step, and stops at the sixth."""

    traits = Traits()

    def next(self, history):
        return Start() if history.can_start else Wait()

    def judge(self, history, trial):
        return Verdict.STOP if trial.step >= 6 else Verdict.CONTINUE

    def until(self, history, trial):
        return 3 if trial is None else trial.step + 3


@dataclass(frozen=True)
class OfOneObjective(EveryThird):
    """Says that it judges one objective."""

    traits = Traits(objectives=1)


class Clock:
    """Time that passes when told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def study_of(space=SPACE, **options):
    options = {"maximize": "score", "sampler": "random", "scheduler": "none", **options}
    return Study(space, **options)


def run(study, count=math.inf, curve=lambda params, step: params["x"] * step):
    """Train what the study hands out, one after another, to where it says."""
    done = 0
    while done < count and (trial := study.ask()) is not None:
        done += 1
        for step in range(trial.step + 1, trial.until + 1):
            if study.report(trial, step, score=curve(trial.params, step)) is not Verdict.CONTINUE:
                break
    return study


def journal_of(study):
    return [
        (event.kind, getattr(event, "params", None), getattr(event, "seed", None), getattr(event, "metrics", None))
        for event in study.journal.read(0)
    ]


def test_told_values_are_kept_and_the_best_is_found():
    study = study_of(budget=5)
    scores = [0.3, 0.9, 0.1, 0.5, 0.7]
    for score in scores:
        study.tell(study.ask(), score=score)
    assert [trial.metrics["score"] for trial in study.trials] == scores
    assert study.best.number == 1
    assert study.ask() is None
    assert study.why_finished == "the budget of 5 trials is used up"


def test_a_trial_is_shown_on_one_line():
    study = Study(Space(x=Float(0.0, 1.0), kind=Categorical(["a"])), minimize="loss", max_steps=3)
    study.enqueue({"x": 0.123456789, "kind": "a"})
    trial = study.ask()
    assert repr(trial) == "<LiveTrial 0: x=0.123457, kind=a>"
    assert repr(study.trials) == "[<Trial 0: running; x=0.123457, kind=a>]"
    study.report(trial, 1, loss=0.5)
    assert repr(study.trials[0]) == "<Trial 0: running after 1 step; loss=0.5; x=0.123457, kind=a>"


def test_the_only_objective_may_be_told_as_a_value():
    study = study_of()
    study.tell(study.ask(), 0.25)
    assert study.best.metrics == {"score": 0.25}


def test_smaller_is_better_when_minimised():
    study = Study(SPACE, minimize="loss", sampler="random")
    for loss in (3.0, 1.0, 2.0):
        study.tell(study.ask(), loss=loss)
    assert study.best.metrics == {"loss": 1.0}


def test_the_same_seed_gives_the_same_journal_to_the_last_bit():
    def events(seed):
        study = study_of(budget=12, max_steps=9, scheduler="asha", seed=seed, clock=lambda: 0.0)
        return journal_of(run(study))

    assert events(3) == events(3)
    assert events(3) != events(4)


def test_each_trial_has_a_seed_of_its_own_that_is_recorded():
    first, second = run(study_of(budget=5, max_steps=2)), run(study_of(budget=5, max_steps=2))
    seeds = [trial.seed for trial in first.trials]
    assert len(set(seeds)) == 5
    assert seeds == [trial.seed for trial in second.trials]


def test_a_closed_study_goes_on_as_an_unbroken_one_would(tmp_path):
    options = {"budget": 9, "max_steps": 9, "scheduler": "asha", "clock": lambda: 0.0}
    unbroken = run(study_of(**options))
    for _ in range(40):
        with study_of(storage=tmp_path / "study.db", **options) as study:
            run(study, count=1)
    with study_of(storage=tmp_path / "study.db", **options) as broken:
        kinds = [line for line in journal_of(broken) if line[0] not in ("joined", "left")]
    assert kinds == [line for line in journal_of(unbroken) if line[0] not in ("joined", "left")]


def test_the_default_configuration_is_tried_first_and_in_full():
    space = Space(x=Float(0.0, 1.0, default=0.25), n=Int(1, 9, default=3))
    study = run(study_of(space, budget=12, max_steps=9, scheduler="asha"))
    first = study.trials[0]
    assert (first.source, first.params) == ("default", {"x": 0.25, "n": 3})
    assert (first.state, first.step) == (TrialState.COMPLETED, 9)
    assert study.baseline.number == 0
    assert sum(trial.source == "default" for trial in study.trials) == 1


def test_enqueued_configurations_are_tried_next_in_order():
    study = study_of()
    study.enqueue({"x": 0.5, "n": 2})
    study.enqueue({"x": 0.5, "n": 2})
    asked = [study.ask() for _ in range(3)]
    assert [trial.params for trial in asked[:2]] == [{"x": 0.5, "n": 2}] * 2
    assert [study.trials[at].source for at in range(3)] == ["enqueued", "enqueued", "random"]


def test_enqueued_values_for_what_a_training_names_come_back_in_the_form_it_asks_for():
    study = Study()
    study.enqueue({"x": np.int64(1), "n": 2.0, "kind": ["a", np.float64(0.5)]})
    trial = study.ask()
    trial.suggest_float("x", 0, 1), trial.suggest_int("n", 1, 9), trial.suggest_categorical("kind", ["b", ("a", 0.5)])
    assert repr(dict(study.trials[0].params)) == "{'x': 1.0, 'n': 2, 'kind': ('a', 0.5)}"


def test_a_parameter_that_every_training_names_is_in_the_journal_once(tmp_path):
    choices = [f"option {at}" for at in range(50)]
    with Study(minimize="loss", sampler="random", storage=tmp_path / "study.db") as study:
        for high in (1.0, 1.0, 2.0, 2.0, 1.0):
            trial = study.ask()
            x, kind = trial.suggest_float("x", 0.0, high), trial.suggest_categorical("kind", choices)
            study.tell(trial, loss=x + choices.index(kind))
        params = [dict(trial.params) for trial in study.trials]
        events = [event for event in study.journal.read(0) if isinstance(event, ev.Suggested)]
    assert [event.parameter.get("high", 0) for event in events if event.name == "x"] == [1.0, 0, 2.0, 0, 1.0]
    assert [bool(event.parameter) for event in events if event.name == "kind"] == [True] + [False] * 4
    again = Study.load(tmp_path / "study.db")
    assert [dict(trial.params) for trial in again.trials] == params
    assert again.history.space == Space(x=Float(0.0, 2.0), kind=Categorical(choices))


def test_an_enqueued_value_that_a_training_does_not_ask_for_is_drawn_with_a_warning():
    study = Study()
    study.enqueue({"x": 5.0})
    trial = study.ask()
    with pytest.warns(UserWarning, match=r"trial 0: the enqueued x=5.0 is not in Float\(0.0, 1.0\)"):
        assert 0 <= trial.suggest_float("x", 0, 1) <= 1


@pytest.mark.parametrize(
    ("params", "message"), [({"x": object()}, "enqueue: x: a choice must be"), ({1: 2}, "must be text; got 1")]
)
def test_what_no_training_can_ask_for_is_not_enqueued(params, message):
    with pytest.raises(SpaceError, match=message):
        Study().enqueue(params)


@pytest.mark.parametrize("failed", [False, True, ValueError("no data")])
def test_why_a_trial_failed_is_told_in_text(failed):
    study = study_of()
    trial = study.ask()
    with pytest.raises(StudyError, match="tell: failed says why in text"):
        study.tell(trial, failed=failed)
    assert study.trials[0].state is TrialState.RUNNING


def test_a_wrong_enqueued_configuration_is_refused_at_once():
    with pytest.raises(SpaceError, match="n"):
        study_of().enqueue({"x": 0.5, "n": 99})


def test_promotion_goes_on_from_where_the_trial_was_paused():
    study = study_of(max_steps=9, scheduler={"name": "asha", "eta": 3, "min_steps": 1}, budget=9)
    handed = []
    while (trial := study.ask()) is not None:
        handed.append((trial.number, trial.step, trial.until))
        for step in range(trial.step + 1, trial.until + 1):
            verdict = study.report(trial, step, score=trial.params["x"])
        if trial.until < 9:
            assert verdict in (Verdict.PAUSE, Verdict.CONTINUE)
    resumed = [(step, until) for _, step, until in handed if step]
    assert set(resumed) <= {(1, 3), (3, 9), (1, 9)}
    assert any(step == 1 for step, _ in resumed)
    assert study.history.completed


def test_a_trial_that_is_judged_fit_goes_on_to_where_it_is_judged_next():
    study = study_of(max_steps=9, scheduler=EveryThird())
    trial = study.ask()
    verdicts = [study.report(trial, step, score=0.5) for step in range(1, 8)]
    assert verdicts[:5] == [Verdict.CONTINUE] * 5
    assert verdicts[5] is Verdict.STOP
    assert study.trials[0].state is TrialState.STOPPED
    assert trial.until == 6


def test_reaching_the_end_completes_a_trial_and_more_may_be_told_after():
    study = study_of(max_steps=2)
    trial = study.ask()
    assert study.report(trial, 1, score=0.5) is Verdict.CONTINUE
    assert study.report(trial, 2, score=0.6) is Verdict.STOP
    assert study.trials[0].state is TrialState.COMPLETED
    study.tell(trial, size=7.0)
    assert study.trials[0].metrics == {"score": 0.6, "size": 7.0}


def test_the_end_of_training_waits_for_an_objective_that_is_told_later():
    study = study_of(max_steps=1, maximize="score", minimize="latency")
    trial = study.ask()
    assert study.report(trial, 1, score=0.5) is Verdict.CONTINUE
    assert study.trials[0].state is TrialState.RUNNING
    study.tell(trial, latency=3.0)
    assert study.trials[0].state is TrialState.COMPLETED


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_diverged(value):
    study = study_of(max_steps=5)
    reported, told = study.ask(), study.ask()
    assert study.report(reported, 1, score=value) is Verdict.STOP
    study.tell(told, score=value)
    assert [trial.state for trial in study.trials] == [TrialState.DIVERGED] * 2
    with pytest.raises(StudyError, match="no trial has a usable value"):
        _ = study.best


def test_other_metrics_may_be_nan():
    study = study_of()
    study.tell(study.ask(), score=1.0, other=math.nan)
    assert study.trials[0].state is TrialState.COMPLETED


def test_failures_are_kept_with_their_reason_and_can_be_retried():
    study = study_of(budget=3)
    study.tell(study.ask(), failed="Traceback: it broke")
    study.tell(study.ask(), score=1.0)
    assert (study.trials[0].state, study.trials[0].error) == (TrialState.FAILED, "Traceback: it broke")
    assert study.retry() == [0]
    again = study.ask()
    assert again.number == 0
    study.tell(again, score=2.0)
    assert study.best.number == 0
    with pytest.raises(StudyError, match="trial 1 has not failed"):
        study.retry([1])


def test_lost_trials_are_put_back_three_times():
    study = study_of()
    for _ in range(4):
        trial = study.ask()
        assert trial.number == 0
        study.end(trial, TrialState.LOST, error="killed by signal 9")
    assert study.trials[0].state is TrialState.LOST
    assert study.ask().number == 1


def test_trials_left_running_go_first_when_the_study_is_opened_again(tmp_path):
    with study_of(storage=tmp_path / "study.db", max_steps=9) as study:
        study.report(study.ask(), 3, score=0.5)
    with Study.load(tmp_path / "study.db") as study:
        trial = study.ask()
        assert (trial.number, trial.step, trial.until) == (0, 3, 9)


def test_trials_of_a_killed_process_are_put_back_at_once(tmp_path):
    path = tmp_path / "study.db"
    program = (
        "import os, signal, greyhound as gh\n"
        "study = gh.Study(gh.Space(x=gh.Float(0, 1)), maximize='score', max_steps=9, scheduler='none', "
        f"storage={str(path)!r})\n"
        "trial = study.ask(); study.report(trial, 2, score=0.5)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with Study.load(path) as study:
        assert study.trials[0].state is TrialState.RUNNING
        trial = study.ask()
        assert (trial.number, trial.step) == (0, 2)


def test_processes_that_share_a_study_never_take_the_same_trial(tmp_path):
    path = tmp_path / "study.db"
    study_of(storage=path, budget=60).close()
    program = (
        "import greyhound as gh\n"
        f"study = gh.Study.load({str(path)!r})\n"
        "while (trial := study.ask()) is not None:\n"
        "    print(trial.number); study.tell(trial, score=trial.params['x'])\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    taken = [int(line) for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert sorted(taken) == list(range(60))
    study = Study.load(path)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETED] * 60


def test_threads_may_share_a_study(tmp_path):
    study = study_of(storage=tmp_path / "study.db", budget=60, max_steps=3)
    taken = []

    def train():
        while (trial := study.ask()) is not None:
            taken.append(trial.number)
            for step in (1, 2, 3):
                study.report(trial, step, score=trial.params["x"])

    with ThreadPoolExecutor(8) as threads:
        for thread in [threads.submit(train) for _ in range(8)]:
            thread.result(timeout=60)
    assert sorted(taken) == list(range(60))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETED] * 60
    assert list(Study.load(tmp_path / "study.db").trials) == list(study.trials)


def test_forks_of_a_process_may_share_its_study(tmp_path):
    path = tmp_path / "study.db"
    program = textwrap.dedent(
        f"""
        import multiprocessing
        import os
        import greyhound as gh

        def train(given):
            study.tell(given, score=0.5)
            while (trial := study.ask()) is not None:
                os.write(1, f"{{trial.number}} ".encode())
                study.tell(trial, score=trial.params["x"])

        study = gh.Study(gh.Space(x=gh.Float(0.0, 1.0)), maximize="score", budget=60, storage={str(path)!r})
        context = multiprocessing.get_context("fork")
        forks = [context.Process(target=train, args=(study.ask().number,)) for _ in range(3)]
        for fork in forks:
            fork.start()
        for fork in forks:
            fork.join()
        """
    )
    taken = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    assert sorted(map(int, taken.stdout.split())) == list(range(3, 60))
    assert [trial.state for trial in Study.load(path).trials] == [TrialState.COMPLETED] * 60


def test_a_study_that_is_to_be_pickled_says_what_to_do():
    with pytest.raises(StudyError, match=r"Study\.load"):
        pickle.dumps(study_of())


def test_a_process_that_shares_the_study_is_not_robbed(tmp_path):
    mine = study_of(storage=tmp_path / "study.db")
    trial = mine.ask()
    other = Study.load(tmp_path / "study.db")
    assert other.ask().number == 1
    mine.tell(trial, score=1.0)
    other.refresh()
    assert other.best.number == 0


def test_who_finds_a_dead_process_late_does_not_rob_who_took_its_trial_up(tmp_path):
    dead = study_of(storage=tmp_path / "study.db", max_steps=3)
    dead.ask()
    quick, slow = (Study.load(tmp_path / "study.db") for _ in range(2))
    presence.leave(dead._session.owner)
    trial = quick.ask()
    slow._session.recover()  # knows nothing yet of the other
    assert slow.ask().number == 1
    assert quick.report(trial, 1, score=0.5) is Verdict.CONTINUE
    assert quick.trials[0].restarts == 1


CONTAINER = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]


def containers():
    """Whether one can be made here."""
    made = shutil.which("unshare") and subprocess.run([*CONTAINER, "true"], check=False, capture_output=True)
    return bool(made) and made.returncode == 0


@pytest.mark.skipif(not containers(), reason="there is no right to make a container, or it is not Linux")
def test_a_process_in_a_container_of_the_same_name_is_not_robbed(tmp_path):
    path = tmp_path / "study.db"
    study_of(storage=path).close()
    program = (
        f"import sys; from greyhound.study import Study; study = Study.load({str(path)!r})\n"
        "print(study.ask().number, flush=True); sys.stdin.read()"
    )
    command = [*CONTAINER, sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as inside:
        assert inside.stdout.readline() == "0\n"
        with Study.load(path) as study:
            assert study.ask().number == 1
        inside.kill()


def test_budgets_are_totals_of_the_study(tmp_path):
    path = tmp_path / "study.db"
    for _ in range(3):
        with study_of(storage=path, budget="4 trials", max_steps=1) as study:
            run(study)
    assert len(study.trials) == 4


def test_a_budget_of_steps_ends_the_study_within_a_step():
    study = run(study_of(budget="20 steps", max_steps=6))
    assert study.history.total_steps == 20
    assert study.why_finished == "the budget of 20 steps is used up"


def test_a_budget_of_time_counts_only_time_in_which_the_study_ran(tmp_path):
    clock, path = Clock(), tmp_path / "study.db"
    for _ in range(2):
        with study_of(storage=path, budget="1 min", clock=clock) as study:
            trial = study.ask()
            clock.now += 25.0
            study.tell(trial, score=1.0)
        clock.now += 86400.0
    with study_of(storage=path, budget="1 min", clock=clock) as study:
        trial = study.ask()
        clock.now += 15.0
        study.tell(trial, score=1.0)
        assert study.ask() is None
        assert study.why_finished == "the budget of 1 min is used up"


def test_device_time_counts_by_the_devices_of_a_trial():
    clock = Clock()
    study = study_of(budget="100 gpu seconds", devices_per_trial=2, clock=clock)
    trial = study.ask()
    clock.now += 40.0
    assert not study.finished
    clock.now += 10.0
    study.tell(trial, score=1.0)
    assert study.spent_so_far()["device_seconds"] == 100.0
    assert study.finished
    with pytest.raises(StudyError, match="devices_per_trial must be a number above 0; got 0"):
        study_of(devices_per_trial=0)


def test_to_be_closed_is_no_loss(tmp_path):
    for _ in range(5):
        with study_of(storage=tmp_path / "study.db") as study:
            trial = study.ask()
            assert trial.number == 0
    with study_of(storage=tmp_path / "study.db") as study:
        study.end(study.ask(), TrialState.LOST)
        assert study.trials[0].state is TrialState.PAUSED, "put back, as after any first loss"


def test_finals_that_two_processes_ask_for_at_once_are_trained_once(tmp_path):
    one, other = (study_of(Space(x=Float(0.0, 1.0, default=0.5)), storage=tmp_path / "s.db", budget=5) for _ in "ab")
    while (trial := one.ask()) is not None:
        one.tell(trial, score=trial.params["x"])
    other.refresh()
    asked = [list(study.history.replicates_due) for study in (one, other)]
    assert asked == [[], []]
    events = [ev.Enqueued(1.0, dict(trial.params), 7, trial.number) for trial in one.trials[:3]]
    one.journal.append(events)
    other.journal.append(events)
    one.refresh()
    assert [event.replicates for _, event in one.history.replicates_due] == [0, 1, 2]
    while (trial := one.ask()) is not None:
        one.tell(trial, score=trial.params["x"])
    assert len(one.history.replicates) == 3


@pytest.mark.parametrize("go_on", [lambda study: study.set_budget("2 min"), lambda study: study.extend("1 min")])
def test_the_time_after_a_kill_is_not_the_studys(tmp_path, go_on):
    clock, path = Clock(), tmp_path / "study.db"
    killed = study_of(storage=path, budget="1 min", clock=clock)
    trial = killed.ask()
    clock.now += 25.0
    killed.report(trial, 1, score=1.0)
    presence.leave(killed._session.owner)  # SIGKILL: it is gone without a word
    clock.now += 86400.0
    study = Study.load(path, clock=clock)
    go_on(study)
    assert study.spent_so_far()["seconds"] == 25.0
    assert study.ask().number == trial.number


def test_a_budget_of_device_time_counts_every_trial():
    clock = Clock()
    study = study_of(budget="100 device seconds", clock=clock)
    first, second = study.ask(), study.ask()
    clock.now += 60.0
    study.tell(first, score=1.0)
    assert study.finished, "60 s of two trials are more than 100 s"
    study.tell(second, score=1.0)
    assert study.history.total_seconds == 120.0


def test_a_spent_budget_is_extended_by_more(tmp_path):
    study = run(study_of(budget="6 steps, 50 trials", max_steps=3, storage=tmp_path / "study.db"))
    assert study.finished
    study.extend("6 steps")
    assert not study.finished
    assert run(study).history.total_steps == 12
    study.close()
    with study_of(budget="+3 steps", max_steps=3, storage=tmp_path / "study.db") as study:
        assert run(study).history.total_steps == 15


def test_what_a_spent_budget_paused_goes_on_first_where_it_is_extended():
    study = run(study_of(budget="4 steps", max_steps=3))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETED, TrialState.PAUSED]
    study.extend("10 steps")
    trial = study.ask()
    assert (trial.number, trial.step) == (1, 1)


def test_a_training_that_does_not_heed_its_pause_stays_paused():
    study = study_of(scheduler={"name": "asha", "min_steps": 1}, max_steps=3)
    run(study, count=1)
    trial = study.ask()
    for step in (1, 2, 3):
        assert study.report(trial, step, score=0.5) is Verdict.PAUSE
    for state in (TrialState.PAUSED, TrialState.FAILED, TrialState.LOST):
        study.end(trial, state)
        assert study.trials[1].state is TrialState.PAUSED
    study.tell(trial, score=0.5)
    assert study.trials[1].state is TrialState.COMPLETED


def test_limits_rule_out_what_breaks_them():
    study = study_of(subject_to="latency <= 5")
    study.tell(study.ask(), score=0.9, latency=7.0)
    study.tell(study.ask(), score=0.8)
    study.tell(study.ask(), score=0.5, latency=5.0)
    assert study.best.number == 2


def test_several_objectives_give_a_front():
    study = study_of(minimize="size")
    for score, size in [(0.9, 10.0), (0.5, 5.0), (0.4, 6.0), (0.9, 11.0), (0.95, 20.0)]:
        study.tell(study.ask(), score=score, size=size)
    assert [trial.number for trial in study.front] == [0, 1, 4]
    with pytest.raises(StudyError, match=r"2 objectives; use study\.front"):
        _ = study.best


def test_a_wider_space_continues_and_a_narrower_one_is_refused(tmp_path):
    path = tmp_path / "study.db"
    with study_of(storage=path) as study:
        study.tell(study.ask(), score=1.0)
    wider = Space(x=Float(-1.0, 1.0), n=Int(1, 9), kind=Categorical(["a", "b"], default="a"))
    with study_of(wider, storage=path) as study:
        assert study.trials[0].params["kind"] == "a"
        assert set(study.ask().params) == {"x", "n", "kind"}
    with pytest.raises(SpaceError, match="n"):
        study_of(Space(x=Float(-1.0, 1.0), n=Int(1, 5), kind=Categorical(["a", "b"], default="a")), storage=path)


class Meanwhile(Clock):
    """A clock at whose first reading another process is faster by as much as `act` does."""

    def __init__(self, act):
        super().__init__()
        self._act = act

    def __call__(self):
        act, self._act = self._act, lambda: None
        act()
        return self.now


def test_of_two_spaces_declared_at_once_the_first_holds_and_the_other_is_refused(tmp_path):
    path = tmp_path / "study.db"
    run(study_of(storage=path, max_steps=3), count=1)
    layers, heads = (Space({**SPACE.parameters, name: Int(1, 8, default=3)}) for name in ("layers", "heads"))
    first = Meanwhile(lambda: study_of(layers, storage=path, max_steps=3))
    with pytest.raises(SpaceError, match="layers: earlier trials have this parameter"):
        study_of(heads, storage=path, max_steps=3, clock=first)
    study = Study.load(path)
    assert study.history.space == layers
    assert study.ask().params.keys() == {"x", "n", "layers"}


def test_of_two_goals_declared_at_once_the_first_holds_and_the_other_is_refused(tmp_path):
    path = tmp_path / "study.db"
    first = Meanwhile(lambda: study_of(maximize="score", storage=path, seed=1))
    with pytest.raises(StudyError, match="objectives are maximize score, not maximize loss"):
        study_of(maximize="loss", storage=path, seed=2, clock=first)
    assert [objective.metric for objective in Study.load(path).history.objectives] == ["score"]


def test_processes_that_begin_a_study_at_once_have_the_seed_of_the_first(tmp_path):
    path, first = tmp_path / "study.db", []
    second = study_of(storage=path, seed=2, clock=Meanwhile(lambda: first.append(study_of(storage=path, seed=1))))
    first[0].refresh()
    assert (first[0].history.seed, second.history.seed) == (1, 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"maximize": "other"}, "objectives are maximize score, not maximize other"),
        ({"max_steps": 5}, "max_steps is 9 and cannot become 5"),
        ({"space": None}, "keeps its kind"),
    ],
)
def test_what_would_not_compare_is_refused(options, told, tmp_path):
    study_of(storage=tmp_path / "study.db", max_steps=9).close()
    with pytest.raises(StudyError, match=told):
        study_of(**{"space": SPACE, "storage": tmp_path / "study.db", "max_steps": 9, **options})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sampler": "randm"}, "no sampler 'randm'; .* Did you mean 'random'"),
        ({"scheduler": {"name": "asha", "eat": 3}}, "its options are: eta, min_steps"),
        ({"scheduler": {"eta": 3}}, "the table needs a name"),
        ({"scheduler": np.array(["none", "asha"])}, "scheduler: write a name such as 'asha'"),
        ({"warm_start": np.array(["a.db", "b.db"])}, "warm_start: "),
        ({"scheduler": {"name": "asha", "eta": 1}}, "eta must be a whole number of at least 2"),
        ({"max_steps": 0}, "max_steps must be a whole number of at least 1"),
        ({"max_steps": 10**400}, "at most 9007199254740992, or None; got 10000"),
        ({"devices_per_trial": 10**400}, "devices_per_trial must be a number above 0; got 10000"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"maximize": ["score", "score"]}, "'score' is named twice"),
        ({"maximize": ""}, "maximize: write the name of a metric"),
        ({"maximize": 5}, "maximize: write the name of a metric"),
        ({"maximize": np.array(5.0)}, "maximize: write the name of a metric"),
        ({"maximize": {"score", "loss"}}, "maximize: write the name of a metric, or a list of names"),
        ({"maximize": {"score": 2.0}}, "maximize: write the name of a metric, or a list of names"),
        ({"subject_to": np.array(5.0)}, "subject_to: write the name of a metric"),
        ({"callbacks": print}, "callbacks: give a list of functions"),
        ({"callbacks": np.array(5.0)}, "callbacks: give a list of functions"),
        ({"checkpoints": 5}, "checkpoints: write the name of a folder; got 5"),
        ({"checkpoint_quota": math.nan}, "checkpoint_quota must be a number of bytes, or None; got nan"),
        ({"checkpoint_quota": "1GB"}, "checkpoint_quota must be a number of bytes, or None; got '1GB'"),
        ({"subject_to": "latency < 5"}, "subject_to: cannot read 'latency < 5'"),
        ({"minimize": None}, "minimize: write the name of a metric"),
        ({"subject_to": "latency <= nan"}, "subject_to: cannot read 'latency <= nan'"),
        ({"minimize": "size", "scheduler": OfOneObjective()}, "judges one objective; the study has 2"),
    ],
)
def test_wrong_settings_are_told_in_one_sentence(options, told):
    with pytest.raises(StudyError, match=told):
        study_of(**options)


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b", "\udcff", "x" * 201, 5])
def test_a_name_that_cannot_be_that_of_a_folder_is_refused(name, tmp_path):
    with pytest.raises(StorageError, match="name: write a text of 1 to 200 bytes"):
        study_of(storage=tmp_path / "study.db", name=name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("storage", [5, b"study.db", [], study_of()])
def test_what_is_no_storage_is_told_in_one_sentence(storage):
    with pytest.raises(StorageError, match="storage: write a file name, a URL"):
        study_of(storage=storage)
    with pytest.raises(StorageError, match="storage: write a file name, a URL"):
        Study.load(storage)


@pytest.mark.parametrize("wrong", [None, "0", 0.0])
def test_what_is_no_trial_is_told_in_one_sentence(wrong):
    study = study_of()
    study.tell(study.ask(), failed="no luck")
    for call in (
        lambda: study.tell(wrong, 1.0),
        lambda: study.report(wrong, 1, score=1.0),
        lambda: study.retry([wrong]),
    ):
        with pytest.raises(StudyError, match="trial: give one that ask handed out, or its number; got"):
            call()
    with pytest.raises(StudyError, match="retry: give a list of trials"):
        study.retry(0)
    assert study.retry(study.trials) == [0]


@pytest.mark.parametrize(
    "sampler",
    ["boosting", "gp+boosting", "sobol+cmaes", "cmaes", {"name": "bohb", "model": {"name": "boosting", "startup": 20}}],
    ids=str,
)
def test_a_library_that_a_sampler_will_need_is_asked_for_before_there_is_a_study(sampler, tmp_path, monkeypatch):
    known, fresh = tmp_path / "known.db", tmp_path / "fresh.db"
    study = Study(SPACE, minimize="loss", sampler=sampler, storage=known)
    study.tell(study.ask(), loss=0.5)
    for missing in ("sklearn", "sklearn.ensemble", "cmaes"):
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"which is not installed: pip install 'greyhound-tune\["):
        Study(SPACE, minimize="loss", sampler=sampler, storage=fresh)
    assert not fresh.exists()
    assert len(Study.load(known).trials) == 1, "it can be read"


def test_wrong_reports_and_tells_are_told():
    study = study_of()
    trial = study.ask()
    with pytest.raises(StudyError, match="step must be a whole number"):
        study.report(trial, 1.5, score=1.0)
    for wrong in ("high", "0.5", 10**400):
        with pytest.raises(StudyError, match="metric 'score' must be a number; got"):
            study.report(trial, 1, score=wrong)
    with pytest.raises(StudyError, match="step must be a whole number"):
        study.report(trial, 10**20, score=1.0)
    with pytest.raises(StudyError, match=r"expected a value for each of score; got \[1.0, 2.0\]"):
        study.tell(trial, [1.0, 2.0])
    with pytest.raises(StudyError, match="ends without score, an objective of the study; it has loss"):
        study.tell(trial, loss=1.0)
    with pytest.raises(StudyError, match="there is no trial 7"):
        study.tell(7, score=1.0)
    study.tell(trial, failed="broken")
    with pytest.raises(StudyError, match="trial 0 has ended already: failed"):
        study.tell(trial, score=1.0)


def test_a_journal_without_a_study_is_told(tmp_path):
    with pytest.raises(StorageError, match="no such study file"):
        Study.load(tmp_path / "none.db")
    open_journal(tmp_path / "study.db").close()
    with pytest.raises(StudyError, match="never declared"):
        Study.load(tmp_path / "study.db")


def test_a_constraint_that_is_a_function_must_be_given_again(tmp_path):
    space = Space(a=Int(0, 9), b=Int(0, 9), constraint={"rising": lambda p: p["a"] < p["b"]})
    with study_of(space, storage=tmp_path / "study.db") as study:
        study.tell(study.ask(), score=1.0)
    with Study.load(tmp_path / "study.db") as study:
        assert study.best.number == 0, "reading needs no constraint"
        with pytest.raises(StudyError, match="'rising' is a Python function"):
            study.ask()
    with study_of(space, storage=tmp_path / "study.db") as study:
        assert study.ask().number == 1


def test_a_prepared_suggestion_is_the_one_that_is_handed_out():
    prepared, plain = study_of(budget=6), study_of(budget=6)
    for _ in range(6):
        prepared.prepare()
        first, second = prepared.ask(), plain.ask()
        assert first.params == second.params
        prepared.tell(first, score=1.0)
        plain.tell(second, score=1.0)


def test_steps_and_metrics_may_be_of_numpy():
    study = study_of()
    trial = study.ask()
    study.report(trial, np.int64(3), score=np.float32(0.5))
    assert [(report.step, report.metrics) for report in study.trials[0].reports] == [(3, {"score": 0.5})]


def test_a_study_that_cannot_be_written_says_so_and_can_be_closed(tmp_path):
    path = tmp_path / "study.db"
    run(study_of(storage=path, max_steps=3), count=1)
    study = Study.load(path)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON greyhound_events BEGIN SELECT RAISE(FAIL, 'full'); END")
    with pytest.raises(StorageError, match="the database failed: full"):
        study.ask()
    study.close()
    with sqlite3.connect(path) as database:
        database.execute("DROP TRIGGER full")
    with Study.load(path) as study:
        assert study.ask().number == 1


@pytest.mark.parametrize("go_on", ["extend", "reopen"])
def test_what_a_killed_process_trained_costs_no_device_time_until_it_is_taken_up(tmp_path, go_on):
    now = [1000.0]
    wanted = {"storage": tmp_path / "study.db", "scheduler": "none", "clock": lambda: now[0]}
    killed = study_of(budget="8 gpu-hours", **wanted)
    trial = killed.ask()
    now[0] += 60.0
    killed.report(trial, 1, score=1.0)
    presence.leave(killed._session.owner)  # SIGKILL: it is gone without a word
    now[0] += 24 * 3600.0
    if go_on == "extend":
        study = Study.load(tmp_path / "study.db", clock=wanted["clock"])
        assert study.why_finished is None
        study.extend("1 gpu-hour")
        assert study.settings.budget.device_seconds == 3660.0
    else:
        study = study_of(budget="9 gpu-hours", **wanted)
    assert study.why_finished is None
    assert study.ask().number == trial.number


def test_a_process_that_was_killed_and_not_waited_for_is_dead(tmp_path):
    path = tmp_path / "study.db"
    study_of(storage=path).close()
    asks = f"import os; from greyhound.study import Study; Study.load({str(path)!r}).ask(); os.kill(os.getpid(), 9)"
    killed = subprocess.Popen([sys.executable, "-c", asks])
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    try:
        with Study.load(path) as study:
            assert study.ask().number == 0
    finally:
        killed.wait()


def test_a_live_process_is_heard_and_a_silent_one_on_another_machine_is_not(tmp_path):
    clock, path = Clock(), tmp_path / "study.db"
    study_of(storage=path, clock=clock).close()
    journal = open_journal(path)
    journal.append([ev.Joined(clock.now, "far", "another-machine", 1, 0.0)])
    journal.append([ev.Started(clock.now, 0, {"x": 0.5, "n": 1}, 1, "random", "far", None)])
    clock.now += 200.0
    with Study.load(path, clock=clock) as study:
        assert study.ask().number == 1, "200 s of silence are borne"
    clock.now += 200.0
    with Study.load(path, clock=clock) as study:
        assert study.ask().number == 0


def test_a_process_on_a_machine_with_a_slow_clock_is_heard_and_missed_when_silent(tmp_path):
    clock, path, slow = Clock(), tmp_path / "study.db", 900.0
    with study_of(storage=path, clock=clock) as study:
        study.ask()
        journal = open_journal(path)
        journal.append([ev.Joined(clock.now - slow, "far", "another-machine", 1, 0.0)])
        journal.append([ev.Started(clock.now - slow, 1, {"x": 0.5, "n": 1}, 1, "random", "far", None)])
        for number in range(2, 6):
            clock.now += 200.0
            journal.append([ev.Beat(clock.now - slow, "far")])
            assert study.ask().number == number
        clock.now += 301.0
        assert study.ask().number == 1


def test_beats_are_written_only_into_silence():
    clock = Clock()
    study = study_of(clock=clock)
    study.ask()
    length = study.history.length
    study.beat()
    clock.now += 31.0
    study.beat()
    study.beat()
    assert study.history.length == length + 1


def test_beats_are_written_while_others_are_heard(tmp_path):
    clock, path = Clock(), tmp_path / "study.db"
    study, other = (study_of(storage=path, clock=clock, max_steps=90) for _ in range(2))
    study.ask()
    trial = other.ask()
    for step in range(1, 60):
        clock.now += 10.0
        other.report(trial, step, score=0.5)
        study.refresh()
        study.beat()
    beats = [event for event in study.journal.read(0) if isinstance(event, ev.Beat)]
    assert len(beats) == 19, "one every half minute"


def taken_over(path, clock):
    """A study whose trial, of three steps so far, is trained by a second process now; both, and the trial of each."""
    first = study_of(storage=path, clock=clock, max_steps=9)
    lost = first.ask()
    for step in (1, 2, 3):
        first.report(lost, step, score=0.1)
    presence.leave(first._session.owner)  # silent for long: dead, as the other sees it
    clock.now += 400.0
    second = study_of(storage=path, clock=clock, max_steps=9)
    found = second.ask()
    assert (found.number, found.step) == (lost.number, 3)
    return first, lost, second, found


def test_a_space_that_another_process_widened_has_more_to_try():
    journal = Memory()
    first, options = Space(n=Int(1, 3)), {"sampler": "grid", "max_steps": 1, "storage": journal}
    study = run(study_of(first, **options), curve=lambda params, step: params["n"])
    assert (len(study.trials), study.why_finished) == (3, "every configuration that grid has was tried")
    assert study.best.params == {"n": 3}
    study_of(Space(n=Int(1, 5)), **options)
    study.refresh()
    assert not study.finished
    run(study, curve=lambda params, step: params["n"])
    assert sorted(trial.params["n"] for trial in study.trials) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("knows", [True, False], ids=["that it was taken over", "nothing of it"])
@pytest.mark.parametrize("state", [TrialState.COMPLETED, TrialState.PAUSED, TrialState.FAILED])
def test_a_process_that_lost_its_trial_does_not_end_it(tmp_path, knows, state):
    first, lost, second, found = taken_over(tmp_path / "study.db", Clock())
    if knows:
        first.refresh()
    assert first.report(lost, 4, score=0.9) is Verdict.PAUSE
    first.end(lost, state, {"score": 0.9})
    second.refresh()
    assert second.trials[0].state is TrialState.RUNNING
    assert second.report(found, 4, score=0.2) is Verdict.CONTINUE
    assert second.trials[0].metrics == {"score": 0.2}


def test_a_trial_may_be_told_by_a_process_that_was_not_given_it(tmp_path):
    asking = study_of(storage=tmp_path / "study.db")
    trial = asking.ask()
    with Study.load(tmp_path / "study.db") as telling:
        telling.ask()
        telling.tell(trial.number, score=0.5)
    assert Study.load(tmp_path / "study.db").trials[0].state is TrialState.COMPLETED


def test_attributes_are_kept():
    study = study_of()
    trial = study.ask()
    study.record(Note(trial.number, {"note": "hello", "list": (1, 2)}))
    assert study.trials[0].attrs == {"note": "hello", "list": [1, 2]}


def test_dataframe_has_a_row_a_trial():
    study = run(study_of(budget=3, max_steps=2))
    frame = study.dataframe()
    assert list(frame["number"]) == [0, 1, 2]
    assert {"params.x", "params.n", "metrics.score", "state", "seed", "seconds"} <= set(frame.columns)


def test_a_journal_may_be_given_as_an_object():
    journal = Memory()
    run(study_of(storage=journal, budget=3, max_steps=1))
    assert len(Study.load(journal).trials) == 3


def test_a_closed_study_says_so():
    study = study_of()
    study.close()
    study.close()
    with pytest.raises(StudyError, match="the study is closed"):
        study.ask()


def test_a_study_in_memory_has_the_name_it_is_given():
    assert study_of(name="mine").name == "mine"
    assert study_of().name == "study"
