"""Bayesian optimisation with a Gaussian process: it finds, it avoids, it keeps apart what runs at the same time."""

import numpy as np
import pytest

import greyhound as gh
from greyhound.samplers.gp import GP, TRANSFORMS, _relative, _weights
from greyhound.samplers.random import Random
from greyhound.testing.samplers import history_of, spaces

MIXED = gh.Space(
    lr=gh.Float(1e-5, 1e-1, log=True),
    layers=gh.Int(1, 8),
    batch=gh.Ordinal([16, 32, 64, 128]),
    optimizer=gh.Categorical(["sgd", "adam", "lion"]),
    momentum=gh.Float(0.0, 0.99, when={"optimizer": "sgd"}),
)


def loss_of(params):
    """Lowest, 0, at lr 1e-3, 4 layers, a batch of 64 and sgd with momentum 0.9."""
    away = (np.log10(params["lr"]) + 3) ** 2 + 0.2 * (params["layers"] - 4) ** 2
    away += 0.3 * {16: 2, 32: 1, 64: 0, 128: 1}[params["batch"]]
    return away + (4 * (params["momentum"] - 0.9) ** 2 if params["optimizer"] == "sgd" else 1.0)


def best_after(sampler, trials, seed, workers=1, space=MIXED, loss=loss_of):
    study = gh.Study(space, minimize="loss", sampler=sampler, scheduler="none", seed=seed, budget=trials)
    best, waiting = np.inf, []
    while True:
        trial = study.ask() if len(waiting) < workers else None
        if trial is not None:
            waiting.append(trial)
            continue
        if not waiting:
            return best
        trial = waiting.pop(0)
        value = loss(trial.params)
        study.tell(trial, loss=value)
        best = min(best, value)


def test_it_finds_better_configurations_than_random_search_in_a_mixed_conditional_space():
    ours = [best_after(GP(), 40, seed) for seed in range(5)]
    random = [best_after(Random(), 40, seed) for seed in range(5)]
    assert np.median(ours) < 0.1 * np.median(random)


def test_eight_at_a_time_cost_little():
    assert np.median([best_after(GP(), 48, seed, workers=8) for seed in range(3)]) < 0.2


def test_what_runs_is_not_proposed_again_nor_its_surroundings():
    study = gh.Study(gh.Space(x=gh.Float(0.0, 1.0)), minimize="loss", sampler=GP(start=5), scheduler="none")
    for _ in range(5):
        trial = study.ask()
        study.tell(trial, loss=np.sin(12 * trial.params["x"]))
    asked = [study.ask().params["x"] for _ in range(4)]
    assert min(abs(a - b) for at, a in enumerate(asked) for b in asked[:at]) > 0.02


def test_after_ten_failures_in_a_corner_it_is_left_and_its_border_is_found():
    found = [beside_a_corner(seed) for seed in range(4)]
    assert np.mean([inside for inside, _ in found]) < 0.125 * 40  # though every step towards it is better than the last
    assert max(best for _, best in found) == pytest.approx(-1.6, abs=0.02)


def beside_a_corner(seed: int) -> tuple[int, float]:
    """Of 40 trials, after ten that failed in a corner, how many went deep into it; and the best loss."""
    space = gh.Space(x=gh.Float(0.0, 1.0), y=gh.Float(0.0, 1.0))
    study = gh.Study(space, minimize="loss", sampler=GP(), scheduler="none", seed=seed)
    for at in range(10):
        study.enqueue({"x": 0.62 + 0.04 * at, "y": 0.98 - 0.04 * at})
    inside, best = 0, np.inf
    for number in range(50):
        trial = study.ask()
        x, y = trial.params["x"], trial.params["y"]
        if x > 0.6 and y > 0.6:
            inside += number >= 10 and min(x, y) > 0.65
            study.tell(trial, failed="out of memory")
        else:
            study.tell(trial, loss=-x - y)  # better and better towards the corner
            best = min(best, -x - y)
    return inside, best


def test_the_same_history_gives_the_same_configuration_with_a_cold_cache_too():
    from greyhound.samplers import gp

    history = history_of(spaces()["every type"], 60)
    first = GP().suggest(history, 2, np.random.default_rng(1))
    gp._CACHE.clear()
    assert GP().suggest(history, 2, np.random.default_rng(1)) == first


