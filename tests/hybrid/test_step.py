import math

import pytest
import torch
from torch import nn

from hybrid.guard import NonFiniteError
from hybrid.objectives import Loss
from hybrid.step import Stepper, evaluate


class Sum(nn.Module):
    def __init__(self, *parameters):
        super().__init__()
        self.parts = nn.ParameterList(parameters)

    def forward(self, batch):
        return sum((p.abs().square().sum() for p in self.parts), torch.zeros(())) * batch


def make(*parameters, rate=0.1):
    objective = Sum(*parameters)
    return objective, Stepper(objective, (torch.optim.SGD(objective.parameters(), rate),))


def test_a_step_returns_the_loss_before_it():
    objective, step = make(torch.tensor([3.0]))
    assert step(torch.tensor(1.0), epoch=1) == [9.0]
    assert objective.parts[0].item() == pytest.approx(2.4)
    assert step.done == 1


def test_complex_parameters_and_mixed_dtypes():
    _, step = make(torch.ones(2, dtype=torch.complex64), torch.ones(3).double())
    first = step(torch.tensor(1.0), epoch=1)
    second = step(torch.tensor(1.0), epoch=1)
    assert second[0] < first[0]
    with pytest.raises(NonFiniteError):
        step(torch.tensor(math.nan), epoch=1)


def test_sparse_gradients():
    class Lookup(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 2, sparse=True)

        def forward(self, batch):
            return self.table(batch).square().sum()

    objective = Lookup()
    step = Stepper(objective, (torch.optim.SGD(objective.parameters(), 0.1),))
    batch = torch.tensor([1, 1, 3])
    assert step(batch, epoch=1)[0] > step(batch, epoch=1)[0]


def test_a_parameter_without_gradient_is_left_alone():
    class Half(Sum):
        def forward(self, batch):
            return self.parts[0].sum() * batch

    objective = Half(torch.ones(1), torch.ones(1))
    step = Stepper(objective, (torch.optim.Adam(objective.parameters(), 0.1),))
    step(torch.tensor(1.0), epoch=1)
    assert objective.parts[1].item() == 1.0


def test_large_models_are_copied_less_often():
    _, small = make(torch.ones(10))
    _, large = make(torch.ones(300_000))
    assert (small._interval, large._interval) == (1, 10)


def test_errors_that_are_not_about_numbers_pass_through():
    class Broken(Sum):
        def forward(self, batch):
            raise ValueError("own words")

    objective = Broken(torch.ones(1))
    step = Stepper(objective, (torch.optim.SGD(objective.parameters(), 0.1),))
    with pytest.raises(ValueError, match="own words"):
        step(torch.tensor(1.0), epoch=1)


def test_evaluate_takes_scalars_and_losses():
    assert evaluate(lambda batch: batch.sum(), torch.ones(2)) == Loss(torch.tensor(2.0), {})
    loss = Loss(torch.tensor(1.0), {"a": torch.tensor(2.0)})
    assert evaluate(lambda batch: loss, None) is not loss
    assert evaluate(lambda batch: loss, None) == loss
    with pytest.raises(TypeError, match="int64"):
        evaluate(lambda batch: torch.tensor(1), None)
