r"""Moves of all blocks of a model together, where what is supplied stays constant (floor 2).

Some queries move only so: where they depend on two blocks, each of which is fixed by what is
supplied while the others are. What is supplied is not linear in all blocks, so a step along its
null space is corrected by Newton's method.
"""

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from causal.witness.network import Network, Skeleton
from causal.witness.problem import FLOOR, Blocks, Problem

__all__ = ["follow", "promise"]

STEPS = 24
SINGULAR = (
    1e-11  # relative size of what counts as zero: the corrections remove what it lets through
)
SETTLED = 1e-15  # what is left of a correction


def _flat(shape: Skeleton, blocks: Mapping[Any, Tensor]) -> Tensor:
    return torch.cat([blocks[key].reshape(-1) for key in shape.keys])


def _blocks(shape: Skeleton, values: Tensor, like: Mapping[Any, Tensor]) -> Blocks:
    sizes = [like[key].numel() for key in shape.keys]
    parts = zip(shape.keys, values.split(sizes), strict=True)
    return {key: part.reshape(like[key].shape) for key, part in parts}


def _moving(problem: Problem) -> list[Network]:
    """The supplied tables that depend on some block; one where all is set does not."""
    return [
        table
        for table in problem.supplied
        if any(not isinstance(term, Tensor) for term, _ in table.terms)
    ]


def _held(problem: Problem, shape: Skeleton, blocks: Mapping[Any, Tensor]) -> Tensor:
    """All that must not change: what is supplied, and that probabilities sum to one."""
    tables = [table.value(blocks).reshape(-1) for table in _moving(problem)]
    return torch.cat([*tables, *(blocks[key].sum(0).reshape(-1) for key in shape.keys)])


def _matrix(problem: Problem, shape: Skeleton, blocks: Mapping[Any, Tensor]) -> Tensor:
    """The Jacobian of `_held` by the entries of all blocks."""
    rows = []
    for table in _moving(problem):
        parts = [table.jacobian(blocks, key) for key in shape.keys]
        height = next((len(part) for part in parts if part is not None), 0)
        rows.append(
            torch.cat(
                [_or_zero(p, blocks[k], height) for k, p in zip(shape.keys, parts, strict=True)], 1
            )
        )
    sums = [
        torch.eye(blocks[key][0].numel(), dtype=torch.float64).repeat(1, len(blocks[key]))
        for key in shape.keys
    ]
    return torch.cat([*rows, torch.block_diag(*sums)])


def _or_zero(part: Tensor | None, block: Tensor, height: int) -> Tensor:
    return torch.zeros(height, block.numel(), dtype=torch.float64) if part is None else part


def _direction(problem: Problem, shape: Skeleton, blocks: Blocks) -> tuple[Tensor, Tensor]:
    """The relative change of entries that raises the query most, and what it raises it by."""
    theta = _flat(shape, blocks)
    slopes = [problem.gradient(blocks, key) for key in shape.keys]
    slope = torch.cat(
        [_or_zero(s, blocks[k], 1).reshape(-1) for k, s in zip(shape.keys, slopes, strict=True)]
    )
    matrix = _matrix(problem, shape, blocks) * theta
    if len(matrix) > matrix.shape[1]:
        matrix = torch.linalg.qr(matrix, mode="r").R
    _, values, right = torch.linalg.svd(matrix)
    free = right[int((values > SINGULAR * values[0]).sum()) :]
    found = free.T @ (free @ (theta * slope))
    largest = found.abs().max()
    if float(largest) < 1e-13:
        return torch.zeros_like(found), largest * 0
    return found / largest, found @ (theta * slope) / largest


def promise(problem: Problem, shape: Skeleton, blocks: Blocks) -> float:
    """By how much the query changes, to first order, if entries change by up to their own size.

    Args:
        problem: What is supplied, and the query.
        shape: The model's shape.
        blocks: The model.

    Example:
        >>> from causal.graph import Graph
        >>> from causal.witness.worlds import experiment_network
        >>> shape = Skeleton(Graph.parse("X"), {}, {"X": 2})
        >>> table = experiment_network(shape, ())
        >>> alone = Network(((torch.eye(2).double()[0], ("X",)), *table.terms), ())
        >>> blocks: Blocks = {"X": torch.tensor([0.5, 0.5]).double()}
        >>> promise(Problem((table,), alone, None), shape, blocks)  # it is supplied
        0.0
        >>> promise(Problem((), alone, None), shape, blocks)
        0.5
    """
    return float(_direction(problem, shape, blocks)[1])


def follow(
    problem: Problem,
    shape: Skeleton,
    start: Blocks,
    sign: float,
    enough: float,
    deadline: float = math.inf,
) -> Blocks:
    """A model with another value of the query, and the same of all that is supplied.

    Args:
        problem: What is supplied, and the query.
        shape: The model's shape.
        start: Where to start.
        sign: 1 to raise the query, -1 to lower it.
        enough: The change after which to stop.
        deadline: Value of ``time.monotonic()`` after which to stop.

    Example:
        >>> from causal.graph import Graph
        >>> from causal.witness.worlds import experiment_network
        >>> shape = Skeleton(Graph.parse("X"), {}, {"X": 2})
        >>> terms = experiment_network(shape, ()).terms
        >>> alone = Network(((torch.eye(2).double()[0], ("X",)), *terms), ())
        >>> blocks: Blocks = {"X": torch.tensor([0.5, 0.5]).double()}
        >>> follow(Problem((), alone, None), shape, blocks, 1.0, 0.1)["X"]
        tensor([0.6500, 0.3500], dtype=torch.float64)
    """
    held, begin, blocks, size = _held(problem, shape, start), problem.query(start), start, 0.3
    for _ in range(STEPS):
        direction, _ = _direction(problem, shape, blocks)
        if not bool(direction.any()):
            break
        moved = None
        while moved is None and size > 1e-2:
            moved = _corrected(problem, shape, blocks, sign * size * direction, held)
            size = size / 2 if moved is None else min(0.6, 1.4 * size)
        if moved is None:
            break
        blocks = moved
        if abs(problem.query(blocks) - begin) >= enough or time.monotonic() > deadline:
            break
    return blocks


def _corrected(
    problem: Problem, shape: Skeleton, blocks: Blocks, change: Tensor, held: Tensor
) -> Blocks | None:
    """The model after a relative change, brought back by Newton steps; None where that fails."""
    theta = _flat(shape, blocks)
    values = theta * (1 + change)
    before = torch.inf
    for _ in range(8):
        moved = _blocks(shape, values, blocks)
        missing = held - _held(problem, shape, moved)
        error = float(missing.abs().max())
        if float(values.min()) < FLOOR / 10 or error > before:
            return None
        if error <= SETTLED:
            return moved
        matrix = _matrix(problem, shape, moved) * theta
        step = torch.linalg.lstsq(matrix, missing, rcond=1e-9, driver="gelsd").solution
        values, before = values + theta * step, max(error, 4 * SETTLED)
    return moved if error <= 100 * SETTLED else None
