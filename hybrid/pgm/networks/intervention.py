"""The network in which some variables are set (floor 2)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.pgm.networks.nodes import Table
from hybrid.pgm.networks.simplex import check_rows
from hybrid.pgm.networks.structure import Structure

__all__ = ["point_tables"]


def point_tables(
    structure: Structure, labels: Mapping[str, Sequence[str]], actions: Any
) -> dict[str, Table]:
    """The tables, without parents, of variables that are set.

    Args:
        structure: The network.
        labels: Names of the states.
        actions: ``{name: state's number or name}``, or probabilities of all states.

    Raises:
        ValueError: An unknown or continuous variable, or a value that is no state of it.
        TypeError: No values by name.

    Example:
        >>> coin = Structure(("X",), (2,), ((),))
        >>> point_tables(coin, {"X": ("no", "yes")}, {"X": "yes"})["X"].probabilities()
        tensor([0., 1.], dtype=torch.float64)
    """
    if not isinstance(actions, Mapping):
        raise TypeError(f"do takes states by variable, {{name: state}}, got {actions!r}")
    made: dict[str, Table] = {}
    for name, value in actions.items():
        if name in structure.leaf_index:
            raise ValueError(
                f"do({name!r}): a continuous variable has no effects here, so setting it changes "
                "nothing else"
            )
        if name not in structure.index:
            raise ValueError(
                f"do({name!r}): unknown variable, the network has {list(structure.names)}"
            )
        size = structure.cardinalities[structure.index[name]]
        made[name] = Table(_point(name, value, size, labels.get(name, ())))
    return made


def _point(name: str, value: Any, size: int, labels: Sequence[str]) -> Tensor:
    if isinstance(value, str):
        if value not in labels:
            raise ValueError(f"do({name!r}): no state {value!r}, its states are {list(labels)}")
        value = list(labels).index(value)
    try:
        values = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"do({name!r}): expected a state's number or name, or probabilities of all {size}, "
            f"got {value!r}"
        ) from error
    if values.dim() == 1 and len(values) == size and values.is_floating_point():
        values = values.detach().cpu()
        check_rows(name, values)
        return values
    number = float(values) if values.numel() == 1 else -1.0
    if values.dim() or number != round(number) or not 0 <= number < size:
        raise ValueError(
            f"do({name!r}): expected one of the states 0 … {size - 1}, or probabilities of all "
            f"{size}, got {value!r}"
        )
    return nn.functional.one_hot(values.long().cpu(), size).double()
