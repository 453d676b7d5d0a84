"""Correlated normal weights against torch's multivariate normal."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

from hybrid.bayes import FullRank, LowRank, MeanField, Posterior
from hybrid.bayes.flat import flattened
from hybrid.bayes.priors import HierarchicalScale, Normal

FAMILIES = {
    "mean field": MeanField(scale=0.3),
    "rank 1": LowRank(1, scale=0.3),
    "rank 3": LowRank(3, scale=0.3),
    "rank above the weights": LowRank(50, scale=0.3),
    "full": FullRank(scale=0.3),
}


def moved(family, dtype=torch.float64):
    """A posterior away from its start."""
    posterior = Posterior(nn.Linear(3, 2).to(dtype), family)
    generator = torch.Generator().manual_seed(0)
    for parameter in posterior.parameters():
        parameter.data += 0.4 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
    return posterior


def covariance(posterior):
    """By the linear map from noise to weights, column by column."""
    spread = posterior.spread
    scale = nn.functional.softplus(flattened(spread.raw_scale.values()))
    if spread.mixing is None:
        return torch.diag(scale.square())
    if hasattr(spread.mixing, "factors"):
        root = torch.cat([torch.eye(len(scale)).to(scale), spread.mixing.factors], 1)
    else:
        root = torch.eye(len(scale)).to(scale) + spread.mixing.lower.tril(-1)
    root = scale.unsqueeze(-1) * root
    return root @ root.mT


def density_of(posterior):
    mean = flattened(posterior.mean.parameters())
    return MultivariateNormal(mean, covariance(posterior))


@pytest.mark.parametrize("name", FAMILIES)
def test_divergence_from_a_normal_prior_is_torchs(name):
    posterior = moved(FAMILIES[name])
    prior = MultivariateNormal(torch.zeros(8).double(), torch.eye(8).double())
    expected = kl_divergence(density_of(posterior), prior)
    torch.testing.assert_close(posterior.divergence(), expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_divergence_with_stated_scales_and_initial_means(name):
    layer = nn.Linear(3, 2).double()
    layer.prior_scales = {"weight": math.pi}
    start = flattened(layer.parameters()).detach().clone()
    posterior = Posterior(layer, FAMILIES[name].__class__(**_options(FAMILIES[name])))
    for parameter in posterior.parameters():
        parameter.data += 0.3
    scales = torch.tensor([math.pi] * 6 + [0.7] * 2).double()
    prior = MultivariateNormal(start, torch.diag(scales.square()))
    expected = kl_divergence(density_of(posterior), prior)
    torch.testing.assert_close(posterior.divergence(), expected)


def _options(family):
    rank = {"rank": family.rank} if hasattr(family, "rank") else {}
    return {**rank, "prior_scale": 0.7, "prior": "initial", "scale": 0.3}


@pytest.mark.parametrize("name", FAMILIES)
def test_draws_have_the_mean_and_covariance(name):
    posterior = moved(FAMILIES[name])
    with torch.no_grad():
        weights = posterior.weights(100_000, torch.Generator().manual_seed(1))
        flat = flattened(weights.values(), lead=1)
        expected = covariance(posterior)
    scale = expected.diagonal().sqrt()
    assert ((flat.mean(0) - density_of(posterior).mean).abs() / scale).max() < 0.02
    error = (torch.cov(flat.mT) - expected) / scale / scale.unsqueeze(-1)
    assert error.abs().max() < 0.03


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_are_those_of_finite_differences(name):
    posterior = moved(FAMILIES[name])
    parameters = list(posterior.parameters())
    target = torch.linspace(-1, 1, 5, dtype=torch.float64).unsqueeze(-1).expand(5, 3)

    def loss(*values):
        for parameter, value in zip(parameters, values, strict=True):
            parameter.data = value.detach()
        with posterior.fixed(3, torch.Generator().manual_seed(2)):
            fit = posterior(target.unsqueeze(0)).square().mean()
            return fit + posterior.divergence()

    start = [parameter.detach().clone() for parameter in parameters]
    gradients = torch.autograd.grad(loss(*start), parameters)
    for number, gradient in enumerate(gradients):
        direction = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(number))
        direction = direction.to(gradient)
        ahead, behind = ([value.clone() for value in start] for _ in range(2))
        ahead[number] += 1e-6 * direction
        behind[number] -= 1e-6 * direction
        slope = (loss(*ahead) - loss(*behind)).item() / 2e-6
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_low_rank_with_all_ranks_reaches_any_covariance():
    full = moved(FullRank(scale=0.3))
    low = Posterior(nn.Linear(3, 2).double(), LowRank(8, scale=0.3))
    goal = covariance(full).detach()
    small = 0.5 * torch.linalg.eigvalsh(goal)[0].sqrt()
    raw = small + torch.log(-torch.expm1(-small))
    with torch.no_grad():
        for key, mean in zip(low.spread.raw_scale, full.mean.parameters(), strict=True):
            low.spread.raw_scale[key].fill_(raw)
            low.mean.get_parameter(key).copy_(mean)
        root = torch.linalg.cholesky(goal / small.square() - torch.eye(8))
        low.spread.mixing.factors.copy_(root)
    torch.testing.assert_close(covariance(low), goal)
    torch.testing.assert_close(low.divergence(), full.divergence())


def test_correlated_families_start_like_independent_weights():
    for family in (LowRank(2, scale=0.1), FullRank(scale=0.1)):
        scale = covariance(Posterior(nn.Linear(3, 2).double(), family)).diagonal().sqrt()
        torch.testing.assert_close(scale, torch.full_like(scale, 0.1), rtol=0.05, atol=0.0)


def test_too_many_weights_are_refused_with_their_bytes():
    with pytest.raises(ValueError, match=r"10100 weights.*0\.4 GB.*max_weights=8192.*LowRank"):
        Posterior(nn.Linear(100, 100), FullRank())
    small = FullRank(max_weights=5)
    with pytest.raises(ValueError, match="8 weights"):
        Posterior(nn.Linear(3, 2), small)


def test_no_random_number_of_the_user_is_taken_by_a_generator():
    for family in FAMILIES.values():
        posterior = moved(family)
        before = torch.get_rng_state()
        one, two = (posterior.weights(2, torch.Generator().manual_seed(3)) for _ in range(2))
        assert all(torch.equal(one[name], two[name]) for name in one)
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rank": 0}, ValueError, "rank must be at least 1, got 0"),
        ({"rank": 2, "scale": -1.0}, ValueError, "positive"),
        ({"rank": 2, "prior": Normal(2.0), "prior_scale": 3.0}, ValueError, "say the scale in"),
    ],
)
def test_wrong_settings(options, error, message):
    with pytest.raises(error, match=message):
        LowRank(**options)


def test_mixed_dtypes_keep_theirs():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2).double())
    for family in (LowRank(2), FullRank(), FullRank(prior=HierarchicalScale())):
        posterior = Posterior(net, family)
        assert [w.dtype for w in posterior.weights(2).values()] == [
            value.dtype for value in net.parameters()
        ]
        assert posterior.divergence().dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", FAMILIES)
def test_half_precision(name, dtype):
    posterior = Posterior(nn.Linear(3, 2).to(dtype), FAMILIES[name])
    outputs, divergence = posterior(torch.ones(4, 3, dtype=dtype), draws=2), posterior.divergence()
    (outputs.sum() + divergence).backward()
    assert outputs.dtype == divergence.dtype == dtype
    assert all(parameter.grad.isfinite().all() for parameter in posterior.parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_weights_and_divergence_of_one_block_have_gradients_of_their_own(name):
    posterior = moved(FAMILIES[name])
    inputs = torch.ones(1, 4, 3, dtype=torch.float64)
    expected = torch.autograd.grad(posterior.divergence(), posterior.mean.weight)[0]
    with posterior.fixed(3):
        posterior(inputs).sum().backward()
        posterior.mean.weight.grad = None
        posterior.divergence().backward()
        torch.testing.assert_close(posterior.mean.weight.grad, expected)
    with torch.no_grad():
        block = posterior.fixed(3)
        block.__enter__()
    try:
        found = torch.autograd.grad(posterior.divergence(), posterior.mean.weight)[0]
    finally:
        block.__exit__(None, None, None)
    torch.testing.assert_close(found, expected)
