r"""The regularised incomplete beta function and what distributions need around it (floor 2).

.. math:: I_x(a, b) = \frac{1}{B(a, b)} \int_0^x t^{a - 1} (1 - t)^{b - 1} dt

It is the cumulative probability of beta, Student and negative binomial laws; torch has none.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import betainc, betaincc
from torch import Tensor
from torch.special import gammaln

__all__ = ["incomplete_beta", "root_with_slope", "with_slope"]

_MOST_STEPS = 2000
_TINY = 1e-300


def incomplete_beta(a: Tensor, b: Tensor, x: Tensor, rest: Tensor) -> Tensor:
    r"""Regularised incomplete beta function :math:`I_x(a, b)`, in double precision.

    Lentz's evaluation of the continued fraction, on the side of its fast convergence; the number of
    steps grows with :math:`\sqrt{\max(a, b)}` and is capped, which holds up to a, b of some 1e5.
    Gradients reach a and b; for x prefer `with_slope`, as the density is known. Without gradients,
    on the CPU, SciPy's compiled function is called.

    Args:
        a: First parameter, positive.
        b: Second parameter, positive.
        x: Upper limit in [0, 1].
        rest: 1 − x, given apart so that neither end loses digits.

    Returns:
        Values of the broadcast shape, float64.

    Source: Press et al. (2007), *Numerical recipes*, 3rd edition, section 6.4, eq. 6.4.5–6.4.6.

    Example:
        >>> half = torch.tensor(0.5)
        >>> incomplete_beta(torch.tensor(2.0), torch.tensor(3.0), half, half)
        tensor(0.6875, dtype=torch.float64)
    """
    a, b, x, rest = torch.broadcast_tensors(*(part.double() for part in (a, b, x, rest)))
    if not a.numel():
        return torch.zeros_like(a)
    if a.device.type == "cpu" and not (a + b + x).requires_grad:  # nobody asks for gradients
        return _by_scipy(a, b, x, rest)
    swap = x > (a + 1) / (a + b + 2)
    first, second = torch.where(swap, b, a), torch.where(swap, a, b)
    low, high = torch.where(swap, rest, x), torch.where(swap, x, rest)
    low, high = low.clamp_min(_TINY), high.clamp_min(_TINY)
    front = first * low.log() + second * high.log()
    front = front + gammaln(a + b) - gammaln(a) - gammaln(b)
    result = front.exp() * _fraction(first, second, low) / first
    return torch.where(swap, 1 - result, result)


def _by_scipy(a: Tensor, b: Tensor, x: Tensor, rest: Tensor) -> Tensor:
    first, second, low, high = (part.detach().numpy() for part in (a, b, x, rest))
    near = low < 0.5
    result = np.empty_like(low)
    result[near] = betainc(first[near], second[near], low[near])
    # Beyond the middle through the distance from 1: the rest of the other function.
    result[~near] = betaincc(second[~near], first[~near], high[~near])
    return torch.as_tensor(result)


def _fraction(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    largest = float(torch.maximum(a, b).detach().amax())
    steps = min(int(30 + 4 * largest**0.5), _MOST_STEPS)
    c = torch.ones_like(x)
    d = _away(1 - (a + b) * x / (a + 1)).reciprocal()
    result = d
    for m in range(1, steps + 1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = _away(1 + even * d).reciprocal(), _away(1 + even / c)
        result = result * d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = _away(1 + odd * d).reciprocal(), _away(1 + odd / c)
        change = d * c
        result = result * change
        if m % 8 == 0 and bool(((change.detach() - 1).abs() < 1e-15).all()):
            break
    return result


def _away(number: Tensor) -> Tensor:
    """``number``, not nearer to zero than the smallest that can be divided by."""
    return torch.where(number.abs() < _TINY, torch.full_like(number, _TINY), number)


def with_slope(value: Tensor, slope: Callable[[], Tensor], variable: Tensor) -> Tensor:
    """``value`` with a known first derivative with respect to ``variable``.

    Args:
        value: Computed without a gradient to ``variable``.
        slope: Makes the derivative, which is treated as a constant; called where it is needed.
        variable: What it is taken for.

    Example:
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> with_slope(torch.tensor(9.0), lambda: 2 * x, x).backward()
        >>> x.grad
        tensor(6.)
    """
    if not variable.requires_grad:
        return value
    return value + slope().detach() * (variable - variable.detach())


def root_with_slope(root: Tensor, excess: Tensor, slope: Tensor) -> Tensor:
    r"""The root r of an increasing function f, with its gradient by the implicit function theorem.

    One Newton step :math:`r - f(r) / f'(r)` whose slope is a constant: it polishes the value, and
    its derivative with respect to whatever f depends on is exact.

    Args:
        root: The root, without a gradient.
        excess: f(root), with gradients.
        slope: f'(root).

    Example:
        >>> square = torch.tensor(9.0, requires_grad=True)
        >>> root = torch.tensor(3.0)
        >>> root_with_slope(root, root**2 - square, 2 * root).backward()
        >>> square.grad  # 1 / (2 * 3)
        tensor(0.1667)
    """
    safe = slope.detach()
    step = torch.where(safe > 0, excess / safe.clamp_min(_TINY), torch.zeros_like(excess))
    return root - torch.where(step.isfinite(), step, torch.zeros_like(step))
