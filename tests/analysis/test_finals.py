"""Finals: the best few and the default again on fresh seeds, and what may be said of them."""

import math
import random

import numpy as np
import pytest
from tests.schedulers.histories import begun

import greyhound as gh
from greyhound import events as ev
from greyhound.analysis.finals import candidates, describe, finals, missing
from greyhound.errors import StudyError
from greyhound.numeric.comparison import intervals
from greyhound.study import Study
from greyhound.trial import TrialState

SPACE = gh.Space(x=gh.Float(0.0, 1.0, default=0.5), y=gh.Float(0.0, 1.0, default=0.5))


def play(study, value, noise=0.0, **more):
    """Ask and tell until nothing is left: `value` of the parameters, and noise that parameters and seed decide."""
    while (trial := study.ask()) is not None:
        luck = random.Random(f"{trial.seed} {trial.params}").gauss(0, noise)
        study.tell(trial, value(trial.params) + luck, **more)
    return study


def searched(value, noise, seed=0, trials=20, **options):
    options = {"maximize": "value", "budget": trials, "sampler": "random", "seed": seed, **options}
    return play(Study(SPACE, **options), value, noise)


def search_of(values, maximize=True, **settings):
    """A search that completed a trial for each of these, (x, value); the first is the default."""
    history = begun(max_steps=1, losses=("value",), space=SPACE, maximize=maximize, **settings)
    for number, (x, value) in enumerate(values):
        source = "test" if number else "default"
        history.apply(ev.Started(2.0, number, {"x": x, "y": 0.5}, 1, source, "test"))
        history.apply(ev.Ended(3.0, number, TrialState.COMPLETED, {"value": value}, "test"))
    return history


def trained_again(history, of, metrics, state=TrialState.COMPLETED):
    """A replicate of a trial for each seed that has metrics, in their order."""
    for seed, told in metrics.items():
        number, ticket, params = len(history), len(history.replicates), history.trial(of).params
        history.apply(ev.Enqueued(4.0, params, seed, of))
        history.apply(ev.Started(4.0, number, params, seed, "finals", "test", ticket=ticket))
        told = told if isinstance(told, dict) else {"value": told}
        history.apply(ev.Ended(5.0, number, state, told, "test"))


def compared(sign=1.0):
    """The finals of a default and two more on three seeds; sign: -1 to minimise the same."""
    history = search_of([(0.5, 0.0), (0.1, sign), (0.2, 2 * sign)], maximize=sign > 0)
    trained_again(history, 0, {11: sign, 12: 2 * sign, 13: 3 * sign})
    trained_again(history, 1, {11: 8 * sign, 12: 3 * sign, 13: 2 * sign})
    trained_again(history, 2, {13: 5 * sign, 11: 3 * sign, 12: 4 * sign})
    return finals(history)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_gain_of_a_worked_example_is_taken_on_seeds_that_did_not_pick_the_winner(sign):
    found = compared(sign)
    assert [each.trial.number for each in found.finalists] == [1, 2, 0]
    assert [each.mean.estimate for each in found.finalists] == pytest.approx([13 / 3 * sign, 4 * sign, 2 * sign])
    assert found.winner.trial.number == 1
    assert [each.gain.estimate for each in found.finalists[:2]] == pytest.approx([7 / 3, 2.0])
    # By the other two seeds trial 2 is picked on the first (3), trial 1 on the others (3 and 2): their mean is 8 / 3.
    assert found.gain.estimate == pytest.approx(8 / 3 - 2)
    assert (found.gain.low, found.gain.high) == (found.winner.gain.low, found.winner.gain.high)
    chances = [each.chance for each in found.finalists]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1.0)


def test_values_stand_in_the_order_of_seeds_however_the_trainings_were_started():
    assert [each.values for each in compared().finalists] == [(8.0, 3.0, 2.0), (3.0, 4.0, 5.0), (1.0, 2.0, 3.0)]


def test_the_interval_of_the_default_is_its_own():
    default = compared().default
    assert default.mean.high - default.mean.low == pytest.approx(2 * 4.302653 / 3**0.5, rel=1e-5), "t of 2 degrees"


