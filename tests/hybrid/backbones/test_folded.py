"""Leading axes are folded and come back; residual paths add."""

import pytest
import torch
from torch import nn

from hybrid.backbones.folded import Folded, Residual, sizes


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
