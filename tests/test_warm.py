"""Earlier studies as knowledge: what is kept of them, what is tried first, and that a wrong one is dropped."""

import time

import numpy as np
import pytest

import greyhound as gh
from greyhound.errors import StudyError
from greyhound.samplers.cube import cube_of
from greyhound.samplers.gp import Trend

SPACE = gh.Space(x=gh.Float(0.0, 1.0), y=gh.Float(0.0, 1.0))


def bowl(params, x=0.7, y=0.2):
    return (params["x"] - x) ** 2 + (params["y"] - y) ** 2


def studied(storage=None, trials=20, x=0.7, y=0.2, space=SPACE, **options):
    study = gh.Study(
        space, minimize="loss", scheduler="none", budget=f"{trials} trials", storage=storage, **{"seed": 0, **options}
    )
    while (trial := study.ask()) is not None:
        study.tell(trial, loss=bowl(trial.params, x, y))
    return study


def lowest(study):
    return np.minimum.accumulate([trial.metrics["loss"] for trial in study.trials])


def test_the_best_of_the_source_are_tried_first(tmp_path):
    with studied(tmp_path / "old.db", sampler="random") as old:
        best = sorted(old.trials, key=lambda trial: trial.metrics["loss"])[:3]
    study = gh.Study(SPACE, minimize="loss", warm_start=tmp_path / "old.db")
    asked = [study.ask() for _ in range(3)]
    assert [trial.params for trial in asked] == [trial.params for trial in best]


def test_what_breaks_a_limit_is_tried_behind_all_that_keeps_to_it():
    def limited(limit, **options):
        study = gh.Study(SPACE, minimize="loss", subject_to=limit, scheduler="none", sampler="random", **options)
        while len(study.trials) < 12 and (trial := study.ask()) is not None:
            study.tell(trial, loss=trial.params["x"], memory=1.0 - trial.params["x"])
        return study

    old = limited("memory <= 0.9")
    for limit, least in (("memory <= 0.3", 0.7), ("memory <= 0.9", 0.1)):
        first = limited(limit, warm_start=old).trials[:3]
        kept = sorted(trial.params["x"] for trial in old.trials if trial.params["x"] >= least)
        assert [trial.params["x"] for trial in first] == kept[:3]


def test_what_two_programs_bring_to_a_study_at_once_is_tried_once(tmp_path):
    old, first = studied(sampler="random"), []

    def begun(clock=time.time):
        return gh.Study(SPACE, minimize="loss", warm_start=old, storage=tmp_path / "new.db", clock=clock)

    def late():
        if not first:
            first.append(None)
            begun().close()
        return time.time()

    best = sorted(old.trials, key=lambda trial: trial.metrics["loss"])[:3]
    assert [params for _, params in begun(late).history.queue] == [trial.params for trial in best]


@pytest.mark.parametrize("source", [5, True, [None], {"a": 1}])
def test_what_is_no_study_is_told_in_a_sentence(source):
    with pytest.raises(
        StudyError, match="warm_start: give a study, its file or database URL, or a list of these; got "
    ):
        gh.Study(SPACE, minimize="loss", warm_start=source)


def test_knowledge_is_kept_in_the_new_study(tmp_path):
    with studied(tmp_path / "old.db", sampler="random"):
        pass
    with gh.Study(SPACE, minimize="loss", warm_start=str(tmp_path / "old.db"), storage=tmp_path / "new.db"):
        pass
    (tmp_path / "old.db").unlink()
    with gh.Study.load(tmp_path / "new.db") as study:
        (known,) = study.settings.known
        assert len(known.params) == 20
    with gh.Study(SPACE, minimize="loss", storage=tmp_path / "new.db") as study:  # told nothing new, it keeps it
        assert len(study.settings.known) == 1
        assert len(study.history.queue) == 3