def test_a_configuration_takes_part_once_and_the_default_as_such():
    history = search_of([(0.5, 1.0), (0.1, 7.0), (0.5, 9.0), (0.1, 8.0), (0.2, 6.0), (0.3, 5.0)])
    assert [trial.number for trial in candidates(history, 2)] == [3, 4, 0]
    assert [trial.number for trial in candidates(history, 9)] == [3, 4, 5, 0]


def test_all_are_trained_on_one_seed_before_any_is_on_the_next_and_what_waits_is_not_asked_for_again():
    history = search_of([(0.5, 1.0), (0.1, 7.0), (0.2, 6.0)])
    wanted = missing(history, 2, 2)
    assert [trial.number for trial, _ in wanted] == [1, 2, 0] * 2
    seeds = [seed for _, seed in wanted]
    assert seeds == [seeds[0]] * 3 + [seeds[3]] * 3
    history.apply(ev.Enqueued(4.0, wanted[0][0].params, seeds[0], 1))
    assert missing(history, 2, 2) == wanted[1:]


def test_one_that_was_lost_on_a_seed_did_not_fail_and_the_others_seeds_are_compared():
    history = search_of([(0.5, 0.0), (0.1, 1.0)])
    trained_again(history, 0, {11: 1.0, 12: 1.5, 13: 9.0})
    trained_again(history, 1, {11: 2.0, 12: 2.5})
    trained_again(history, 1, {13: {}}, TrialState.LOST)
    found = finals(history)
    assert [(each.trial.number, each.values, each.failures) for each in found.finalists] == [
        (1, (2.0, 2.5), 0),
        (0, (1.0, 1.5), 0),
    ]


def test_a_held_out_metric_that_one_did_not_tell_on_a_seed_is_unknown_of_that_one_alone():
    history = search_of([(0.5, 0.0), (0.1, 1.0), (0.2, 0.5)], test="unseen")
    for number in range(3):
        told = {seed: {"value": number + seed / 100, "unseen": seed + number / 2} for seed in (11, 12)}
        trained_again(history, number, told | ({12: {"value": 0.1}} if number == 2 else {}))
    tests = {each.trial.number: each.test for each in finals(history).finalists}
    assert tests[2] is None
    assert (tests[0].estimate, tests[1].estimate) == (11.5, 12.0)
    assert all(math.isfinite(tests[number].low) for number in (0, 1))


def test_the_best_and_the_default_are_trained_again_on_the_same_fresh_seeds():
    study = searched(lambda params: params["x"], 0.0)
    before = {trial.seed for trial in study.trials}
    assert study.finals(top=3, seeds=4) is None
    found = play(study, lambda params: params["x"]).finals(top=3, seeds=4)
    best = sorted(study.trials[:20], key=lambda trial: -trial.metrics["value"])[:3]
    assert [each.trial.number for each in found.finalists] == [*(trial.number for trial in best), 0]
    seeds = [{run.seed for run in study.history.replicates if run.replicates == each.trial.number}
             for each in found.finalists]  # fmt: skip
    assert len(seeds[0]) == 4
    assert all(each == seeds[0] for each in seeds)
    assert not seeds[0] & before
    assert (found.winner.trial.number, found.seeds, found.complete) == (best[0].number, 4, True)


def test_finals_again_train_only_what_is_missing():
    study = searched(lambda params: params["x"], 0.0)
    study.finals(top=2, seeds=2)
    play(study, lambda params: params["x"])
    assert len(study.trials) == 20 + 6
    study.finals(top=2, seeds=2)
    assert study.ask() is None
    study.finals(top=2, seeds=3)
    play(study, lambda params: params["x"])
    assert len(study.trials) == 20 + 9


def test_finals_are_no_part_of_the_search():
    study = searched(lambda params: params["x"], 1.0)
    best, budget = study.best.number, study.settings.budget
    study.finals(top=5, seeds=5)
    play(study, lambda params: 100 + params["x"])
    assert study.best.number == best
    assert study.settings.budget == budget
    assert study.finished
    study.extend("3 trials")
    play(study, lambda params: params["x"])
    assert study.history.searched == 23


