"""The linearised layer, against its definition."""

import torch
from torch import nn
from torch.func import functional_call, jacrev

from hybrid.bayes import batched
from hybrid.bayes.curvature.tangent import Tangent

X = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double()


def layer():
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, 1)).double()


def test_it_is_the_first_order_expansion():
    net = layer().eval()
    tangent = Tangent(net)
    torch.testing.assert_close(tangent(X), net(X))
    origin = {name: value.detach().clone() for name, value in net.named_parameters()}
    shift = {name: torch.randn_like(value) for name, value in origin.items()}
    jacobian = jacrev(lambda w: functional_call(net, w, (X,)))(origin)
    expected = net(X) + sum((jacobian[n].flatten(2) @ shift[n].flatten()) for n in shift)
    weights = {f"body.{name}": origin[name] + shift[name] for name in shift}
    torch.testing.assert_close(functional_call(tangent, weights, (X,)), expected)
    many = {name: torch.stack([value, value]) for name, value in weights.items()}
    torch.testing.assert_close(batched(tangent, many, X.unsqueeze(0)), expected.expand(2, 5, 1))


def test_it_does_not_drop_in_training_mode():
    tangent = Tangent(layer()).train()
    assert torch.equal(tangent(X), tangent(X))
    assert tangent.body[2].training
