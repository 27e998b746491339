"""Domination, hypervolumes and the order that they give."""

import numpy as np
import pytest

from greyhound.numeric import pareto


def test_equal_points_do_not_dominate_each_other():
    points = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    assert pareto.nondominated(points).tolist() == [True, True, True, False]
    assert pareto.nondominated(np.empty((0, 2))).tolist() == []


def test_ranks_count_the_fronts():
    assert pareto.ranks(np.array([[0.0, 2.0], [1.0, 1.0], [1.0, 3.0], [2.0, 4.0]])).tolist() == [0, 0, 1, 2]


def test_the_hypervolume_is_the_area_up_to_the_reference():
    points = np.array([[0.0, 2.0], [1.0, 1.0], [9.0, 0.0]])
    assert pareto.hypervolume(points, np.array([3.0, 3.0])) == 3.0 * 1.0 + 2.0 * 1.0
    assert pareto.hypervolume(points, np.array([0.0, 0.0])) == 0.0


def test_crowding_is_the_distance_between_the_neighbours():
    points = np.array([[0.0, 1.0], [0.5, 0.75], [1.0, 0.0]])
    assert pareto.crowding(points).tolist() == [np.inf, 2.0, np.inf]
    uneven = np.array([[0.5, 0.75], [1.0, 0.0], [0.0, 1.0], [0.625, 0.25]])
    assert pareto.crowding(uneven).tolist() == [0.625 + 0.75, np.inf, np.inf, 0.5 + 0.75]


def test_costs_put_fronts_in_order_and_within_a_front_the_larger_share():
    points = np.array([[0.0, 1.0], [0.4, 0.5], [0.8, 0.45], [1.0, 0.0], [1.0, 1.0]])
    costs = pareto.costs(points)
    assert np.argmin(costs) == 1, "it takes the most room"
    assert costs[2] == costs[:4].max(), "it takes next to none"
    assert costs[4] > costs[:4].max(), "the others beat it"


@pytest.mark.parametrize("objectives", [2, 3, 8])
def test_the_order_does_not_depend_on_the_units_of_the_objectives(objectives):
    rng = np.random.default_rng(1)
    points = rng.random((30, objectives))
    others = points * 10.0 ** rng.integers(-6, 7, objectives) + rng.normal(size=objectives)
    assert pareto.costs(others) == pytest.approx(pareto.costs(points), rel=1e-6)
    assert pareto.crowding(others) == pytest.approx(pareto.crowding(points), rel=1e-6)


@pytest.mark.parametrize("objectives", [2, 3, 8])
def test_costs_are_the_front_less_a_share_below_one_and_the_largest_share_is_the_same_on_every_front(objectives):
    points = np.random.default_rng(0).random((60, objectives))
    fronts, costs = pareto.ranks(points), pareto.costs(points)
    assert (costs <= fronts).all()
    lowest = [costs[fronts == front].min() - front for front in range(fronts.max() + 1)]
    assert lowest == pytest.approx([-0.999] * len(lowest))


@pytest.mark.parametrize("objectives", [2, 3, 5, 8])
def test_costs_are_finite_and_respect_domination_for_any_number_of_objectives(objectives):
    points = np.random.default_rng(0).random((60, objectives))
    costs = pareto.costs(points)
    for mine, cost in zip(points, costs, strict=True):
        beaten = (points >= mine).all(axis=1) & (points > mine).any(axis=1)
        assert (costs[beaten] > cost).all()


def test_an_objective_whose_range_is_infinite_is_brought_to_the_unit_like_others():
    losses = np.array([[-1.5e308, 3.0], [0.0, 2.0], [1.5e308, 1.0]])
    assert pareto.unit(losses).tolist() == [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    assert pareto.crowding(losses).tolist() == [np.inf, 2.0, np.inf]
