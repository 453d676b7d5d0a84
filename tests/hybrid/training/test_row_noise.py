import pytest
import torch
from torch import nn

from causal.draws import fixed
from hybrid.bayes.conversion import variational
from hybrid.training.row_noise import RowNoise

DRAWS = {
    "randn": lambda rows: torch.randn(3, rows, 2),
    "rand by a tuple": lambda rows: torch.rand((rows,), dtype=torch.float64),
    "randn_like": lambda rows: torch.randn_like(torch.zeros(rows, 2)),
    "rand_like": lambda rows: torch.rand_like(torch.zeros(2, rows)),
    "normal_": lambda rows: torch.zeros(rows, 2).normal_(1.0, 2.0),
    "exponential_": lambda rows: torch.empty(rows).exponential_(3.0),
    "bernoulli_": lambda rows: torch.empty(rows, 2).bernoulli_(0.3),
    "dropout": lambda rows: nn.functional.dropout(torch.ones(rows, 9), 0.4),
    "Normal": lambda rows: torch.distributions.Normal(torch.zeros(rows), 1.0).rsample((2,)),
    "Laplace": lambda rows: torch.distributions.Laplace(torch.zeros(rows), 1.0).rsample(),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_parts_of_processes_are_the_numbers_of_the_whole_batch(name):
    draw, state = DRAWS[name], torch.get_rng_state()
    whole, after = draw(7), torch.get_rng_state()
    axis = list(whole.shape).index(7)
    parts = []
    for start, stop in ((0, 4), (4, 7)):
        if stop - start in whole.shape[:axis]:
            continue  # an axis before has as many entries
        torch.set_rng_state(state)
        with RowNoise(start, stop, 7):
            parts.append((start, draw(stop - start)))
        assert torch.equal(after, torch.get_rng_state())
    for start, part in parts:
        assert torch.equal(part, whole.narrow(axis, start, part.shape[axis]))
    assert parts


def test_weights_that_are_drawn_belong_to_no_row():
    layer = variational(nn.Linear(3, 2))
    state = torch.get_rng_state()
    with fixed(layer, 4):
        alone = layer(torch.ones(1, 5, 3))
    torch.set_rng_state(state)
    with RowNoise(0, 4, 8), fixed(layer, 4):
        shared = layer(torch.ones(1, 5, 3))
    assert torch.equal(alone, shared)
