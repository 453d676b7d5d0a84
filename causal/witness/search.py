"""Search for two models that agree on what is supplied and differ on a query (floor 1)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from causal.witness.network import Key, Network, Skeleton

__all__ = ["Blocks", "Pair", "Problem", "random_blocks", "search"]

Blocks = dict[Key, Tensor]

EXACT = 2e-13  # largest difference in what is supplied
FLAT = 1e-8  # a query that moves by less does not move
FLOOR = 1e-3  # least entry of a block that a step leaves
CAUSES = (2, 2, 3, 4, 3, 5, 4, 6)  # states of the hidden causes, one number for each start
SWEEPS = 10  # over the blocks, as long as they help
SINGULAR = 1e-13  # directions that change what is supplied by less, relatively, are free


@dataclass(frozen=True, eq=False)
class Problem:
    """What two models must agree on, and the number above / below on which they must differ.

    Example:
        >>> network = Network((("X", ("x",)),), ("x",))
        >>> Problem((network,), network, None).below is None
        True
    """

    supplied: tuple[Network, ...]
    above: Network
    below: Network | None

    def query(self, blocks: Mapping[Key, Tensor]) -> float:
        """The query's value in a model."""
        value = self.above.value(blocks)
        return float(value if self.below is None else value / self.below.value(blocks))

    def discrepancy(self, first: Mapping[Key, Tensor], second: Mapping[Key, Tensor]) -> float:
        """The largest difference between two models in what is supplied."""
        return max(
            float((table.value(first) - table.value(second)).abs().max()) for table in self.supplied
        )

    def gradient(self, blocks: Mapping[Key, Tensor], key: Key) -> Tensor | None:
        """Derivatives of the query by the entries of a block; None where it has none."""
        above = self.above.jacobian(blocks, key)
        below = None if self.below is None else self.below.jacobian(blocks, key)
        if above is None and below is None:
            return None
        scale = 1.0 if self.below is None else float(self.below.value(blocks))
        found = torch.zeros(blocks[key].numel(), dtype=torch.float64)
        if above is not None:
            found = found + above[0] / scale
        if below is not None:
            found = found - below[0] * (float(self.above.value(blocks)) / scale**2)
        return found


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sets of blocks, the query's values in them, and the largest difference elsewhere.

    Example:
        >>> Pair({}, {}, 0.5, 0.25, 0.0).gap
        0.25
    """

    first: Blocks
    second: Blocks
    high: float
    low: float
    discrepancy: float

    @property
    def gap(self) -> float:
        """How far the models differ on the query."""
        return self.high - self.low


def random_blocks(shape: Skeleton, causes: int, generator: torch.Generator) -> Blocks:
    """Strictly positive random blocks, softmax of Gaussian numbers along the first axis.

    Example:
        >>> from causal.graph import Graph
        >>> shape = Skeleton(Graph.parse("X"), {}, {"X": 2})
        >>> random_blocks(shape, 2, torch.Generator().manual_seed(0))["X"].shape
        torch.Size([2])
    """
    blocks: Blocks = {}
    for key in shape.keys:
        noise = torch.randn(shape.shape(key, causes), generator=generator, dtype=torch.float64)
        spread = 0.5 if not isinstance(key, str) else 1.5
        blocks[key] = torch.softmax(spread * noise, 0) * 0.98
        blocks[key] = blocks[key] + 0.02 / len(blocks[key])
    return blocks


def _step(problem: Problem, blocks: Blocks, key: Key, sign: float) -> Blocks:
    r"""Move one block so that the query grows and nothing that is supplied changes.

    Everything supplied is linear in a block :math:`\theta`, so the null space of its Jacobian
    :math:`J` leaves it exactly as it was, however far one goes. The direction is the gradient
    projected on the null space in coordinates scaled by :math:`\theta`, as in affine-scaling
    interior-point methods (Dikin 1967): it avoids the faces :math:`\theta_i = 0` that are near.
    """
    gradient = problem.gradient(blocks, key)
    if gradient is None:
        return blocks
    block = blocks[key]
    theta = block.reshape(-1)
    rows = [r for table in problem.supplied if (r := table.jacobian(blocks, key)) is not None]
    sums = torch.eye(block[0].numel(), dtype=torch.float64).repeat(1, len(block))
    matrix = torch.cat([*rows, sums]) * theta
    if len(matrix) > matrix.shape[1]:
        matrix = torch.linalg.qr(matrix, mode="r").R
    _, values, right = torch.linalg.svd(matrix)
    free = right[int((values > SINGULAR * values[0]).sum()) :]
    direction = sign * theta * (free.T @ (free @ (theta * gradient)))
    if not len(free) or float(gradient.abs() @ direction.abs()) < 1e-9:
        return blocks
    shrinking = direction < 0
    room = (theta[shrinking] - FLOOR).clamp(min=0) / -direction[shrinking]
    if not len(room) or float(room.min()) <= 0:
        return blocks
    moved = theta + 0.8 * float(room.min()) * direction
    return {**blocks, key: moved.reshape(block.shape)}


def _movable(problem: Problem, shape: Skeleton) -> list[Key]:
    """Blocks that what is supplied may leave open.

    A mechanism without hidden causes and functions is a conditional probability in each experiment
    that does not set the variable.
    """
    seen = {term for table in problem.supplied for term, _ in table.terms if isinstance(term, str)}
    return [
        key
        for key in shape.keys
        if key not in seen
        or shape.causes(str(key))
        or (key in shape.functions and shape.graph.parents(str(key)))
    ]


def _climb(problem: Problem, shape: Skeleton, start: Blocks, target: float) -> Pair:
    """From one model, one up and one down, block by block."""
    keys = _movable(problem, shape)
    models, open_keys = [start, start], [keys, keys]
    gap = 0.0
    for _ in range(SWEEPS):
        for side, sign in enumerate((1.0, -1.0)):
            moved = []
            for key in open_keys[side]:
                model = _step(problem, models[side], key, sign)
                if model is not models[side]:
                    moved.append(key)
                models[side] = model
            open_keys[side] = moved
        before, gap = gap, problem.query(models[0]) - problem.query(models[1])
        if gap >= target or gap < max(FLAT, 1.2 * before):
            break
    high, low = problem.query(models[0]), problem.query(models[1])
    return Pair(models[0], models[1], high, low, problem.discrepancy(models[0], models[1]))


def search(
    problem: Problem,
    shape: Skeleton,
    *,
    generator: torch.Generator,
    deadline: float,
    least: float = 1e-3,
    patient: bool = True,
) -> Pair | None:
    """The best pair found from a few random models, before the deadline.

    Each start asks for less: a large difference is easier to see, but may need many states.

    Args:
        problem: What is supplied, and the query.
        shape: The models' shape.
        generator: Source of the random models.
        deadline: Value of ``time.monotonic()`` at which the search ends.
        least: Difference on the query with which the search is content in the end.
        patient: Whether to go on where two starts did not move the query at all.
    """
    best: Pair | None = None
    for attempt, causes in enumerate(CAUSES):
        target = max(least, 0.05 * 0.6**attempt)
        pair = _climb(problem, shape, random_blocks(shape, causes, generator), target)
        if pair.discrepancy <= EXACT and (best is None or pair.gap > best.gap):
            best = pair
        stuck = not patient and attempt > 0 and (best is None or best.gap < FLAT)
        if stuck or (best is not None and best.gap >= target) or time.monotonic() > deadline:
            break
    return best
