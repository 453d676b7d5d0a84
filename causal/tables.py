"""The joint table of a model whose variables are all finite (floor 1)."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from causal.columns import Mechanisms
from causal.factor import Factor
from causal.law import is_integer, states_of

__all__ = ["LARGEST", "infinite", "joint_table"]

LARGEST = 2**24  # cells: 64 MiB in single precision


def infinite(model: Mechanisms) -> list[str]:
    """The variables that have no finite number of classes, sorted.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> infinite(Mechanisms(Graph.parse(""), {}, {}, torch.zeros(())))
        []
    """
    return [name for name in model.graph.nodes if states_of(model.laws[name]) is None]


def joint_table(
    model: Mechanisms, draws: int | None, actions: Mapping[str, Any] | None = None
) -> Factor:
    r"""The product of all conditional tables, over the sorted variables.

    Args:
        model: Graph and laws, inside ``fixed(…, draws)``.
        draws: Number S of weight draws, which become a leading axis; None for no axis.
        actions: Variables set to one class each.

    Returns:
        A Factor with values (\*draws, \*cardinalities); gradients reach the laws' parameters.

    Raises:
        ValueError: There are hidden causes, a variable is not finite, or the table has more than
            `LARGEST` cells.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> joint_table(Mechanisms(Graph.parse(""), {}, {}, torch.zeros(())), None).values
        tensor(1.)
    """
    if model.hidden:
        raise ValueError(
            f"the joint table of a model with hidden causes {list(model.hidden)} has no closed "
            "form: use sample, or log_probability, which is a lower bound then"
        )
    endless = infinite(model)
    if endless:
        raise ValueError(
            f"a table needs finite variables, but {endless} are not: give them laws with states"
        )
    sizes = {name: int(states_of(model.laws[name]) or 0) for name in model.graph.nodes}
    cells = math.prod(sizes.values()) * (draws or 1)
    if cells > LARGEST:
        raise ValueError(
            f"the joint table would have {cells:,} cells ({sizes}"
            f"{f', {draws} draws' if draws else ''}), more than {LARGEST:,}: ask for fewer "
            "variables or draws, or use sample"
        )
    product = Factor((), model.like.new_ones(() if draws is None else (draws,)))
    for name in model.graph.order:
        product = product * _conditional(model, name, sizes, draws, actions or {})
    return product.permute(model.graph.nodes)


def _conditional(
    model: Mechanisms,
    name: str,
    sizes: Mapping[str, int],
    draws: int | None,
    actions: Mapping[str, Any],
) -> Factor:
    """The table of one variable given its parents."""
    classes = torch.arange(sizes[name], device=model.like.device)
    if name in actions:
        return Factor((name,), (classes == model.cast(name, actions[name])).to(model.like.dtype))
    parents = model.parents[name]
    axes = [torch.arange(sizes[p], device=model.like.device) for p in parents]
    grid = torch.meshgrid(*axes, indexing="ij") if axes else ()
    lead = () if draws is None else (1,)
    rows = (*lead, math.prod(sizes[p] for p in parents))
    values = {
        p: _as_values(model, p, column.reshape(rows))
        for p, column in zip(parents, grid, strict=True)
    }
    law = model.at(name, values, rows)
    states = _as_values(model, name, classes)
    columns = [law.log_prob(state.expand(law.batch_shape)) for state in states]
    table = torch.stack(columns, -1).exp()
    table = table.reshape(*table.shape[: len(lead)], *(sizes[p] for p in parents), sizes[name])
    return Factor((*parents, name), table)


def _as_values(model: Mechanisms, name: str, classes: Tensor) -> Tensor:
    """Class numbers as the values of a variable."""
    return classes if is_integer(model.laws[name]) else classes.to(model.like.dtype)
