"""Freeze-thaw: trains on who can still win, spends on what early steps tell, stops for good only the hopeless."""

from itertools import groupby

import numpy as np
import pytest
from tests.schedulers.histories import add, begun

import greyhound as gh
from greyhound.budget import Budget
from greyhound.curves.study import finals
from greyhound.errors import StudyError
from greyhound.schedulers import Resume, Start, Wait
from greyhound.schedulers.freeze_thaw import FreezeThaw
from greyhound.schedulers.full import Full
from greyhound.trial import TrialState

STEPS = 27
FIRST = 3


def study(scheduler=None, **options):
    space = gh.Space(x=gh.Float(0.0, 1.0))
    chosen = scheduler or FreezeThaw()
    return gh.Study(space, minimize="loss", max_steps=STEPS, scheduler=chosen, sampler="random", **options)


def informative(x: float, step: int) -> float:
    """The order at the first rung is that of the end."""
    return x + (1.0 - step / STEPS) ** 2


def train(made: gh.Study, trial, curve, until: int | None = None) -> gh.Verdict:
    for step in range(trial.step + 1, (until or trial.until) + 1):
        verdict = made.report(trial, step, loss=curve(trial.params["x"], step))
    return verdict


def drive(made: gh.Study, curve, steps: int) -> gh.Study:
    while made.history.total_steps < steps and (trial := made.ask()) is not None:
        while train(made, trial, curve) is gh.Verdict.CONTINUE:
            trial = made.trials[trial.number]
    return made


def share_finished(made: gh.Study) -> float:
    return made.history.count(TrialState.COMPLETED) * STEPS / made.history.total_steps


def test_the_first_trials_pause_at_the_first_rung_and_then_the_best_of_them_goes_on_to_the_end():
    made = study()
    for x in (0.9, 0.1, 0.5, 0.7, 0.8, 0.6, 0.4, 0.3):
        made.enqueue({"x": x})
        trial = made.ask()
        assert trial.until == FIRST
        assert train(made, trial, informative) is gh.Verdict.PAUSE
    drive(made, informative, 200)
    assert made.history.completed[0].params["x"] <= 0.1


@pytest.mark.parametrize(("busy", "expected"), [(0, Resume), (4, Start)])
def test_where_several_train_at_once_more_are_looked_at_before_one_goes_on(busy, expected):
    made = study()
    for _ in range(busy):
        made.ask()
    for x in (0.9, 0.1, 0.5, 0.7, 0.8, 0.6, 0.4, 0.3):
        made.enqueue({"x": x})
        train(made, made.ask(), informative)
    assert isinstance(made.scheduler.next(made.history), expected)


def test_the_first_that_go_on_are_looked_at_again_until_three_have_finished():
    made = study()
    for x in (0.9, 0.1, 0.5, 0.7, 0.8, 0.6, 0.4, 0.3):
        made.enqueue({"x": x})
        train(made, made.ask(), informative)
    seen = []
    while made.history.count(TrialState.COMPLETED) < 3:
        trial = made.ask()
        seen.append((trial.step, trial.until))
        train(made, trial, informative)
    assert {(FIRST, 2 * FIRST), (2 * FIRST, 4 * FIRST), (4 * FIRST, STEPS)} <= set(seen)
    while (trial := made.ask()).step == 0:
        train(made, trial, informative)
    assert trial.until == STEPS


def test_a_budget_of_few_trainings_ends_with_one_that_finished():
    for seed in range(4):
        made = study(budget=f"{4 * STEPS} steps", seed=seed)
        drive(made, lambda x, step: float(np.sin(1e4 * x + step)), 4 * STEPS)
        assert made.history.completed


def test_the_pace_of_workers_that_were_starting_is_not_taken_for_the_end_of_the_budget():
    now = [1000.0]
    made = study(budget="90 s", clock=lambda: now[0])
    for _ in range(3):
        trial = made.ask()
        now[0] += 20.0 if trial.number == 0 else 0.1
        train(made, trial, informative)
    assert [trial.step for trial in made.trials] == [FIRST] * 3


