"""Simulation-based calibration: are the posteriors of a method right on average over the prior?

The model is conjugate, two parameters from N(0, 1) and ten rows from N(Xθ, 1), so that the exact
posterior is known. For each simulation a parameter is drawn from the prior and data from
the parameter; among L draws of a posterior given the data, the parameter has a rank that is uniform
on 0 … L if the method is exact. So has the log-likelihood of the data. As a command::

    python tests/support/calibration.py                    # 1,000 simulations of every method
    python tests/support/calibration.py ChEES --simulations 200

A posterior that is a fifth too narrow is the negative control. To try another method, give `ranks`
a function from data ``(simulations, rows)`` to draws; `one_by_one` makes it of one that takes the
data of one simulation.

Source: Talts et al., Validating Bayesian inference algorithms with simulation-based calibration,
2018, algorithm 2; Modrák et al., Simulation-based calibration checking with data-dependent test
quantities, Bayesian Analysis 2025 (the log-likelihood); Säilynoja, Bürkner & Vehtari, Graphical
test for discrete uniformity and its applications, Statistics and Computing 2022, section 3.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from scipy import stats
from torch import Tensor

from hybrid.bayes import NUTS, sample

ROWS, SIZE, DRAWS = 10, 2, 63
_GENERATOR = torch.Generator().manual_seed(7)
DESIGN = torch.randn(ROWS, SIZE, generator=_GENERATOR, dtype=torch.float64)
DESIGN[:, 1] += DESIGN[:, 0]  # the two parameters are correlated in the posterior
_LEVEL = 0.01  # of a wrong alarm for a method, over all of its tests
Posterior = Callable[[Tensor, int], Tensor]
"""From data ``(simulations, rows)`` and a seed to ``(simulations, DRAWS, 2)``."""


class Verdict(NamedTuple):
    """Of one quantity: the p-values of the χ² and of the ECDF test of its ranks."""

    quantity: str
    chi2: float
    ecdf: float


def simulate(simulations: int, seed: int) -> tuple[Tensor, Tensor]:
    """Parameters from the prior, and data."""
    generator = torch.Generator().manual_seed(seed)
    theta = torch.randn(simulations, SIZE, generator=generator, dtype=torch.float64)
    noise = torch.randn(simulations, ROWS, generator=generator, dtype=torch.float64)
    return theta, theta @ DESIGN.mT + noise


def exact(y: Tensor, seed: int, width: float = 1.0) -> Tensor:
    """The posterior itself, its standard deviations times ``width``."""
    precision = torch.eye(SIZE, dtype=y.dtype) + DESIGN.mT @ DESIGN
    factor = torch.linalg.cholesky(torch.linalg.inv(precision))
    mean = torch.linalg.solve(precision, (y @ DESIGN).mT).mT
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(y), DRAWS, SIZE, generator=generator, dtype=y.dtype)
    return mean.unsqueeze(1) + width * noise @ factor.mT


def narrow(y: Tensor, seed: int) -> Tensor:
    """The negative control: a fifth too narrow."""
    return exact(y, seed, width=0.8)


def _model(y: Tensor) -> None:
    """All simulations of a group at once: their posteriors are independent."""
    zero = torch.zeros(len(y), SIZE, dtype=y.dtype)
    theta = pyro.sample("theta", dist.Normal(zero, 1.0).to_event(2))
    pyro.sample("y", dist.Normal(theta @ DESIGN.mT, 1.0).to_event(2), obs=y)


def by_chees(y: Tensor, seed: int) -> Tensor:
    """One draw of each of 63 chains, which are independent of each other."""
    found = sample(_model, y, chains=DRAWS, warmup=150, draws=1, seed=seed)["theta"]
    return found[:, 0].transpose(0, 1)


def by_nuts(y: Tensor, seed: int) -> Tensor:
    """Every fourth draw of one chain."""
    found = sample(_model, y, method=NUTS(), chains=1, warmup=200, draws=4 * DRAWS, seed=seed)
    return found["theta"][0, 3::4].transpose(0, 1)


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


METHODS: dict[str, Posterior] = {
    "exact": exact,
    "ChEES": in_groups(by_chees, 50),
    "NUTS": in_groups(by_nuts, 50),
    "a fifth too narrow": narrow,
}


def ranks(posterior: Posterior, simulations: int, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Ranks on 0 … DRAWS by quantity."""
    theta, y = simulate(simulations, seed)
    draws = posterior(y, seed + 1)

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


def verdicts(posterior: Posterior, simulations: int, seed: int = 0) -> list[Verdict]:
    """Both tests of each quantity."""
    found = ranks(posterior, simulations, seed)
    return [Verdict(name, chi2(values), ecdf(values)) for name, values in found.items()]


def uniform(found: list[Verdict]) -> bool:
    """Whether no test speaks against it, at a level for all tests together."""
    return min(min(x.chi2, x.ecdf) for x in found) > _LEVEL / (2 * len(found))


def main() -> int:
    """Print the table; 1 if an exact method fails or the control does not."""
    parser = argparse.ArgumentParser(description="Simulation-based calibration.")
    parser.add_argument("methods", nargs="*", metavar="method", help=", ".join(METHODS))
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path)
    chosen = parser.parse_args()
    lines = ["| method | quantity | χ², p | ECDF, p | uniform | seconds |", "| --- " * 6 + "|"]
    print(*lines, sep="\n", flush=True)
    failed = False
    for name in chosen.methods or list(METHODS):
        begin = time.perf_counter()
        found = verdicts(METHODS[name], chosen.simulations, chosen.seed)
        seconds, good = time.perf_counter() - begin, uniform(found)
        failed |= good == (METHODS[name] is narrow)
        for one in found:
            said = "yes" if good else "NO"
            lines.append(
                f"| {name} | {one.quantity} | {one.chi2:.3g} | {one.ecdf:.3g} | {said} | "
                f"{seconds:.1f} |"
            )
            print(lines[-1], flush=True)
    if chosen.markdown is not None:
        chosen.markdown.write_text("\n".join(lines) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
