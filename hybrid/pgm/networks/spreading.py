"""Evidence, context and tables brought to one batch shape, for programs (floor 3)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hybrid.pgm.networks.observation import Observed
from hybrid.pgm.networks.structure import Structure

__all__ = ["Spread", "spread"]


class Spread(NamedTuple):
    r"""Inputs of one batch shape.

    Attributes:
        batch: The shape.
        evidence: Columns (\*batch,), likelihoods (\*batch, states), values (\*batch, \*event).
        context: The context of each contextual variable, (\*batch, width).
        tables: Tables (\*batch, \*states), or (\*states,) where no row has its own.

    Example:
        >>> Spread((2,), {}, {}, {}).batch
        (2,)
    """

    batch: tuple[int, ...]
    evidence: dict[str, Tensor]
    context: dict[str, Tensor]
    tables: dict[str, Tensor]


def spread(
    structure: Structure,
    observed: Observed,
    context: Mapping[str, Tensor],
    tables: Mapping[str, Any],
) -> Spread:
    """Broadcast what a program gives a network: particles and chains lie in front of the rows.

    Args:
        structure: The network.
        observed: The evidence.
        context: The context of each contextual variable.
        tables: Tables in place of the network's own.

    Raises:
        ValueError: Batch shapes do not broadcast.

    Example:
        >>> from hybrid.pgm.networks.observation import observe
        >>> coin = Structure(("X",), (2,), ((),))
        >>> seen = observe(coin, {}, {}, {"X": torch.tensor([0, 1])})
        >>> spread(coin, seen, {}, {"X": torch.full((5, 1, 2), 0.5)}).batch
        (5, 2)
    """
    own = {name: len(structure.scopes[structure.index[name]]) for name in tables}
    leads = {name: tuple(table.shape[: table.dim() - own[name]]) for name, table in tables.items()}
    shapes = [observed.batch, *(tuple(rows.shape[:-1]) for rows in context.values())]
    try:
        batch = tuple(torch.broadcast_shapes(*shapes, *leads.values()))
    except RuntimeError as error:
        raise ValueError(
            f"evidence has rows {observed.batch}, context {shapes[1:]}, tables {leads}: these "
            "batch shapes do not broadcast"
        ) from error
    columns: dict[str, Tensor] = {}
    for place, number in enumerate(observed.numbers):
        column = observed.states[place].reshape(observed.batch)
        columns[structure.names[number]] = column.expand(batch)
    for number, table in observed.soft.items():
        rows = table.reshape(*observed.batch, -1)
        columns[structure.names[number]] = rows.expand(*batch, rows.shape[-1])
    for name, value in observed.values.items():
        event = value.shape[1:]
        columns[name] = value.reshape(*observed.batch, *event).expand(*batch, *event)
    return Spread(
        batch,
        columns,
        {name: rows.expand(*batch, rows.shape[-1]) for name, rows in context.items()},
        {
            name: table.expand(*batch, *table.shape[table.dim() - own[name] :])
            if leads[name]
            else table
            for name, table in tables.items()
        },
    )