def test_before_three_have_finished_no_more_than_two_dozen_are_begun():
    made = study()
    while made.history.count(TrialState.COMPLETED) < 3:
        train(made, made.ask(), lambda x, step: float(np.sin(1e4 * x + step)))
        assert len(made.trials) <= 24


def test_a_study_trains_few_in_full_and_finds_one_that_is_nearly_the_best_of_all_it_saw():
    made = drive(study(), informative, 15 * STEPS)
    best = min(trial.params["x"] for trial in made.history.completed)
    assert best <= np.quantile([trial.params["x"] for trial in made.trials], 0.05)
    assert len(made.trials) > 2 * made.history.count(TrialState.COMPLETED)


def test_losses_of_a_trillionth_are_judged_as_others():
    plain, tiny = (
        drive(study(), lambda x, step, unit=unit: unit * informative(x, step), 15 * STEPS) for unit in (1.0, 2.0**-40)
    )
    assert [(trial.state, trial.step) for trial in tiny.trials] == [(trial.state, trial.step) for trial in plain.trials]


def test_where_early_steps_tell_little_trainings_finish():
    noise = np.random.default_rng(0)
    blind = drive(study(), lambda x, step: x if step == STEPS else float(noise.random()), 20 * STEPS)
    seeing = drive(study(), informative, 20 * STEPS)
    assert share_finished(blind) > share_finished(seeing)


def test_after_five_were_finished_what_has_lost_its_chance_is_stopped_for_good_and_what_may_win_is_paused():
    made = study(FreezeThaw(risk=0.05))
    for x in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        finish(made, x)
    assert first_verdict(made, 0.95) is gh.Verdict.STOP
    assert first_verdict(made, 0.01) is gh.Verdict.PAUSE


@pytest.mark.parametrize("risk", [0.0, 0.05])
def test_after_eight_were_finished_what_may_win_is_not_held_back(risk):
    made = study(FreezeThaw(risk=risk))
    for number in range(8):
        finish(made, 0.1 + 0.1 * number)
    assert first_verdict(made, 0.01) is gh.Verdict.CONTINUE
    assert first_verdict(made, 0.95) is (gh.Verdict.STOP if risk else gh.Verdict.PAUSE)


def test_without_risk_nothing_is_stopped_for_good():
    made = study(FreezeThaw(risk=0.0))
    for x in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        finish(made, x)
    assert first_verdict(made, 0.95) is gh.Verdict.PAUSE


def test_when_no_new_trial_may_start_those_that_may_win_go_on_and_the_others_do_not():
    made = study(budget=8)
    for x in (0.1, 0.2, 0.3, 0.4, 0.5):
        finish(made, x)
    for x in (0.92, 0.02, 0.96):
        first_verdict(made, x)
    drive(made, informative, 10_000)
    ended = {trial.params["x"]: trial.state for trial in made.trials}
    assert ended[0.02] is TrialState.COMPLETED
    assert TrialState.COMPLETED not in (ended[0.92], ended[0.96])
    assert isinstance(made.scheduler.next(made.history), Wait)


def test_at_the_end_one_that_may_win_goes_on_though_another_that_cannot_promises_more_a_step():
    """One that is nearly at its end is expected a little behind the best, and one at its look far behind, unsurely."""
    history = begun(max_steps=100, budget=Budget(trials=3))
    add(history, 1.0 + np.exp(-np.arange(1, 101) / 10), TrialState.COMPLETED)
    near = add(history, 1.03 + np.exp(-np.arange(1, 99) / 10), TrialState.PAUSED)
    far = add(history, 1.14 + np.exp(-np.arange(1, 12) / 10), TrialState.PAUSED)
    decided = [FreezeThaw(risk=float(risk)).next(history) for risk in np.linspace(0.0, 0.5, 101)]
    assert [action for action, _ in groupby(decided)] == [Resume(near), Resume(far), Wait()], "as ever fewer may win"


def test_a_paused_trial_of_which_nothing_is_known_goes_on():
    made = study()
    trial = made.ask()
    made.end(trial, TrialState.PAUSED)
    assert made.ask().number == trial.number


