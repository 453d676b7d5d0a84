"""Barron's loss: its named special cases, and its partition function against quadrature."""

import math

import pytest
import torch
from scipy.integrate import quad

from hybrid.losses.barron import log_partition, robust

X = torch.linspace(-30, 30, 25, dtype=torch.float64)
CASES = {
    2.0: X**2 / 2,
    1.0: (X**2 + 1).sqrt() - 1,
    0.0: torch.log1p(X**2 / 2),
    -2.0: 2 * X**2 / (X**2 + 4),
}


@pytest.mark.parametrize("alpha", CASES)
def test_special_cases(alpha):
    torch.testing.assert_close(robust(X, alpha), CASES[alpha], rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(robust(3 * X, alpha, 3.0), CASES[alpha], rtol=1e-4, atol=1e-9)


def test_continuous_in_alpha_with_gradients():
    alpha = torch.tensor([-1e-4, 0.0, 1e-4, 0.7, 1.999, 3.0], dtype=torch.float64)
    alpha.requires_grad_()
    x = torch.tensor([[0.0], [0.5], [20.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, a: robust(x, a), (x, alpha))
    steps = robust(x, alpha)[:, :3].diff(dim=-1).abs()
    assert (steps < 2e-2).all()


@pytest.mark.parametrize("alpha", [0.0, 0.05, 1.0, 1.7, 2.0])
def test_partition_function(alpha):
    def density(x):
        return math.exp(-robust(torch.tensor(x).double(), alpha))

    inner = quad(density, 0, 10, limit=200)[0]
    outer = quad(lambda u: density(1 / u) / u**2, 0, 0.1, limit=200)[0]
    found = log_partition(torch.tensor(alpha, dtype=torch.float64)).exp().item()
    assert found == pytest.approx(2 * (inner + outer), rel=1e-7)


def test_arguments():
    with pytest.raises(ValueError, match="between 0 and 2"):
        log_partition(torch.tensor(2.5))
    with pytest.raises(ValueError, match="scale positive"):
        robust(X, 1.0, 0.0)
    with pytest.raises(ValueError, match="finite"):
        robust(X, -math.inf)
    alpha = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_partition, (alpha,))
