"""The incomplete beta function against SciPy, and derivatives against finite differences."""

import pytest
import scipy.special
import torch

from hybrid.heads.incomplete_beta import incomplete_beta, root_with_slope, with_slope


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("size", [1e-2, 0.5, 3.0, 70.0, 4e3, 1e5])
def test_values(size, gradients):
    torch.manual_seed(0)
    a = size * torch.rand(200, dtype=torch.float64).add(0.05)
    b = size * torch.rand(200, dtype=torch.float64).add(0.05)
    spread = torch.randn(200, dtype=torch.float64) / (a + b + 1).sqrt()
    x = (a / (a + b) + spread).clamp(1e-6, 1 - 1e-6)
    expected = torch.as_tensor(scipy.special.betainc(a.numpy(), b.numpy(), x.numpy()))
    a.requires_grad_(gradients)
    found = incomplete_beta(a, b, x, 1 - x)
    torch.testing.assert_close(found.detach(), expected, rtol=1e-8, atol=1e-300)


@pytest.mark.parametrize("gradients", [False, True])
def test_both_ends_keep_their_digits(gradients):
    a, b, tiny = torch.tensor(2.0), torch.tensor(3.0), torch.tensor(1e-20, dtype=torch.float64)
    a.requires_grad_(gradients)
    assert incomplete_beta(a, b, tiny, 1 - tiny).item() == pytest.approx(6e-40, rel=1e-12)
    assert incomplete_beta(b, a, 1 - tiny, tiny).item() == 1.0
    assert incomplete_beta(a, b, tiny * 0, tiny * 0 + 1).item() < 1e-200
    assert incomplete_beta(a[None][:0], b, tiny, tiny).shape == (0,)


def test_gradients_of_the_parameters():
    a, b = (torch.tensor([0.7, 4.0], dtype=torch.float64, requires_grad=True) for _ in range(2))
    x = torch.tensor([0.3, 0.8], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: incomplete_beta(a, b, x, 1 - x), (a, b))


def test_slopes():
    x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    value = with_slope(x.detach() ** 3, lambda: 3 * x.detach() ** 2, x)
    assert torch.autograd.grad(value, x)[0] == 12
    c = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    root = root_with_slope(torch.tensor(2.0).double(), 2.0**3 - c, torch.tensor(12.0).double())
    assert torch.autograd.grad(root, c)[0] == pytest.approx(1 / 12)
    flat = root_with_slope(torch.tensor(2.0), torch.tensor(1.0), torch.tensor(0.0))
    assert flat == 2
