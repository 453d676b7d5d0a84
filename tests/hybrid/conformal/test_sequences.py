"""Long-run coverage under shift: within the bound that holds for any sequence."""

import pytest
import torch

from hybrid.conformal import CQR, Adaptive, Split
from hybrid.uncertainty import coverage

STEPS, LEVEL = 600, 0.9


def follow(method, y):
    """Coverage of a sequence, each row predicted before it is seen."""
    hits = []
    centre = torch.zeros(1, dtype=torch.float64)
    for value in y.unsqueeze(-1):
        lower, upper = method.predict(centre)
        hits.append(coverage(lower, upper, value).item())
        method = method.observe(centre, value)
    return sum(hits) / len(hits)


def shifting(kind):
    torch.manual_seed(0)
    noise = torch.randn(STEPS, dtype=torch.float64)
    if kind == "jump":
        return torch.cat([noise[:200], 6 * noise[200:400], 0.2 * noise[400:]])
    return noise * torch.linspace(1, 30, STEPS, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["jump", "growth"])
@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_coverage_in_the_long_run(kind, rate):
    held = torch.randn(100, dtype=torch.float64)
    start = torch.zeros_like(held)
    method = Adaptive(Split(LEVEL), rate=rate, window=100).calibrate(start, held)
    share = follow(method, shifting(kind))
    assert abs(share - LEVEL) <= (max(LEVEL, 1 - LEVEL) + rate) / (rate * STEPS)
    if kind == "jump":
        lower, upper = Split(LEVEL).calibrate(start, held).predict(torch.zeros(STEPS).double())
        assert abs(coverage(lower, upper, shifting(kind)) - LEVEL) > 0.1


def test_several_rows_are_observed_one_by_one():
    method = Adaptive(Split(0.5), rate=0.1).calibrate(torch.zeros(5), torch.arange(5.0))
    y = torch.tensor([9.0, 0.0, 3.0])
    together = method.observe(torch.zeros(3), y)
    apart = method
    for value in y.unsqueeze(-1):
        apart = apart.observe(torch.zeros(1), value)
    assert together.current == apart.current
    assert torch.equal(together.past, apart.past)
    assert len(together.past) == 8
    assert len(method.past) == 5


def test_everything_and_nothing():
    method = Adaptive(Split(0.5), rate=1.0).calibrate(torch.zeros(3), torch.ones(3))
    more = method.observe(torch.zeros(1), torch.tensor([9.0]))
    assert more.predict(torch.zeros(1))[1].item() == torch.inf
    less = method.observe(torch.zeros(1), torch.zeros(1))
    lower, upper = less.predict(torch.zeros(1))
    assert lower > upper


def test_other_methods_and_refusals():
    pair = torch.zeros(4), torch.ones(4)
    method = Adaptive(CQR(0.5)).calibrate(pair, torch.rand(4))
    assert method.predict(pair)[0].shape == (4,)
    for wrong in ({"rate": 0.0}, {"window": 0}):
        with pytest.raises(ValueError, match="must be positive"):
            Adaptive(Split(), **wrong)
