"""Weighted sums of objectives: gradients are the weighted ones, schedules follow the steps."""

import copy

import pytest
import torch
from torch import nn

from hybrid.objectives import Loss, Ramp, Weighted
from hybrid.training.trainer import fit


class Near(nn.Module):
    """Half the squared distance of a shared number from a place."""

    def __init__(self, number, place):
        super().__init__()
        self.number, self.place = number, place

    def forward(self, batch):
        loss = 0.5 * (self.number - self.place).square().sum()
        return Loss(loss, {"distance": loss})


def pair():
    number = nn.Parameter(torch.zeros(1))
    return number, {"low": Near(number, 0.0), "high": Near(number, 10.0)}


def test_the_minimum_is_the_weighted_mean():
    number, parts = pair()
    objective = Weighted(parts, {"low": 3.0})
    assert len(list(objective.parameters())) == 1
    fit(
        objective,
        torch.zeros(4, 1).add(torch.arange(4.0)[:, None]),
        optimizer=lambda p: torch.optim.SGD(p, 0.2),
        epochs=60,
        progress=False,
    )
    assert number.item() == pytest.approx(2.5, abs=1e-3)
    assert list(objective(None).parts) == ["low", "high"]


def test_schedules_follow_the_steps_of_a_training():
    _, parts = pair()
    objective = Weighted(parts, {"high": Ramp(0.0, 1.0, steps=6)})
    data = torch.arange(8.0)[:, None]
    seen = []

    class Watch:
        def on_epoch_end(self, state):
            seen.append(objective.weight("high"))

    fit(objective, data, epochs=3, batch_size=4, callbacks=[objective, Watch()], progress=False)
    assert seen == pytest.approx([1 / 3, 2 / 3, 1.0])
    twin = copy.deepcopy(objective)
    fresh = Weighted(pair()[1], {"high": Ramp(0.0, 1.0, steps=6)})
    fresh.load_state_dict(objective.state_dict())
    assert twin.weight("high") == fresh.weight("high") == 1.0


def test_ramp():
    weight = Ramp(1.0, 3.0, steps=4, after=2)
    assert [weight(t) for t in (0, 2, 4, 6, 9)] == [1.0, 1.0, 2.0, 3.0, 3.0]
    with pytest.raises(ValueError, match="steps must be at least 1"):
        Ramp(0.0, 1.0, steps=0)


def test_refusals():
    _, parts = pair()
    with pytest.raises(ValueError, match="at least one objective"):
        Weighted({})
    with pytest.raises(ValueError, match="'other'"):
        Weighted(parts, {"other": 1.0})
    with pytest.raises(ValueError, match="at step 0"):
        Weighted(parts, {"low": float("nan")})
    with pytest.raises(ValueError, match="at step 0"):
        Weighted(parts, {"low": lambda step: float("inf")})
