"""States by number and by name (floor 1)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["as_numbers", "checked_labels"]


def checked_labels(
    states: Mapping[str, Sequence[str]], sizes: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    """Names of states, checked to be as many different strings as there are states.

    Args:
        states: Labels by variable, for some or all.
        sizes: The number of states of each variable.

    Raises:
        ValueError: An unknown variable, or labels that are not different strings of that number.

    Example:
        >>> checked_labels({"X": ["no", "yes"]}, {"X": 2})
        {'X': ('no', 'yes')}
    """
    unknown = sorted(set(states) - set(sizes))
    if unknown:
        raise ValueError(
            f"states are given for {unknown}, which are no finite variables: these are "
            f"{sorted(sizes)}"
        )
    for name, labels in states.items():
        strings = not isinstance(labels, str) and all(isinstance(label, str) for label in labels)
        if not strings or len(set(labels)) != len(labels) or len(labels) != sizes[name]:
            raise ValueError(
                f"{name!r} has {sizes[name]} states: expected that many different strings, got "
                f"{labels!r}"
            )
    return {name: tuple(states[name]) for name in sorted(states)}


def as_numbers(name: str, value: Any, labels: Sequence[str]) -> Tensor | None:
    """State names as state numbers, −1 for what is missing; None where ``value`` holds no names.

    Missing are None, NaN and pandas' NA. In a column of objects numbers stand for themselves.

    Args:
        name: The variable, for messages.
        value: One name, or a list, array or column of names.
        labels: Its states.

    Raises:
        ValueError: A name is no state.

    Example:
        >>> as_numbers("X", ["yes", None], ("no", "yes"))
        tensor([ 1, -1])
    """
    if isinstance(value, str):
        return torch.tensor(_number(name, value, labels, ()))
    if isinstance(value, Tensor | bool | int | float):
        return None
    array = np.asarray(value)
    if array.shape == (0,):
        return torch.empty(0, dtype=torch.long)
    if array.dtype.kind == "f" and _kind(value) in "iu":  # whole numbers and NA, of pandas
        return torch.from_numpy(np.where(np.isnan(array), -1, array)).long()
    if array.dtype.kind not in "OUS":
        return None
    if array.dtype.kind == "O" and not all(map(_says_a_state, array.flat)):
        return None
    numbers = [_number(name, item, labels, place) for place, item in np.ndenumerate(array)]
    return torch.tensor(numbers, dtype=torch.long).reshape(array.shape)


def _kind(value: Any) -> str:
    """The letter by which NumPy calls the kind of a column's numbers."""
    return str(getattr(getattr(value, "dtype", None), "kind", "?"))


def _absent(item: Any) -> bool:
    """None, NaN, or pandas' NA, which has no truth value."""
    missing = item is None or type(item).__name__ == "NAType"
    return missing or (isinstance(item, float) and item != item)


def _says_a_state(item: Any) -> bool:
    return _absent(item) or isinstance(item, str | bytes | int | np.integer)


def _number(name: str, item: Any, labels: Sequence[str], place: tuple[int, ...]) -> int:
    if _absent(item):
        return -1
    if isinstance(item, int | np.integer):
        return int(item)
    if item in labels:
        return list(labels).index(item)
    row = f" in row {place[0] if len(place) == 1 else place}" if place else ""
    raise ValueError(f"{name!r} has no state {str(item)!r}{row}: its states are {list(labels)}")
