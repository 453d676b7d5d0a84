"""Posteriors of effects and replicated quantities: where the lines stand."""

import pytest

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

import torch
from matplotlib.figure import Figure

from causal.effect import Effect
from hybrid.plots import effect, predictive_check
from hybrid.uncertainty import PredictiveCheck

EFFECT = Effect(torch.linspace(0, 4, 401), "P(Y | do(X)) = P(Y | X)", "E[Y | do(X=1)]")


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_an_effect_with_its_interval_and_references():
    axes = effect(EFFECT, references={"naive": -1.0, "experiment": (1.0, 2.5)})
    mean, interval, naive = axes.lines
    assert mean.get_xdata() == pytest.approx([2.0, 2.0])
    assert naive.get_xdata() == pytest.approx([-1.0, -1.0])
    assert interval.get_xdata() == pytest.approx([0.2, 3.8])
    (band,) = (patch for patch in axes.patches if patch.get_alpha())
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((1.0, 2.5))
    bars = [patch for patch in axes.patches if not patch.get_alpha()]
    assert sum(bar.get_width() * bar.get_height() for bar in bars) == pytest.approx(1.0)
    assert axes.get_xlabel() == EFFECT.target
    assert labels(axes) == [
        "mean 2",
        "90 % interval [0.2, 3.8]",
        "naive -1",
        "experiment [1, 2.5]",
    ]
    assert labels(effect(EFFECT, level=0.5))[1] == "50 % interval [1, 3]"


def test_a_check():
    check = PredictiveCheck({"share of 0": torch.linspace(0, 1, 101)}, {"share of 0": 0.75})
    axes = predictive_check(check, "share of 0")
    assert axes.lines[0].get_xdata() == [0.75, 0.75]
    assert sum(bar.get_height() for bar in axes.patches) == 101
    assert labels(axes) == ["replicated", "observed 0.75, p = 0.25"]


def test_into_axes_that_are_given():
    left, right = Figure().subplots(1, 2)
    assert effect(EFFECT, axes=left) is left
    check = PredictiveCheck({"mean": torch.zeros(5)}, {"mean": 0.0})
    assert predictive_check(check, "mean", axes=right) is right


def test_errors_tell_the_mend():
    with pytest.raises(ValueError, match="one draw has no spread"):
        effect(Effect(torch.zeros(1), "", "E[Y]"))
    with pytest.raises(ValueError, match="choose a row"):
        effect(Effect(torch.zeros(5, 3), "", "E[Y]"))
    check = PredictiveCheck({"mean": torch.zeros(5)}, {"mean": 0.0})
    with pytest.raises(KeyError, match="no quantity 'sd'"):
        predictive_check(check, "sd")
