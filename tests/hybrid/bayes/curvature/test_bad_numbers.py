"""Laplace's approximation of what is not finite, has no rows, is no data, or has few digits."""

import pytest
import torch
from torch import nn

from hybrid.bayes import laplace
from hybrid.bayes.curvature.measure import measure
from hybrid.heads import Normal

STRUCTURES = ["diagonal", "kronecker", "last_layer", "full"]
every_structure = pytest.mark.parametrize("structure", STRUCTURES)


def made(structure, x, y, law=None):
    law = Normal(nn.Sequential(nn.Linear(3, 6), nn.Tanh())) if law is None else law
    return laplace(law, (x, y), structure)


@every_structure
def test_numbers_that_are_not_finite_are_named(structure):
    x, y = torch.ones(5, 3), torch.ones(5)
    x[2, 0] = torch.nan
    with pytest.raises(ValueError, match="likelihood of the data is nan"):
        made(structure, x, y)
    law = Normal(nn.Sequential(nn.Linear(3, 6), nn.Tanh()))
    law.body[0][0].weight.data[0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"\['body\.0\.0\.weight'\] of the Normal are not finite"):
        made(structure, torch.ones(5, 3), y, law)


@pytest.mark.parametrize("structure", ["diagonal", "full"])
def test_a_link_whose_derivative_is_infinite(structure):
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.zero_()
    with pytest.raises(ValueError, match="the curvature in weight is not finite"):
        measure(
            layer,
            lambda raw: torch.distributions.Normal(raw.squeeze(-1).abs().sqrt(), 1.0),
            ["weight"],
            [torch.ones(3, 1)],
            structure,
        )


@every_structure
def test_a_case_without_a_row_axis_and_no_rows_at_all(structure):
    with pytest.raises(ValueError, match=r"got shapes \(3,\) and \(\): use unsqueeze\(0\)"):
        made(structure, torch.ones(3), torch.tensor(1.0))
    with pytest.raises(ValueError, match="no rows"):
        made(structure, torch.ones(0, 3), torch.ones(0))
    assert made(structure, torch.ones(1, 3), torch.ones(1))(torch.ones(3), draws=2).batch_shape == (
        2,
    )


@every_structure
def test_half_precision(structure):
    law = Normal(nn.Sequential(nn.Linear(3, 6), nn.Tanh())).bfloat16()
    random = made(structure, torch.randn(9, 3), torch.randn(9), law)
    found = random(torch.randn(4, 3), draws=5).mean
    assert found.dtype == torch.bfloat16
    assert bool(found.isfinite().all())


def test_what_is_no_data():
    law, x, y = Normal(nn.Linear(3, 4)), torch.ones(6, 3), torch.ones(6)
    with pytest.raises(ValueError, match="samples must be at least 1: 0"):
        laplace(law, (x, y), samples=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1: 0"):
        laplace(law, (x, y), batch_size=0)
    with pytest.raises(ValueError, match=r"a pair \(x, y\) or columns, got 3 parts"):
        laplace(law, [(x, y, y)])
    with pytest.raises(ValueError, match="data has no rows"):
        laplace(law, {})
    one, two = (laplace(law, data).state_dict() for data in ((x, y), [x, y]))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
