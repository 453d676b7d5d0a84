"""The law of quantiles: density, cumulative probability and moments belong together."""

import pytest
import torch

from causal.noise import abduct, replay
from hybrid.heads import Quantile
from hybrid.heads.quantiles import QuantileDistribution

LEVELS = (0.1, 0.3, 0.6, 0.9)


def law():
    knots = torch.tensor([[-2.0, -1.0, 0.5, 4.0], [0.0, 0.1, 0.2, 3.0]], dtype=torch.float64)
    return QuantileDistribution(knots, LEVELS)


def test_density_is_the_slope_of_the_cdf_and_integrates_to_one():
    y = torch.linspace(-40, 60, 400_001, dtype=torch.float64).unsqueeze(-1)
    density = law().log_prob(y).exp()
    mass = torch.cumulative_trapezoid(density, y, dim=0)
    torch.testing.assert_close(mass[-1], torch.ones(2).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(law().cdf(y)[1:], mass, atol=2e-3, rtol=0)
    mean = torch.trapezoid(density * y, y, dim=0)
    torch.testing.assert_close(law().mean, mean, atol=1e-2, rtol=0)
    second = torch.trapezoid(density * (y - law().mean) ** 2, y, dim=0)
    torch.testing.assert_close(law().variance, second, atol=3e-2, rtol=0)


def test_quantiles():
    levels = torch.tensor(LEVELS, dtype=torch.float64).unsqueeze(-1)
    torch.testing.assert_close(law().icdf(levels), law().knots.T)
    p = torch.linspace(0.001, 0.999, 99, dtype=torch.float64).unsqueeze(-1)
    torch.testing.assert_close(law().cdf(law().icdf(p)), p.expand(-1, 2))
    assert law().expand((3, 2)).sample((4,)).shape == (4, 3, 2)


def test_gradients():
    knots = law().knots.clone().requires_grad_()
    y = torch.tensor([[-5.0, 0.15], [0.7, 9.0]], dtype=torch.float64, requires_grad=True)

    def scores(knots, y):
        built = QuantileDistribution(knots, LEVELS, validate_args=False)
        return built.log_prob(y), built.cdf(y)

    assert torch.autograd.gradcheck(scores, (knots, y))
    p = torch.tensor([[0.05, 0.2], [0.7, 0.97]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda k, p: QuantileDistribution(k, LEVELS, validate_args=False).icdf(p), (knots, p)
    )


def test_noise_needs_no_convention():
    value = torch.tensor([3.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(replay(law(), abduct(law(), value)), value)


def test_head_never_crosses_and_starts_normal():
    head = Quantile(torch.nn.Linear(3, 8), levels=LEVELS)
    with torch.no_grad():
        head.body[1].weight.normal_(0, 20)
    assert (head(torch.randn(50, 3)).knots.diff(dim=-1) > 0).all()
    start = Quantile(None, levels=LEVELS)(torch.zeros(1, 0)).knots[0]
    torch.testing.assert_close(start, torch.special.ndtri(torch.tensor(LEVELS)), atol=1e-5, rtol=0)


def test_bad_levels():
    for levels in ([0.5], [0.5, 0.4], [0.0, 0.5], [0.2, 0.2]):
        with pytest.raises(ValueError, match="rising numbers"):
            Quantile(None, levels=levels)
    with pytest.raises(ValueError, match="2 quantiles for 3 levels"):
        QuantileDistribution(torch.zeros(2), [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="must increase"):
        QuantileDistribution(torch.zeros(3), [0.1, 0.2, 0.3], validate_args=True)
