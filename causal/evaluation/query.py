"""The table of a query, and how far its formula's free names move it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from causal.evaluation.contraction import Table, aligned
from causal.evaluation.sources import OBSERVED, Experiments, Sources, holds
from causal.evaluation.states import settled
from causal.evaluation.tables import Walk, finished
from causal.expression import Expression, Value, at
from causal.factor import Factor

__all__ = ["Query", "evaluate_estimand", "evaluate_expression", "specification_spread"]

Free = str | Mapping[str, Value]


@runtime_checkable
class Query(Protocol):
    """What is read of an estimand: its formula, and the names that it is asked for.

    Example:
        >>> from causal.graph import Graph
        >>> from causal.identification.observational import identify
        >>> isinstance(identify(Graph.parse("X -> Y"), outcomes="Y", treatments="X"), Query)
        True
    """

    @property
    def expression(self) -> Expression:
        """The formula."""
        ...

    @property
    def outcomes(self) -> frozenset[str]:
        """The variables whose distribution it is."""
        ...

    @property
    def treatments(self) -> frozenset[str]:
        """The variables that are set."""
        ...

    @property
    def given(self) -> frozenset[str]:
        """The variables conditioned on."""
        ...


def evaluate_expression(
    expression: Expression,
    joint: Any = None,
    *,
    experiments: Experiments | None = None,
    keep: Iterable[str] | None = None,
    free: Free = "average",
    on_zero: str = "raise",
) -> Factor:
    r"""The table of a formula on supplied distributions; exact, and differentiable in their values.

    Sums of products are contracted in a good order of elimination, in double precision and with
    powers of two taken out, so that rare conditions and long chains do not underflow. 0 / 0 is 0
    with zero gradient where a factor of probability 0 stands beside it.

    Args:
        expression: The formula.
        joint: P(V): a Factor (it need not be normalised), a Joint with ``factor()``, or a list of
            Factors whose product it is.
        experiments: A mapping or a function from a frozenset of intervened names to the Factor over
            all variables, normalised over the others for each setting.
        keep: The names that stay axes, in this order; None for all arguments, sorted. A name on
            which the formula does not depend gets an axis all the same.
        free: What happens to the other arguments: a state for each, or ``"average"``: the average
            over the states at which the formula is defined, weighted by their probability (evenly,
            if no joint tells it).
        on_zero: ``"raise"`` at a needed cell without support, or ``"nan"``: NaN in its batch row.
            Under ``torch.func.vmap``, which lets nobody look at values, it is always NaN.

    Returns:
        A Factor over ``keep`` with the sources' states, dtype and batch dimensions.

    Raises:
        PositivityViolation: A needed cell has no support.
        ValueError: A distribution or a variable is missing, or tables do not fit each other.
        TypeError: A source is not a table.

    Source: opt_einsum (Smith & Gray 2018) for the order of elimination.

    Example:
        >>> from causal.expression import Probability, product, total
        >>> joint = Factor(("X", "Z", "Y"), torch.arange(1.0, 9.0).reshape(2, 2, 2))
        >>> adjusted = total({"Z"}, product(Probability("Y", {"X", "Z"}), Probability("Z")))
        >>> evaluate_expression(adjusted, joint).names
        ('X', 'Y')
        >>> evaluate_expression(adjusted, joint).select({"X": 0}).values
        tensor([0.3915, 0.6085])
    """
    if on_zero not in ("raise", "nan"):
        raise ValueError(f"on_zero is 'raise' or 'nan', got {on_zero!r}")
    kept = tuple(sorted(expression.arguments) if keep is None else keep)
    names = expression.arguments.difference(kept)
    chosen = _chosen(free, names)
    rest = names.difference(chosen)
    sources = Sources(joint, experiments)
    walk, fixed = Walk(sources), settled(at(expression, chosen))
    table = walk.table(fixed)
    averaged = _averaged(table, _weights(sources, rest), rest)
    values = finished(averaged)
    if averaged.undefined is not None:
        missing = averaged.undefined
        if on_zero == "raise" and holds(missing.any()):
            raise walk.violation(fixed, *_first(table, missing, averaged.names, sources.batch))
        values = torch.where(_any(missing, len(averaged.names)), torch.nan, values)
    return _expanded(averaged.names, values, kept, sources)


def _any(mask: Tensor, count: int) -> Tensor:
    """Whether a batch row has a marked cell, with axes of 1 for the names."""
    flat = mask.flatten(mask.dim() - count).any(-1) if count else mask
    return flat[(..., *[None] * count)]


def _chosen(free: Free, names: frozenset[str]) -> dict[str, Value]:
    """The free names whose state the caller chose."""
    if isinstance(free, str):
        if free != "average":
            raise ValueError(f"free is 'average' or a state for each free name, got {free!r}")
        return {}
    unknown = sorted(set(free) - names)
    if unknown:
        raise ValueError(
            f"{unknown} are not free in this formula: its free names are {sorted(names)}"
        )
    return dict(free)


def _weights(sources: Sources, names: frozenset[str]) -> Table | None:
    """The probability of the free names' states; None where no joint tells it."""
    if not names or not sources.observed or not names <= sources.names(OBSERVED):
        return None
    return sources.conditional(names, frozenset(), OBSERVED)


