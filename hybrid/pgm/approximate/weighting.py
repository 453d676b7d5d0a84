"""Likelihood weighting, also with proposals from belief propagation (floor 3)."""

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from causal.draws import fixed
from hybrid.pgm.approximate.drawing import Totals, drawn, totals
from hybrid.pgm.approximate.loopy import Setting, asked_bits, edges_of_problem, settle
from hybrid.pgm.approximate.messages import from_variables
from hybrid.pgm.approximate.problem import Problem, pose
from hybrid.pgm.approximate.results import Estimates
from hybrid.pgm.networks.answering import Answering
from hybrid.pgm.networks.questions import restored

__all__ = ["likelihood_weighting"]

CELLS = 2**23  # of sampled states, in a block of rows and samples
LEAST = 1e-6  # of a guide's largest weight, so that a wrong guide costs samples, not truth
GUIDE = Setting(iterations=50, tolerance=1e-4, damping=0.3)


@torch.no_grad()
def likelihood_weighting(
    network: Answering,
    evidence: Any = None,
    context: Any = None,
    *,
    names: str | Iterable[str] | None = None,
    samples: int = 10_000,
    guided: bool = False,
    draws: int | None = None,
    generator: torch.Generator | None = None,
) -> Estimates:
    r"""Marginals from samples, weighted by how well they explain the evidence; with their errors.

    Variables are sampled causes first; observed ones are set, and the sample's weight is the
    product of their probabilities:

    .. math:: \hat p(x_v = k \mid e) = \frac{\sum_s w_s 1[x_v^s = k]}{\sum_s w_s}, \qquad
        w_s = \prod_{v \in e} p(e_v \mid x_{pa(v)}^s)

    The error of an estimate shrinks with the root of the effective sample size, which is what to
    look at first. Unlikely evidence at the effects makes it small; ``guided=True`` then proposes
    states by messages from the effects (belief propagation with few sweeps), which stays unbiased
    in the same sense and often is worth a hundred times the samples.

    Args:
        network: A network.
        evidence: What was observed, as in `BayesianNetwork.marginals`.
        context: The rows' context.
        names: The variables wanted; None for all finite ones.
        samples: How many per row.
        guided: Whether belief propagation proposes.
        draws: Number of weight draws.
        generator: Source of randomness, of weights too; None advances torch's global generator.

    Returns:
        Estimates (\*draws, \*batch, states) with standard errors, effective sample sizes and the
        evidence's log probability.

    Raises:
        ValueError: All samples of a row have weight 0; wrong evidence; fewer than 2 samples.

    Source: Fung & Chang, "Weighing and integrating evidence for stochastic simulation in Bayesian
    networks" (1990), section 3; Yuan & Druzdzel, "An importance sampling algorithm based on
    evidence pre-propagation" (2003).

    Example:
        >>> from causal.graph import Graph
        >>> from hybrid.pgm.networks.network import BayesianNetwork
        >>> tables = {"rain": [0.8, 0.2], "wet": [[0.9, 0.1], [0.2, 0.8]]}
        >>> network = BayesianNetwork(Graph.parse("rain -> wet"), tables)
        >>> generator = torch.Generator().manual_seed(0)
        >>> found = likelihood_weighting(network, {"wet": 1}, generator=generator)
        >>> bool((found["rain"][1] - 2 / 3).abs() < 3 * found.standard_errors["rain"][1])
        True
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise ValueError(f"samples is a number from 2, got {samples!r}")
    wanted, asked = asked_bits(network, names)
    with fixed(network.random_part, draws, generator) as draws:
        model, seen = network.at_work(evidence, context, draws)
        problem = pose(model, seen, asked)
        place = {number: k for k, number in enumerate(problem.variables)}
        order = [place[number] for number in model.structure.order if number in place]
        chosen = [place[model.structure.index[name]] for name in wanted]
        found = []
        for rows in _blocks(problem):
            part = problem.chosen(rows)
            guide = _guide(part) if guided else None
            sums = (
                totals([states[k] for k in chosen], [part.cardinalities[k] for k in chosen], logs)
                for states, logs in _sampled(part, order, guide, samples, generator)
            )
            found.append(reduce(Totals.joined, sums))
    _refuse_weightless(found, seen.rows, samples, guided=guided)
    return _estimates(found, wanted, problem, draws, seen.batch)


def _sampled(
    problem: Problem,
    order: Sequence[int],
    guide: Tensor | None,
    samples: int,
    generator: torch.Generator | None,
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Blocks of samples."""
    size = max(1, CELLS // max(1, problem.rows * len(problem.variables)))
    for start in range(0, samples, size):
        yield drawn(problem, order, guide, min(size, samples - start), generator)


def _blocks(problem: Problem) -> Sequence[Tensor]:
    """Row numbers in blocks; the samples of a row come in blocks as well."""
    size = max(1, CELLS // (256 * len(problem.variables)))
    return torch.arange(problem.rows, device=problem.states.device).split(size)


def _guide(problem: Problem) -> Tensor:
    """What messages from effects say about each variable, (variables, rows, widest)."""
    edges = edges_of_problem(problem)
    own = torch.zeros(len(edges.variables), dtype=torch.bool, device=problem.states.device)
    for factors, places in zip(edges.groups, edges.places, strict=True):
        tables = [k for k, factor in enumerate(factors) if problem.owners[factor] >= 0]
        own[places[tables, -1]] = True
    messages = settle(problem, GUIDE).messages
    messages = torch.where(own[:, None, None], 1.0, messages)
    _, products = from_variables(messages, torch.ones_like(problem.likelihoods), edges.variables)
    top = products.amax(-1, keepdim=True)
    weights = (products - torch.where(top == -torch.inf, 0.0, top)).exp()
    return torch.where(weights > 0, weights.clamp_min(LEAST), 0.0)


def _refuse_weightless(found: Sequence[Totals], rows: int, samples: int, *, guided: bool) -> None:
    weight = torch.cat([part.weight for part in found])
    for place in (~(weight > 0)).nonzero()[:1, 0].tolist():
        hint = "ask belief_propagation, which can tell" if guided else "try guided=True"
        raise ValueError(
            f"none of {samples:,} samples agrees with the evidence of row {place % rows}: it is "
            f"impossible, or too unlikely for so few samples; {hint}, or give more samples"
        )


def _estimates(
    found: Sequence[Totals],
    wanted: Sequence[str],
    problem: Problem,
    draws: int | None,
    batch: tuple[int, ...],
) -> Estimates:
    """From sums to estimates and their errors."""

    def shaped(table: Tensor) -> Tensor:
        return restored(table, problem.lead, draws, batch)

    shift, weight, square = (
        torch.cat([getattr(part, name) for part in found]) for name in ("shift", "weight", "square")
    )
    count = found[0].count
    logs = weight.log() + shift - torch.tensor(count, dtype=weight.dtype).log()
    if problem.log_scale is not None:
        logs = logs + problem.log_scale
    marginals, errors = {}, {}
    for k, name in enumerate(wanted):
        share = torch.cat([part.weights[k] for part in found]) / weight[:, None]
        hits = torch.cat([part.squares[k] for part in found]) / weight[:, None] ** 2
        misses = (square / weight**2)[:, None] - hits
        variance = hits * (1 - share) ** 2 + misses.clamp(min=0) * share**2
        marginals[name], errors[name] = shaped(share), shaped(variance.sqrt())
    spread = (square / weight**2 - 1 / count).clamp(min=0).sqrt()
    return Estimates(
        marginals, errors, shaped(weight**2 / square), shaped(logs), shaped(spread), count
    )
