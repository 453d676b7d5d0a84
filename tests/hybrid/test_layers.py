"""Layers keep leading axes, work under vmap, and name what is wrong with their input."""

import copy
import pickle

import pytest
import torch
from torch import nn

from hybrid.layers import (
    Aside,
    Constant,
    Interaction,
    Readout,
    Skip,
    Standardize,
    in_features_of,
    out_features_of,
)

LAYERS = {
    "standardize": lambda: Standardize(torch.arange(4.0), torch.arange(1.0, 5.0)),
    "skip": lambda: Skip(nn.Linear(4, 2)),
    "interaction": lambda: Interaction([2], nn.Linear(3, 2)),
    "interaction of two": lambda: Interaction([-1, 0]),
    "aside": lambda: Aside(nn.Linear(3, 2), [1]),
    "constant": lambda: Constant([1.0, 2.0]),
    "readout": lambda: Readout(4, [0.0, 1.0]),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_leading_axes_vmap_copies(make):
    layer = make().double()
    x = torch.randn(5, 6, 4, dtype=torch.float64)
    rows = torch.stack([torch.stack([layer(row) for row in block]) for block in x])
    torch.testing.assert_close(layer(x), rows)
    torch.testing.assert_close(torch.func.vmap(layer)(x), rows)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
    if out_features_of(layer) is not None:
        assert layer(x).shape[-1] == out_features_of(layer)


def test_widths_are_read_through_sequences():
    body = nn.Sequential(nn.Dropout(0.1), Skip(nn.Linear(3, 2)), nn.GELU())
    assert (in_features_of(body), out_features_of(body)) == (3, 5)
    assert out_features_of(nn.Sequential(nn.Linear(3, 2), nn.Flatten())) is None
    assert Interaction([0, 1], nn.Linear(3, 2)).out_features == 2 + 2 + 2 * 2


def test_standardize_measures_only_chosen_columns():
    data = torch.tensor([[0.0, 10.0], [1.0, 20.0], [1.0, 60.0]])
    layer = Standardize.from_data(data, columns=[-1])
    z = layer(data)
    assert torch.equal(z[:, 0], data[:, 0])
    torch.testing.assert_close(z[:, 1].mean(), torch.tensor(0.0))
    torch.testing.assert_close(z[:, 1].std(correction=0), torch.tensor(1.0))
    torch.testing.assert_close(layer.inverse(z), data)
    other = Standardize(torch.zeros(2), torch.ones(2))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(data), z)
    assert Standardize.from_data(torch.tensor([[1], [2]], dtype=torch.int8)).scale.item() == 0.5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([[0.0, 1.0], [1.0, 1.0]], "column 1 is constant"),
        ([[0.0, 1.0], [float("nan"), 2.0]], "column 0 holds NaN"),
        ([[0.0, 1.0], [1.0, float("inf")]], "column 1 holds NaN or inf"),
    ],
)
def test_standardize_names_bad_columns(data, message):
    with pytest.raises(ValueError, match=message):
        Standardize.from_data(torch.tensor(data))


@pytest.mark.parametrize("scale", [[1.0, 0.0], [1.0]])
def test_standardize_refuses_bad_statistics(scale):
    with pytest.raises(ValueError, match=r"positive|one shape"):
        Standardize(torch.zeros(2), torch.tensor(scale))


def test_interaction_is_a_response_of_its_own_for_each_column():
    x = torch.randn(7, 3)
    layer = Interaction([0, 2])
    h, c = x[:, 1:2], x[:, [0, 2]]
    torch.testing.assert_close(layer(x), torch.cat([h, c, c[:, :1] * h, c[:, 1:] * h], -1))


@pytest.mark.parametrize("columns", [[5], [0, -3]])
def test_columns_outside_or_twice(columns):
    with pytest.raises(ValueError, match=r"columns|twice"):
        Interaction(columns)(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="at least one"):
        Interaction([])


def test_aside_passes_infinity_and_binds_names():
    layer = Aside(nn.Linear(2, 2), ["cap"])
    with pytest.raises(ValueError, match=r"cap.*named"):
        layer(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="no column 'cap'"):
        layer.bind(("a", "b"))
    layer.bind(("a", "cap", "b"))
    layer.bind(("a", "cap", "b"))
    with pytest.raises(ValueError, match="another law"):
        layer.bind(("cap", "a", "b"))
    out = layer(torch.tensor([[1.0, torch.inf, 2.0]]))
    assert out[0, -1] == torch.inf
    assert out[0, :2].isfinite().all()


def test_readout_names_both_widths():
    with pytest.raises(ValueError, match=r"returned 3 features.*features=4"):
        Readout(4, [0.0])(torch.zeros(2, 3))
