"""Simulation-based calibration of posteriors that are trained, small: exact ones and others."""

import calibrated_posteriors
import calibration
import pytest
import torch
from torch.distributions import Normal

from hybrid.bayes import FullRank

# Of the best independent posterior: the standard deviation given the other parameter over its own.
NARROW = (calibration.PRECISION.diagonal() * calibration.COVARIANCE.diagonal()).rsqrt().tolist()


def found(name, simulations):
    return calibration.verdicts(calibrated_posteriors.METHODS[name].posterior, simulations)


@pytest.mark.parametrize("name", ["laplace full", "laplace kronecker", "laplace last_layer"])
def test_laplace_is_exact(name) -> None:
    verdicts = found(name, 100)
    assert calibration.uniform(verdicts)
    assert [one.width for one in verdicts[:2]] == pytest.approx([1, 1], abs=0.03)


def test_sghmc_on_all_rows_is_exact_also_at_long_steps() -> None:
    verdicts = calibration.verdicts(calibrated_posteriors.by_sghmc(lr=0.15, every=15), 200)
    assert calibration.uniform(verdicts)
    assert [one.width for one in verdicts[:2]] == pytest.approx([1, 1], abs=0.03)


def test_full_rank_is_exact() -> None:
    alone = calibration.in_groups(calibrated_posteriors.by_family(FullRank()), 1)
    verdicts = calibration.verdicts(alone, 20)
    assert calibration.uniform(verdicts)
    assert [one.width for one in verdicts[:2]] == pytest.approx([1, 1], abs=0.06)


@pytest.mark.parametrize("name", ["MeanField", "laplace diagonal"])
def test_independent_weights_are_too_narrow_by_what_they_leave_out(name) -> None:
    verdicts = found(name, 50)
    assert not calibration.uniform(verdicts)
    assert [one.width for one in verdicts[:2]] == pytest.approx(NARROW, abs=0.03)


def test_intervals_of_independent_weights_hold_as_little_as_they_should() -> None:
    verdicts = calibration.verdicts(calibration.independent, 1000)
    for one, narrow in zip(verdicts[:2], NARROW, strict=True):
        assert one.width == pytest.approx(narrow, abs=0.005)
        for level, held in ((0.5, one.half), (0.9, one.ninety)):
            end = Normal(0.0, 1.0).icdf(torch.tensor((1 + level) / 2))
            right = 2 * Normal(0.0, 1.0).cdf(narrow * end) - 1
            assert held == pytest.approx(float(right), abs=0.045)


def test_members_of_an_ensemble_agree_where_there_is_one_optimum() -> None:
    verdicts = found("ensemble", 25)
    assert max(one.width for one in verdicts[:2]) < 1e-3
