"""Data as state numbers: names become numbers, what is missing becomes −1 (floor 0)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["labels_of", "numbered"]

States = Mapping[str, Sequence[str]]


def numbered(
    data: Any, names: Iterable[str], states: States, sizes: Mapping[str, int]
) -> dict[str, Int[Tensor, " rows"]]:
    """Columns of state numbers.

    Args:
        data: Columns by name: a mapping or DataFrame of state numbers or state names. Missing are
            −1, NaN, None and pandas' NA.
        names: The variables that may have columns.
        states: Names of the states, of the variables that have them.
        sizes: The number of states of each variable.

    Raises:
        ValueError: An unknown variable or state, no rows, or columns of different lengths.

    Example:
        >>> labels = {"wet": ("no", "yes")}
        >>> numbered({"wet": ["yes", None, "no"]}, ["wet"], labels, {"wet": 2})
        {'wet': tensor([ 1, -1,  0])}
    """
    known = list(names)
    unknown = sorted({str(name) for name in data} - set(known))
    if unknown:
        raise ValueError(f"data have columns {unknown}, the network has the variables {known}")
    columns = {
        name: _column(name, data[name], states.get(name, ()), sizes[name])
        for name in known
        if name in data
    }
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns have different lengths: {lengths}")
    if not lengths or not next(iter(lengths.values())):
        raise ValueError("data have no rows" if lengths else "data have no columns")
    return columns


def _column(name: str, values: Any, labels: Sequence[str], size: int) -> Tensor:
    array = _array(values)
    if array.ndim != 1:
        raise ValueError(f"the column {name!r} has shape {array.shape}: expected one state a row")
    absent = _absent(array)
    if array.dtype.kind in "OUS" and any(isinstance(value, str) for value in array[~absent]):
        numbers = _looked_up(name, array, absent, labels)
    else:
        numbers = _whole(name, array, absent)
    wrong = np.flatnonzero((numbers < -1) | (numbers >= size))
    if len(wrong):
        raise ValueError(
            f"{name!r} is {numbers[wrong[0]]} in row {wrong[0]}: its states are 0 … {size - 1}, "
            "and −1 says that it is missing"
        )
    return torch.from_numpy(numbers)


def _array(values: Any) -> NDArray[Any]:
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    if hasattr(values, "to_numpy"):
        kind = getattr(values.dtype, "kind", "O")
        if kind in "biuf" and values.isna().any():
            return np.asarray(values.to_numpy(dtype="float64", na_value=float("nan")))
        return np.asarray(values.to_numpy())
    return np.asarray(values)


def _absent(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an array has None, NaN or pandas' NA: all that is not equal to itself."""
    if array.dtype.kind == "f":
        return np.isnan(array)
    if array.dtype.kind == "O":
        return np.array([value is None or bool(_unequal(value)) for value in array], dtype=bool)
    return np.zeros(array.shape, dtype=bool)


def _unequal(value: Any) -> bool:
    try:
        return bool(value != value)
    except TypeError:  # pandas' NA is neither true nor false
        return True


def _looked_up(
    name: str, array: NDArray[Any], absent: NDArray[np.bool_], labels: Sequence[str]
) -> NDArray[np.int64]:
    number = {label: i for i, label in enumerate(labels)}
    items = array.tolist()
    if not number:
        raise ValueError(f"{name!r} has state names in the data, but none in the network")
    try:
        found = [-1 if gone else number[value] for value, gone in zip(items, absent, strict=True)]
    except KeyError as error:
        row = next(i for i, value in enumerate(items) if not absent[i] and value not in number)
        raise ValueError(
            f"{name!r} has no state {error.args[0]!r} (row {row}): its states are {list(labels)}"
        ) from None
    return np.array(found, dtype=np.int64)


def _whole(name: str, array: NDArray[Any], absent: NDArray[np.bool_]) -> NDArray[np.int64]:
    try:
        values = np.where(absent, -1, array).astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name!r} has neither state numbers nor state names") from None
    wrong = np.flatnonzero(values != np.round(values))
    if len(wrong):
        raise ValueError(
            f"{name!r} is {values[wrong[0]]} in row {wrong[0]}: expected the number of a state"
        )
    return values.astype(np.int64)


def labels_of(data: Any) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """What data say about states: how many each column has, and their names where it has names.

    Args:
        data: Columns by name. Names are sorted, those of a pandas category keep its order; numbers
            count from 0 to the largest.

    Raises:
        ValueError: A column has no value at all.

    Example:
        >>> labels_of({"wet": ["yes", None, "no"], "steps": [0, 2, -1]})
        ({'wet': 2, 'steps': 3}, {'wet': ('no', 'yes')})
    """
    sizes: dict[str, int] = {}
    labels: dict[str, tuple[str, ...]] = {}
    for key in data:
        name, values = str(key), data[key]
        categories = getattr(getattr(values, "dtype", None), "categories", None)
        array = _array(values)
        present = array[~_absent(array)]
        if categories is not None and all(isinstance(label, str) for label in categories):
            labels[name] = tuple(categories)
        elif any(isinstance(value, str) for value in present):
            labels[name] = tuple(sorted(set(map(str, present))))
        else:
            sizes[name] = (
                int(_whole(name, present, np.zeros(len(present), bool)).max(initial=-1)) + 1
            )
        sizes[name] = len(labels[name]) if name in labels else sizes[name]
        if not sizes[name]:
            raise ValueError(f"the column {name!r} has no value: its states cannot be told")
    return sizes, labels
