"""One transition of NUTS: it keeps a normal distribution, and forgets nothing of the tree."""

import math

import numpy as np
import pytest

from hybrid.bayes.sampling.doubling import Kinetic, Point, transition

COVARIANCE = np.array([[1.0, 0.8], [0.8, 2.0]])
PRECISION = np.linalg.inv(COVARIANCE)


def both(q):
    slope = PRECISION @ q
    return 0.5 * float(q @ slope), slope


@pytest.mark.parametrize("metric", [np.ones(2), COVARIANCE])
def test_a_normal_distribution_is_kept(metric) -> None:
    noise = np.random.default_rng(0)
    kinetic = Kinetic(metric)
    start = np.linalg.cholesky(COVARIANCE) @ noise.standard_normal((2, 4000))
    ends, leaps = [], []
    for q in start.T:
        momentum = kinetic.momentum(noise.standard_normal(2))
        moved = transition(both, kinetic, Point(q, *both(q)), momentum, 0.4, 8, noise.random)
        ends.append(moved.point.position)
        leaps.append(moved.leaps)
    assert np.abs(np.cov(np.array(ends).T) - COVARIANCE).max() < 0.15
    assert np.abs(np.mean(ends, 0)).max() < 0.1
    assert max(leaps) < 2**6


def test_depth_is_limited_and_divergence_told() -> None:
    noise = np.random.default_rng(0)
    start = Point(np.zeros(2), *both(np.zeros(2)))
    moved = transition(both, Kinetic(np.ones(2)), start, np.ones(2), 1e-4, 3, noise.random)
    assert moved.leaps == 7
    moved = transition(both, Kinetic(np.ones(2)), start, np.ones(2), 1e3, 3, noise.random)
    assert moved.diverged
    assert moved.point is start
    assert math.isclose(moved.energy, 1.0)
