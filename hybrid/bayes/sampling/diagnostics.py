r"""How far draws can be trusted: convergence, effective sizes, Monte Carlo errors (floor 0).

Draws are ``(chains, draws, *values)``; every value is judged for itself.

Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner, Rank-normalization, folding, and
localization: An improved R-hat for assessing convergence of MCMC, Bayesian Analysis 2021, section 4
and the appendices A and B.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "bulk_size",
    "effective_size",
    "mean_error",
    "potential_scale_reduction",
    "sd_error",
    "tail_size",
]

Draws = Float[Tensor, "chains draws *values"]
Values = Float[Tensor, "*values"]


def potential_scale_reduction(draws: Draws) -> Values:
    r"""The rank-normalised split :math:`\hat R`, of the values and of their distances from the
    median, whichever is larger.

    Example:
        >>> torch.manual_seed(0)
        <torch._C.Generator object ...>
        >>> potential_scale_reduction(torch.randn(4, 1000)) < 1.01
        tensor(True)
    """  # noqa: D205
    split = _split(draws.double())
    median = split.flatten(0, 1).median(0).values
    folded = (split - median).abs()
    found = torch.maximum(_reduction(_normal_scores(split)), _reduction(_normal_scores(folded)))
    return found.to(draws.dtype)


def effective_size(draws: Draws) -> Values:
    r"""How many independent draws would estimate the mean as well.

    .. math:: S = \frac{M N}{\tau}, \qquad \tau = -1 + 2 \sum_t (\rho_{2t} + \rho_{2t+1})

    over Geyer's initial monotone sequence of the autocorrelations ρ of M chains of N draws.

    Example:
        >>> torch.manual_seed(0)
        <torch._C.Generator object ...>
        >>> walk = torch.randn(4, 1000).cumsum(1)
        >>> effective_size(walk) < 50
        tensor(True)
    """
    return _size(_split(draws.double())).to(draws.dtype)


def bulk_size(draws: Draws) -> Values:
    """The effective size of the rank-normalised draws.

    Example:
        >>> bulk_size(torch.randn(4, 100, 2)).shape
        torch.Size([2])
    """
    return _size(_normal_scores(_split(draws.double()))).to(draws.dtype)


def tail_size(draws: Draws) -> Values:
    """The smaller of the effective sizes for the quantiles of 5 % and 95 %.

    Example:
        >>> tail_size(torch.randn(4, 100, 2)).shape
        torch.Size([2])
    """
    split = _split(draws.double())
    ordered = split.flatten(0, 1).sort(0).values
    found = []
    for part in (0.05, 0.95):
        quantile = ordered[int(part * (len(ordered) - 1))]
        found.append(_size((split <= quantile).double()))
    return torch.minimum(*found).to(draws.dtype)


def mean_error(draws: Draws) -> Values:
    r"""The Monte Carlo standard error of the mean: :math:`\mathrm{sd} / \sqrt S`.

    Example:
        >>> torch.manual_seed(0)
        <torch._C.Generator object ...>
        >>> bool(0.009 < mean_error(torch.randn(4, 2500)) < 0.011)
        True
    """
    return draws.flatten(0, 1).std(0) / effective_size(draws).sqrt()


def sd_error(draws: Draws) -> Values:
    r"""The Monte Carlo standard error of the standard deviation.

    By the delta method: :math:`\mathrm{sd}(x - \bar x)^2 / (2\, \mathrm{sd}(x) \sqrt{S})`, with S
    the effective size of the squared distances.

    Example:
        >>> torch.manual_seed(0)
        <torch._C.Generator object ...>
        >>> bool(0.006 < sd_error(torch.randn(4, 2500)) < 0.0085)
        True
    """
    flat = draws.flatten(0, 1)
    square = (draws - flat.mean(0)).square()
    spread = flat.std(0)
    return square.flatten(0, 1).std(0) / (2 * spread * effective_size(square).sqrt())


def _split(draws: Tensor) -> Tensor:
    """Each chain as two: first half and last half (an odd draw in the middle is left out)."""
    half = draws.shape[1] // 2
    if half < 2:
        raise ValueError(f"chains of at least 4 draws can be judged, got {draws.shape[1]}")
    return torch.cat([draws[:, :half], draws[:, -half:]])


def _normal_scores(draws: Tensor) -> Tensor:
    """Normal quantiles of the ranks over all chains (Blom's), the mean rank for equal draws."""
    flat = draws.flatten(0, 1)
    shape = flat.shape
    columns = flat.reshape(len(flat), -1).mT.contiguous()
    ordered = columns.sort(-1).values
    below = torch.searchsorted(ordered, columns, side="left")
    above = torch.searchsorted(ordered, columns, side="right")
    ranks = (below + above + 1).double() / 2
    scores = torch.special.ndtri((ranks - 0.375) / (len(flat) + 0.25))
    return scores.mT.reshape(shape).reshape(draws.shape)


def _reduction(draws: Tensor) -> Tensor:
    length = draws.shape[1]
    within = draws.var(1).mean(0)
    between = draws.mean(1).var(0)
    return ((length - 1) / length + between / within).sqrt()


def _size(draws: Tensor) -> Tensor:
    """The effective size of chains that are split already; not a number for a constant."""
    chains, length = draws.shape[:2]
    centred = draws - draws.mean(1, keepdim=True)
    spectrum = torch.fft.rfft(centred, n=2 ** math.ceil(math.log2(2 * length)), dim=1)
    power = spectrum.real.square() + spectrum.imag.square()
    covariance = torch.fft.irfft(power, dim=1)[:, :length].mean(0) / length
    within = covariance[0] * length / (length - 1)
    total = within * (length - 1) / length
    if chains > 1:
        total = total + draws.mean(1).var(0)
    rho = 1 - (within - covariance * length / (length - 1)) / total
    rho[0] = 1.0
    even = 2 * (length // 2)
    pairs = rho[0:even:2] + rho[1:even:2]
    positive = (pairs > 0).double().cumprod(0)
    falling = torch.cummin(pairs, 0).values * positive
    time = (-1 + 2 * falling.sum(0)).clamp_min(1 / math.log10(chains * length))
    return torch.where(total > 0, chains * length / time, torch.nan)
