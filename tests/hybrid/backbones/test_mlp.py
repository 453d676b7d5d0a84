"""The multilayer perceptron is what it would be by hand."""

import copy
import pickle

import pytest
import torch
from torch import nn

from hybrid.backbones import MLP


def test_structure_and_own_activations():
    mlp = MLP(3, [5, 4], 2, activation=nn.PReLU, dropout=0.5)
    kinds = [type(part) for part in mlp]
    once = [nn.Linear, nn.PReLU, nn.Dropout]
    assert kinds == [*once, *once, nn.Linear]
    assert mlp[1].weight is not mlp[4].weight
    assert (mlp.in_features, mlp.out_features) == (3, 2)
    shared = MLP(3, [5, 4], 2, activation=nn.PReLU(init=0.1))
    assert shared[1].weight is not shared[3].weight
    assert shared[3].weight.item() == pytest.approx(0.1)


def test_any_leading_axes_dtype_and_copies():
    mlp = MLP(3, [5], 2, dtype=torch.float64)
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    assert mlp(x).shape == (4, 6, 2)
    assert mlp(x).dtype == torch.float64
    for twin in (copy.deepcopy(mlp), pickle.loads(pickle.dumps(mlp))):
        assert torch.equal(twin(x), mlp(x))
    assert MLP(3, [], 2)(torch.zeros(3)).shape == (2,)


@pytest.mark.parametrize("arguments", [(3, [0], 2), (3, [4], 0), (-1, [4], 2)])
def test_bad_widths(arguments):
    with pytest.raises(ValueError, match="positive"):
        MLP(*arguments)


def test_bad_activation_and_dropout():
    with pytest.raises(TypeError, match=r"torch.nn.GELU"):
        MLP(3, [4], 2, activation=lambda: torch.relu)
    with pytest.raises(ValueError, match="dropout"):
        MLP(3, [4], 2, dropout=1.0)


def test_other_kinds_of_arguments_are_named():
    with pytest.raises(TypeError, match="hidden"):
        MLP(3, 64, 2)
    with pytest.raises(TypeError, match=r"hidden|widths"):
        MLP(3, [64.0], 2)
    with pytest.raises(TypeError, match="activation"):
        MLP(3, [64], 2, activation="gelu")
