"""Predictive bands: what is drawn is what the prediction says."""

import pytest

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

import torch
from matplotlib.figure import Figure

from hybrid.plots import predictive
from hybrid.prediction import Prediction

X = torch.tensor([2.0, 0.0, 1.0])
MEANS = torch.tensor([[4.0, 0.0, 2.0], [6.0, 0.0, 2.0]])  # surer of the mean at 0 and 1


def prediction(means=MEANS):
    return Prediction(torch.distributions.Normal(means, torch.ones_like(means)))


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_mean_and_the_nested_intervals():
    axes = predictive(prediction(), X, torch.tensor([5.0, 1.0, 2.0]))
    assert labels(axes) == ["90 % interval", "50 % interval", "mean", "epistemic part", "observed"]
    mean = axes.lines[0]
    assert mean.get_xdata().tolist() == [0, 1, 2]
    assert mean.get_ydata().tolist() == [0, 2, 5]
    outer, inner = (band.get_paths()[0].vertices for band in axes.collections)
    lower, upper = prediction().interval(0.9)
    assert outer[:, 1].min() == pytest.approx(float(lower.min()))
    assert outer[:, 1].max() == pytest.approx(float(upper.max()))
    assert inner[:, 1].max() < outer[:, 1].max()
    assert axes.lines[-1].get_ydata().tolist() == [1, 2, 5]


def test_the_epistemic_part():
    lower, upper = predictive(prediction(), X, levels=(0.9,)).lines[1:]
    width = torch.as_tensor(upper.get_ydata()) - torch.as_tensor(lower.get_ydata())
    torch.testing.assert_close(width, torch.tensor([0, 0, 2 * 1.6449]).double(), atol=1e-3, rtol=0)
    alone = predictive(prediction(MEANS[:1]), X)
    assert "epistemic part" not in labels(alone)


def test_into_axes_that_are_given():
    axes = Figure().subplots()
    assert predictive(prediction(), X, axes=axes) is axes


def test_errors_tell_the_mend():
    with pytest.raises(ValueError, match=r"x has shape \(2,\), the prediction is for \(3,\)"):
        predictive(prediction(), X[:2])
    with pytest.raises(ValueError, match="levels is empty"):
        predictive(prediction(), X, levels=())
    classes = Prediction(torch.distributions.Categorical(torch.ones(1, 3, 2)), states=2)
    with pytest.raises(ValueError, match="which have no bands"):
        predictive(classes, X)
