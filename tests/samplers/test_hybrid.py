"""Composition: who begins, who proposes, who judges."""

import numpy as np
import pytest

import greyhound as gh
from greyhound.errors import StudyError
from greyhound.samplers import REGISTRY
from greyhound.samplers.genetic import Genetic
from greyhound.samplers.grid import Grid
from greyhound.samplers.hybrid import Hybrid
from greyhound.samplers.random import Random
from greyhound.samplers.sobol import Sobol
from greyhound.testing.samplers import history_of

SPACE = gh.Space(x=gh.Float(0.0, 1.0), y=gh.Float(0.0, 1.0))


def rng():
    return np.random.default_rng(0)


def test_a_plus_between_names_makes_a_hybrid():
    assert REGISTRY.make("grid+gp") == Hybrid(("grid", "gp"))
    assert REGISTRY.make({"name": "sobol + tpe", "start": 3}) == Hybrid(("sobol", "tpe"), start=3)


@pytest.mark.parametrize(("name", "said"), [("gp+nothing", "no sampler 'nothing'"), ("gp+", "no sampler ''")])
def test_a_part_that_is_not_there_is_refused(name, said):
    with pytest.raises(StudyError, match=said):
        REGISTRY.make(name)


def test_one_part_is_no_hybrid():
    with pytest.raises(StudyError, match="two samplers or more"):
        Hybrid(("gp",))


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        ({"name": "gp+tpe", "proposals": -3}, "hybrid: proposals must be a whole number of at least 1; got -3"),
        ({"name": "gp+tpe", "start": "5"}, "hybrid: start must be a whole number of at least 0; got '5'"),
        ({"name": "hybrid", "parts": 2}, "hybrid: parts must be two samplers or more"),
        ({"name": "hybrid", "parts": ["gp", None]}, "sampler: write a name such as .*; got None"),
        ({"name": "grid+gp", "levels": 3}, r"sampler 'grid\+gp': levels is none of its options, .*'levels': \.\.\."),
        (None, "sampler: write a name such as .*; got None"),
        (["gp", "tpe"], r"sampler: write a name such as .*; got \['gp', 'tpe'\]"),
        (Hybrid, "sampler: write a name such as .*; got <class"),
    ],
)
def test_what_is_no_sampler_is_told_at_the_door(sampler, said):
    with pytest.raises(StudyError, match=said):
        gh.Study(SPACE, minimize="loss", sampler=sampler)


def test_what_fills_the_space_begins():
    history = history_of(SPACE, 2)
    assert Hybrid((Sobol(), "gp"), start=3).suggest(history, 1, rng()) == Sobol().suggest(history, 1, rng())
    assert Hybrid((Grid(levels=3), "gp"), start=3).suggest(history, 1, rng()) == Grid(levels=3).first(history, 1)


def test_parts_that_cannot_judge_take_turns():
    hybrid = Hybrid((Genetic(parents=2), "cmaes"))
    genetic = [history for n in (10, 11) if (history := history_of(SPACE, n))]
    turns = [hybrid.suggest(history, 1, rng()) == Genetic(parents=2).suggest(history, 1, rng()) for history in genetic]
    assert turns == [True, False]


def test_fillers_alone_take_turns():
    hybrid = Hybrid((Random(), Sobol()))
    assert hybrid.suggest(history_of(SPACE, 4), 1, rng()) == Random().suggest(history_of(SPACE, 4), 1, rng())
    assert hybrid.suggest(history_of(SPACE, 5), 1, rng()) == Sobol().suggest(history_of(SPACE, 5), 1, rng())


def test_the_judges_choice_among_all_proposals_is_taken():
    class Proposes:
        traits = Genetic.traits

        def suggest(self, history, count, rng):
            return [{"x": 0.5, "y": at / 10} for at in range(count)]

    class Judges(Proposes):
        def suggest(self, history, count, rng):
            return [{"x": 0.0, "y": 0.0}]

        def judge(self, history):
            return lambda configurations: np.array([each["y"] for each in configurations])

    hybrid = Hybrid((Proposes(), Judges()), proposals=5)
    assert hybrid.suggest(history_of(SPACE, 10), 2, rng()) == [{"x": 0.5, "y": 0.4}, {"x": 0.5, "y": 0.3}]


def test_a_genetic_algorithm_under_a_judge_begins_as_the_judge_does():
    for done in range(3):
        history = history_of(SPACE, done)
        assert Hybrid(("gp", "genetic")).suggest(history, 1, rng()) == Sobol().suggest(history, 1, rng())
