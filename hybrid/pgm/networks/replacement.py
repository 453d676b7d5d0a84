"""Tables that stand in for a network's own in one call (floor 2)."""

import math
from collections.abc import Mapping

from torch import Tensor

from hybrid.pgm.networks.structure import Structure

__all__ = ["replacements"]


def replacements(
    structure: Structure, tables: Mapping[str, Tensor] | None, batch: tuple[int, ...]
) -> dict[int, Tensor]:
    r"""Tables by number, (1, rows or 1, \*states).

    Args:
        structure: The network.
        tables: (\*batch or nothing, \*parents' states, states) by variable.
        batch: The rows' shape.

    Raises:
        ValueError: An unknown variable, a wrong shape, or values that are no probabilities.
        TypeError: Something that is no tensor of numbers in floating point.

    Example:
        >>> import torch
        >>> coin = Structure(("X",), (2,), ((),))
        >>> replacements(coin, {"X": torch.tensor([0.5, 0.5])}, (5,))[0].shape
        torch.Size([1, 1, 2])
    """
    made: dict[int, Tensor] = {}
    for name, table in (tables or {}).items():
        if name not in structure.index:
            raise ValueError(
                f"a table is given for {name!r}: the finite variables are {list(structure.names)}"
            )
        if not isinstance(table, Tensor) or not table.is_floating_point():
            raise TypeError(
                f"the table of {name!r} stands in for the network's own: expected a floating-point "
                f"tensor, got {table!r}"
            )
        if not bool((table.detach() >= 0).all()):
            raise ValueError(
                f"the table of {name!r} holds negative or NaN values: expected probabilities"
            )
        number = structure.index[name]
        sizes = tuple(structure.cardinalities[k] for k in structure.scopes[number])
        shape = tuple(table.shape)
        if shape == sizes:
            made[number] = table[None, None]
        elif shape == (*batch, *sizes):
            made[number] = table.reshape(1, math.prod(batch), *sizes)
        else:
            raise ValueError(
                f"the table of {name!r} has shape {shape}: expected {sizes}, or {(*batch, *sizes)} "
                "for a table of each row"
            )
    return made
