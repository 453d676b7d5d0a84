"""Tables whose last axis is a distribution: what is refused, what is rounding (floor 0)."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["check_rows", "normalised", "within_rounding"]

TOLERANCE = 1e-6  # decimals in files: no published network is further from one than 3e-7


def check_rows(name: str, values: Tensor, parents: Sequence[str] = ()) -> None:
    """See that a table holds probabilities, and that each configuration's sum to one.

    Sums may be off by 1e-6, or by the rounding of the table's dtype where that is coarser.

    Args:
        name: The variable, for messages.
        values: The table, one axis for each parent and the variable's last.
        parents: Names of the first axes, for messages.

    Raises:
        ValueError: A value is negative, infinite or NaN, or a row does not sum to one.

    Example:
        >>> check_rows("X", torch.tensor([[0.5, 0.5], [0.9, 0.2]]), ("Z",))
        Traceback (most recent call last):
        ValueError: the table of 'X' sums to 1.1 at Z=1, not to 1: ...
    """
    wrong = ~((values >= 0) & values.isfinite())
    if bool(wrong.any()):
        cell = tuple(int(k) for k in wrong.nonzero()[0])
        raise ValueError(
            f"the table of {name!r} holds {float(values[cell]):g}{_place(parents, cell[:-1])}, "
            f"state {cell[-1]}: expected probabilities from 0 to 1"
        )
    sums = values.sum(-1)
    far = (sums - 1).abs() > 1.001 * max(TOLERANCE, 8 * torch.finfo(values.dtype).eps)
    if bool(far.any()):
        cell = tuple(int(k) for k in far.nonzero()[0]) if far.dim() else ()
        raise ValueError(
            f"the table of {name!r} sums to {float(sums[cell]):g}{_place(parents, cell)}, not to "
            f"1: the last axis is the states of {name!r}, the others are its parents "
            f"{list(parents)}; divide by values.sum(-1, keepdim=True) if they are counts"
        )


def _place(parents: Sequence[str], cell: Sequence[int]) -> str:
    setting = ", ".join(f"{parent}={state}" for parent, state in zip(parents, cell, strict=False))
    return f" at {setting}" if setting else ""


def within_rounding(values: Tensor) -> bool:
    """Whether every row sums to one as nearly as its dtype can say.

    Example:
        >>> within_rounding(torch.tensor([0.25, 0.75])), within_rounding(torch.tensor([0.3, 0.6]))
        (True, False)
    """
    bound = torch.finfo(values.dtype).eps * max(4, values.shape[-1] // 2)
    return bool(((values.sum(-1) - 1).abs() <= bound).all())


def normalised(values: Tensor) -> Tensor:
    """The same table; divided by its sums where these are off by more than rounding.

    Example:
        >>> normalised(torch.tensor([0.333333, 0.333333, 0.333333])).sum()
        tensor(1.)
    """
    return values if within_rounding(values) else values / values.sum(-1, keepdim=True)