def test_finals_begin_after_the_budget_of_time_is_spent_and_go_first(tmp_path):
    now = [0.0]
    study = Study(SPACE, maximize="value", budget="10s", sampler="random", clock=lambda: now[0])
    while (trial := study.ask()) is not None:
        now[0] += 3
        study.tell(trial, trial.params["x"])
    assert study.spent
    study.finals(top=1, seeds=2)
    assert not study.finished
    while (trial := study.ask()) is not None:
        now[0] += 100
        study.tell(trial, trial.params["x"])
    assert study.finished
    assert len(study.history.replicates) == 4


def test_a_replicate_trains_to_its_end_whatever_the_scheduler_thinks():
    study = Study(SPACE, maximize="value", max_steps=9, budget="12 trials", sampler="random", scheduler="asha")

    def train():
        while (trial := study.ask()) is not None:
            step = trial.step
            while study.report(trial, step := step + 1, value=trial.params["x"]).value == "continue":
                pass

    train()
    study.finals(top=2, seeds=3)
    train()
    assert {run.step for run in study.history.replicates} == {9}
    assert all(run.state.value == "completed" for run in study.history.replicates)


def test_verdict_tells_a_gain_a_loss_and_the_want_of_evidence():
    def verdict(value, noise):
        study = searched(value, noise)
        study.finals(top=2, seeds=5)
        return play(study, value, noise).finals(top=2, seeds=5).verdict

    assert "is better than the default by" in verdict(lambda params: params["x"], 0.01)
    assert "no evidence of a difference" in verdict(lambda params: 0.0, 1.0)
    assert "is worse than the default by" in verdict(lambda params: float(params["x"] == 0.5), 0.001)
    assert "the same value on each of 5 seeds" in verdict(lambda params: 0.0, 0.0)


def test_a_default_that_explodes_is_told_worse():
    def exploding(params):
        return -1e200 if params == SPACE.default() else params["x"]

    study = searched(exploding, 0.0)
    study.finals(top=2, seeds=3)
    found = play(study, lambda params: 1e160 * params["y"] + exploding(params), 0.01).finals(top=2, seeds=3)
    told = f"trial {found.winner.trial.number} is better than the default by 1e+200 to 1e+200 in value"
    assert found.verdict.startswith(told)
    assert math.isfinite(found.winner.mean.low)
    assert sum(each.chance for each in found.finalists) == pytest.approx(1.0)


def test_one_seed_has_no_interval():
    study = searched(lambda params: params["x"], 0.0)
    study.finals(top=1, seeds=1)
    told = describe(play(study, lambda params: params["x"]).finals(top=1, seeds=1))
    assert "one seed tells nothing of the noise" in told[0]
    assert all("(no interval) on 1 fresh seed (" in line for line in told[1:])


def test_one_that_fails_on_a_fresh_seed_is_not_the_winner():
    study = searched(lambda params: params["x"], 0.0)
    study.finals(top=2, seeds=3)
    best = study.best.params["x"]
    unlucky = True
    while (trial := study.ask()) is not None:
        fails = unlucky and trial.params["x"] == best
        unlucky = unlucky and not fails
        study.tell(trial, math.nan if fails else trial.params["x"])
    found = finals(study.history)
    assert found.winner.trial.number != study.best.number
    assert (found.finalists[-1].trial.number, found.finalists[-1].failures) == (study.best.number, 1)
    assert any("failed on 1 fresh seed" in line for line in describe(found))


def test_the_held_out_metric_is_told_once_and_never_searched_on():
    with pytest.raises(StudyError, match="must not be searched on"):
        Study(SPACE, maximize="value", test="value")
    study = Study(SPACE, maximize="value", test="unseen", budget=8, sampler="random")
    play(study, lambda params: params["x"], unseen=0.25)
    study.finals(top=2, seeds=3)
    play(study, lambda params: params["x"], unseen=0.5)
    found = finals(study.history)
    assert found.winner.test.estimate == 0.5
    assert any("on the held-out test" in line for line in describe(found))


