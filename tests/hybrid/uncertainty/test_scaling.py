"""Scaling: a planted over-confidence is undone on held-out rows."""

import pytest
import torch
from torch.nn import functional as F

from hybrid.uncertainty import Isotonic, TemperatureScaling, VectorScaling, calibration_error

HEAT = 2.5


def over_confident(n, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = 1.5 * torch.randn(n, 5, generator=generator, dtype=dtype)
    y = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)
    return HEAT * logits, y


def loss(p, y):
    return F.nll_loss(p.clamp_min(1e-12).log(), y).item()


@pytest.mark.parametrize("method", [TemperatureScaling(), VectorScaling()])
def test_lowers_the_held_out_loss(method):
    done = method.calibrate(*over_confident(1500, 0))
    logits, y = over_confident(3000, 1)
    before, after = logits.softmax(-1), done.predict(logits)
    assert loss(after, y) < loss(before, y) - 0.1
    assert loss(after, y) < loss((logits / HEAT).softmax(-1), y) + 0.01
    assert calibration_error(after, y) < 0.3 * calibration_error(before, y)


def test_the_temperature_is_recovered():
    for dtype in (torch.float32, torch.float64):
        logits, y = over_confident(20_000, 2, dtype)
        done = TemperatureScaling().calibrate(logits, y)
        assert done.temperature == pytest.approx(HEAT, rel=0.03)
        assert torch.equal(done.predict(logits).argmax(-1), logits.argmax(-1))
        assert done.predict(logits).dtype == dtype


def test_log_probabilities_do_as_logits():
    logits, y = over_confident(500, 3)
    first = TemperatureScaling().calibrate(logits, y).temperature
    second = TemperatureScaling().calibrate(logits.log_softmax(-1), y).temperature
    assert first == pytest.approx(second, rel=1e-4)


def test_vector_scaling_finds_a_shift_of_one_class():
    logits, y = over_confident(8000, 4)
    shifted = logits / HEAT + torch.tensor([2.0, 0.0, 0.0, 0.0, 0.0])
    done = VectorScaling().calibrate(shifted, y)
    other, z = over_confident(3000, 5)
    other = other / HEAT
    right = other.softmax(-1)
    moved = done.predict(other + torch.tensor([2.0, 0.0, 0.0, 0.0, 0.0]))
    assert loss(moved, z) < loss(right, z) + 0.01


def test_isotonic_of_two_and_of_several_classes():
    logits, y = over_confident(4000, 6)
    other, z = over_confident(3000, 7)
    done = Isotonic().calibrate(logits.softmax(-1), y)
    found = done.predict(other.softmax(-1))
    torch.testing.assert_close(found.sum(-1), torch.ones(3000))
    assert calibration_error(found, z) < 0.4 * calibration_error(other.softmax(-1), z)
    p = logits.softmax(-1)[:, 0]
    two = Isotonic().calibrate(p, (y == 0).long())
    assert (two.predict(p.sort().values).diff() >= 0).all()
    assert two.predict(p).shape == p.shape


def test_perfectly_separated_classes_stay_finite():
    logits = torch.tensor([[5.0, 0.0], [0.0, 5.0]]).repeat(10, 1)
    y = torch.tensor([0, 1]).repeat(10)
    for method in (TemperatureScaling(), VectorScaling()):
        assert method.calibrate(logits, y).predict(logits).isfinite().all()


def test_refusals():
    for method in (TemperatureScaling(), VectorScaling(), Isotonic()):
        with pytest.raises(RuntimeError, match="learnt nothing yet"):
            method.predict(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="class numbers"):
        TemperatureScaling().calibrate(torch.zeros(3, 2), torch.full((3,), 2))
    done = Isotonic().calibrate(torch.full((4, 2), 0.5), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="2 columns"):
        done.predict(torch.full((4, 3), 1 / 3))