def test_a_diverged_trial_and_a_failed_one_spoil_no_decision():
    made = study()
    for x in (0.1, 0.2, 0.3, 0.4, 0.5):
        first_verdict(made, x)
    made.report(made.ask(), STEPS - 1, loss=float("nan"))
    made.tell(made.ask(), failed="made to fail")
    assert isinstance(made.scheduler.next(made.history), Start | Resume)


def test_an_objective_that_is_maximised_is_turned_round():
    space = gh.Space(x=gh.Float(0.0, 1.0))
    made = gh.Study(space, maximize="score", max_steps=STEPS, scheduler="freeze_thaw", sampler="random")
    for x in (0.1, 0.8, 0.5, 0.2, 0.3, 0.4, 0.6, 0.7, 0.15):
        made.enqueue({"x": x})
        trial = made.ask()
        for step in range(1, FIRST + 1):
            made.report(trial, step, score=x * step / STEPS)
    forecast = finals(made.history)
    assert forecast.mean[:, 0].argmin() == 1
    assert forecast.mean[1, 0] == pytest.approx(-0.8 * FIRST / STEPS, abs=0.05)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_steps": 0}, "min_steps"),
        ({"min_steps": 1.5}, "min_steps"),
        ({"risk": 1.0}, "risk"),
        ({"risk": -0.1}, "risk"),
        ({"risk": None}, "risk must be a chance"),
        ({"risk": "a"}, "risk must be a chance"),
    ],
)
def test_wrong_options_are_refused(options, says):
    with pytest.raises(StudyError, match=says):
        FreezeThaw(**options)


def finish(made: gh.Study, x: float) -> None:
    patient, made.scheduler = made.scheduler, Full()
    made.enqueue({"x": x})
    train(made, made.ask(), informative)
    made.scheduler = patient


def first_verdict(made: gh.Study, x: float) -> gh.Verdict:
    made.enqueue({"x": x})
    return train(made, made.ask(), informative, FIRST)


def limited(looks, **options):
    """A study whose `ms` may be 5 at most, with six trials finished (at ms 5) and some looked at: by x and ms."""
    made = study(subject_to="ms <= 5", **options)
    made.scheduler = Full()
    for number in range(6):
        told(made, 0.3 + 0.1 * number, [5.0] * STEPS)
    made.scheduler = FreezeThaw()
    return made, [told(made, x, [ms] * FIRST) for x, ms in looks]


def told(made: gh.Study, x: float, limited: list[float]) -> gh.Verdict:
    made.enqueue({"x": x})
    trial = made.ask()
    for step, ms in enumerate(limited, 1):
        verdict = made.report(trial, step, loss=informative(x, step), ms=ms)
    return verdict


def test_a_paused_trial_that_breaks_a_limit_goes_after_those_that_keep_to_it_and_is_not_stopped():
    made, verdicts = limited([(0.01, 9.0), (0.2, 5.0), (0.02, 6.0)], budget=9)
    assert verdicts == [gh.Verdict.PAUSE] * 3
    assert made.scheduler.next(made.history) == Resume(7)
    made, _ = limited([(0.01, 9.0), (0.02, 6.0)], budget=8)
    assert isinstance(made.scheduler.next(made.history), Wait)
    made, _ = limited([(0.01, 9.0), (0.02, 6.0)])
    assert isinstance(made.scheduler.next(made.history), Start), "what breaks the limit promises nothing"


def test_a_limit_that_a_finished_trial_broke_at_its_look_holds_nobody_back():
    made, _ = limited([(0.01, 9.0), (0.2, 5.0)], budget=8)
    assert made.scheduler.next(made.history) == Resume(7)
    made.set_budget(9)
    made.scheduler = Full()
    told(made, 0.9, [9.0] * FIRST + [5.0] * (STEPS - FIRST))
    made.scheduler = FreezeThaw()
    assert made.scheduler.next(made.history) == Resume(6)


def test_where_nothing_keeps_to_the_limits_the_best_goes_on_as_without():
    made = study(subject_to="ms <= 5", budget=3)
    for x in (0.5, 0.1, 0.9):
        told(made, x, [9.0] * FIRST)
    assert made.scheduler.next(made.history) == Resume(1)


