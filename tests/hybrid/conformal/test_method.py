"""The threshold, and what every method shares."""

import math

import pytest
import torch

from hybrid.conformal import APS, CQR, RAPS, Adaptive, Mondrian, Split, threshold_of


def test_threshold_is_the_rank_of_n_plus_one():
    scores = torch.arange(1.0, 20.0)[torch.randperm(19)]
    for level in (0.05, 0.5, 0.9, 0.95):
        assert threshold_of(scores, level) == math.ceil(20 * level - 1e-9)
    assert threshold_of(scores, 0.96) == math.inf
    assert threshold_of(scores, 0.0) == -math.inf
    for wrong in (torch.zeros(0), torch.tensor([math.nan])):
        with pytest.raises(ValueError, match="at least one row"):
            threshold_of(wrong, 0.9)


@pytest.mark.parametrize("kind", [Split, CQR, APS, RAPS])
def test_levels_and_order_of_use(kind):
    with pytest.raises(ValueError, match="level is a share"):
        kind(1.0)
    with pytest.raises(RuntimeError, match="no threshold yet"):
        kind(0.9).predict(torch.zeros(3))
    with pytest.raises(RuntimeError, match="no threshold yet"):
        Mondrian(kind(0.9)).predict(torch.zeros(3), [1, 2, 3])
    with pytest.raises(RuntimeError, match="no threshold yet"):
        Adaptive(kind(0.9)).predict(torch.zeros(3))


def test_calibrating_returns_a_new_object():
    method = Split(0.5)
    done = method.calibrate(torch.zeros(3), torch.ones(3))
    assert method.threshold is None
    assert done.threshold == 1.0
