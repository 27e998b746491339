"""Our samplers and schedulers inside Optuna's own loop."""

import pickle

import optuna
import pytest

from greyhound import samplers
from greyhound.errors import StudyError
from greyhound.integrations.optuna import GreyhoundPruner, GreyhoundSampler
from greyhound.samplers import Traits
from greyhound.samplers.random import Random

optuna.logging.set_verbosity(optuna.logging.WARNING)


def bowl(trial):
    return (trial.suggest_float("x", -5, 5) - 1) ** 2 + (trial.suggest_float("y", -5, 5) + 2) ** 2


def tree(trial):
    """A space with branches, in which some configurations fail."""
    if trial.suggest_categorical("model", ["svm", "forest", None]) == "svm":
        c = trial.suggest_float("c", 1e-3, 1e3, log=True)
        if c > 100:
            raise ValueError("does not converge")
        return abs(c - 1)
    layers = trial.suggest_int("layers", 1, 3)
    return sum(trial.suggest_int(f"width_{at}", 4, 64, log=True) for at in range(layers)) / 64


def optimized(objective, n_trials, strategy="auto", seed=0, directions=None, **options):
    study = optuna.create_study(sampler=GreyhoundSampler(strategy, seed=seed), directions=directions, **options)
    study.optimize(objective, n_trials=n_trials, catch=(ValueError,))
    return study


@pytest.mark.parametrize("strategy", samplers.REGISTRY.names())
def test_every_strategy_takes_spaces_that_branch_and_trials_that_fail(strategy):
    study = optimized(tree, 22, strategy)
    assert len(study.trials) == 22
    assert study.best_value < 0.7
    assert any("width_1" in trial.params for trial in study.trials)


@pytest.mark.parametrize("strategy", ["gp", "tpe"])
def test_a_model_finds_what_random_draws_do_not(strategy):
    drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn.optimize(bowl, n_trials=40)
    assert optimized(bowl, 40, strategy).best_value < 0.3 * drawn.best_value


def test_the_same_seed_gives_the_same_trials():
    first, again, other = (optimized(tree, 14, "gp", seed) for seed in (3, 3, 4))
    assert [trial.params for trial in first.trials] == [trial.params for trial in again.trials]
    assert [trial.params for trial in first.trials] != [trial.params for trial in other.trials]


def test_suggestions_hang_on_the_trials_and_not_on_who_saw_them(tmp_path):
    storage = f"sqlite:///{tmp_path}/optuna.db"
    whole = optimized(bowl, 16, "gp", study_name="whole")
    optimized(bowl, 12, "gp", study_name="parts", storage=storage)
    parts = optuna.load_study(study_name="parts", storage=storage, sampler=GreyhoundSampler("gp", seed=0))
    parts.optimize(bowl, n_trials=4)
    assert [trial.params for trial in parts.trials] == [trial.params for trial in whole.trials]


def test_constraints_are_learned():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("a band in the middle", abs(x - 0.5) - 0.1)
        return x

    study = optimized(objective, 30, "tpe")
    kept = [trial for trial in study.trials if trial.constraints["a band in the middle"] <= 0]
    assert min(trial.value for trial in kept) < 0.41
    assert all(0.3 < trial.value < 0.6 for trial in study.trials[15:])


def test_several_objectives():
    def objective(trial):
        x = trial.suggest_float("x", 0, 2)
        return x**2, (x - 2) ** 2

    study = optimized(objective, 20, directions=["minimize", "minimize"])
    assert len(study.best_trials) >= 10


def test_too_many_objectives_are_refused_in_a_sentence():
    class Single(Random):
        traits = Traits(objectives=1)

    study = optuna.create_study(sampler=GreyhoundSampler(Single()), directions=["minimize", "minimize"])
    with pytest.raises(ValueError, match=r"strategy 'Single' takes at most 1 objective; the study has 2"):
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.0), n_trials=1)


def test_an_unknown_strategy_is_refused_in_a_sentence():
    with pytest.raises(StudyError, match=r"there is no sampler 'gpp'.*Did you mean 'gp'"):
        GreyhoundSampler("gpp")


