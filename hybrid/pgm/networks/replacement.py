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
        ValueError: An unknown variable, or a wrong shape.

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
