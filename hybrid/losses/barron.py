r"""One loss from squared error to Geman–McClure, with its shape as a number (floor 0).

.. math:: \rho(x, \alpha) = \frac{|\alpha - 2|}{\alpha}
    \left(\left(\frac{x^2}{|\alpha - 2|} + 1\right)^{\alpha / 2} - 1\right)

Barron (2019), *A general and adaptive robust loss function*: α = 2 is half the squared error, 1 is
Charbonnier's (smoothed absolute) loss, 0 Cauchy's, −2 Geman–McClure's. For α in [0, 2] it is minus
the log of an unnormalised density.
"""

import math

import torch
from torch import Tensor

__all__ = ["log_partition", "robust"]

_LEAST = 1e-6  # distance of α from 2 that is told apart


def robust(residual: Tensor, alpha: Tensor | float = 1.0, scale: Tensor | float = 1.0) -> Tensor:
    r"""Barron's general loss :math:`\rho(x / c, \alpha)`, elementwise.

    Args:
        residual: Residuals x, any shape.
        alpha: Shape α, finite; broadcasts to the residuals.
        scale: Scale c, positive: the width of the quadratic bowl; broadcasts.

    Returns:
        Losses of the broadcast shape.

    Raises:
        ValueError: α is not finite or a scale is not positive.

    Source: Barron (2019), *A general and adaptive robust loss function*, eq. 8 (appendix B for its
    limits).

    Example:
        >>> x = torch.tensor([0.0, 1.0, 100.0])
        >>> robust(x, 2.0)
        tensor([0.0000e+00, 5.0000e-01, 5.0000e+03])
        >>> robust(x, 0.0), torch.log1p(x.square() / 2)
        (tensor([0.0000, 0.4055, 8.5174]), tensor([0.0000, 0.4055, 8.5174]))
    """
    shape, width = (torch.as_tensor(v).to(residual) for v in (alpha, scale))
    if not bool(shape.isfinite().all()) or not bool((width > 0).all()):
        raise ValueError("alpha must be finite and scale positive in every entry")
    return _robust(residual / width, shape)


def _robust(x: Tensor, alpha: Tensor) -> Tensor:
    bowl = (alpha - 2).abs().clamp_min(_LEAST)
    log = torch.log1p(x.square() / bowl)
    half = alpha * log / 2
    small = half.abs() < 1e-3
    safe = torch.where(small, torch.ones_like(half), half)
    # (e^h − 1) / h, whose value at 0 is 1.
    ratio = torch.where(small, 1 + half / 2 + half.square() / 6, torch.expm1(safe) / safe)
    return bowl * log / 2 * ratio


def log_partition(alpha: Tensor) -> Tensor:
    r"""Log of :math:`Z(\alpha) = \int e^{-\rho(x, \alpha)} dx`, for α in [0, 2].

    The trapezoidal rule after the substitution :math:`x = \sinh(\frac\pi2 \sinh t)`, which makes
    every tail between Cauchy's and the normal one decay doubly exponentially: accurate to about ten
    digits with 201 nodes, and differentiable.

    Args:
        alpha: Shapes α in [0, 2], any shape.

    Raises:
        ValueError: An α lies outside.

    Source: Barron (2019), section 2.2, eq. 14–16 (there as a spline); Takahasi & Mori (1974),
    *Double exponential formulas for numerical integration*.

    Example:
        >>> log_partition(torch.tensor([0.0, 2.0])).exp()  # π √2 and √(2 π)
        tensor([4.4429, 2.5066])
    """
    if not bool(((alpha >= 0) & (alpha <= 2)).all()):
        raise ValueError("the density of the robust loss exists for alpha between 0 and 2 only")
    t = torch.linspace(-4.0, 4.0, 201, dtype=torch.float64, device=alpha.device)
    inner = math.pi / 2 * torch.sinh(t)
    weight = math.pi / 2 * torch.cosh(t) * torch.cosh(inner) * (t[1] - t[0])
    logs = weight.log() - _robust(torch.sinh(inner), alpha.double().unsqueeze(-1))
    return logs.logsumexp(-1).to(alpha.dtype)
