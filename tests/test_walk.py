"""Random walks within what is allowed of the unit cube."""

import random

import numpy as np
import pytest

from greyhound.walk import walk


def inside(units):
    return all(0.0 <= unit <= 1.0 for unit in units)


def test_walks_from_a_corner_end_anywhere_in_a_small_triangle_alike():
    def allowed(units):
        assert inside(np.round(units, 12)), "no point beyond the cube is even tried"
        return units[0] + units[1] < 0.2

    rng = random.Random(0)
    ends = np.array([walk((0.0, 0.19), allowed, rng) for _ in range(600)])
    quarters = [ends[:, 0] > 0.1, ends[:, 1] > 0.1, ends.sum(axis=1) < 0.1]
    assert [quarter.mean() for quarter in quarters] == pytest.approx([0.25] * 3, abs=0.05)


def test_walks_where_all_is_allowed_are_uniform_in_the_cube():
    rng = random.Random(1)
    ends = np.array([walk([0.0, 1.0, 0.5], inside_rounded, rng) for _ in range(400)])
    for column in ends.T:
        assert np.histogram(column, 4, (0.0, 1.0))[0] / 400 == pytest.approx([0.25] * 4, abs=0.08)


def inside_rounded(units):
    return inside(np.round(units, 12))


def test_a_walk_stays_where_nothing_else_is_allowed_and_leaves_its_beginning_alone():
    begin = [0.25, 0.5]
    assert walk(begin, lambda units: units == [0.25, 0.5], random.Random(0)) == [0.25, 0.5]
    walk(begin, inside_rounded, random.Random(0))
    assert begin == [0.25, 0.5]
