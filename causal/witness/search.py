"""Search for two models that agree on what is supplied and differ on a query (floor 3)."""

import math
import time
from collections.abc import Mapping

import torch

from causal.graph import Edge
from causal.witness.curve import follow, promise
from causal.witness.network import Key, Skeleton
from causal.witness.problem import FLOOR, Blocks, Pair, Problem

__all__ = ["random_blocks", "search"]

EXACT = 2e-13  # largest difference in what is supplied
FLAT = 1e-8  # a query that moves by less does not move
# Most states of the hidden causes, and whether all blocks move together, for each start.
STARTS = (
    (2, False),
    (3, False),
    (4, False),
    (4, True),
    (5, False),
    (3, True),
    (6, False),
    (4, True),
    (8, False),
)
LARGEST = 2**25  # entries of a matrix: 256 MiB
PROMISING = 6  # models of which the most promising is followed
SWEEPS = 10  # over the blocks, as long as they help
SINGULAR = 1e-13  # directions that change what is supplied by less, relatively, are free


def random_blocks(
    shape: Skeleton, causes: Mapping[Edge, int], generator: torch.Generator
) -> Blocks:
    """Strictly positive random blocks, softmax of Gaussian numbers along the first axis.

    Args:
        shape: The model's shape.
        causes: Number of states of each hidden cause.
        generator: Source of the numbers.

    Example:
        >>> from causal.graph import Graph
        >>> shape = Skeleton(Graph.parse("X <-> Y"), {}, {"X": 2, "Y": 2})
        >>> blocks = random_blocks(shape, {("X", "Y"): 3}, torch.Generator().manual_seed(0))
        >>> blocks["X"].shape
        torch.Size([2, 3])
    """
    blocks: Blocks = {}
    for key in shape.keys:
        noise = torch.randn(shape.shape(key, causes), generator=generator, dtype=torch.float64)
        spread = 0.5 if not isinstance(key, str) else 1.5
        blocks[key] = torch.softmax(spread * noise, 0) * 0.98
        blocks[key] = blocks[key] + 0.02 / len(blocks[key])
    return blocks


def _causes(
    problem: Problem, shape: Skeleton, most: int, together: bool, generator: torch.Generator
) -> dict[Edge, int] | None:
    """Numbers of states of the hidden causes; None where matrices would be too large.

    Each has 2 or ``most``: what is supplied leaves the law of a cause or a mechanism open where the
    cause has more states than its other effects tell apart. Where all blocks move, all have that.
    """
    edges = sorted(shape.graph.bidirected)
    many = torch.randint(2, (len(edges),), generator=generator).tolist()
    same = together or not any(many)
    causes = {edge: most if more or same else 2 for edge, more in zip(edges, many, strict=True)}
    sizes = [math.prod(shape.shape(key, causes)) for key in shape.keys]
    tables = ([shape.states[str(name)] for name in table.kept] for table in problem.supplied)
    rows = sum(map(math.prod, tables))
    return causes if rows * (sum(sizes) if together else max(sizes)) <= LARGEST else None


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


def _curved(
    problem: Problem,
    shape: Skeleton,
    causes: Mapping[Edge, int],
    generator: torch.Generator,
    target: float,
    deadline: float,
) -> Pair:
    """From the most promising of some models, along the curve on which all blocks move."""
    starts = [random_blocks(shape, causes, generator) for _ in range(PROMISING)]
    start = max(starts, key=lambda blocks: promise(problem, shape, blocks))
    first, second = follow(problem, shape, start, 1.0, target, deadline), start
    if problem.query(first) - problem.query(start) < target:
        second = follow(problem, shape, start, -1.0, target, deadline)
    high, low = problem.query(first), problem.query(second)
    return Pair(first, second, high, low, problem.discrepancy(first, second))


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
        patient: Whether to go on where three starts did not move the query at all.

    Example:
        >>> from causal.graph import Graph
        >>> from causal.identification.events import Event
        >>> from causal.witness.worlds import event_network, experiment_network
        >>> shape = Skeleton(Graph.parse("X -> Y; X <-> Y"), {}, {"X": 2, "Y": 2})
        >>> asked = event_network(shape, [Event("Y", 1, do={"X": 1})])
        >>> problem = Problem((experiment_network(shape, ()),), asked, None)
        >>> source = torch.Generator().manual_seed(0)
        >>> pair = search(problem, shape, generator=source, deadline=time.monotonic() + 60)
        >>> pair.gap > 1e-3, pair.discrepancy < 1e-12
        (True, True)
    """
    best: Pair | None = None
    for attempt, (most, together) in enumerate(STARTS):
        causes = _causes(problem, shape, most, together, generator)
        if causes is None:
            continue
        if together:
            pair = _curved(problem, shape, causes, generator, 1.2 * least, deadline)
        else:
            blocks = random_blocks(shape, causes, generator)
            pair = _climb(problem, shape, blocks, max(least, 0.05 * 0.6**attempt))
        if pair.discrepancy <= EXACT and (best is None or pair.gap > best.gap):
            best = pair
        stuck = not patient and attempt > 1 and (best is None or best.gap < FLAT)
        enough = least if together else max(least, 0.05 * 0.6**attempt)
        if stuck or (best is not None and best.gap >= enough) or time.monotonic() > deadline:
            break
    return best
