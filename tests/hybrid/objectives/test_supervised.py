"""Training by a loss: laws and networks, certain and random weights, one optimiser."""

import pytest
import torch
from torch import nn

from hybrid import losses
from hybrid.backbones import MLP
from hybrid.bayes import variational
from hybrid.heads import Categorical, Normal, Quantile
from hybrid.objectives import ELBO, Supervised
from hybrid.training.trainer import fit

X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
Y = X[:, 0] - 2 * X[:, 1] + 0.1 * torch.randn(60, generator=torch.Generator().manual_seed(1))


def adam(parameters):
    return torch.optim.Adam(parameters, 0.05)


def test_the_likelihood_loss_is_the_elbo():
    for law in (Normal(MLP(3, [4], 4)), variational(Normal(MLP(3, [4], 4)))):
        torch.manual_seed(0)
        first = Supervised(law, losses.negative_log_likelihood, data_size=60, draws=3)((X, Y))
        torch.manual_seed(0)
        second = ELBO(law, data_size=60, draws=3)((X, Y))
        torch.testing.assert_close(first.total, second.total)


def test_a_plain_network_and_a_loss_of_torch():
    net = nn.Sequential(nn.Linear(3, 1), nn.Flatten(-2))
    objective = Supervised(net, nn.MSELoss())
    expected = nn.functional.mse_loss(net(X), Y)
    torch.testing.assert_close(objective((X, Y)).total, expected)
    fit(objective, (X, Y), optimizer=adam, epochs=200, seed=0, progress=False)
    assert objective((X, Y)).total < 0.05


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), losses.focal])
def test_a_random_network_of_classes(loss):
    y = (Y > 0).long()
    net = variational(MLP(3, [8], 2))
    objective = Supervised(net, loss, data_size=60, draws=4)
    assert list(objective((X, y)).parts) == ["loss", "divergence"]
    before = objective((X, y)).parts["loss"].item()
    fit(objective, (X, y), optimizer=adam, epochs=60, seed=0, progress=False)
    assert objective((X, y)).parts["loss"] < 0.5 * before


@pytest.mark.parametrize("loss", [losses.crps, losses.BetaNLL(), losses.CRPS()])
def test_laws_by_proper_scores(loss):
    law = variational(Normal(MLP(3, [8], 4)))
    objective = Supervised(law, loss, data_size=60, draws=2)
    before = objective((X, Y)).parts["loss"].item()
    fit(objective, (X, Y), optimizer=adam, epochs=60, seed=0, progress=False)
    assert objective((X, Y)).parts["loss"] < before


def test_quantiles_by_pinball():
    law = Quantile(nn.Linear(3, 4), levels=[0.1, 0.5, 0.9])
    objective = Supervised(law, losses.Pinball())
    fit(objective, (X, Y), optimizer=adam, epochs=150, seed=0, progress=False)
    knots = law(X).knots
    inside = (knots[:, 0] < Y) & (knots[:, 2] > Y)
    assert inside.float().mean().item() == pytest.approx(0.8, abs=0.15)


def test_the_loss_is_trained_too():
    net = nn.Sequential(nn.Linear(3, 1), nn.Flatten(-2))
    objective = Supervised(net, losses.AdaptiveRobust())
    names = {name for name, _ in objective.named_parameters()}
    assert {"loss.raw_alpha", "loss.log_scale"} <= names
    fit(objective, (X, Y), optimizer=adam, epochs=200, seed=0, progress=False)
    assert objective.loss.scale < 0.5


def test_a_seed_repeats_the_weights():
    law = variational(Normal(nn.Linear(3, 4)))
    objective = Supervised(law, losses.crps, data_size=60, seed=3)
    state = torch.get_rng_state()
    assert torch.equal(objective((X, Y)).total, objective((X, Y)).total)
    assert torch.equal(state, torch.get_rng_state())


def test_refusals():
    with pytest.raises(ValueError, match="data_size="):
        Supervised(variational(nn.Linear(3, 1)), nn.MSELoss())
    with pytest.raises(TypeError, match="loss must be"):
        Supervised(nn.Linear(3, 1), nn.MSELoss)
    with pytest.raises(TypeError, match="model"):
        Supervised(torch.sin, nn.MSELoss())
    with pytest.raises(TypeError, match=r"batch \(x, y\)"):
        Supervised(nn.Linear(3, 1), nn.MSELoss())(X)
    with pytest.raises(ValueError, match="class number"):
        Supervised(Categorical(nn.Linear(3, 4), states=3), losses.focal)((X, torch.full((60,), 3)))
    assert "loss=focal" in repr(Supervised(nn.Linear(3, 2), losses.focal))
