"""Each place of a network has an activation of its own."""

import pytest
import torch
from torch import nn

from hybrid.backbones import MLP, ConvNet, ResNet, Transformer
from hybrid.backbones.activation import activation_of

NETWORKS = {
    "mlp": lambda activation: MLP(3, [4, 4], 2, activation),
    "convnet": lambda activation: ConvNet(1, [4, 4], 2, activation),
    "resnet": lambda activation: ResNet(1, [4], 2, activation, blocks=1),
    "transformer": lambda activation: Transformer(3, 2, width=8, heads=2, activation=activation),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU(), nn.SiLU, nn.PReLU, nn.PReLU(), nn.Mish])
def test_activations(name, activation):
    net = NETWORKS[name](activation)
    kind = activation if isinstance(activation, type) else type(activation)
    places = [part for part in net.modules() if isinstance(part, kind)]
    assert len(places) >= 2
    slopes = {id(p) for part in places for p in part.parameters()}
    assert len(slopes) == (len(places) if kind is nn.PReLU else 0)


def test_refusals():
    for wrong in (torch.relu, "relu", lambda: 3):
        with pytest.raises(TypeError, match=r"activation|argument"):
            activation_of(wrong)
