"""The recurrence in plain operations is torch's fused one, in every shape of it."""

import pytest
import torch
from torch import nn
from torch.func import jvp, vmap

from hybrid.backbones import RNN
from hybrid.backbones.recurrent import Recurrent, recurrence
from hybrid.bayes import variational
from hybrid.heads import Normal
from hybrid.objectives import ELBO
from hybrid.training.trainer import fit

X = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_is_torchs(kind, layers, bidirectional, bias):
    cells = kind(3, 5, layers, bias=bias, batch_first=True, bidirectional=bidirectional).double()
    weights = dict(cells.named_parameters())
    torch.testing.assert_close(recurrence(cells, weights, X), cells(X)[0])
    lifted = {name: torch.stack([value, 2 * value]) for name, value in weights.items()}
    both = recurrence(cells, lifted, X.unsqueeze(0))
    torch.testing.assert_close(both[0], cells(X)[0])
    with torch.no_grad():
        for value in weights.values():
            value.mul_(2)
    torch.testing.assert_close(both[1], cells(X)[0])


def test_transforms_take_the_plain_way():
    net = RNN(3, 5, 2).double()
    torch.testing.assert_close(vmap(net)(X), net(X))
    _, slope = jvp(net, (X,), (torch.ones_like(X),))
    torch.testing.assert_close(slope, (net(X + 1e-6) - net(X - 1e-6)) / 2e-6, atol=1e-6, rtol=1e-5)


def test_pooling_of_two_directions_takes_both_ends():
    net = RNN(3, 5, 2, bidirectional=True).double()
    states = net.body[0](X)
    expected = net.body[-1](torch.cat([states[:, -1, :5], states[:, 0, 5:]], -1))
    torch.testing.assert_close(net(X), expected)
    assert RNN(3, 5, 2, pooling=None).double()(X).shape == (4, 6, 2)


def test_dropout_between_layers_only_in_training():
    net = RNN(3, 5, 2, layers=2, dropout=0.5).double()
    assert not torch.equal(net(X), net(X))
    net.eval()
    assert torch.equal(net(X), net(X))
    plain = Recurrent(net.body[0].cells)
    torch.testing.assert_close(vmap(plain)(X.unsqueeze(1)).squeeze(1), plain(X))


def test_bad_arguments():
    for wrong in ({"cell": "elman"}, {"layers": 0}, {"dropout": 1.0}, {"hidden": 0}):
        with pytest.raises((ValueError, TypeError)):
            RNN(**{"in_features": 3, "hidden": 4, "out_features": 2, **wrong})
    with pytest.raises(ValueError, match="every weight"):
        recurrence(nn.GRU(3, 5), {}, X)


@pytest.mark.parametrize("random", [False, True])
def test_learns_to_sum(random):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 5, 1, generator=generator)
    y = x.sum((-1, -2))
    law = Normal(RNN(1, 12, 8))
    law = variational(law) if random else law
    fit(
        ELBO(law, data_size=100_000),
        (x, y),
        optimizer=lambda p: torch.optim.Adam(p, 0.02),
        epochs=25,
        batch_size=50,
        seed=0,
        progress=False,
    )
    with torch.no_grad():
        assert (law(x).mean - y).square().mean() < 0.15 * y.var()
