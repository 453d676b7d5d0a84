"""What objectives return, and whole numbers as arguments (floor 0)."""

import operator
from typing import Any, NamedTuple

from torch import Tensor

__all__ = ["Loss", "whole"]


class Loss(NamedTuple):
    """What an objective returns: the scalar to minimise, and its named parts for the reader.

    Attributes:
        total: Scalar tensor; its gradient trains the parameters.
        parts: Scalar tensors by name, e.g. likelihood and divergence; they need not add up.

    Example:
        >>> import torch
        >>> Loss(torch.tensor(3.0), {"fit": torch.tensor(2.0), "penalty": torch.tensor(1.0)}).total
        tensor(3.)
    """

    total: Tensor
    parts: dict[str, Tensor]


def whole(name: str, value: Any, least: int | None = 1) -> int:
    """``value`` as an int, if it is a whole number of at least ``least``.

    Example:
        >>> whole("epochs", 0)
        Traceback (most recent call last):
        ValueError: epochs must be at least 1: 0
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}: {number}")
    return number
