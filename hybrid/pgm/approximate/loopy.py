"""Belief propagation, whether or not there are loops (floor 2)."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from causal.bits import each
from causal.draws import fixed
from hybrid.pgm.approximate.messages import (
    Edges,
    beliefs,
    bethe,
    edges_of,
    from_factors,
    from_variables,
    stacked,
)
from hybrid.pgm.approximate.problem import Problem, largest, pose
from hybrid.pgm.approximate.results import Beliefs
from hybrid.pgm.networks.answering import Answering
from hybrid.pgm.networks.impossible import ImpossibleEvidence
from hybrid.pgm.networks.model import Model
from hybrid.pgm.networks.observation import Observed
from hybrid.pgm.networks.questions import restored

__all__ = ["Setting", "Settled", "asked_bits", "belief_propagation", "edges_of_problem", "settle"]

CELLS = 2**23  # of messages and of partial products, in a block of rows


class Setting(NamedTuple):
    """When messages stop.

    Attributes:
        iterations: The most sweeps.
        tolerance: The change below which a row has converged.
        damping: The share of the old message that is kept.

    Example:
        >>> Setting(200, 1e-8, 0.3).damping
        0.3
    """

    iterations: int
    tolerance: float
    damping: float


@dataclass(frozen=True, eq=False)
class Settled:
    """Messages from factors where they stopped.

    Args:
        messages: (edges, rows, widest).
        iterations: Sweeps of each row.
        change: The largest change of each row's last sweep, undamped.

    Example:
        >>> Settled(torch.ones(1, 1, 2), torch.tensor([1]), torch.zeros(1)).messages.shape
        torch.Size([1, 1, 2])
    """

    messages: Tensor
    iterations: Tensor
    change: Tensor


def belief_propagation(
    network: Answering,
    evidence: Any = None,
    context: Any = None,
    *,
    names: str | Iterable[str] | None = None,
    iterations: int = 200,
    tolerance: float = 1e-8,
    damping: float = 0.3,
    draws: int | None = None,
    generator: torch.Generator | None = None,
) -> Beliefs:
    r"""Marginals by messages between variables and tables, for networks without a tree that fits.

    .. math:: m_{a \to v} \leftarrow (1 - d) \sum_{x_a \setminus x_v} f_a \prod_{w \in a
        \setminus v} \mu_{w \to a} + d \, m_{a \to v}, \qquad \mu_{w \to a} \propto \lambda_w
        \prod_{b \ne a} m_{b \to w}

    All messages are sent at once, for all rows, until none changes by more than the tolerance; a
    row that got there stays as it is, so that no row depends on another. Without loops the answer
    is the exact one. Time and memory grow with the tables, not with a junction tree. Gradients flow
    through all sweeps (their memory grows with the sweeps).

    Args:
        network: A network; what contextual laws and continuous leaves make of the rows are factors
            like any other.
        evidence: What was observed, as in `BayesianNetwork.marginals`.
        context: The rows' context.
        names: The variables wanted; None for all finite ones.
        iterations: The most sweeps.
        tolerance: The change of a message's probability below which a row has converged.
        damping: d, the share of the old message that is kept; more of it helps rows that do not
            converge, and slows down the others.
        draws: Number of weight draws.
        generator: Source of the weight draws.

    Returns:
        Marginals (\*draws, \*batch, states) with a report: sweeps, last change, convergence of each
        row. Nothing is raised where a row does not converge.

    Raises:
        ImpossibleEvidence: A row's evidence has probability 0 and messages show it; with loops they
            need not.
        ValueError: Wrong evidence, or a setting out of range.

    Source: Pearl, "Probabilistic Reasoning in Intelligent Systems" (1988), section 4.3; Murphy,
    Weiss & Jordan, "Loopy belief propagation for approximate inference" (1999).

    Example:
        >>> from causal.graph import Graph
        >>> from hybrid.pgm.networks.network import BayesianNetwork
        >>> tables = {"rain": [0.8, 0.2], "wet": [[0.9, 0.1], [0.2, 0.8]]}
        >>> network = BayesianNetwork(Graph.parse("rain -> wet"), tables)
        >>> found = belief_propagation(network, {"wet": torch.tensor([1, 0])})
        >>> found["rain"], found.converged
        (tensor([[0.3333, 0.6667],
                [0.9474, 0.0526]], dtype=torch.float64), tensor([True, True]))
    """
    setting = _checked(iterations, tolerance, damping)
    wanted, asked = asked_bits(network, names)
    structure = network.structure
    with fixed(network.random_part, draws, generator) as draws:
        model, seen = network.at_work(evidence, context, draws)
        problem = pose(model, seen, asked)
        found = [_answers(problem.chosen(rows), setting) for rows in _blocks(problem)]
        singles, logs, sweeps, change = (
            torch.cat(column, -1) for column in zip(*found, strict=True)
        )
        _refuse_impossible(model, seen, logs, setting)
    place = {number: k for k, number in enumerate(problem.variables)}
    numbers = [structure.index[name] for name in wanted]
    tables = [singles[place[k], : structure.cardinalities[k]].T for k in numbers]
    lead, batch = problem.lead, seen.batch
    marginals = [restored(table, lead, draws, batch) for table in tables]
    logs, sweeps, change = (
        restored(column, lead, draws, batch) for column in (logs, sweeps, change)
    )
    pairs = dict(zip(wanted, marginals, strict=True))
    return Beliefs(pairs, logs, sweeps, change, change <= tolerance)


def asked_bits(
    network: Answering, names: str | Iterable[str] | None
) -> tuple[tuple[str, ...], int]:
    """The variables that are wanted, in order, and as bits.

    Raises:
        ValueError: A name is no finite variable of the network.

    Example:
        >>> from causal.graph import Graph
        >>> from hybrid.pgm.networks.network import BayesianNetwork
        >>> coin = BayesianNetwork(Graph(nodes=["C"]), {"C": [0.5, 0.5]})
        >>> asked_bits(coin, None)
        (('C',), 1)
    """
    structure = network.structure
    wanted = structure.names if names is None else network._finite(names)
    bits = 0
    for name in wanted:
        bits |= 1 << structure.index[name]
    return wanted, bits


def settle(problem: Problem, setting: Setting) -> Settled:
    """Send messages until they stay.

    Args:
        problem: Tables and evidence.
        setting: When to stop, and how much of old messages is kept.

    Example:
        >>> coin = Problem((0,), (2,), ((0,),), (0,), [torch.ones(2)], torch.zeros(1, 1), {})
        >>> settle(coin, Setting(10, 1e-8, 0.0)).messages
        tensor([[[0.5000, 0.5000]]])
    """
    edges = edges_of_problem(problem)
    inside = problem.likelihoods.new_zeros(len(edges.variables), 1, max(problem.cardinalities))
    for edge, variable in enumerate(edges.variables.tolist()):
        size = problem.cardinalities[variable]
        inside[edge, 0, :size] = 1 / size
    start = inside.expand(-1, problem.rows, -1)
    return _settled(problem, edges, start, setting, 0)


def _settled(
    problem: Problem, edges: Edges, messages: Tensor, setting: Setting, before: int
) -> Settled:
    """From given messages; rows that have converged are left behind as soon as they are many."""
    likelihoods, tables = problem.likelihoods, stacked(problem, edges)
    rows = problem.rows
    active = torch.ones(rows, dtype=torch.bool, device=messages.device)
    sweeps = torch.full((rows,), before, device=messages.device)
    change = messages.new_full((rows,), torch.inf)
    for step in range(before + 1, setting.iterations + 1):
        sent, _ = from_variables(messages, likelihoods, edges.variables)
        fresh, _ = from_factors(sent, tables, edges)
        moved = (fresh - messages).detach().abs().amax((0, 2))
        damped = torch.lerp(fresh, messages, setting.damping)
        fresh = torch.where(fresh > 0, damped, 0.0)  # what is impossible stays so
        messages = torch.where(active[:, None], fresh, messages)
        sweeps = torch.where(active, step, sweeps)
        change = torch.where(active, moved, change)
        active = active & (moved > setting.tolerance)
        left = int(active.sum())
        if not left:
            break
        if left <= rows // 2:
            chosen = active.nonzero()[:, 0]
            rest = _settled(problem.chosen(chosen), edges, messages[:, chosen], setting, step)
            messages = messages.index_copy(1, chosen, rest.messages)
            sweeps = sweeps.index_copy(0, chosen, rest.iterations)
            change = change.index_copy(0, chosen, torch.minimum(rest.change, change[chosen]))
            break
    return Settled(messages, sweeps, change)


def edges_of_problem(problem: Problem) -> Edges:
    """The edges of a problem's factors, on its device.

    Example:
        >>> coin = Problem((0,), (2,), ((0,),), (0,), [torch.ones(2)], torch.zeros(1, 1), {})
        >>> edges_of_problem(coin).variables
        tensor([0])
    """
    own = tuple(problem.per_row(factor) for factor in range(len(problem.scopes)))
    found = edges_of(problem.scopes, problem.cardinalities, own)
    device = problem.states.device
    if found.variables.device == device:
        return found
    return replace(found, variables=found.variables.to(device))


def _answers(problem: Problem, setting: Setting) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Beliefs (variables, widest, rows), the Bethe approximation, sweeps and last change."""
    settled, edges = settle(problem, setting), edges_of_problem(problem)
    likelihoods = problem.likelihoods
    _, products = from_variables(settled.messages, likelihoods, edges.variables)
    singles, sums = beliefs(products)
    logs = bethe(settled.messages, likelihoods, stacked(problem, edges), edges)
    logs = torch.where((sums.detach() == -torch.inf).any(0), -torch.inf, logs)
    if problem.log_scale is not None:
        logs = logs + problem.log_scale
    return singles.movedim(1, -1), logs, settled.iterations, settled.change


