"""What a record repeats, and what it refuses."""

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from hybrid.bayes.sampling.recording import Unrecordable, record


def wild(x: Tensor) -> Tensor:
    y = x.exp() * torch.arange(3.0) + 0.0
    y = y.clone()
    y[0] = x[1] * 2  # a write into a part
    y.masked_fill_(x < 0, 1.5)
    first, rest = y.split([1, 2])
    return torch.logsumexp(torch.cat([rest, first]), 0) + torch.linalg.vector_norm(y)


@pytest.mark.parametrize(
    "function",
    [wild, grad(wild), lambda x: (x.cumsum(0), x.sum()), lambda x: (x, torch.ones(2))],
)
def test_a_record_repeats_the_function(function) -> None:
    kept = record(function, torch.randn(3)).function()
    for _ in range(3):
        x = torch.randn(3)
        torch.testing.assert_close(kept(x), function(x))


def test_batches_are_recorded_as_batches() -> None:
    kept = record(vmap(grad(wild)), torch.randn(5, 3)).function()
    x = torch.randn(5, 3)
    torch.testing.assert_close(kept(x), torch.stack([grad(wild)(row) for row in x]))


def test_constants_are_computed_once_and_equal_operations_written_once() -> None:
    data = torch.randn(4)
    kept = record(lambda x: (x * data.exp().sum()) + (x * data.exp().sum()), torch.ones(4))
    assert kept.operations == 3  # two constants, for each sum is a tensor of its own
    assert record(lambda x: x.exp() + x.exp(), torch.ones(4)).operations == 2
    assert record(lambda x: (x + 0) * 1 / 1, torch.ones(4)).operations == 0


def test_a_tensor_that_happens_to_be_one_is_no_neutral_element() -> None:
    kept = record(lambda x: x[0] * x[1] + x[2], torch.tensor([2.0, 1.0, 0.0])).function()
    assert kept(torch.tensor([2.0, 3.0, 5.0])) == 11


def test_some_outputs_need_fewer_operations() -> None:
    kept = record(lambda x: (x.exp(), x.sin()), torch.ones(2))
    torch.testing.assert_close(kept.function(1)(torch.zeros(2)), torch.zeros(2))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x * x[0].item(),
        lambda x: x + torch.randn(3),
        lambda x: torch.bernoulli(x.sigmoid()),
    ],
)
def test_control_flow_by_values_and_random_numbers_are_refused(function) -> None:
    with pytest.raises(Unrecordable):
        record(function, torch.ones(3))