def _averaged(table: Table, weights: Table | None, names: frozenset[str]) -> Table:
    """The table averaged over free names, in each cell over the states that define it."""
    if not names:
        return table
    order = (*(name for name in table.names if name not in names), *sorted(names))
    values, axes = aligned(table.values, table.names, order), tuple(range(-len(names), 0))
    even = torch.ones_like(values)
    if table.undefined is not None:
        even = torch.where(aligned(table.undefined, table.names, order), 0.0, even)
    share = even
    if weights is not None:
        share = even * aligned(weights.values, weights.names, order)
        # Where the joint gives the defining states no probability, they count evenly.
        share = torch.where(share.sum(axes, keepdim=True) > 0, share, even)
    below = share.sum(axes)
    empty = below == 0
    mean = (share * values).sum(axes) / torch.where(empty, 1.0, below)
    missing = None if holds(empty.any()) is False else empty
    return Table(order[: len(order) - len(names)], mean, missing, table.exponent)


def _first(
    table: Table, missing: Tensor, names: Sequence[str], batch: Sequence[int]
) -> tuple[tuple[int, ...], dict[str, int]]:
    """Batch row of the first undefined cell of the result, and states of all the table's names."""
    lead = missing.dim() - len(names)
    place = missing.nonzero()[0].tolist()
    cell = dict(zip(names, place[lead:], strict=True))
    rest = [name for name in table.names if name not in cell]
    if rest and table.undefined is not None:
        mask = aligned(table.undefined, table.names, (*names, *rest))
        mask = mask.expand(*missing.shape, *mask.shape[mask.dim() - len(rest) :])
        inside = mask[tuple(place)].nonzero()
        cell |= dict(zip(rest, inside[0].tolist(), strict=True))
    return (*([0] * (len(batch) - lead)), *place[:lead]), cell


def _expanded(
    names: Sequence[str], values: Tensor, kept: Sequence[str], sources: Sources
) -> Factor:
    """The result over the names that were asked for, in the sources' batch, dtype and states."""
    unknown = sorted(set(kept) - sources.sizes.keys())
    if unknown:
        raise ValueError(
            f"no supplied table has {unknown}, which the query names: give tables that have them"
        )
    sizes = [sources.sizes[name] for name in kept]
    values = aligned(values, names, kept).expand((*sources.batch, *sizes))
    states = {name: sources.states[name] for name in kept if name in sources.states}
    return Factor(kept, values.to(sources.dtype), states)


def _axes(query: Query) -> tuple[str, ...]:
    groups = (query.outcomes, query.treatments, query.given)
    return tuple(name for group in groups for name in sorted(group))


def evaluate_estimand(
    estimand: Query,
    joint: Any = None,
    *,
    experiments: Experiments | None = None,
    free: Free = "average",
    on_zero: str = "raise",
) -> Factor:
    """The table of an identified query over its outcomes, treatments and given, in this order.

    Args:
        estimand: What ``identify`` returned.
        joint: As in `evaluate_expression`.
        experiments: As in `evaluate_expression`.
        free: ``"average"``, or states for free names; as in `evaluate_expression`.
        on_zero: ``"raise"`` or ``"nan"``.

    Raises:
        PositivityViolation: A needed cell has no support.
        ValueError: A distribution or a variable is missing, or tables do not fit each other.

    Example:
        >>> from causal.graph import Graph
        >>> from causal.identification.observational import identify
        >>> query = identify(Graph.parse("X -> Y"), outcomes="Y", treatments="X")
        >>> joint = Factor(("X", "Y"), torch.tensor([[0.1, 0.3], [0.2, 0.4]]))
        >>> evaluate_estimand(query, joint).select({"X": 0}).values
        tensor([0.2500, 0.7500])
    """
    return evaluate_expression(
        estimand.expression,
        joint,
        experiments=experiments,
        keep=_axes(estimand),
        free=free,
        on_zero=on_zero,
    )


def specification_spread(
    estimand: Query,
    joint: Any = None,
    *,
    experiments: Experiments | None = None,
    on_zero: str = "raise",
) -> Factor:
    """Largest less smallest value of a formula over the states of its free names.

    It is 0 in every distribution that the graph allows (a constraint of the kind found by Verma &
    Pearl 1990), so that a large one on a fitted model says that graph and data do not agree.

    Args:
        estimand: An estimand with free names, such as that of the napkin graph.
        joint: As in `evaluate_expression`.
        experiments: As in `evaluate_expression`.
        on_zero: ``"raise"`` or ``"nan"``.

    Returns:
        A Factor over outcomes, treatments and given.

    Raises:
        ValueError: The formula has no free name.
        PositivityViolation: A needed cell has no support.

    Example:
        >>> from causal.graph import Graph
        >>> from causal.identification.observational import identify
        >>> graph = Graph.parse("W -> R -> X -> Y; W <-> X; W <-> Y")
        >>> query = identify(graph, outcomes="Y", treatments="X")
        >>> joint = Factor(("R", "W", "X", "Y"), torch.rand(2, 2, 2, 2) + 0.1)
        >>> bool((specification_spread(query, joint).values > 0.001).all())
        True
    """
    axes = _axes(estimand)
    free = tuple(sorted(estimand.expression.arguments - set(axes)))
    if not free:
        raise ValueError("the formula has no free name: there is nothing whose values can differ")
    table = evaluate_expression(
        estimand.expression, joint, experiments=experiments, keep=(*axes, *free), on_zero=on_zero
    )
    over = tuple(range(-len(free), 0))
    values = table.values.amax(over) - table.values.amin(over)
    return Factor(axes, values, {n: s for n, s in table.states.items() if n in axes})
