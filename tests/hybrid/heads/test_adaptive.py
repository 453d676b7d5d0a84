"""The law of the adaptive robust loss: normalised, sampled as it is scored, learnt."""

import pytest
import torch

from causal.noise import NoiseNotRecoverable, abduct, replay
from hybrid.heads import AdaptiveRobust
from hybrid.heads.adaptive import RobustDistribution


def test_limits_are_the_normal_and_the_cauchy_law():
    y = torch.linspace(-5, 5, 11, dtype=torch.float64)
    normal = torch.distributions.Normal(0.5, 2.0).log_prob(y)
    found = RobustDistribution(torch.tensor(0.5).double(), 2.0, 2.0).log_prob(y)
    torch.testing.assert_close(found, normal, atol=1e-4, rtol=0)
    cauchy = torch.distributions.Cauchy(0.5, 2.0 * 2**0.5).log_prob(y)
    found = RobustDistribution(torch.tensor(0.5).double(), 2.0, 0.0).log_prob(y)
    torch.testing.assert_close(found, cauchy)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.8])
def test_samples_follow_the_density(alpha):
    torch.manual_seed(0)
    law = RobustDistribution(torch.tensor(1.0).double(), 0.5, alpha)
    y = law.sample((20_000,))
    grid = torch.linspace(-3, 5, 8001, dtype=torch.float64)
    below = torch.trapezoid(law.log_prob(grid).exp(), grid)
    assert ((y > -3) & (y < 5)).double().mean().item() == pytest.approx(below.item(), abs=0.01)
    inner = torch.trapezoid(law.log_prob(grid[grid < 1.5]).exp(), grid[grid < 1.5])
    found = ((y > -3) & (y < 1.5)).double().mean().item()
    assert found == pytest.approx(inner.item(), abs=0.015)


def test_learns_how_heavy_the_tails_are():
    torch.manual_seed(0)
    for planted in (0.5, 1.5):
        y = RobustDistribution(torch.tensor(1.0), 2.0, planted).sample((4000,))
        law = AdaptiveRobust(None)
        optimizer = torch.optim.LBFGS(law.parameters(), max_iter=60, line_search_fn="strong_wolfe")

        def loss(law=law, y=y, optimizer=optimizer):
            optimizer.zero_grad()
            value = -law(torch.zeros(4000, 0)).log_prob(y).mean()
            value.backward()
            return value

        optimizer.step(loss)
        found = law(torch.zeros(1, 0))
        assert found.alpha.item() == pytest.approx(planted, abs=0.25)
        assert found.scale.item() == pytest.approx(2.0, rel=0.15)


def test_noise_needs_one_alpha():
    one = RobustDistribution(torch.zeros(3), 1.0, 1.0)
    value = torch.tensor([-1.0, 0.0, 30.0])
    noise = abduct(one, value)
    torch.testing.assert_close(
        replay(RobustDistribution(torch.ones(3), 2.0, 1.0), noise), 2 * value + 1
    )
    with pytest.raises(NoiseNotRecoverable, match="alpha"):
        replay(RobustDistribution(torch.zeros(3), 1.0, 1.1), noise)
    with pytest.raises(ValueError, match="alpha is a number"):
        AdaptiveRobust(None, alpha=3.0)
