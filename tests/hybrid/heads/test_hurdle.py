"""Hurdle laws: total mass, moments and samples against enumeration and quadrature."""

import pyro.distributions as dist
import pytest
import scipy.stats
import torch

from causal.noise import abduct, replay
from hybrid.heads import Beta, Hurdle, LogNormal, NegativeBinomial, Normal, Poisson
from hybrid.heads.counts import PoissonDistribution
from hybrid.heads.hurdle import HurdleDistribution


def lognormal(size=4, logit=0.4):
    logits = torch.full((size,), logit, dtype=torch.float64)
    return HurdleDistribution(logits, dist.LogNormal(torch.zeros_like(logits) + 0.3, 0.8))


def counts(size=4):
    logits = torch.full((size,), -0.2, dtype=torch.float64)
    return HurdleDistribution(logits, PoissonDistribution(torch.full_like(logits, 2.5)))


def test_counts_against_enumeration():
    law = counts(1)
    k = torch.arange(60, dtype=torch.float64)
    mass = law.log_prob(k).exp()
    torch.testing.assert_close(mass.sum(), torch.tensor(1.0).double())
    torch.testing.assert_close(law.cdf(k), mass.cumsum(0))
    torch.testing.assert_close(law.mean[0], (mass * k).sum())
    torch.testing.assert_close(law.variance[0], (mass * k**2).sum() - (mass * k).sum() ** 2)
    ranks = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    expected = torch.searchsorted(mass.cumsum(0), ranks).double()
    assert torch.equal(law.icdf(ranks), expected)


def test_lognormal_in_closed_form():
    law, over = lognormal(1), torch.tensor(0.4).double().sigmoid()
    positive = dist.LogNormal(torch.tensor(0.3).double(), 0.8)
    y = torch.tensor([-1.0, 0.0, 0.5, 3.0], dtype=torch.float64)
    expected = torch.stack(
        [
            over * 0,
            1 - over,
            1 - over + over * positive.cdf(y[2]),
            1 - over + over * positive.cdf(y[3]),
        ]
    )
    torch.testing.assert_close(law.cdf(y), expected)
    torch.testing.assert_close(law.icdf(expected[1:]), y[1:])
    torch.testing.assert_close(law.log_prob(y[2:]), over.log() + positive.log_prob(y[2:]))
    torch.testing.assert_close(law.mean[0], over * positive.mean)


@pytest.mark.parametrize("make", [lognormal, counts])
def test_samples(make):
    torch.manual_seed(0)
    law = make(1)
    y = law.sample((40_000,))[:, 0]
    assert y.mean().item() == pytest.approx(law.mean.item(), rel=0.03)
    assert y.var().item() == pytest.approx(law.variance.item(), rel=0.1)
    assert (y == 0).double().mean().item() == pytest.approx(
        law.log_prob(y * 0)[0].exp().item(), abs=0.01
    )


@pytest.mark.parametrize("make", [lognormal, counts])
def test_noise(make):
    torch.manual_seed(0)
    law = make(3000)
    value = law.sample()
    noise = abduct(law, value, convention="quantile")
    torch.testing.assert_close(replay(law, noise, convention="quantile"), value)
    assert scipy.stats.kstest(noise.numpy(), "norm").pvalue > 1e-3


def test_gradients_at_zero_and_beyond():
    laws = {
        Poisson: [0, 1, 7],
        NegativeBinomial: [0, 1, 7],
        LogNormal: [0, 0.1, 9],
        Beta: [0, 0.3, 0.9],
    }
    for positive, values in laws.items():
        law, y = Hurdle(None, positive=positive), torch.tensor(values).float()
        distribution = law(torch.zeros(3, 0))
        (distribution.log_prob(y) + distribution.cdf(y)).sum().backward()
        assert law.body.values.grad.isfinite().all()


def test_what_cannot_be_the_positive_law():
    with pytest.raises(ValueError, match="values below zero"):
        Hurdle(None, positive=Normal)
    with pytest.raises(TypeError, match="makes a head"):
        Hurdle(None, positive=Normal(None))
    with pytest.raises(ValueError, match="for scalars"):
        Hurdle(None, positive=lambda body: Poisson(body, event=2))
    with pytest.raises(ValueError, match="support"):
        Hurdle(None)(torch.zeros(1, 0)).log_prob(torch.tensor([-1.0]))
