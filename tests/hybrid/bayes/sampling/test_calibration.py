"""Simulation-based calibration, small: exact samplers pass, a posterior too narrow does not."""

import calibrated_posteriors
import calibration
import numpy as np
import pytest
import torch


@pytest.mark.parametrize("name", ["the posterior itself", "ChEES"])
def test_ranks_are_uniform(name) -> None:
    method = calibrated_posteriors.METHODS[name]
    assert calibration.uniform(calibration.verdicts(method.posterior, 100))


def test_ranks_under_nuts_are_uniform() -> None:
    small = calibration.in_groups(calibrated_posteriors.by_nuts, 20)
    assert calibration.uniform(calibration.verdicts(small, 20))


def test_a_posterior_a_fifth_too_narrow_is_found() -> None:
    found = calibration.verdicts(calibration.narrow, 1000)
    assert not calibration.uniform(found)
    assert found[0].width == pytest.approx(0.8, abs=0.01)


def test_the_tests_keep_their_level() -> None:
    random = np.random.default_rng(1)
    ranks = random.integers(0, calibration.DRAWS + 1, (100, 100))
    small = np.array([calibration.ecdf(row, 200) for row in ranks])
    assert 0.01 < (small < 0.1).mean() < 0.25
    assert 0.02 < np.mean([calibration.chi2(row) < 0.1 for row in ranks]) < 0.25


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 1.0])
def test_intervals_hold_their_share_of_uniform_ranks(level) -> None:
    every = np.arange(calibration.DRAWS + 1)
    assert calibration.coverage(every, level) == pytest.approx(level)
    assert calibration.coverage(np.array([0, calibration.DRAWS]), 0.9) == 0


def test_a_method_of_one_simulation_can_be_plugged_in() -> None:
    def posterior(design, y, seed):
        assert design.shape == (calibration.ROWS, calibration.SIZE)
        return calibration.exact(y[None], seed)[0]

    assert calibration.uniform(calibration.verdicts(calibration.one_by_one(posterior), 100))


def test_draws_of_many_simulations_have_one_shape() -> None:
    _, y = calibration.simulate(4, 0)
    shape = torch.Size((4, calibration.DRAWS, calibration.SIZE))
    assert calibration.exact(y, 0).shape == calibration.independent(y, 0).shape == shape
