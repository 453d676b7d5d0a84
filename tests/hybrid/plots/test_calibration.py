"""Reliability diagrams and coverage curves: points, bands and labels."""

import pytest

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

import torch
from matplotlib.figure import Figure

from hybrid import uncertainty
from hybrid.plots import coverage, reliability
from hybrid.prediction import Prediction


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_reliability_diagram():
    p = torch.tensor([0.25, 0.25, 0.25, 0.25, 0.75, 0.75])
    found = uncertainty.reliability(p, torch.tensor([0, 0, 0, 1, 1, 1]), bins=2, binning="width")
    axes = reliability(found)
    diagonal, points = axes.lines[0], axes.lines[-1]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    assert points.get_xdata().tolist() == [0.25, 0.75]
    assert points.get_ydata().tolist() == [0.25, 1.0]
    assert [text.get_text() for text in axes.texts] == ["4", "2"]
    assert labels(axes) == ["calibrated", "ECE 0.083"]
    plain = uncertainty.calibration_error(
        p, torch.tensor([0, 0, 0, 1, 1, 1]), bins=2, binning="width", debiased=False
    )
    assert found.error == pytest.approx(float(plain))


def test_a_coverage_curve():
    normal = torch.distributions.Normal(torch.zeros(1, 40), torch.ones(1, 40))
    y = torch.linspace(-3, 3, 40)
    curve = uncertainty.coverage_curve(Prediction(normal), y, levels=(0.3, 0.6, 0.9))
    axes = coverage(curve)
    points = axes.lines[-1]
    torch.testing.assert_close(torch.tensor(points.get_xdata()).float(), curve.levels)
    torch.testing.assert_close(torch.tensor(points.get_ydata()).float(), curve.coverage)
    band = torch.as_tensor(axes.collections[0].get_paths()[0].vertices[:, 1])
    assert band.min() == pytest.approx(float(curve.lower.min()))
    assert band.max() == pytest.approx(float(curve.upper.max()))
    assert labels(axes)[0] == "95 % sampling error, 40 rows"


def test_into_axes_that_are_given():
    left, right = Figure().subplots(1, 2)
    found = uncertainty.reliability(torch.tensor([0.2, 0.9]), torch.tensor([0, 1]), bins=2)
    assert reliability(found, axes=left) is left
    half = torch.tensor([0.5])
    curve = uncertainty.CoverageCurve(half, half, half, half, rows=2)
    assert coverage(curve, axes=right) is right
