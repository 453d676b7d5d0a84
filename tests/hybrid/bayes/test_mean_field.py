"""The mean-field family against torch's own normal distributions."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from causal.draws import divergence
from hybrid.bayes import MeanField, Posterior


def layer():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


@pytest.mark.parametrize("prior", ["zero", "initial"])
def test_divergence_is_torchs(prior):
    net = layer()
    initial = {name: value.detach().clone() for name, value in net.named_parameters()}
    posterior = Posterior(net, MeanField(prior_scale=0.7, scale=0.1, prior=prior))
    for parameter in posterior.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    total = torch.zeros((), dtype=torch.float64)
    for name, mean in net.named_parameters():
        raw = posterior.spread.raw_scale[name.replace(".", "/")]
        prior_mean = initial[name] if prior == "initial" else torch.zeros_like(mean)
        q, p = Normal(mean, nn.functional.softplus(raw)), Normal(prior_mean, 0.7)
        total = total + kl_divergence(q, p).sum()
    torch.testing.assert_close(posterior.divergence(), total)
    torch.testing.assert_close(divergence(nn.Sequential(posterior, nn.ReLU())), total)


def test_a_layer_states_the_prior_scale_of_its_own_parameters():
    net = layer()
    net[2].prior_scales = {"weight": math.pi}
    posterior = Posterior(net, MeanField(prior_scale=1.0, scale=0.5))
    expected = torch.zeros((), dtype=torch.float64)
    for name, mean in net.named_parameters():
        p = Normal(torch.zeros_like(mean), math.pi if name == "2.weight" else 1.0)
        expected = expected + kl_divergence(Normal(mean, 0.5), p).sum()
    torch.testing.assert_close(posterior.divergence(), expected)


def test_draws_have_the_means_and_scales():
    posterior = Posterior(layer(), MeanField(scale=0.3))
    draws = posterior.weights(20_000, torch.Generator().manual_seed(0))
    for name, mean in posterior.mean.named_parameters():
        assert (draws[name].mean(0) - mean).abs().max() < 5 * 0.3 / math.sqrt(20_000)
        assert (draws[name].std(0) - 0.3).abs().max() < 0.01
    flat = torch.cat([draw.flatten(1) for draw in draws.values()], 1)
    correlation = torch.corrcoef(flat.T) - torch.eye(flat.shape[1])
    assert correlation.abs().max() < 0.05


def test_gradients_of_means_and_scales_are_pathwise():
    posterior = Posterior(nn.Linear(1, 1, bias=False).double(), MeanField(scale=0.3))
    with torch.no_grad():
        noise = (
            posterior.weights(8, torch.Generator().manual_seed(1))["weight"] - posterior.mean.weight
        ) / 0.3
    drawn = posterior.weights(8, torch.Generator().manual_seed(1))["weight"]
    raw = posterior.spread.raw_scale["weight"]
    mean_grad, raw_grad = torch.autograd.grad(drawn.sum(), [posterior.mean.weight, raw])
    torch.testing.assert_close(mean_grad, torch.full_like(mean_grad, 8.0))
    torch.testing.assert_close(raw_grad, noise.sum(0) * torch.sigmoid(raw))


def test_mixed_dtypes_keep_theirs():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2).double())
    draws = Posterior(net, MeanField()).weights(2)
    assert draws["0.weight"].dtype == torch.float32
    assert draws["1.weight"].dtype == torch.float64


@pytest.mark.parametrize("options", [{"prior_scale": 0.0}, {"scale": -1.0}, {"scale": math.nan}])
def test_bad_scales(options):
    with pytest.raises(ValueError, match="positive"):
        MeanField(**options)


def test_conjugate_posterior_is_found():
    torch.manual_seed(0)
    x, noise = torch.randn(200, 1, dtype=torch.float64), 0.5
    y = 0.8 * x[:, 0] + noise * torch.randn(200, dtype=torch.float64)
    posterior = Posterior(nn.Linear(1, 1, bias=False).double(), MeanField(scale=0.1))
    optimizer = torch.optim.Adam(posterior.parameters(), 0.02)
    for step in range(600):
        if step == 400:
            optimizer.param_groups[0]["lr"] = 0.002
        optimizer.zero_grad()
        likelihood = Normal(posterior(x, draws=16)[..., 0], noise).log_prob(y).sum(-1).mean()
        (posterior.divergence() - likelihood).backward()
        optimizer.step()
    precision = 1 + (x.square().sum() / noise**2).item()
    mean = (x[:, 0] @ y).item() / noise**2 / precision
    scale = nn.functional.softplus(posterior.spread.raw_scale["weight"]).item()
    assert posterior.mean.weight.item() == pytest.approx(mean, abs=0.01)
    assert scale == pytest.approx(precision**-0.5, rel=0.1)
