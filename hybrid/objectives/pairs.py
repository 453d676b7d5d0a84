"""Batches of contexts and values as a law takes them (floor 0)."""

from typing import Any

import torch
from torch import Tensor, nn

from causal.law import is_integer, states_of
from hybrid.bayes.batching import first_real, in_dtype_of

__all__ = ["data_pair", "described"]


def data_pair(law: nn.Module, x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Data in the law's dtype; classes are checked, and whole numbers stay whole.

    Args:
        law: A Law, or another module.
        x: Contexts.
        y: Values.

    Raises:
        TypeError: One of them is no tensor of real numbers.
        ValueError: y is none of the law's classes.

    Example:
        >>> import torch
        >>> data_pair(torch.nn.Linear(1, 1).double(), torch.ones(1, 1), torch.tensor([2]))
        (tensor([[1.]], dtype=torch.float64), tensor([2.], dtype=torch.float64))
    """
    parameter = first_real(law)
    dtype = torch.get_default_dtype() if parameter is None else parameter.dtype
    for name, tensor in (("x", x), ("y", y)):
        if not isinstance(tensor, Tensor) or tensor.is_complex():
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(f"{name} must be a tensor of real numbers, got {kind}")
    states = states_of(law) if hasattr(law, "support") else None
    if states is None:
        return in_dtype_of(law, x), y.to(dtype)
    wrong = ~((y >= 0) & (y < states) & (y == y.round() if y.is_floating_point() else True))
    if bool(wrong.any()):
        kind = "0 or 1" if states == 2 else f"a class number 0 … {states - 1}"
        raise ValueError(f"y must be {kind}, got {y[wrong][0].item():g}")
    return in_dtype_of(law, x), y.long() if is_integer(law) else y.to(dtype)


def described(batch: Any) -> str:
    """A batch in a few words, for error messages.

    Example:
        >>> described((1, 2, 3))
        '3 entries'
    """
    if isinstance(batch, tuple | list):
        return f"{len(batch)} entries"
    if isinstance(batch, Tensor):
        return f"one tensor of shape {tuple(batch.shape)}"
    return type(batch).__name__