def failing(fails, value=lambda params: params["x"]):
    """A study whose finals fail where the parameters say so; what is known of them."""
    study = searched(value, 0.01)
    study.finals(top=2, seeds=3)
    while (trial := study.ask()) is not None:
        luck = random.Random(f"{trial.seed} {trial.params}").gauss(0, 0.01)
        study.tell(trial, math.nan if fails(trial.params) else value(trial.params) + luck)
    return finals(study.history)


def test_a_default_that_failed_on_a_fresh_seed_is_told():
    found = failing(lambda params: params == SPACE.default())
    assert found.gain is None
    assert (found.default.trial.number, found.default.failures) == (0, 3)
    assert "the default failed on a fresh seed" in found.verdict
    found = failing(lambda params: params != SPACE.default())
    assert found.verdict == "only the default configuration could be trained on every fresh seed."


def test_finals_in_which_all_failed_are_told():
    found = failing(lambda params: True)
    assert (found.winner, found.gain, found.seeds, found.complete) == (None, None, 0, True)
    assert describe(found)[0] == "finals: no configuration could be trained on every fresh seed."
    assert [each.failures for each in found.finalists] == [3, 3, 3]


def test_a_training_that_does_not_use_its_seed_is_told():
    study = searched(lambda params: params["x"], 0.0)
    study.finals(top=3, seeds=3)
    found = play(study, lambda params: params["x"]).finals(top=3, seeds=3)
    assert found.gain.low == found.gain.high
    assert found.verdict.endswith("each gave the same on all 3 seeds, so nothing is known of the noise.")


def test_held_out_intervals_hold_for_all_finalists_at_once():
    """A held-out metric that has the luck of the one that the winner is picked by is told as carefully."""
    study = Study(SPACE, maximize="value", test="unseen", budget=12, sampler="random")

    def train():
        while (trial := study.ask()) is not None:
            luck = random.Random(f"{trial.seed} {trial.params}").gauss(0, 1)
            study.tell(trial, luck, unseen=luck)

    train()
    study.finals(top=4, seeds=3)
    train()
    found = finals(study.history)
    assert [each.test for each in found.finalists] == [each.mean for each in found.finalists]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(StudyError, match="no trial has a usable value"):
        Study(SPACE).finals()
    with pytest.raises(StudyError, match="one objective"):
        Study(SPACE, minimize=["a", "b"]).finals()
    with pytest.raises(StudyError, match="seeds must be a whole number"):
        searched(lambda params: 1.0, 0.0).finals(seeds=0)


def test_intervals_hold_when_the_search_maximises_over_noise():
    """Two hundred configurations, noise as large as their differences: the winner's gain is covered as stated."""
    rng = np.random.default_rng(0)
    held, naive, width = [], [], []
    for _ in range(1500):
        truth = rng.normal(scale=rng.choice([0.0, 1.0]), size=200)  # the last is the default
        seen = truth + rng.normal(size=200)
        top = np.argsort(seen[:-1])[-5:]
        runs = truth[:, None] + rng.normal(size=5) + rng.normal(size=(200, 5))
        gains = intervals(runs[top] - runs[-1])
        winner = int(np.argmax([gain.estimate for gain in gains]))
        true = truth[top[winner]] - truth[-1]
        held.append(gains[winner].low <= true <= gains[winner].high)
        naive.append(abs(seen[top[-1]] - seen[-1] - truth[top[-1]] + truth[-1]) <= 1.96 * 2**0.5)
        width.append(gains[winner].high - gains[winner].low)
    assert 0.94 <= np.mean(held) <= 0.995
    assert np.mean(naive) < 0.8  # what the search itself saw would not do
    assert np.mean(width) < 5


def test_the_studys_own_verdicts_hold_too():
    """No configuration differs from another: at most one verdict in twenty may say that one does."""
    wrong = 0
    for seed in range(40):
        study = searched(lambda params: 0.0, 1.0, seed=seed, trials=15)
        study.finals(top=3, seeds=4)
        found = play(study, lambda params: 0.0, 1.0).finals(top=3, seeds=4)
        wrong += "no evidence" not in found.verdict
    assert wrong <= 6