@pytest.mark.parametrize("sampler", ["gp", "ehvi"])
@pytest.mark.parametrize(
    "options",
    [{"transforms": wrong} for wrong in ("log", [], ["logs"], [["log"]], 5)]
    + [{"candidates": wrong} for wrong in ("x", -5, 0)]
    + [{"start": wrong} for wrong in ("5", -1, True)],
)
def test_wrong_options_are_told(sampler, options):
    with pytest.raises(gh.errors.StudyError, match=f"{sampler}: {next(iter(options))} must be a"):
        gh.Study(MIXED, minimize="loss", sampler={"name": sampler, **options})


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_keep_the_order_and_are_standardised(name):
    losses = np.random.default_rng(0).lognormal(0.0, 2.0, 50)
    transformed = TRANSFORMS[name](losses)
    order = np.argsort(losses)
    assert (np.diff(transformed[order]) >= 0).all()
    assert transformed.mean() == pytest.approx(0.0, abs=1e-9)
    assert transformed.std() == pytest.approx(1.0)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("losses", [[1.0, 1.0, 1.0], [1e300, -1e300, 0.0], [0.0, 0.0, 5.0]])
def test_transforms_bear_ties_and_extremes(name, losses):
    assert np.isfinite(TRANSFORMS[name](np.array(losses))).all()


def test_the_judge_prefers_what_is_good():
    history = history_of(gh.Space(x=gh.Float(0.0, 1.0)), 20)
    judge = GP().judge(history)
    assert GP().judge(history_of(gh.Space(x=gh.Float(0.0, 1.0)), 1)) is None
    assert judge([{"x": 0.01}, {"x": 0.99}]).shape == (2,)


def test_transforms_speak_as_often_as_they_foretell_the_order():
    assert _weights([-0.1, -0.2, -0.9], 40) == pytest.approx(np.array([1.0, np.exp(-0.6), 0.0]) / (1 + np.exp(-0.6)))
    assert _weights([-0.3, -0.3], 10).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("exploded", [1e3, 1e9, 1e300])
def test_a_loss_that_exploded_leaves_the_doubts_about_others_as_they_were(exploded):
    losses, doubts = np.array([0.2, 0.4, 0.3, 0.5, 0.6, 0.6]), np.array([0.0, 0.1, 0.0, 0.2, 0.0, 0.0])
    assert _relative(doubts, np.append(losses[:-1], exploded)) == pytest.approx(_relative(doubts, losses))


@pytest.mark.parametrize("exploded", [1e9, 1e300])
def test_a_loss_that_exploded_counts_as_the_worst_other_by_logarithm(exploded):
    losses = np.linspace(0.1, 2.0, 20)
    log = TRANSFORMS["log"]
    assert log(np.append(losses, exploded)) == pytest.approx(log(np.append(losses, 2.0)), abs=0.1)


def test_a_smooth_bowl_is_followed_to_its_bottom():
    study = gh.Study(gh.Space(x=gh.Float(0.0, 1.0), y=gh.Float(0.0, 1.0)), minimize="loss", sampler=GP(), budget=30)
    while (trial := study.ask()) is not None:
        study.tell(trial, loss=(trial.params["x"] - 0.7) ** 2 + (trial.params["y"] - 0.2) ** 2)
    assert study.best.metrics["loss"] < 1e-5


@pytest.mark.parametrize(("early", "fewest", "most"), [(True, 6, 18), (False, 0, 0)])
def test_half_of_the_suggestions_doubt_more_where_trials_are_stopped_early(monkeypatch, early, fewest, most):
    space = gh.Space(x=gh.Float(0.0, 1.0), y=gh.Float(0.0, 1.0))
    scheduler = "freeze_thaw" if early else "none"
    study = gh.Study(space, minimize="loss", sampler="sobol", scheduler=scheduler, max_steps=9)
    for _ in range(30):
        trial = study.ask()
        for step in range(trial.step + 1, trial.until + 1):
            if study.report(trial, step, loss=trial.params["x"] + 1.0 / step) is not gh.Verdict.CONTINUE:
                break

    def suggested():
        return [GP().suggest(study.history, 1, np.random.default_rng(seed))[0] for seed in range(24)]

    before = suggested()
    monkeypatch.setattr("greyhound.samplers.gp._WIDE", 1.0)
    assert fewest <= sum(one != other for one, other in zip(before, suggested(), strict=True)) <= most


def test_what_one_layer_teaches_serves_the_others():
    kinds = ["none", "pool", "skip", "narrow", "wide"]
    space = gh.Space(**{f"layer_{at}": gh.Categorical(kinds) for at in range(6)})

    def loss(params):
        return sum(0.2 * (4 - kinds.index(kind)) * (1 + 0.2 * at) for at, kind in enumerate(params.values()))

    ours = [best_after(GP(), 16, seed, space=space, loss=loss) for seed in range(6)]
    strangers = gh.Space(**{f"{name}_layer": gh.Categorical(kinds) for name in "abcdef"})
    without = [best_after(GP(), 16, seed, space=strangers, loss=loss) for seed in range(6)]
    assert np.mean(ours) < 0.3 * np.mean(without)
