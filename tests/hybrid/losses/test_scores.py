"""Scores: every closed form against the integral that defines the CRPS."""

import pyro.distributions as dist
import pytest
import torch

from hybrid.flows import NeuralSpline
from hybrid.heads.censored import Censored
from hybrid.heads.counts import NegativeBinomialDistribution, PoissonDistribution
from hybrid.heads.mixture import Mixture
from hybrid.heads.quantiles import QuantileDistribution
from hybrid.heads.student import StudentT
from hybrid.losses.scores import (
    closed_crps,
    crps,
    crps_of_samples,
    energy_of_samples,
    energy_score,
)

ONE = torch.ones(2, dtype=torch.float64)
LAWS = {
    "normal": (dist.Normal(ONE, 2 * ONE), (-3.0, 1.7)),
    "log-normal": (dist.LogNormal(0.2 * ONE, 0.7 * ONE), (0.3, 4.0)),
    "laplace": (dist.Laplace(ONE, 0.5 * ONE), (0.0, 1.2)),
    "exponential": (dist.Exponential(1.5 * ONE), (0.2, 3.0)),
    "uniform": (dist.Uniform(-ONE, 3 * ONE), (0.5, 4.0)),
    "student": (StudentT(3 * ONE, ONE, 0.5 * ONE), (-2.0, 1.1)),
    "censored": (Censored(0.5 * ONE, ONE, 0.0 * ONE, 2 * ONE), (0.0, 1.3)),
    "censored below": (Censored(0.5 * ONE, ONE, 0.0 * ONE), (0.0, 1.3)),
    "mixture": (
        Mixture(
            dist.Categorical(torch.tensor([0.3, 0.7], dtype=torch.float64).expand(2, 2)),
            dist.Normal(torch.tensor([[-2.0, 1.0]] * 2, dtype=torch.float64), 0.8),
        ),
        (-1.0, 5.0),
    ),
    "quantiles": (
        QuantileDistribution(
            torch.tensor([[-1.0, 0.5, 1.0, 3.0]] * 2, dtype=torch.float64), (0.1, 0.4, 0.7, 0.95)
        ),
        (-2.5, 0.7),
    ),
    "quantiles beyond": (
        QuantileDistribution(
            torch.tensor([[-1.0, 0.5, 3.0]] * 2, dtype=torch.float64), (0.1, 0.4, 0.7)
        ),
        (3.0, 7.0),
    ),
    "poisson": (PoissonDistribution(2.5 * ONE), (0.0, 4.0)),
    "negative binomial": (NegativeBinomialDistribution(2 * ONE, logits=0.3 * ONE), (1.0, 6.0)),
}


def cdf(law, x):
    if isinstance(law, dist.Uniform):
        return ((x - law.low) / (law.high - law.low)).clamp(0.0, 1.0)
    if isinstance(law, dist.LogNormal | dist.Exponential):
        known = law.cdf(x.clamp_min(1e-12))
        return torch.where(x <= 0, torch.zeros_like(known), known)
    return law.cdf(x)


@pytest.mark.parametrize("name", LAWS)
def test_closed_forms(name):
    law, values = LAWS[name]
    y = torch.tensor(values, dtype=torch.float64)
    # The law's steps lie between the nodes, and its tails within the grid.
    step = 1e-3
    x = torch.arange(-150, 150, step, dtype=torch.float64).add(step / 2).unsqueeze(-1)
    expected = (cdf(law, x) - (x >= y).double()).square().sum(0) * step
    found = crps(law, y)
    assert closed_crps(law, y) is not None
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["normal", "log-normal", "laplace", "student", "quantiles"])
def test_closed_forms_have_gradients(name):
    law, values = LAWS[name]
    numbers = {
        "normal": ("loc", "scale"),
        "log-normal": ("loc", "scale"),
        "laplace": ("loc", "scale"),
        "student": ("df", "loc", "scale"),
        "quantiles": ("knots",),
    }[name]
    given = [getattr(law, key).detach().clone().requires_grad_() for key in numbers]
    y = torch.tensor(values, dtype=torch.float64)

    def score(*parts):
        if name == "quantiles":
            return crps(QuantileDistribution(*parts, law.levels, validate_args=False), y)
        return crps(type(law)(*parts, validate_args=False), y)

    assert torch.autograd.gradcheck(score, given)


def test_samples_agree_with_the_closed_form():
    law, _ = LAWS["normal"]
    y = torch.tensor([-3.0, 1.7], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = crps_of_samples(law.sample((40_000,)), y)
    torch.testing.assert_close(found, crps(law, y), rtol=0.03, atol=0)
    flow = NeuralSpline(None)(torch.zeros(3, 0))
    state = torch.get_rng_state()
    score = crps(flow, torch.zeros(3), generator=generator)
    assert torch.equal(state, torch.get_rng_state())
    assert score.requires_grad


def test_fair_estimators_are_unbiased():
    torch.manual_seed(0)
    samples = torch.randn(3, 20_000, dtype=torch.float64)
    score = crps_of_samples(samples, torch.zeros(20_000, dtype=torch.float64))
    exact = crps(dist.Normal(0.0, 1.0), torch.tensor(0.0))
    assert score.mean().item() == pytest.approx(exact.item(), abs=0.01)
    flat = energy_of_samples(samples.unsqueeze(-1), torch.zeros(20_000, 1, dtype=torch.float64))
    torch.testing.assert_close(flat, score)


def test_classes():
    probs = torch.tensor([[0.2, 0.5, 0.3]])
    assert crps(dist.Bernoulli(torch.tensor([0.3])), torch.ones(1)).item() == pytest.approx(0.49)
    found = crps(dist.Categorical(probs), torch.tensor([1])).item()
    assert found == pytest.approx(0.2**2 + 0.3**2)


def test_refusals():
    vector = dist.Normal(torch.zeros(4, 2), 1.0).to_event(1)
    with pytest.raises(ValueError, match="use energy_score"):
        crps(vector, torch.zeros(4, 2))
    with pytest.raises(ValueError, match="use crps"):
        energy_score(dist.Normal(0.0, 1.0), torch.zeros(()))
    with pytest.raises(ValueError, match="at least 2"):
        energy_score(vector, torch.zeros(4, 2), samples=1)
    assert closed_crps(StudentT(ONE / 2, ONE, ONE), ONE) is None
