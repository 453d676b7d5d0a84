"""Convolutional backbones: shapes, options, and learning digits, also with random weights."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from hybrid.backbones import ConvNet, ResNet
from hybrid.bayes import variational
from hybrid.heads import Categorical
from hybrid.objectives import ELBO
from hybrid.training.trainer import fit


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("norm", ["group", "batch", None])
def test_shapes(dims, norm):
    for net in (
        ConvNet(2, [4, 6, 8], 3, dims=dims, norm=norm, dropout=0.1),
        ResNet(2, [4, 8], 3, dims=dims, norm=norm, blocks=1, dropout=0.1, dtype=torch.float64),
    ):
        dtype = next(net.parameters()).dtype
        for size in (1, 7, 8):
            assert net(torch.randn(2, 5, 2, *[size] * dims, dtype=dtype)).shape == (2, 5, 3)
        assert net.out_features == 3


def test_bad_arguments():
    for build in (ConvNet, ResNet):
        for wrong in ({"kernel": 2}, {"norm": "layer"}, {"dims": 4}, {"dropout": 1.0}):
            with pytest.raises((ValueError, TypeError)):
                build(1, [4], 2, **wrong)
        with pytest.raises(ValueError, match="channels"):
            build(1, [], 2)
    with pytest.raises(ValueError, match="axes per row"):
        ConvNet(1, [4], 2)(torch.zeros(8, 8))


def test_batch_norm_is_refused_under_draws():
    law = variational(Categorical(ConvNet(1, [4], 8, norm="batch"), states=10))
    with pytest.raises(ValueError, match="running statistics"):
        ELBO(law, data_size=4, draws=2)((torch.randn(4, 1, 8, 8), torch.arange(4)))
    law.eval()
    assert ELBO(law, data_size=4, draws=2)((torch.randn(4, 1, 8, 8), torch.arange(4))).total > 0


@pytest.mark.parametrize("random", [False, True])
def test_digits(random):
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8)[:600] / 16
    y = torch.tensor(labels)[:600]
    law = Categorical(ConvNet(1, [8, 16], 16, activation=nn.SiLU), states=10)
    law = variational(law) if random else law
    objective = ELBO(law, data_size=100_000)  # the prior hardly counts
    fit(
        objective,
        (x, y),
        optimizer=lambda p: torch.optim.Adam(p, 0.02),
        epochs=9,
        batch_size=50,
        seed=0,
        progress=False,
    )
    with torch.no_grad():
        assert (law(x).probs.argmax(-1) == y).float().mean() > 0.8
