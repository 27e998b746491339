"""What samplers share: when a model begins, and the configurations that were tried."""

import pytest

import greyhound as gh
from greyhound.samplers.base import start_size, tried_keys


def _keys(study):
    return {study.history.space.key(trial.params) for trial in study.trials}


@pytest.mark.parametrize(
    ("parameters", "budget", "trials"),
    [(1, None, 5), (7, None, 8), (60, None, 20), (60, 1000, 20), (7, 12, 3), (60, 50, 10), (3, 4, 2)],
)
def test_a_model_begins_after_more_trials_than_parameters_but_never_late(parameters, budget, trials):
    space = gh.Space({f"x{at}": gh.Float(0, 1) for at in range(parameters)})
    history = gh.Study(space, minimize="loss", budget=budget).history
    assert start_size(history) == trials
    assert start_size(history, 33) == 33, "who names a number has it"


def test_what_was_tried_grows_with_the_study_and_follows_a_wider_space(tmp_path):
    options = {"minimize": "loss", "sampler": "random", "scheduler": "none", "storage": tmp_path / "tune.db"}
    study = gh.Study(gh.Space(n=gh.Int(1, 50)), **options)
    for count in (1, 2, 5):
        while len(study.trials) < count:
            study.tell(study.ask(), loss=1.0)
        tried_keys(study.history).clear()  # it is the caller's own
        assert tried_keys(study.history) == _keys(study)
    gh.Study(gh.Space(n=gh.Int(1, 50), m=gh.Int(0, 3, default=2)), **options)
    study.tell(study.ask(), loss=1.0)
    assert "m" in study.trials[0].params
    assert tried_keys(study.history) == _keys(study)


def test_what_was_tried_follows_parameters_that_trainings_name_late():
    def train(trial):
        return trial.suggest_int("a", 0, 9) + trial.suggest_int("b", 0, 9)

    def look(history, event):
        looks.append(tried_keys(history) == {history.space.key(trial.params) for trial in history.trials})

    looks = []
    study = gh.tune(
        train, minimize="value", sampler="random", budget=4, workers="serial", progress=False, callbacks=[look]
    )
    assert all(looks)
    assert {len(key) for key in tried_keys(study.history)} == {2}


def _branching(trial):
    if trial.suggest_categorical("model", ["linear", "tree"]) == "linear":
        return trial.suggest_int("degree", 0, 2)
    return trial.suggest_int("depth", 0, 1)


def _tuned(train, **options):
    return gh.tune(train, minimize="value", workers="serial", progress=False, **options)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("sampler", ["auto", "gp", "tpe", "boosting", "genetic", "grey", "random", "sobol", "gp+tpe"])
def test_what_a_branch_of_the_training_asked_for_does_not_come_twice_while_another_is_left(sampler, seed):
    study = _tuned(_branching, sampler=sampler, seed=seed, budget=5)
    assert len(_keys(study)) == 5


@pytest.mark.parametrize("seed", [0, 1])
def test_a_grid_of_parameters_that_trainings_name_ends_once_every_branch_was_tried_whole(seed):
    study = _tuned(_branching, sampler="grid", seed=seed, budget=30)
    assert len(study.trials) == len(_keys(study)) == 5
    assert "was tried" in study.why_finished


def test_a_grid_tries_what_fails_before_it_names_all_parameters_once_for_each_of_its_points():
    def train(trial):
        if trial.suggest_categorical("model", ["linear", "tree"]) == "tree":
            raise ValueError
        return trial.suggest_int("degree", 0, 2)

    study = _tuned(train, sampler="grid", budget=30)
    assert {trial.params["degree"] for trial in study.history.completed} == {0, 1, 2}
    assert len(study.trials) < 8


def test_a_branch_without_continuous_parameters_does_not_come_twice_beside_one_that_has_them():
    def train(trial):
        if trial.suggest_categorical("model", ["mean", "median", "ridge"]) == "ridge":
            return trial.suggest_float("alpha", 0, 1)
        return 0.5

    study = _tuned(train, sampler="random", budget=20)
    models = [trial.params["model"] for trial in study.trials]
    assert models.count("mean") == models.count("median") == 1


def test_a_grid_that_was_through_goes_on_when_a_training_names_another_parameter():
    study = gh.Study(minimize="value", sampler="grid")
    trials = [study.ask()]
    trials[0].suggest_int("x", 0, 1)
    while (trial := study.ask()) is not None:
        trials.append(trial)
        trial.suggest_int("x", 0, 1)
    assert {trial.params["x"] for trial in trials} == {0, 1}
    known = trials[0].params["x"], trials[0].suggest_int("y", 0, 1)
    more = study.ask()
    assert (more.suggest_int("x", 0, 1), more.suggest_int("y", 0, 1)) != known
