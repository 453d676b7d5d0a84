"""The loss of an objective on a batch, checked to be one (floor 0)."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from hybrid.loss import Loss

__all__ = ["evaluate"]


def evaluate(objective: Callable[[Any], Any], batch: Any) -> Loss:
    """The objective's loss, checked to be one real number with named scalar parts.

    Raises:
        TypeError: The objective returned no real tensor, or parts that are no scalar tensors.
        ValueError: The total is not a scalar.

    Example:
        >>> import torch
        >>> evaluate(lambda batch: (batch**2).mean(), torch.ones(3)).total
        tensor(1.)
        >>> evaluate(lambda batch: batch**2, torch.ones(3))
        Traceback (most recent call last):
        ValueError: the objective returned a tensor of shape (3,): a loss is one number, take ...
    """
    result = objective(batch)
    total, parts = (result, {}) if isinstance(result, Tensor) else _unpack(result)
    if total.dim():
        raise ValueError(
            f"the objective returned a tensor of shape {tuple(total.shape)}: a loss is one number, "
            "take its mean()"
        )
    if total.is_complex() or not total.is_floating_point():
        raise TypeError(
            f"the objective returned {total.dtype}: a loss is a real floating number (for a "
            "complex one take .real or .abs())"
        )
    return Loss(total, parts)


def _unpack(result: Any) -> tuple[Tensor, dict[str, Tensor]]:
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Tensor)):
        raise TypeError(
            "an objective returns a scalar tensor or hybrid.objectives.Loss(total, parts), got "
            f"{type(result).__name__}"
        )
    total, parts = result
    for name, part in parts.items():
        if not isinstance(part, Tensor) or part.dim() or part.is_complex():
            raise TypeError(f"part '{name}' of the loss must be a real scalar tensor, got {part!r}")
    return total, parts
