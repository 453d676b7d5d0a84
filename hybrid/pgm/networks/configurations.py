"""Laws run on every configuration of their parents: tables and likelihoods (floor 1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor, nn
from torch.distributions import constraints

from causal.draws import seeded
from causal.law import columns_of, draw_from, encode, law_at, log_probability_of, states_of

__all__ = ["Finite", "Mechanism", "columns_at", "conditional_table", "likelihood", "simulated"]

SLACK = 1e-4  # single precision over many states


@dataclass(frozen=True)
class Finite:
    """A finite variable as `causal.law` sees it: what its columns in a context are.

    Args:
        states: The number of states.

    Example:
        >>> columns_of("X", Finite(2)), columns_of("Y", Finite(3))
        (('X',), ('Y[0]', 'Y[1]', 'Y[2]'))
    """

    states: int
    event_shape = torch.Size()

    @property
    def support(self) -> constraints.Constraint:
        """State numbers."""
        return constraints.integer_interval(0, self.states - 1)


@dataclass(frozen=True, eq=False)
class Mechanism:
    """A Law in its place in a network.

    Args:
        name: The variable.
        law: Its Law.
        parents: The parents in the order of the law's columns.
        sizes: Their numbers of states.
        contextual: Whether the row's context follows the parents' columns.

    Example:
        >>> from hybrid.heads.classes import Categorical
        >>> law = Categorical(torch.nn.Linear(3, 2), states=2)
        >>> node = Mechanism("Y", law, ("X",), (3,), False)
        >>> conditional_table(node, None, torch.zeros(1).double(), None).shape
        torch.Size([1, 1, 3, 2])
    """

    name: str
    law: Any
    parents: tuple[str, ...]
    sizes: tuple[int, ...]
    contextual: bool

    @property
    def configurations(self) -> int:
        """The number of configurations of the parents."""
        return math.prod(self.sizes)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the parents' columns."""
        pairs = zip(self.parents, self.sizes, strict=True)
        return tuple(column for name, size in pairs for column in columns_of(name, Finite(size)))


