"""Coverage curves: right predictions lie in the band, narrow ones below it."""

import pytest
import torch
from scipy.stats import binom

from hybrid.prediction import Prediction
from hybrid.uncertainty import coverage, coverage_curve


def prediction(n, scale=1.0, draws=1):
    zeros = torch.zeros(draws, n, dtype=torch.float64)
    return Prediction(torch.distributions.Normal(zeros, scale * torch.ones_like(zeros)))


def normals(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_quantiles_in_equal_steps_are_covered_exactly():
    y = torch.special.ndtri((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000)
    curve = coverage_curve(prediction(1000), y)
    torch.testing.assert_close(curve.coverage, curve.levels, atol=1e-3, rtol=0)
    assert curve.rows == 1000
    assert not curve.outside.any()


def test_each_level_is_the_coverage_of_its_interval():
    y, right = normals(300), prediction(300, draws=3)
    curve = coverage_curve(right, y, levels=(0.3, 0.8))
    assert curve.coverage[1] == coverage(*right.interval(0.8), y)


def test_the_band_holds_its_share_of_right_predictions():
    inside = [
        ~coverage_curve(prediction(80), normals(80, seed), levels=(0.2, 0.5, 0.9)).outside
        for seed in range(300)
    ]
    share = torch.stack(inside).double().mean(0)
    assert (share >= 0.93).all()  # at least 95 % but for 300 repetitions' error


def test_the_band_is_binomial():
    curve = coverage_curve(prediction(50), normals(50), levels=(0.7,), confidence=0.9)
    assert curve.lower * 50 == pytest.approx(binom.ppf(0.05, 50, 0.7))
    assert curve.upper * 50 == pytest.approx(binom.ppf(0.95, 50, 0.7))


def test_too_sure_and_too_unsure():
    y = normals(500)
    narrow, wide = (coverage_curve(prediction(500, scale), y) for scale in (0.6, 1.8))
    assert (narrow.coverage < narrow.lower)[4:].all()
    assert (wide.coverage > wide.upper)[4:].all()


def test_errors_tell_the_mend():
    with pytest.raises(ValueError, match=r"y has shape \(3,\), the prediction is for \(4,\)"):
        coverage_curve(prediction(4), torch.zeros(3))
    with pytest.raises(ValueError, match="between 0 and 1"):
        coverage_curve(prediction(4), torch.zeros(4), levels=(1.0,))