def _blocks(problem: Problem) -> Sequence[Tensor]:
    """Row numbers in blocks whose messages and partial products fit."""
    ends = sum(map(len, problem.scopes)) * max(problem.cardinalities)
    size = max(1, CELLS // max(ends, largest(problem)))
    return torch.arange(problem.rows, device=problem.states.device).split(size)


def _checked(iterations: int, tolerance: float, damping: float) -> Setting:
    if iterations < 1 or not tolerance >= 0 or not 0 <= damping < 1:
        raise ValueError(
            "belief propagation takes iterations from 1, a tolerance from 0 and a damping from 0 "
            f"to below 1, got iterations={iterations}, tolerance={tolerance}, damping={damping}"
        )
    return Setting(iterations, tolerance, damping)


def _refuse_impossible(model: Model, observed: Observed, logs: Tensor, setting: Setting) -> None:
    """Raise where messages show that a row cannot be, with the node that makes it so."""
    for place in (logs == -torch.inf).nonzero()[:1, 0].tolist():
        row = place % observed.rows
        culprit = _culprit(model.part(row, row + 1), observed.row(row), setting)
        raise ImpossibleEvidence(*culprit, row)


def _culprit(model: Model, row: Observed, setting: Setting) -> tuple[str, object]:
    """The first node, parents before children, with which a row's messages vanish."""
    structure = model.structure
    seen = [number for number in structure.order if row.some >> number & 1]

    def impossible(count: int) -> bool:
        problem = pose(model, row.only(seen[:count], {}), structure.every)
        return bool((_answers(problem, setting)[1] == -torch.inf).any())

    with torch.no_grad():
        first = bisect_left(range(len(seen) + 1), True, key=impossible)
    if not 0 < first <= len(seen):  # the values of leaves, whose density is 0
        leaves = [structure.leaves[k] for k in each(row.leaves)]
        return (leaves or list(structure.names))[0], None
    number = seen[first - 1]
    name = structure.names[number]
    if number in row.soft:
        return name, None
    state = int(row.states[row.numbers.index(number), 0])
    return name, model.labels[name][state] if name in model.labels else state