def test_from_eight_finished_trainings_on_what_breaks_a_limit_is_held_back():
    made, _ = limited([])
    made.scheduler = Full()
    for x in (0.95, 0.96):
        told(made, x, [5.0] * STEPS)
    made.scheduler = FreezeThaw()
    assert told(made, 0.01, [5.0] * FIRST) is gh.Verdict.CONTINUE
    assert told(made, 0.01, [9.0] * FIRST) is gh.Verdict.PAUSE


def of_two(**options):
    return gh.Study(
        gh.Space(x=gh.Float(0.0, 1.0), size=gh.Float(0.0, 1.0)),
        minimize=["loss", "bytes"],
        max_steps=STEPS,
        sampler="random",
        seed=3,
        **options,
    )


def losses_of_two(params, step):
    """Larger ones are better, but for x, which is bad for both."""
    return {"loss": informative(params["x"], step) + 1.0 - params["size"], "bytes": params["size"] + params["x"]}


def test_with_two_objectives_the_front_is_trained_and_what_is_dominated_is_not():
    made = of_two()
    assert made.scheduler_name == "freeze_thaw"
    while made.history.total_steps < 12 * STEPS:
        trial = made.ask()
        for step in range(trial.step + 1, trial.until + 1):
            verdict = made.report(trial, step, **losses_of_two(trial.params, step))
            if verdict is not gh.Verdict.CONTINUE:
                break
    finished = [trial.params["x"] for trial in made.history.completed]
    begun = [trial.params["x"] for trial in made.trials]
    assert len(finished) >= 5
    assert len(begun) > 20
    assert np.mean(finished) < np.mean(begun) - 0.15
    assert np.ptp([trial.params["size"] for trial in made.history.completed]) > 0.5


def trained(steps, told):
    """A study of two objectives with a budget of so many steps. told: metrics of the parameters after a step."""
    made = of_two(budget=f"{steps} steps")
    while (trial := made.ask()) is not None:
        for step in range(trial.step + 1, STEPS + 1):
            if made.report(trial, step, **told(trial.params, step)) is not gh.Verdict.CONTINUE:
                break
    return [(trial.params, trial.step, trial.state) for trial in made.trials]


def test_an_objective_that_never_changes_may_be_told_once():
    def once(params, step):
        told = losses_of_two(params, step)
        return told if step == 1 else {"loss": told["loss"]}

    assert trained(12 * STEPS, once) == trained(12 * STEPS, losses_of_two)


def test_objectives_told_in_turn_let_trainings_finish():
    def in_turn(params, step):
        name = ("bytes", "loss")[step % 2]
        return {name: losses_of_two(params, step)[name] + 0.1 / step}

    states = [state for _, _, state in trained(12 * STEPS + 1, in_turn)]
    assert states.count(TrialState.COMPLETED) >= 5


def test_what_does_not_change_while_training_is_known_from_the_first():
    made = of_two()
    for _ in range(4):
        trial = made.ask()
        for step in range(1, FIRST + 1):
            made.report(trial, step, **losses_of_two(trial.params, step))
    forecast = finals(made.history)
    assert forecast.mean[:, 1].tolist() == made.history.losses[:, 1].tolist()
    assert (forecast.std[:, 1] == 0.0).all()
    assert (forecast.std[:, 0] > 0.0).all()


def test_what_stands_still_at_one_value_may_yet_move():
    made = of_two()
    for _ in range(4):
        trial = made.ask()
        for step in range(1, FIRST + 1):
            made.report(trial, step, loss=0.9, bytes=trial.params["size"])
    loss, size = finals(made.history).curves
    assert not loss.constant
    assert size.constant


def test_an_objective_that_is_told_at_the_end_keeps_trials_from_pausing():
    made = of_two()
    trial = made.ask()
    for step in range(1, STEPS):
        assert made.report(trial, step, loss=1.0 / step) is gh.Verdict.CONTINUE
    made.report(trial, STEPS, loss=0.0, bytes=1.0)
    assert made.history.count(TrialState.COMPLETED) == 1
