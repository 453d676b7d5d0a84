"""Walks through a graph in causal order: act, simulate, score (floor 1)."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor

from causal.cases import acted
from causal.columns import Mechanisms
from causal.draws import seeded
from causal.law import draw_from, log_probability_of

__all__ = ["act", "log_density", "simulate"]


def act(
    model: Mechanisms,
    name: str,
    action: Any,
    parents: Mapping[str, Tensor],
    full: tuple[int, ...],
) -> Tensor:
    r"""The value that an intervention gives a variable, with batch shape ``full``.

    Args:
        model: Graph and laws.
        name: The variable.
        action: A number or tensor (one value, or one per row), a distribution, or a function that
            returns one of these, of the parents' values (\*batch, \*event); see `cases.acted`.
        parents: Values of the variable's parents.
        full: The batch shape; its last axis is the rows.

    Raises:
        ValueError: The value has another shape, or is no value of the variable.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> law = torch.nn.Identity()
        >>> law.event_shape, law.support = torch.Size(), torch.distributions.constraints.real
        >>> model = Mechanisms(Graph.parse("X"), {"X": law}, {"X": ()}, torch.zeros(()))
        >>> act(model, "X", 2.0, {}, (3,))
        tensor([2., 2., 2.])
    """
    event = model.event_shape(name)
    if _is_function(action):
        action = acted(name, action, parents)
    if isinstance(action, td.Distribution):
        if tuple(action.event_shape) != event:
            raise ValueError(
                f"do({name!r}): the distribution has event shape {tuple(action.event_shape)}, "
                f"expected {event}"
            )
        batch = torch.broadcast_shapes(tuple(action.batch_shape), full)
        value = model.cast(name, draw_from(action.expand(batch)))
    else:
        value = model.cast(name, action)
    rows = tuple(value.shape[: value.dim() - len(event)])
    fits = len(value.shape) >= len(event) and tuple(value.shape[len(rows) :]) == event
    if fits and len(rows) <= len(full):
        padded = (1,) * (len(full) - len(rows)) + rows
        if all(r in (1, f) for r, f in zip(padded, full, strict=True)):
            return value.expand(*full, *event)
    raise ValueError(
        f"do({name!r}): the value has shape {tuple(value.shape)}, expected {event} for one value, "
        f"or {(full[-1], *event)} for one per row"
    )


def _is_function(action: Any) -> bool:
    """Whether an action is computed from the parents."""
    return callable(action) and not isinstance(action, Tensor | td.Distribution)


def simulate(
    model: Mechanisms,
    full: tuple[int, ...],
    *,
    actions: Mapping[str, Any],
    kept: Mapping[str, Tensor],
    names: Collection[str] | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    r"""Values of variables in causal order: acted on, kept as given, or drawn from their laws.

    Args:
        model: Graph and laws.
        full: The batch shape; each element is drawn independently.
        actions: Interventions; see `act`.
        kept: Values (\*batch, \*event) that stay as they are.
        names: The variables to give values to; None for all.
        generator: Source of randomness; None advances torch's global generator.

    Returns:
        ``{name: (\*batch, \*event)}``, batch shapes broadcasting to ``full``.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> class Fair(torch.nn.Module):
        ...     event_shape, support = torch.Size(), torch.distributions.constraints.boolean
        ...
        ...     def forward(self, context):
        ...         return torch.distributions.Bernoulli(context.new_full(context.shape[:-1], 0.5))
        >>> model = Mechanisms(Graph.parse("X"), {"X": Fair()}, {"X": ()}, torch.zeros(()))
        >>> simulate(model, (4,), actions={}, kept={})["X"].shape
        torch.Size([4])
    """
    values: dict[str, Tensor] = {}
    # Roots are asked for one row of draws: laws add their own.
    rows = (*(1 for _ in full[:-1]), full[-1])
    with seeded(generator):
        for name in model.graph.order:
            if names is not None and name not in names:
                continue
            if name in actions:
                known = {p: values[p] for p in model.visible(name) if p in values}
                values[name] = act(model, name, actions[name], known, full)
            elif name in kept:
                values[name] = kept[name]
            else:
                values[name] = draw_from(model.at(name, values, rows, full))
    return values


def log_density(
    model: Mechanisms, values: Mapping[str, Tensor], names: Collection[str], rows: tuple[int, ...]
) -> Tensor:
    r"""Sum of :math:`\log p(x_v \mid x_{pa(v)})` over the variables ``names``.

    Args:
        model: Graph and laws.
        values: Values (\*rows, \*event) of the variables and their parents.
        names: Variables whose terms are summed.
        rows: The batch shape of the values.

    Raises:
        ValueError: A value does not fit its law; the variable is named.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> model = Mechanisms(Graph.parse("X"), {"X": None}, {"X": ()}, torch.zeros(()))
        >>> log_density(model, {}, (), (2,))
        tensor([0., 0.])
    """
    total = model.like.new_zeros(rows)
    for name in model.graph.order:
        if name in names:
            distribution = model.at(name, values, rows)
            try:
                term = log_probability_of(distribution, values[name], name)
                _check_support(distribution, values[name])
                total = total + term
            except ValueError as error:
                raise ValueError(
                    f"the law of {name!r} does not take its values: {error}"
                ) from error
    return total


def _check_support(distribution: td.Distribution, value: Tensor) -> None:
    """Refuse values that the distribution cannot have, whether or not it validates them itself."""
    try:
        support: Any = distribution.support
        inside = support.check(value)
    except (NotImplementedError, AttributeError):
        return
    if not bool(inside.all()):
        raise ValueError(f"values lie outside of the support of {type(distribution).__name__}")
