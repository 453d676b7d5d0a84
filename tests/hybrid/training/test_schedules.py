import pytest
import torch

from hybrid.training.callbacks import Schedule
from hybrid.training.schedules import warm_up
from hybrid.training.trainer import fit


class Rates:
    def __init__(self):
        self.seen = []

    def on_gradients(self, state):
        self.seen.append(state.optimizers[0].param_groups[0]["lr"])

    def on_epoch_end(self, state):
        return None


class Slope(torch.nn.Linear):
    def forward(self, batch):
        return super().forward(batch).mean()


def rates(schedule, epochs):
    rates = Rates()
    fit(
        Slope(1, 1), torch.ones(4, 1), optimizer=lambda p: torch.optim.SGD(p, 0.1), batch_size=2,
        epochs=epochs, callbacks=[rates, Schedule(schedule, every="step")],
    )  # fmt: skip
    return rates.seen


def test_the_rate_rises_linearly_and_stays():
    assert rates(warm_up(4, start=0.2), 3) == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1])


def test_then_the_other_schedule_begins():
    falling = lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5)  # noqa: E731
    expected = [0.01, 0.055, 0.1, 0.05, 0.025, 0.0125]
    assert rates(warm_up(2, falling, start=0.1), 3) == pytest.approx(expected)


def test_errors():
    with pytest.raises(ValueError, match="steps must be at least 1"):
        warm_up(0)
    with pytest.raises(ValueError, match="start must be above 0"):
        warm_up(3, start=0.0)
