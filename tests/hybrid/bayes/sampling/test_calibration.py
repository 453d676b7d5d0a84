"""Simulation-based calibration, small: exact samplers pass, a posterior too narrow does not."""

import calibration
import numpy as np
import pytest


@pytest.mark.parametrize("name", ["exact", "ChEES"])
def test_ranks_are_uniform(name) -> None:
    assert calibration.uniform(calibration.verdicts(calibration.METHODS[name], 100))


def test_ranks_under_nuts_are_uniform() -> None:
    small = calibration.in_groups(calibration.by_nuts, 20)
    assert calibration.uniform(calibration.verdicts(small, 20))


def test_a_posterior_a_fifth_too_narrow_is_found() -> None:
    assert not calibration.uniform(calibration.verdicts(calibration.narrow, 1000))


def test_the_tests_keep_their_level() -> None:
    random = np.random.default_rng(1)
    ranks = random.integers(0, calibration.DRAWS + 1, (100, 100))
    small = np.array([calibration.ecdf(row, 200) for row in ranks])
    assert 0.01 < (small < 0.1).mean() < 0.25
    assert 0.02 < np.mean([calibration.chi2(row) < 0.1 for row in ranks]) < 0.25


def test_a_method_of_one_simulation_can_be_plugged_in() -> None:
    def posterior(design, y, seed):
        assert design.shape == (calibration.ROWS, calibration.SIZE)
        return calibration.exact(y[None], seed)[0]

    assert calibration.uniform(calibration.verdicts(calibration.one_by_one(posterior), 100))
