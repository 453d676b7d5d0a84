"""Mixtures: quantiles, gradients, and fitting what one normal law cannot."""

from functools import partial

import pyro.distributions as dist
import pytest
import torch

from causal.noise import abduct, replay
from hybrid.heads import MixtureDensity, Normal, Poisson
from hybrid.heads.mixture import Mixture
from hybrid.prediction import predict


def mixture(dtype=torch.float64):
    weights = torch.tensor([0.2, 0.8], dtype=dtype)
    means = torch.tensor([[-2.0, 1.0], [0.0, 9.0]], dtype=dtype)
    return Mixture(
        dist.Categorical(weights), dist.Normal(means, torch.tensor([0.5, 1.5]).to(dtype))
    )


def test_quantiles_invert_the_cdf():
    law = mixture()
    p = torch.linspace(0.001, 0.999, 41, dtype=torch.float64).unsqueeze(-1)
    torch.testing.assert_close(law.cdf(law.icdf(p)), p.expand(-1, 2))


def test_gradient_of_quantiles():
    weights = torch.tensor([0.1, -0.4, 0.3], dtype=torch.float64, requires_grad=True)
    means = torch.tensor([-1.0, 0.2, 2.0], dtype=torch.float64, requires_grad=True)
    p = torch.tensor([0.1, 0.6], dtype=torch.float64, requires_grad=True)

    def quantiles(weights, means, p):
        parts = dist.Normal(means.expand(2, 3), 0.7)
        return Mixture(dist.Categorical(logits=weights.expand(2, 3)), parts).icdf(p)

    assert torch.autograd.gradcheck(quantiles, (weights, means, p))


def test_noise_of_scalars_needs_no_convention():
    law = mixture()
    value = torch.tensor([-2.2, 4.0], dtype=torch.float64)
    torch.testing.assert_close(replay(law, abduct(law, value)), value)


def test_other_components():
    law = MixtureDensity(None, components=2, component=Poisson)
    mass = law(torch.zeros(1, 0)).log_prob(torch.arange(30.0)).exp()
    expected = (mass.cumsum(0) < 0.9).sum().item()
    assert predict(law, torch.zeros(2, 0)).quantile(0.9).tolist() == [expected] * 2
    law = MixtureDensity(torch.nn.Linear(2, 4), component=partial(Normal, event=3))
    prediction = predict(law, torch.zeros(5, 2))
    assert prediction.mean.shape == prediction.quantile(0.5).shape == (5, 3)
    with pytest.raises(NotImplementedError, match="vectors"):
        law(torch.zeros(5, 2)).icdf(torch.tensor(0.5))
    with pytest.raises(ValueError, match="at least 1 component"):
        MixtureDensity(None, components=0)


def test_finds_two_modes():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    sides = torch.randint(0, 2, (500,), generator=generator) * 6.0 - 3.0
    y = sides + 0.5 * torch.randn(500, generator=generator)
    law = MixtureDensity(None, components=2)
    optimizer = torch.optim.Adam(law.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (-law(torch.zeros(500, 0)).log_prob(y).mean()).backward()
        optimizer.step()
    parts = law(torch.zeros(1, 0)).component_distribution
    assert sorted(parts.loc[0].tolist()) == pytest.approx([-3.0, 3.0], abs=0.2)
    assert parts.scale[0].tolist() == pytest.approx([0.5, 0.5], abs=0.1)


@pytest.mark.parametrize("component", [Normal, Poisson, partial(Normal, event=2)])
@pytest.mark.parametrize("rows", [(), (5,), (4, 5)])
def test_densities_are_torchs(component, rows):
    law = MixtureDensity(None, components=3, component=component).double()
    with torch.no_grad():
        law.body.values.normal_()
    found = law(torch.zeros(*rows, 0))
    assert found.batch_shape == rows
    plain = torch.distributions.MixtureSameFamily(
        found.mixture_distribution, found.component_distribution
    )
    for shape in ((), (7,)):
        value = found.sample(shape)
        torch.testing.assert_close(found.log_prob(value), plain.log_prob(value))
    wide = found.expand((2, *rows))
    value = wide.sample()
    torch.testing.assert_close(wide.log_prob(value), plain.log_prob(value))
    assert wide.log_prob(value).shape == (2, *rows)
    assert found.log_prob(value).shape == (2, *rows)


def test_values_are_checked_whatever_the_shortcut():
    law = MixtureDensity(None, components=3)(torch.zeros(5, 0))
    with pytest.raises(ValueError, match="within the support"):
        law.log_prob(torch.tensor([0.0, 1.0, float("nan"), 0.0, 0.0]))
    with pytest.raises(ValueError, match=r"not broadcastable|does not match"):
        law.log_prob(torch.zeros(4))
    assert law.log_prob(torch.tensor([float("inf"), -float("inf"), 0.0, 0.0, 0.0]))[2].isfinite()