@lru_cache(maxsize=1024)
def _grid(sizes: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The columns of all configurations, in the order of a table's cells."""
    with torch.inference_mode(False), torch.no_grad():
        axes = [torch.arange(size, device=device) for size in sizes]
        grid = torch.meshgrid(*axes, indexing="ij") if axes else ()
        states = [column.reshape(-1) for column in grid]
        return columns_at(states, sizes, (math.prod(sizes),), dtype, device)


def columns_at(
    states: Sequence[Tensor],
    sizes: Sequence[int],
    rows: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    r"""State numbers of parents as the columns (\*rows, width) of a context.

    Example:
        >>> columns_at([torch.tensor([2, 0])], (3,), (2,), torch.float32, torch.device("cpu"))
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    encoded = [
        encode(Finite(size), column, dtype) for size, column in zip(sizes, states, strict=True)
    ]
    return torch.cat([torch.zeros(*rows, 0, dtype=dtype, device=device), *encoded], -1)


def _like(law: nn.Module) -> Tensor:
    """A tensor of the law's dtype and device."""
    for tensor in (*law.parameters(), *law.buffers()):
        if tensor.is_floating_point():
            return tensor
    return torch.zeros(())


def _inputs(node: Mechanism, context: Tensor | None, draws: int | None) -> tuple[Tensor, int]:
    """The law's context, rows times configurations, and the number of rows (1 without context)."""
    like = _like(node.law)
    device = like.device if context is None else context.device
    grid = _grid(node.sizes, like.dtype, device)
    rows = 1
    if context is not None:
        rows, count = len(context), node.configurations
        context = context if context.is_floating_point() else context.to(like.dtype)
        left = grid.to(context.dtype).expand(rows, *grid.shape)
        right = context.unsqueeze(1).expand(rows, count, context.shape[-1])
        grid = torch.cat([left, right], -1).flatten(0, 1)
    return (grid if draws is None else grid.unsqueeze(0)), rows


def _distribution(node: Mechanism, inputs: Tensor) -> td.Distribution:
    try:
        return law_at(node.law, inputs)
    except Exception as error:
        parts = "its parents' columns " + str(list(node.columns))
        parts += " and the row's context" if node.contextual else ""
        raise ValueError(
            f"the law of {node.name!r} does not take its context of width {inputs.shape[-1]}, "
            f"{parts}: {type(error).__name__}: {error}"
        ) from error


def conditional_table(
    node: Mechanism, context: Tensor | None, like: Tensor, draws: int | None
) -> Tensor:
    r"""A finite Law as a table, run once on all configurations (times all rows of a context).

    Args:
        node: The law in its place.
        context: The rows' context (rows, width), for contextual laws.
        like: A tensor of the dtype that the table gets.
        draws: Number of weight draws in force, or None.

    Returns:
        Shape (draws or 1, rows or 1, \*parents' states, states), parents in the node's order.

    Raises:
        ValueError: The law does not take its context, or its probabilities do not sum to one.

    Example:
        >>> from hybrid.heads.classes import Bernoulli
        >>> node = Mechanism("Y", Bernoulli(None), ("X",), (2,), False)
        >>> conditional_table(node, None, torch.zeros(()), None).flatten().tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    inputs, rows = _inputs(node, context, draws)
    distribution = _distribution(node, inputs)
    states = int(states_of(node.law) or 0)
    scores = _scores(node.law, distribution, states).to(dtype=like.dtype, device=like.device)
    total = scores.logsumexp(-1)
    wrong = ~(total.abs() <= SLACK)
    if bool(wrong.any()):
        worst = float(total.detach()[wrong][0])
        kind = "NaN" if math.isnan(worst) else f"{math.exp(worst):.6g}"
        raise ValueError(
            f"the law of {node.name!r} gives its {states} states probabilities that sum to {kind}"
            f"{_row(node, wrong)}, not to 1: see that its states and support are those of its "
            "distribution, and that its context is finite"
        )
    table = scores.softmax(-1)
    lead = table.shape[0] if draws is not None else 1
    return table.reshape(lead, rows, *node.sizes, states)


def _row(node: Mechanism, wrong: Tensor) -> str:
    """Where a law's result is wrong."""
    place = int(wrong.reshape(wrong.shape[0] if wrong.dim() > 1 else 1, -1).any(0).nonzero()[0])
    return f" in row {place // node.configurations}" if node.contextual else ""


def _scores(law: Any, distribution: td.Distribution, states: int) -> Tensor:
    """Log probabilities of all states, (*batch, states)."""
    if isinstance(distribution, td.Categorical) and distribution.logits.shape[-1] == states:
        return distribution.logits
    boolean = law.support is constraints.boolean
    dtype = _like(law).dtype if boolean else torch.long
    values = torch.arange(states, device=_like(law).device).to(dtype)
    columns = [distribution.log_prob(value.expand(distribution.batch_shape)) for value in values]
    return torch.stack(columns, -1)


def likelihood(
    node: Mechanism, value: Tensor, context: Tensor | None, like: Tensor, draws: int | None
) -> Tensor:
    r"""The log density of a leaf's observed values, for every configuration of its parents.

    Args:
        node: The leaf.
        value: The rows' values (rows, \*event).
        context: The rows' context (rows, width), for contextual laws.
        like: A tensor of the dtype that the table gets.
        draws: Number of weight draws in force, or None.

    Returns:
        Shape (draws or 1, rows, \*parents' states), parents in the node's order.

    Raises:
        ValueError: The law does not take its context or the values.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> node = Mechanism("Y", Normal(torch.nn.Linear(3, 2)), ("X",), (3,), False)
        >>> likelihood(node, torch.zeros(5), None, torch.zeros(()), None).shape
        torch.Size([1, 5, 3])
    """
    inputs, _ = _inputs(node, context, draws)
    distribution = _distribution(node, inputs)
    rows, event, count = len(value), tuple(node.law.event_shape), node.configurations
    value = value.to(_like(node.law)).unsqueeze(1)
    lead = tuple(distribution.batch_shape[:1]) if draws is not None else ()
    try:
        if context is None:  # the rows are samples of one distribution for each configuration
            value = value.reshape(rows, *(1 for _ in lead), 1, *event)
            found = distribution.log_prob(value.expand(rows, *lead, count, *event))
            found = found.movedim(0, len(lead))
        else:
            value = value.expand(rows, count, *event).reshape(*(1 for _ in lead), -1, *event)
            found = log_probability_of(distribution, value, node.name)
    except ValueError as error:
        raise ValueError(f"the law of {node.name!r} does not take its values: {error}") from error
    found = found.to(dtype=like.dtype, device=like.device).reshape(*(lead or (1,)), rows, count)
    wrong = ~(found.detach() < torch.inf)
    if bool(wrong.any()):
        row = int(wrong.any(-1).any(0).nonzero()[0])
        raise ValueError(
            f"the law of {node.name!r} gives its value in row {row} a density that is NaN or "
            "infinite: see that parameters and context are finite"
        )
    return found.reshape(*found.shape[:2], *node.sizes)


def simulated(
    node: Mechanism,
    states: Sequence[Tensor],
    context: Tensor | None,
    shape: tuple[int, int],
    draws: int | None,
    generator: torch.Generator | None,
) -> Tensor:
    r"""Values of a leaf at its parents' states, (lead, rows, \*event).

    Args:
        node: The leaf.
        states: The parents' state numbers (lead, rows).
        context: The rows' context (rows, width), for contextual laws.
        shape: Lead (the number of draws, or 1) and rows.
        draws: Number of weight draws in force, or None.
        generator: Source of randomness; None advances torch's global generator.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> node = Mechanism("Y", Normal(torch.nn.Linear(3, 2)), ("X",), (3,), False)
        >>> simulated(node, [torch.zeros(1, 5).long()], None, (1, 5), None, None).shape
        torch.Size([1, 5])
    """
    like = _like(node.law)
    lead = shape[0] if states else 1  # roots are asked for one row of draws: laws add their own
    inputs = columns_at(states, node.sizes, (lead, shape[1]), like.dtype, like.device)
    if context is not None:
        inputs = torch.cat([inputs, context.to(inputs).expand(lead, *context.shape)], -1)
    inputs = inputs.squeeze(0) if draws is None else inputs
    full = shape[1:] if draws is None else shape
    with seeded(generator):
        distribution = _distribution(node, inputs)
        try:
            value = draw_from(distribution.expand(full))
        except NotImplementedError:
            value = draw_from(_distribution(node, inputs.expand(*full, inputs.shape[-1])))
    return value.reshape(*shape, *node.law.event_shape)
