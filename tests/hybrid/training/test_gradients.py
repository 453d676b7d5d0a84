import pytest
import torch

from hybrid.training.gradients import Clip
from hybrid.training.trainer import fit


class Slope(torch.nn.Linear):
    def forward(self, batch):
        return 10 * super().forward(batch).mean()


def sgd(parameters):
    return torch.optim.SGD(parameters, 1.0)


def moved(clip, **more):
    torch.manual_seed(0)
    objective = Slope(1, 1)
    before = [p.detach().clone() for p in objective.parameters()]
    fit(objective, torch.ones(4, 1), epochs=1, callbacks=[clip], **{"optimizer": sgd, **more})
    return [(b - p).item() for b, p in zip(before, objective.parameters(), strict=True)]


def test_the_norm_of_all_gradients_together_is_bounded():
    weight, bias = moved(Clip(norm=2.0))
    assert (weight**2 + bias**2) ** 0.5 == pytest.approx(2.0, rel=1e-4)


def test_a_small_gradient_is_left_alone():
    assert moved(Clip(norm=100.0)) == pytest.approx([10.0, 10.0])


def test_each_entry_is_bounded():
    assert moved(Clip(value=3.0)) == pytest.approx([3.0, 3.0])


def test_accumulated_gradients_are_clipped_once():
    first = moved(Clip(norm=2.0), batch_size=2, accumulate=2)
    assert first == pytest.approx(moved(Clip(norm=2.0)))


def test_errors():
    with pytest.raises(ValueError, match="norm= or value="):
        Clip()
    with pytest.raises(ValueError, match="norm must be above 0 and finite: 0"):
        Clip(norm=0.0)
    with pytest.raises(ValueError, match="LBFGS needs gradients as they are"):
        moved(Clip(norm=1.0), optimizer=torch.optim.LBFGS)
