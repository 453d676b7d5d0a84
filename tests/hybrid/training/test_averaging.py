import pytest
import torch

from hybrid.training.averaging import Average
from hybrid.training.trainer import fit


class Slope(torch.nn.Module):
    """Its parameter falls by 1 in every step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.frozen = torch.nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, batch):
        return self.weight + 0 * batch.mean()


def trained(average, epochs=4):
    objective = Slope()
    fit(
        objective, torch.randn(6, 1).double(), optimizer=lambda p: torch.optim.SGD(p, 1.0),
        batch_size=2, epochs=epochs, callbacks=[average],
    )  # fmt: skip
    assert objective.frozen.item() == 1.0
    return objective.weight.item()


def test_the_mean_is_over_the_ends_of_epochs():
    assert trained(Average(None)) == pytest.approx(-(3 + 6 + 9 + 12) / 4)
    assert trained(Average(None, after=2)) == pytest.approx(-(9 + 12) / 2)


def test_the_moving_average_is_its_recursion():
    expected = -1.0
    for step in range(2, 13):
        expected = 0.9 * expected - 0.1 * step
    assert trained(Average(0.9)) == pytest.approx(expected, rel=1e-12)


def test_nothing_is_averaged_before_its_time():
    assert trained(Average(0.5, after=4)) == -12.0


def test_an_average_serves_two_trainings():
    average = Average(None)
    assert trained(average) == trained(average)


@pytest.mark.parametrize("decay", [0.0, 1.0, 2.0])
def test_a_decay_lies_between_0_and_1(decay):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Average(decay)
