"""Simulation-based calibration: are the posteriors of a method right on average over the prior?

The model is conjugate, two parameters from N(0, 1) and ten rows from N(Xθ, 1), so that the exact
posterior is known. For each simulation a parameter is drawn from the prior and data from
the parameter; among L draws of a posterior given the data, the parameter has a rank that is uniform
on 0 … L if the method is exact. So has the log-likelihood of the data. Where ranks are not uniform,
the share of central intervals that hold the parameter, and the width of the posterior beside the
right one, say by how much.

A posterior that is a fifth too narrow is the negative control. To try another method, give
`verdicts` a function from data ``(simulations, rows)`` to draws; `one_by_one` makes it of one that
takes the data of one simulation. The library's own are in `calibrated_posteriors`.

Source: Talts et al., Validating Bayesian inference algorithms with simulation-based calibration,
2018, algorithm 2; Modrák et al., Simulation-based calibration checking with data-dependent test
quantities, Bayesian Analysis 2025 (the log-likelihood); Säilynoja, Bürkner & Vehtari, Graphical
test for discrete uniformity and its applications, Statistics and Computing 2022, section 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyro.distributions as dist
import torch
from scipy import stats
from torch import Tensor

ROWS, SIZE, DRAWS = 10, 2, 63
_GENERATOR = torch.Generator().manual_seed(7)
DESIGN = torch.randn(ROWS, SIZE, generator=_GENERATOR, dtype=torch.float64)
DESIGN[:, 1] += DESIGN[:, 0]  # the two parameters are correlated in the posterior
PRECISION = torch.eye(SIZE, dtype=torch.float64) + DESIGN.mT @ DESIGN
COVARIANCE = torch.linalg.inv(PRECISION)
_LEVEL = 0.01  # of a wrong alarm for a method, over all of its tests
Posterior = Callable[[Tensor, int], Tensor]
"""From data ``(simulations, rows)`` and a seed to ``(simulations, DRAWS, 2)``."""


class Verdict(NamedTuple):
    """Of one quantity: is the posterior right, and if not, by how much it is wrong.

    ``chi2`` and ``ecdf`` are p-values of two tests of uniform ranks, ``half`` and ``ninety`` the
    shares of central 50 % and 90 % intervals that hold the parameter, ``width`` the posterior's
    standard deviation over the right one (by the mean variance; None for the log-likelihood).
    """

    quantity: str
    chi2: float
    ecdf: float
    half: float
    ninety: float
    width: float | None


def simulate(simulations: int, seed: int) -> tuple[Tensor, Tensor]:
    """Parameters from the prior, and data."""
    generator = torch.Generator().manual_seed(seed)
    theta = torch.randn(simulations, SIZE, generator=generator, dtype=torch.float64)
    noise = torch.randn(simulations, ROWS, generator=generator, dtype=torch.float64)
    return theta, theta @ DESIGN.mT + noise


def exact(y: Tensor, seed: int, width: float = 1.0) -> Tensor:
    """The posterior itself, its standard deviations times ``width``."""
    return _normal(y, seed, width * torch.linalg.cholesky(COVARIANCE))


def narrow(y: Tensor, seed: int) -> Tensor:
    """The negative control: a fifth too narrow."""
    return exact(y, seed, width=0.8)


def independent(y: Tensor, seed: int) -> Tensor:
    """The normal with independent parameters that is nearest to the posterior.

    Nearest by the divergence that variational inference minimises: the means are right, and each
    variance is that of the parameter given the other, 1 / precision[i, i].
    """
    return _normal(y, seed, PRECISION.diagonal().rsqrt().diag())


def _normal(y: Tensor, seed: int, factor: Tensor) -> Tensor:
    """Draws around the posterior's mean, with covariance ``factor @ factor.mT``."""
    mean = y @ DESIGN @ COVARIANCE
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(y), DRAWS, SIZE, generator=generator, dtype=y.dtype)
    return mean.unsqueeze(1) + noise @ factor.mT


def in_groups(posterior: Posterior, size: int) -> Posterior:
    """The posterior for groups of simulations, one after another."""

    def grouped(y: Tensor, seed: int) -> Tensor:
        parts = [posterior(part, seed + i) for i, part in enumerate(y.split(size))]
        return torch.cat(parts)

    return grouped


def one_by_one(posterior: Callable[[Tensor, Tensor, int], Tensor]) -> Posterior:
    """Of a method that takes a design, ten rows and a seed, and gives ``(DRAWS, 2)``."""

    def each(y: Tensor, seed: int) -> Tensor:
        return torch.stack([posterior(DESIGN, row, seed + i) for i, row in enumerate(y)])

    return each


def ranks(theta: Tensor, y: Tensor, draws: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """Ranks on 0 … DRAWS by quantity, of true parameters among draws."""

    def likelihood(value: Tensor) -> Tensor:
        mean = value @ DESIGN.mT
        return dist.Normal(mean, 1.0).log_prob(y.unsqueeze(1)).sum(-1)

    true, drawn = likelihood(theta.unsqueeze(1)), likelihood(draws)
    found = {f"theta[{i}]": (draws[..., i] < theta[:, None, i]).sum(1) for i in range(SIZE)}
    found["log-likelihood"] = (drawn < true).sum(1)
    return {name: values.numpy() for name, values in found.items()}


def chi2(values: np.ndarray[Any, Any], bins: int = 16) -> float:
    """The p-value of equal counts in bins of equally many ranks."""
    counts = np.bincount(values * bins // (DRAWS + 1), minlength=bins)
    return float(stats.chisquare(counts).pvalue)


def farthest(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of samples of ranks ``(…, simulations)``: the least pointwise probability of their ECDF."""
    count = values.shape[-1]
    at = np.arange(DRAWS)
    below = np.stack([(values <= rank).sum(-1) for rank in at], -1)
    law = stats.binom(count, (at + 1) / (DRAWS + 1))
    least = np.minimum(law.cdf(below), law.sf(below - 1))
    return np.asarray(2 * least.min(-1))


def ecdf(values: np.ndarray[Any, Any], repetitions: int = 2000) -> float:
    """The p-value of the whole ECDF lying where that of uniform ranks does, by simulation."""
    random = np.random.default_rng(0)
    uniform = random.integers(0, DRAWS + 1, (repetitions, len(values)))
    return float((1 + (farthest(uniform) <= farthest(values)).sum()) / (1 + repetitions))


def coverage(values: np.ndarray[Any, Any], level: float) -> float:
    """The share of ranks inside of the central interval; its two outermost ranks count in part."""
    outside = np.abs(values - DRAWS / 2) - level * (DRAWS + 1) / 2
    return float(np.clip(0.5 - outside, 0, 1).mean())


def verdicts(posterior: Posterior, simulations: int, seed: int = 0) -> list[Verdict]:
    """Tests and sizes of each quantity."""
    theta, y = simulate(simulations, seed)
    draws = posterior(y, seed + 1)
    width: list[float | None] = [*(draws.var(1).mean(0) / COVARIANCE.diagonal()).sqrt().tolist()]
    return [
        Verdict(name, chi2(x), ecdf(x), coverage(x, 0.5), coverage(x, 0.9), own)
        for (name, x), own in zip(ranks(theta, y, draws).items(), [*width, None], strict=True)
    ]


def uniform(found: list[Verdict]) -> bool:
    """Whether no test speaks against it, at a level for all tests together."""
    return min(min(x.chi2, x.ecdf) for x in found) > _LEVEL / (2 * len(found))
