"""Boxes cover what a front leaves, once; the improvement is what sampling gives."""

import numpy as np
import pytest

from greyhound.numeric import ehvi, pareto


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("levels", [None, 5], ids=["in general position", "with ties"])
def test_boxes_and_hypervolume_make_up_the_whole(objectives, levels):
    rng = np.random.default_rng(objectives)
    reference = np.full(objectives, 1.1)
    for _ in range(20):
        points = rng.random((rng.integers(1, 25), objectives))
        points = points if levels is None else np.round(points * levels) / levels
        lower, upper = ehvi.undominated(points, reference)
        left = np.prod(upper - np.maximum(lower, -1.0), axis=1).sum()
        assert left + pareto.hypervolume(points, reference) == pytest.approx(2.1**objectives)


def test_boxes_do_not_overlap():
    rng = np.random.default_rng(0)
    lower, upper = ehvi.undominated(rng.random((12, 3)), np.ones(3))
    for point in rng.random((300, 3)):
        assert ((lower < point) & (point < upper)).all(axis=1).sum() <= 1


@pytest.mark.parametrize("objectives", [2, 3])
def test_the_improvement_is_that_of_sampling(objectives):
    rng = np.random.default_rng(1)
    front, reference = rng.random((8, objectives)), np.full(objectives, 1.1)
    means, stds = np.full((1, objectives), 0.4), np.full((1, objectives), 0.2)
    found = np.exp(ehvi.log_expected_improvement(means, stds, *ehvi.undominated(front, reference)))[0]
    before = pareto.hypervolume(front, reference)
    drawn = means + stds * rng.standard_normal((20_000, objectives))
    gains = [pareto.hypervolume(np.vstack([front, each]), reference) - before for each in drawn]
    assert found == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / len(gains) ** 0.5)


def test_where_hardly_anything_is_gained_the_logarithm_still_tells_more_from_less():
    boxes = ehvi.undominated(np.array([[0.0, 0.0]]), np.array([1.0, 1.0]))
    near, far = ehvi.log_expected_improvement(np.array([[40.0, 40.0], [50.0, 50.0]]), np.full((2, 2), 0.1), *boxes)
    assert np.isfinite([near, far]).all()
    assert near > far


def test_of_a_long_front_a_few_points_stand_for_all_with_both_ends():
    first = np.linspace(0.0, 1.0, 1000)
    front = np.stack([first, 1.0 - first], axis=1)[::-1]
    kept = ehvi.few(front)
    assert len(kept) == 200
    assert kept[0].tolist() == [0.0, 1.0]
    assert kept[-1].tolist() == [1.0, 0.0]
    assert np.diff(kept[:, 0]).max() < 0.01
    assert ehvi.few(front[:3]).tolist() == front[:3][::-1].tolist()
