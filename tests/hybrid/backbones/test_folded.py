"""Leading axes are folded and come back; residual paths add."""

import pytest
import torch
from torch import nn

from hybrid.backbones import MLP, ConvNet, Transformer
from hybrid.backbones.folded import Folded, Residual, row_dims, sizes
from hybrid.bayes import variational
from hybrid.heads import Categorical


def test_any_leading_axes():
    layer = Folded(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten()), event_dims=3)
    images = torch.randn(2, 5, 2, 4, 4)
    found = layer(images)
    assert found.shape == (2, 5, 12)
    torch.testing.assert_close(layer(images[1, 3]), found[1, 3])
    assert layer(images[:, :0]).shape == (2, 0, 12)
    with pytest.raises(ValueError, match="3 axes per row"):
        layer(images[0, 0, 0])


def test_residual():
    body, around = nn.Linear(3, 2), nn.Linear(3, 2)
    x = torch.randn(4, 3)
    torch.testing.assert_close(Residual(body, around)(x), body(x) + around(x))


def test_sizes():
    assert sizes("channels", (1, 2)) == (1, 2)
    for wrong in ([], [0], [1.5]):
        with pytest.raises((ValueError, TypeError)):
            sizes("channels", wrong)


def test_axes_of_a_row():
    net = ConvNet(1, [4], 8)
    law = Categorical(net, states=3)
    assert row_dims(law) == row_dims(variational(law)) == 3
    assert row_dims(nn.Sequential(nn.Identity(), nn.Conv1d(1, 2, 3))) == 2
    assert row_dims(nn.LSTM(2, 3)) == 2
    assert row_dims(Transformer(None, 2, tokens=5)) == row_dims(MLP(3, [4], 2)) == 1
