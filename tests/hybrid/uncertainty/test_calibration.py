"""Calibration measures: planted errors are found, debiased ones have no bias."""

import pytest
import torch

from hybrid.uncertainty import brier, calibration_error, coverage, reliability


def binary(n, shift=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(n, generator=generator, dtype=torch.float64) * 0.8 + 0.1
    y = (torch.rand(n, generator=generator, dtype=torch.float64) < p).long()
    return (p + shift).clamp(0, 1), y


def classes(n, seed=0, heat=1.0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    y = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)
    return (logits * heat).softmax(-1), y


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("classwise", [False, True])
def test_debiasing_takes_the_scatter_off(norm, classwise):
    plain, mended = [], []
    for seed in range(60):
        p, y = classes(300, seed)
        options = {"norm": norm, "classwise": classwise, "bins": 15}
        plain.append(calibration_error(p, y, debiased=False, **options))
        mended.append(calibration_error(p, y, **options))
    most = 0.3 if norm == 2 else 0.7
    assert torch.stack(mended).mean() ** norm < most * (torch.stack(plain) ** norm).mean()


@pytest.mark.parametrize("binning", ["mass", "width"])
@pytest.mark.parametrize("norm", [1, 2])
def test_a_planted_error_is_found(binning, norm):
    p, y = binary(100_000, shift=0.1)
    found = calibration_error(p, y, binning=binning, norm=norm)
    assert found.item() == pytest.approx(0.1, abs=0.01)


def test_over_confidence_is_seen_in_every_form():
    p, y = classes(5000)
    sure, _ = classes(5000, heat=3.0)
    for options in ({}, {"classwise": True}, {"norm": 2}, {"debiased": False}):
        assert calibration_error(sure, y, **options) > calibration_error(p, y, **options) + 0.02
    assert brier(sure, y) > brier(p, y)


def test_reliability():
    p, y = binary(20_000)
    found = reliability(p, y, bins=10)
    assert found.count.sum() == 20_000
    assert found.count.min() > 1500
    assert ((found.confidence - found.frequency).abs() < 4 * found.deviation).all()
    width = reliability(p, y, bins=10, binning="width")
    assert len(width.count) == 8  # nothing below 0.1 or above 0.9
    table = torch.stack([1 - p, p], -1)
    other = reliability(table, y, bins=10, label=1)
    torch.testing.assert_close(other.frequency, found.frequency)


def test_ties_share_a_bin():
    p = torch.tensor([0.2] * 7 + [0.8] * 3)
    found = reliability(p, torch.zeros(10), bins=5)
    assert found.count.tolist() == [7, 3]


def test_brier_and_coverage():
    assert brier(torch.tensor([1.0, 0.0]), torch.tensor([1, 1])).item() == pytest.approx(1.0)
    assert coverage(torch.zeros(2), torch.ones(2), torch.tensor([0.5, 2.0])) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: brier(torch.full((3, 2), 0.6), torch.zeros(3)), "sum to 1"),
        (lambda: brier(torch.full((3, 2), 0.5), torch.zeros(2)), "got shapes"),
        (lambda: brier(torch.full((3, 2), 0.5), torch.full((3,), 2)), "class numbers"),
        (lambda: calibration_error(torch.tensor([0.5]), torch.zeros(1), norm=3), "norm"),
        (lambda: reliability(torch.tensor([0.5]), torch.zeros(1), bins=0), "bins"),
        (lambda: reliability(torch.tensor([0.5]), torch.zeros(1), binning="rank"), "binning"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
