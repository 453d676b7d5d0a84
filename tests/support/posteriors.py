"""Ten posteriors whose reference draws are public, as Pyro models, and the comparison with them.

Figures and data: posteriordb (Magnusson et al.), BSD-3-Clause, commit 28f8d3d6, in
`posteriordb.json` beside this file. All ten by both methods, as a command::

    python tests/support/posteriors.py            # or with names of posteriors

With ``--quick`` chains are shorter, and 400 effective draws and an R-hat of 1.02 will do; with
``--method NUTS`` one method runs alone; ``--markdown FILE`` keeps the table.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor

from hybrid.bayes import NUTS, ChEES, Draws, sample

_FILE = json.loads(Path(__file__).with_name("posteriordb.json").read_text())["posteriors"]
_REFERENCE_DRAWS = 10_000
Model = Callable[[], None]


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def flat(name: str, support: Any = constraints.real, size: int | None = None) -> Tensor:
    event = torch.Size() if size is None else torch.Size((size,))
    if size is not None:
        support = constraints.independent(support, 1)
    return pyro.sample(name, dist.ImproperUniform(support, torch.Size(), event))


def normal(name: str, mean: float, scale: float, size: int | None = None) -> Tensor:
    law = dist.Normal(number(mean), number(scale))
    return pyro.sample(name, law if size is None else law.expand([size]).to_event(1))


def half_normal(name: str, scale: float) -> Tensor:
    return pyro.sample(name, dist.HalfNormal(number(scale)))


def half_cauchy(name: str, scale: float) -> Tensor:
    return pyro.sample(name, dist.HalfCauchy(number(scale)))


def seen(mean: Tensor, scale: Tensor, y: Tensor) -> None:
    pyro.sample("y", dist.Normal(mean, scale).to_event(1), obs=y)


def eight_schools_noncentered(y: Tensor, sigma: Tensor, **_: Any) -> None:
    mu = normal("mu", 0.0, 5.0)
    tau = half_cauchy("tau", 5.0)
    raw = normal("raw", 0.0, 1.0, len(y))
    theta = pyro.deterministic("theta", mu + tau * raw)
    seen(theta, sigma, y)


def kidscore_momiq(kid_score: Tensor, mom_iq: Tensor, **_: Any) -> None:
    beta = flat("beta", size=2)
    sigma = half_cauchy("sigma", 2.5)
    seen(beta[..., 0] + beta[..., 1] * mom_iq, sigma, kid_score)


def logmesquite(weight: Tensor, group: Tensor, **data: Any) -> None:
    names = ("diam1", "diam2", "canopy_height", "total_height", "density")
    logs = [data[name].log() for name in names]
    design = torch.stack([torch.ones_like(group), *logs, group], -1)
    beta = flat("beta", size=7)
    sigma = flat("sigma", constraints.positive)
    seen(design @ beta, sigma, weight.log())


def kilpisjarvi(x: Tensor, y: Tensor, **data: Any) -> None:
    alpha = normal("alpha", data["pmualpha"], data["psalpha"])
    beta = normal("beta", data["pmubeta"], data["psbeta"])
    sigma = flat("sigma", constraints.positive)
    seen(alpha + beta * x, sigma, y)


def blr(X: Tensor, y: Tensor, **_: Any) -> None:
    beta = normal("beta", 0.0, 10.0, X.shape[1])
    seen(X @ beta, half_normal("sigma", 10.0), y)


def arK(y: Tensor, K: int, **_: Any) -> None:
    alpha = normal("alpha", 0.0, 10.0)
    beta = normal("beta", 0.0, 10.0, K)
    sigma = half_cauchy("sigma", 2.5)
    before = torch.stack([y[K - k - 1 : -k - 1] for k in range(K)], -1)
    seen(alpha + before @ beta, sigma, y[K:])


def garch11(y: Tensor, sigma1: float, **_: Any) -> None:
    mu = flat("mu")
    alpha0 = flat("alpha0", constraints.positive)
    alpha1 = pyro.sample("alpha1", dist.Uniform(number(0.0), number(1.0)))
    beta1 = flat("beta1", constraints.interval(number(0.0), 1 - alpha1))
    entering = alpha0 + alpha1 * (y[:-1] - mu) ** 2
    variance = torch.cat([(alpha0 * 0 + sigma1**2).reshape(1), entering])
    shift, factor = 1, beta1
    while shift < len(variance):  # s_t = e_t + β s_{t-1}, in as many steps as 2 has powers
        variance = variance + factor * torch.cat([0 * variance[:shift], variance[:-shift]])
        shift, factor = 2 * shift, factor * factor
    seen(mu, variance.sqrt(), y)


def low_dim_gauss_mix(y: Tensor, **_: Any) -> None:
    # The ordered pair as the smaller mean and a positive distance: the Jacobian is 1.
    low, gap = flat("low"), flat("gap", constraints.positive)
    mu = pyro.deterministic("mu", torch.stack([low, low + gap]))
    pyro.factor("ordered", dist.Normal(number(0.0), number(2.0)).log_prob(mu).sum())
    sigma = pyro.sample("sigma", dist.HalfNormal(number(2.0)).expand([2]).to_event(1))
    theta = pyro.sample("theta", dist.Beta(number(5.0), number(5.0)))
    parts = dist.Normal(mu, sigma).log_prob(y.unsqueeze(-1))
    weights = torch.stack([theta, 1 - theta]).log()
    pyro.factor("y", torch.logsumexp(parts + weights, -1).sum())


def hmm_example(y: Tensor, **_: Any) -> None:
    theta1 = pyro.sample("theta1", dist.Dirichlet(torch.ones(2, dtype=torch.float64)))
    theta2 = pyro.sample("theta2", dist.Dirichlet(torch.ones(2, dtype=torch.float64)))
    low = flat("low", constraints.positive)
    gap = flat("gap", constraints.positive)
    mu = pyro.deterministic("mu", torch.stack([low, low + gap]))
    centres = torch.tensor([3.0, 10.0], dtype=torch.float64)
    pyro.factor("means", dist.Normal(centres, number(1.0)).log_prob(mu).sum())
    emitted = dist.Normal(mu, number(1.0)).log_prob(y.unsqueeze(-1))
    moves = torch.stack([theta1, theta2]).log() + emitted[1:, None, :]
    while len(moves) > 1:  # products of matrices in pairs
        odd = moves[-1:] if len(moves) % 2 else moves[:0]
        even = moves[: len(moves) // 2 * 2]
        joined = torch.logsumexp(even[0::2].unsqueeze(-1) + even[1::2].unsqueeze(-3), -2)
        moves = torch.cat([joined, odd])
    pyro.factor("y", torch.logsumexp(emitted[0].unsqueeze(-1) + moves[0], (0, 1)))


def gp_regr(x: Tensor, y: Tensor, **_: Any) -> None:
    rho = pyro.sample("rho", dist.Gamma(number(25.0), number(4.0)))
    alpha, sigma = half_normal("alpha", 2.0), half_normal("sigma", 1.0)
    square = (x.unsqueeze(-1) - x) ** 2
    covariance = alpha**2 * torch.exp(-square / (2 * rho**2))
    covariance = covariance + sigma * torch.eye(len(x), dtype=x.dtype)
    law = dist.MultivariateNormal(torch.zeros_like(x), covariance)
    pyro.sample("y", law, obs=y)


MODELS: dict[str, Callable[..., None]] = {
    program.__name__: program
    for program in (
        *(eight_schools_noncentered, kidscore_momiq, logmesquite, kilpisjarvi, blr),
        *(arK, garch11, low_dim_gauss_mix, hmm_example, gp_regr),
    )
}


def posterior(name: str) -> Model:
    """The model with its data."""
    data = {
        key: torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value
        for key, value in _FILE[name]["data"].items()
    }
    return lambda: MODELS[name](**data)


def apart(name: str, draws: Draws) -> dict[str, tuple[float, float]]:
    """Differences of mean and sd from the reference, in combined Monte Carlo errors."""
    table = draws.summary()
    found = {}
    for label, wanted in _FILE[name]["summary"].items():
        base, _, place = label.partition("[")
        index = int(place.rstrip("]")) - 1 if place else None
        row = table.names.index(base if index is None else f"{base}[{index}]")
        error = math.hypot(float(table["mcse_mean"][row]), wanted["mcse_mean"])
        mean = (float(table["mean"][row]) - wanted["mean"]) / error
        values = draws[base].flatten(0, 1)
        values = values if index is None else values[:, index]
        square = (values - values.mean()).square()
        theirs = float(square.std() / (2 * values.std() * math.sqrt(_REFERENCE_DRAWS)))
        error = math.hypot(float(table["mcse_sd"][row]), theirs)
        found[label] = (mean, (float(table["sd"][row]) - wanted["sd"]) / error)
    return found


def verdict(name: str, draws: Draws) -> tuple[float, float, float]:
    """The largest of these differences, the smallest effective size, the largest R-hat."""
    table = draws.summary()
    worst = max(abs(x) for pair in apart(name, draws).values() for x in pair)
    size = min(float(table["ess_bulk"].min()), float(table["ess_tail"].min()))
    return worst, size, float(table["r_hat"].max())


_METHODS = {"ChEES": ChEES(), "NUTS": NUTS()}
_QUICK = {
    "ChEES": {"warmup": 300, "draws": 300},
    "NUTS": {"chains": 2, "warmup": 200, "draws": 800},
}
_HEAD = "| posterior | method | errors | effective size | R-hat | diverging | gradients | seconds |"


def row(name: str, method: str, *, quick: bool, seed: int) -> tuple[str, bool]:
    """A line of the table, and whether it misses a limit."""
    begin = time.perf_counter()
    options = _QUICK[method] if quick else {}
    draws = sample(posterior(name), method=_METHODS[method], seed=seed, **options)
    seconds = time.perf_counter() - begin
    worst, size, reduction = verdict(name, draws)
    fewest, most = (400, 1.02) if quick else (1000, 1.01)
    bad = not (worst <= 4 and size >= fewest and reduction <= most)
    text = (
        f"| {name} | {method} | {worst:.2f} | {size:,.0f} | {reduction:.4f} | "
        f"{int(draws.diverging.sum())} | {draws.facts['gradient']} | {seconds:.1f} |"
    )
    return text + (" MISSED |" if bad else ""), bad


def main() -> int:
    """Print the table; 1 if a posterior misses a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="posterior")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--method", choices=list(_METHODS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path)
    chosen = parser.parse_args()
    lines, failed = [_HEAD, "| --- " * 8 + "|"], False
    print(*lines, sep="\n", flush=True)
    for name in chosen.names or list(MODELS):
        for method in [chosen.method] if chosen.method else list(_METHODS):
            text, bad = row(name, method, quick=chosen.quick, seed=chosen.seed)
            print(text, flush=True)
            lines.append(text)
            failed |= bad
    if chosen.markdown is not None:
        chosen.markdown.write_text("\n".join(lines) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
