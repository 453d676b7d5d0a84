"""From a user's data to tensors of equal length, checked by name (floor 0).

Named columns (a dict or DataFrame) must vary and be free of NaN; positional data must be free of
NaN. Infinities pass: in a column of limits they are legal, elsewhere the laws refuse them.
"""

import sys
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["named_columns", "positional_columns"]


def named_columns(
    data: Any,
    dtype: torch.dtype,
    *,
    limits: Collection[str] = (),
    constant: bool = False,
    what: str = "data",
) -> dict[str, Tensor]:
    """Columns of a mapping or DataFrame as tensors ``(rows, *event)``.

    Args:
        data: A mapping of names to tensors, arrays or sequences, or a DataFrame.
        dtype: What floating columns that are not tensors yet become.
        limits: Columns that may be constant, because they are limits of some law.
        constant: Whether constant columns pass.
        what: What the errors call the data.

    Raises:
        ValueError: A column has NaN or is constant, lengths differ, or there are no rows.
        TypeError: A column is not numeric.

    Example:
        >>> import torch
        >>> named_columns({"A": [0.0, 1.0], "B": torch.tensor([1, 0])}, torch.float32)
        {'A': tensor([0., 1.]), 'B': tensor([1, 0])}
        >>> named_columns({"A": [0.0, float("nan")]}, torch.float32)
        Traceback (most recent call last):
        ValueError: data: column 'A' is NaN in row 1 (1 of 2 rows): drop or impute these rows
    """
    if not list(data):
        raise ValueError(f"{what} has no columns")
    if len({str(name) for name in data}) < len(list(data)):
        raise ValueError(f"{what}: two columns have the same name as text: {list(data)}")
    columns = {str(name): _tensor(data[name], dtype, f"{what}: column '{name}'") for name in data}
    _check_lengths({f"column '{name}'": c for name, c in columns.items()}, what)
    for name, column in columns.items():
        _check_nan(column, f"{what}: column '{name}'")
        if not constant and name not in limits:
            _check_constant(name, column, what)
    return columns


def positional_columns(
    data: tuple[Any, ...], dtype: torch.dtype, *, what: str = "data"
) -> tuple[Tensor, ...]:
    """Entries of a tuple as tensors of equal length; two of them are called x and y.

    Raises:
        ValueError: An entry has NaN, lengths differ, or there are no rows.
        TypeError: An entry is not numeric.

    Example:
        >>> import torch
        >>> positional_columns((torch.zeros(3, 2), torch.zeros(2)), torch.float32)
        Traceback (most recent call last):
        ValueError: data: lengths differ: x has 3 rows, y has 2
    """
    names = ("x", "y") if len(data) == 2 else tuple(f"data[{k}]" for k in range(len(data)))
    if not data:
        raise ValueError(f"{what} is an empty tuple: give (x, y)")
    columns = {n: _tensor(v, dtype, f"{what}: {n}") for n, v in zip(names, data, strict=True)}
    _check_lengths(columns, what)
    for name, column in columns.items():
        _check_nan(column, f"{what}: {name}")
    return tuple(columns.values())


def is_frame(data: Any) -> bool:
    """Whether ``data`` is a pandas DataFrame (which it cannot be before pandas was imported)."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def _tensor(value: Any, dtype: torch.dtype, title: str) -> Tensor:
    if isinstance(value, Tensor):
        if value.dim() == 0:
            raise ValueError(f"{title} is a single number: expected one entry per row")
        return value.detach()
    if hasattr(value, "to_numpy"):  # a pandas Series
        value = _series(value, title)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{title} has dtype {array.dtype}, which is not numeric: encode it as numbers "
            "(classes as 0 … k − 1) or leave it out"
        )
    if array.ndim == 0:
        raise ValueError(f"{title} is a single number: expected one entry per row")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    tensor = torch.from_numpy(np.array(array, order="C", dtype=array.dtype.newbyteorder("=")))
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _series(value: Any, title: str) -> Any:
    kind = getattr(value.dtype, "kind", "O")
    if kind not in "biuf":
        raise TypeError(
            f"{title} has dtype {value.dtype}, which is not numeric: encode it as numbers "
            "(numbers as objects: .astype(float); a category: .cat.codes) or leave it out"
        )
    if value.isna().any():  # also pandas' own NA, which would turn the column into objects
        return value.to_numpy(dtype="float64", na_value=float("nan"))
    return value.to_numpy(dtype=getattr(value.dtype, "numpy_dtype", None))


def _check_lengths(columns: Mapping[str, Tensor], what: str) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(
            f"{name} has {n}{' rows' * (k == 0)}" for k, (name, n) in enumerate(lengths.items())
        )
        raise ValueError(f"{what}: lengths differ: {listed}")
    if not next(iter(lengths.values())):
        raise ValueError(f"{what} has no rows")


def _check_nan(column: Tensor, title: str) -> None:
    if not (column.is_floating_point() or column.is_complex()):
        return
    rows = column.isnan().flatten(1).any(1) if column.dim() > 1 else column.isnan()
    count = int(rows.sum())
    if count:
        first = int(rows.nonzero()[0, 0])
        raise ValueError(
            f"{title} is NaN in row {first} ({count} of {len(column)} rows): drop or impute these "
            "rows"
        )


def _check_constant(name: str, column: Tensor, what: str) -> None:
    if len(column) < 2 or column.numel() == 0:
        return
    still = (column == column[:1]).all(0)
    if not still.any():
        return
    if column.dim() > 1:
        cell = still.nonzero()[0].tolist()
        name = f"{name}[{','.join(map(str, cell))}]"
        value = column[(0, *cell)].item()
    else:
        value = column[0].item()
    raise ValueError(
        f"{what}: column '{name}' is constant ({value}): it says nothing about the others and "
        "makes their laws unidentified; leave it out"
    )
