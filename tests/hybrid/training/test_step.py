import math

import pytest
import torch
from torch import nn

from hybrid.loss import Loss
from hybrid.training.evaluation import evaluate
from hybrid.training.guard import NonFiniteError
from hybrid.training.step import Stepper
from hybrid.training.trainer import fit


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


# ------------------------------------------------------- several batches, skipped ones


class Plain(torch.nn.Linear):
    def forward(self, batch):
        x, y = batch
        return (super().forward(x).squeeze(-1) - y).square().mean()


def rows(count):
    x = torch.randn(count, 1, generator=torch.Generator().manual_seed(count))
    return x, 3 * x.squeeze(-1)


def trained(data, **more):
    torch.manual_seed(0)
    objective = Plain(1, 1)
    history = fit(
        objective, data, optimizer=lambda p: torch.optim.SGD(p, 0.1), epochs=2, seed=0, **more
    )
    return objective, history


def test_accumulated_batches_are_one_large_batch():
    one, first = trained(rows(22), batch_size=10)
    two, second = trained(rows(22), batch_size=5, accumulate=2)
    assert second.loss == pytest.approx(first.loss, rel=1e-5)
    torch.testing.assert_close(two.weight, one.weight)
    whole, _ = trained(rows(22), batch_size=22)
    uneven, _ = trained(rows(22), batch_size=9, accumulate=3)  # 9, 9 and 4 rows
    torch.testing.assert_close(uneven.weight, whole.weight)


def test_a_bad_row_is_named_in_whichever_of_the_batches_it_is():
    x, y = rows(12)
    x[7] = float("inf")
    with pytest.raises(NonFiniteError, match="x, row 7 is not finite"):
        trained((x, y), batch_size=3, accumulate=4)


class Now(torch.nn.Module):
    """Goes wrong in some calls, with a buffer that goes wrong too."""

    def __init__(self, wrong):
        super().__init__()
        torch.manual_seed(0)
        self.network = torch.nn.Sequential(torch.nn.BatchNorm1d(1), torch.nn.Linear(1, 1))
        self.register_buffer("last", torch.zeros(()))
        self.wrong, self.calls = wrong, 0

    def forward(self, batch):
        x, y = batch
        self.calls += 1
        loss = (self.network(x).squeeze(-1) - y).square().mean()
        if self.calls in self.wrong:
            self.last.fill_(float("nan"))
            return loss * float("nan")
        return loss


@pytest.mark.parametrize("optimizer", [None, torch.optim.LBFGS])
def test_bad_batches_are_skipped_and_counted(optimizer):
    objective = Now({2, 5})
    history = fit(
        objective, rows(20), batch_size=5, epochs=3, seed=0, nonfinite="skip", optimizer=optimizer
    )
    assert sum(history.skipped) == 2
    assert "2 batches skipped" in repr(history)
    assert history.to_dataframe()["skipped"].sum() == 2
    assert all(tensor.isfinite().all() for tensor in objective.state_dict().values())


def test_a_skipped_batch_leaves_no_trace():
    x, y = rows(20)
    bad = x.clone()
    bad[3] = float("inf")
    loader = torch.utils.data.DataLoader
    pairs = lambda x: torch.utils.data.Subset(list(zip(x, y, strict=True)), range(20))  # noqa: E731
    left_out = torch.utils.data.Subset(list(zip(x, y, strict=True)), range(5, 20))
    one, history = trained(loader(pairs(bad), 5), nonfinite="skip")
    two, without = trained(loader(left_out, 5))
    assert torch.equal(one.weight, two.weight)
    assert history.loss == without.loss
    assert history.skipped == (1, 1)


def test_an_epoch_of_bad_batches_is_an_error():
    with pytest.raises(NonFiniteError, match="the loss is not finite"):
        fit(Now(set(range(99))), rows(20), batch_size=5, seed=0, nonfinite="skip")


def test_bad_parameters_are_never_skipped():
    class Spoiled(Plain):
        calls = 0

        def forward(self, batch):
            self.calls += 1
            if self.calls == 3:
                with torch.no_grad():
                    self.bias.fill_(float("nan"))
            return super().forward(batch)

    objective = Spoiled(1, 1)
    with pytest.raises(NonFiniteError, match="parameter 'bias'"):
        fit(objective, rows(20), batch_size=5, seed=0, nonfinite="skip")
    assert objective.bias.isfinite().all()
