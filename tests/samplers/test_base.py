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