def test_knowledge_of_conditions_on_tuples_is_read_again(tmp_path):
    space = gh.Space(
        x=gh.Categorical([(1, 2), (3,)]),
        y=gh.Float(0.0, 1.0, when={"x": [(3,)]}),
    )
    old = gh.Study(space, minimize="loss", scheduler="none", budget="8 trials", sampler="random")
    while (trial := old.ask()) is not None:
        old.tell(trial, loss=trial.params.get("y", 1.0))
    with gh.Study(space, minimize="loss", warm_start=old, storage=tmp_path / "new.db") as study:
        kept = study.settings.known
    with gh.Study.load(tmp_path / "new.db") as study:
        assert study.settings.known == kept


def test_trials_are_mapped_to_the_new_space():
    old = studied(sampler="random", trials=40)
    space = gh.Space(
        x=gh.Float(0.0, 0.5),
        y=gh.Float(0.0, 1.0),
        depth=gh.Int(1, 9, default=4),
        width=gh.Ordinal([8, 16, 32]),
    )
    (known,) = gh.Study(space, minimize="loss", warm_start=[old]).settings.known
    inside = [trial for trial in old.trials if trial.params["x"] <= 0.5]
    assert len(known.params) == len(inside)
    assert all((params["depth"], params["width"]) == (4, 16) for params in known.params)


def test_values_come_in_the_form_of_the_new_space():
    old = studied(sampler="random", space=gh.Space(x=gh.Float(1, 8, step=1.0), y=gh.Int(1, 3)))
    space = gh.Space(x=gh.Int(1, 8), y=gh.Float(1, 3))
    study = gh.Study(space, minimize="loss", warm_start=old)
    (known,) = study.settings.known
    assert {(type(params["x"]), type(params["y"])) for params in known.params} == {(int, float)}
    assert type(study.ask().params["x"]) is int


def test_many_trials_are_thinned_and_the_best_half_kept():
    old = studied(sampler="random", trials=500)
    (known,) = gh.Study(SPACE, minimize="loss", warm_start=old).settings.known
    losses = sorted(trial.metrics["loss"] for trial in old.trials)
    assert len(known.losses) == 200
    assert list(known.losses[:100]) == losses[:100]
    assert known.losses[-1] == losses[-1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"maximize": "loss"}, "is there to minimize loss, this study to maximize loss"),
        ({"minimize": "error"}, "is there to minimize loss, this study to minimize error"),
        (
            {"minimize": "loss", "space": {"x": gh.Float(2.0, 3.0)}},
            "none of the 20 trials .* lies in this study's space",
        ),
        ({"minimize": "loss", "space": None}, "needs a declared space"),
    ],
)
def test_what_cannot_be_used_is_refused(options, said):
    with pytest.raises(StudyError, match=said):
        gh.Study(**{"space": SPACE, **options}, warm_start=studied(sampler="random"))


def test_a_source_counts_as_far_as_it_fits():
    right, wrong = studied(sampler="sobol"), studied(sampler="sobol", x=0.0, y=1.0)
    study = gh.Study(SPACE, minimize="loss", warm_start=[right, wrong], sampler="random")
    for _ in range(12):
        trial = study.ask()
        study.tell(trial, loss=bowl(trial.params))
    history, cube = study.history, cube_of(SPACE)
    trend = Trend(history, cube, history.X, history.losses[:, 0])
    assert trend(cube.rows([{"x": 0.7, "y": 0.2}]))[0] < trend(cube.rows([{"x": 0.1, "y": 0.9}]))[0] - 1.0


def test_a_right_source_helps_and_a_wrong_one_does_not_hurt_for_long():
    sources = {"none": (), "right": studied(trials=25, sampler="random"), "wrong": studied(trials=25, x=0.1, y=0.9)}
    curves = {
        name: np.mean([lowest(studied(trials=25, seed=seed, warm_start=source)) for seed in range(1, 4)], axis=0)
        for name, source in sources.items()
    }
    assert curves["right"][5] < 0.5 * curves["none"][5]
    assert curves["wrong"][24] < 1e-3 < curves["none"][5]