def test_any_object_may_be_a_choice():
    choices = [{"lr": 0.1}, [1, 2], "one", None, 1.5]
    with pytest.warns(UserWarning, match="Choices for a categorical distribution"):
        study = optimized(lambda trial: float(trial.suggest_categorical("what", choices) != [1, 2]), 12, "tpe")
    assert study.best_params["what"] == [1, 2]


def test_fixed_parameters_stay_fixed_and_the_others_are_searched():
    study = optimized(bowl, 12, "gp")
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.sampler = optuna.samplers.PartialFixedSampler({"y": 3.0}, study.sampler)
    study.optimize(bowl, n_trials=12)
    assert all(trial.params["y"] == 3.0 for trial in study.trials[12:])
    assert min(abs(trial.params["x"] - 1) for trial in study.trials[12:]) < 0.3


def test_enqueued_and_foreign_trials_count():
    study = optuna.create_study(sampler=GreyhoundSampler("gp", seed=0))
    space = {"x": optuna.distributions.FloatDistribution(-5, 5), "y": optuna.distributions.FloatDistribution(-5, 5)}
    for x in range(-5, 6):
        params = {"x": float(x), "y": -2.0}
        study.add_trial(optuna.create_trial(params=params, distributions=space, value=(x - 1) ** 2))
    study.enqueue_trial({"x": 1.0, "y": -1.5})
    study.optimize(bowl, n_trials=6)
    assert study.trials[11].params == {"x": 1.0, "y": -1.5}
    assert study.best_value < 0.1


def test_threads_and_pickling():
    study = optuna.create_study(sampler=pickle.loads(pickle.dumps(GreyhoundSampler("tpe", seed=0))))
    study.optimize(bowl, n_trials=24, n_jobs=4)
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 24
    assert pickle.loads(pickle.dumps(study.sampler)).infer_relative_search_space(study, study.trials[-1])


def curve(trial):
    """Ten steps towards a limit that the parameter sets; told at every step."""
    height = trial.suggest_float("height", 0, 1)
    for step in range(10):
        trial.report(height * (1 - 0.5 ** (step + 1)), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return height


@pytest.mark.parametrize("max_steps", [None, 10])
def test_the_pruner_spares_the_best_and_stops_most(max_steps):
    pruner = GreyhoundPruner("asha", max_steps=max_steps)
    study = optuna.create_study(sampler=GreyhoundSampler("random", seed=1), pruner=pruner, direction="maximize")
    study.optimize(curve, n_trials=40)
    best = max(study.trials, key=lambda trial: trial.params["height"])
    pruned = study.get_trials(states=[optuna.trial.TrialState.PRUNED])
    assert best.state == optuna.trial.TrialState.COMPLETE
    assert 20 <= len(pruned) < 40
    assert {trial.last_step + 1 for trial in pruned} <= {1, 3, 9}


def test_pruned_trials_teach_the_sampler():
    late = []
    for seed in range(4):
        sampler = GreyhoundSampler("gp", seed=seed)
        study = optuna.create_study(sampler=sampler, pruner=GreyhoundPruner(), direction="maximize")
        study.optimize(curve, n_trials=30)
        late += study.trials[15:]
    assert sum(trial.params["height"] > 0.8 for trial in late) > len(late) / 2  # by chance a fifth


def ended(study):
    """What became of a study's trials, which all go on to their end or to a pruning."""
    study.optimize(curve, n_trials=14)
    return [(trial.params, trial.state) for trial in study.trials]


def test_one_sampler_and_pruner_serve_several_studies_of_one_name(tmp_path):
    database = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/optuna.db")
    shared = {"sampler": GreyhoundSampler("tpe", seed=0), "pruner": GreyhoundPruner(max_steps=10)}
    for storage in (None, database):
        for direction in ("minimize", "maximize"):
            study = optuna.create_study(study_name="one", storage=storage, direction=direction, **shared)
            own = {"sampler": GreyhoundSampler("tpe", seed=0), "pruner": GreyhoundPruner(max_steps=10)}
            assert ended(study) == ended(optuna.create_study(direction=direction, **own))
            if storage is not None:
                optuna.delete_study(study_name="one", storage=storage)
    other = optuna.create_study(study_name="one", **shared)
    other.optimize(lambda trial: trial.suggest_int("height", 0, 9), n_trials=2)
    assert other.best_value in range(10)
