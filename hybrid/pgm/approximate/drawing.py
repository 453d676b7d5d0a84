"""Samples from causes to effects, weighted by what was observed (floor 1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from causal.draws import uniform
from hybrid.pgm.approximate.problem import Problem

__all__ = ["Totals", "drawn", "picked", "totals"]


@dataclass(frozen=True, eq=False)
class Totals:
    r"""Sums over weighted samples, from which all estimates are made; weights over ``exp(shift)``.

    Args:
        shift: The log of the largest weight, (rows,).
        weight: :math:`\sum w`, (rows,).
        square: :math:`\sum w^2`, (rows,).
        count: How many samples there were.
        weights: :math:`\sum w \, 1[x_v = k]` (rows, states) of each wanted variable.
        squares: :math:`\sum w^2 \, 1[x_v = k]` of each.

    Example:
        >>> one = torch.ones(1)
        >>> both = Totals(0 * one, one, one, 1, [], []).joined(Totals(one, one, one, 1, [], []))
        >>> both.shift, both.weight.round(decimals=4), both.count
        (tensor([1.]), tensor([1.3679]), 2)
    """

    shift: Tensor
    weight: Tensor
    square: Tensor
    count: int
    weights: Sequence[Tensor]
    squares: Sequence[Tensor]

    def joined(self, other: "Totals") -> "Totals":
        """The sums over both sets of samples."""
        shift = torch.maximum(self.shift, other.shift)
        safe = torch.where(shift == -torch.inf, 0.0, shift)
        one, two = (self.shift - safe).exp(), (other.shift - safe).exp()
        pairs = zip(self.weights, other.weights, strict=True)
        squares = zip(self.squares, other.squares, strict=True)
        return Totals(
            shift,
            self.weight * one + other.weight * two,
            self.square * one**2 + other.square * two**2,
            self.count + other.count,
            [a * one[:, None] + b * two[:, None] for a, b in pairs],
            [a * one[:, None] ** 2 + b * two[:, None] ** 2 for a, b in squares],
        )


def totals(states: Sequence[Tensor], sizes: Sequence[int], logs: Tensor) -> Totals:
    """Sum up one set of samples.

    Args:
        states: States (samples, rows) of each wanted variable.
        sizes: Their numbers of states.
        logs: Log weights (samples, rows).

    Example:
        >>> found = totals([torch.tensor([[0], [1]])], [2], torch.tensor([[0.0], [1.0]]))
        >>> found.weights[0].round(decimals=4)
        tensor([[0.3679, 1.0000]])
    """
    shift = logs.amax(0)
    weights = (logs - torch.where(shift == -torch.inf, 0.0, shift)).exp()
    squares, rows = weights**2, logs.shape[1]

    def by_state(values: Tensor) -> list[Tensor]:
        sums = []
        for column, size in zip(states, sizes, strict=True):
            empty = values.new_zeros(rows, size)
            sums.append(empty.scatter_add_(1, column.T, values.T))
        return sums

    return Totals(
        shift, weights.sum(0), squares.sum(0), len(logs), by_state(weights), by_state(squares)
    )


def drawn(
    problem: Problem,
    order: Sequence[int],
    guide: Tensor | None,
    n: int,
    generator: torch.Generator | None,
) -> tuple[list[Tensor], Tensor]:
    r"""Samples of all variables, causes first, and their log weights.

    What a row observes is set, and weighs :math:`p(x_v \mid x_{pa(v)})`. The others come from
    :math:`q(x_v) \propto p(x_v \mid x_{pa(v)}) \lambda_v(x_v) g_v(x_v)` with likelihoods
    :math:`\lambda` and a guide g, and weigh p λ / q.

    Args:
        problem: Tables and evidence.
        order: The variables by place, causes before effects.
        guide: g (variables, rows, widest), or None for 1.
        n: How many per row.
        generator: Source of randomness; None advances torch's global generator.

    Returns:
        States (n, rows) of each variable, by place; log weights (n, rows).

    Example:
        >>> coin = Problem(
        ...     (0,), (2,), ((0,),), (0,), [torch.tensor([0.25, 0.75])], torch.tensor([[1]]), {}
        ... )
        >>> states, logs = drawn(coin, (0,), None, 2, None)
        >>> states[0].flatten(), logs.exp().flatten()
        (tensor([1, 1]), tensor([0.7500, 0.7500]))
    """
    factor_of = {owner: k for k, owner in enumerate(problem.owners) if owner >= 0}
    rows = problem.rows
    logs = problem.tables[0].new_zeros(n, rows)
    states: list[Tensor] = [problem.states.new_zeros(0)] * len(problem.variables)
    for place in order:
        factor = factor_of[place]
        cells = _looked_up(problem, factor, states, problem.scopes[factor][:-1])
        cells = cells.expand(n, rows, cells.shape[-1])
        seen, size = problem.states[place].expand(n, rows), problem.cardinalities[place]
        known = seen >= 0
        at_seen = cells.gather(-1, seen.clamp(min=0)[..., None]).squeeze(-1)
        if bool(known.all()):
            states[place], logs = seen, logs + _log(at_seen)
            continue
        if place in problem.soft:
            cells = cells * problem.soft[place]
        if guide is not None:
            cells = cells * guide[place, :, :size]
        found = torch.where(known, seen, picked(cells, generator))
        weight = cells.sum(-1)
        if guide is not None:
            weight = weight / guide[place, :, :size].expand(cells.shape).gather(
                -1, found[..., None]
            ).squeeze(-1).clamp_min(torch.finfo(cells.dtype).tiny)
        states[place], logs = found, logs + _log(torch.where(known, at_seen, weight))
    for factor in (k for k, owner in enumerate(problem.owners) if owner < 0):
        cells = _looked_up(problem, factor, states, problem.scopes[factor])
        logs = logs + _log(cells)
    return states, logs


def _looked_up(
    problem: Problem, factor: int, states: Sequence[Tensor], given: Sequence[int]
) -> Tensor:
    """A table at the sampled states of its first axes, (n or 1, rows or 1, *rest)."""
    table = problem.tables[factor]
    above = tuple(states[place] for place in given)
    if problem.per_row(factor):
        return table[(torch.arange(problem.rows, device=table.device)[None], *above)]
    return table[above] if above else table[None, None]


def _log(values: Tensor) -> Tensor:
    return torch.where(values > 0, values.log(), -torch.inf)


def picked(cells: Tensor, generator: torch.Generator | None) -> Tensor:
    r"""A state for each of many distributions, by cumulative sums.

    Args:
        cells: Weights (\*shape, states) that need not sum to one; where all are 0, the last state.
        generator: Source of randomness; None advances torch's global generator.

    Example:
        >>> picked(torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]), None)
        tensor([1, 0])
    """
    edges = cells.cumsum(-1)
    total = edges[..., -1:]
    noise = uniform((*cells.shape[:-1], 1), edges, generator) * total
    noise = torch.minimum(noise, torch.nextafter(total, torch.zeros_like(total)))
    found = torch.searchsorted(edges.contiguous(), noise.clamp(min=0), right=True).squeeze(-1)
    return found.clamp(max=cells.shape[-1] - 1)
