"""The error that stops a training at the first number that is not finite, and its naming (floor 1).

The check itself is one look per step at numbers that are there anyway; only once it has failed is
the culprit looked for, in the order in which one thing spoils the next: data, parameters, parts of
the loss, total, gradients.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.layers import Aside

__all__ = ["NonFiniteError", "bad_gradient", "bad_input", "bad_part"]


class NonFiniteError(ArithmeticError):
    """A NaN or an infinity stopped the training; the last good state has been restored.

    Attributes:
        part: What was bad first: a column and row, a parameter, a part of the loss, a gradient.
        epoch: The epoch in which it happened, from 1.
        step: The step in which it happened, from 1 and counted over all epochs.

    Example:
        >>> str(NonFiniteError("the gradient of 'weight'", epoch=2, step=7))
        "the gradient of 'weight' is not finite (epoch 2, step 7): training stopped, ..."
    """

    def __init__(self, part: str, *, epoch: int, step: int) -> None:
        super().__init__(
            f"{part} is not finite (epoch {epoch}, step {step}): training stopped, and the last "
            "good parameters, buffers and optimiser state were restored. Look for a learning rate "
            "that is too large, a scale that reaches 0, or values out of the law's support"
        )
        self.part = part
        self.epoch = epoch
        self.step = step

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.part, self.epoch, self.step)


def _rebuild(part: str, epoch: int, step: int) -> NonFiniteError:
    return NonFiniteError(part, epoch=epoch, step=step)


def bad_input(
    objective: nn.Module,
    batch: Any,
    rows: Callable[[int], int] = lambda row: row,
    *,
    infinite: bool = True,
) -> str | None:
    """The first entry of the batch, or else the first parameter, that is not finite; else None.

    An infinity is legal in a column that a law states as a limit (``limit_columns``).

    Args:
        objective: Its parameters are searched.
        batch: A batch in any form.
        rows: The row in the data of a row of the batch.
        infinite: Whether an infinity in the batch counts.

    Example:
        >>> import torch
        >>> bad_input(torch.nn.Linear(1, 1), {"A": torch.tensor([0.0, float("nan")])})
        "column 'A', row 1"
    """
    limits = limit_columns(objective)
    if not isinstance(batch, Mapping) and any(isinstance(p, Aside) for p in objective.modules()):
        infinite = False  # limits by position: infinities may be some of them
    for name, tensor in _entries(batch):
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        bad = tensor.isnan() if name in limits or not infinite else ~tensor.isfinite()
        if bad.any():
            row = rows(int(bad.nonzero()[0, 0])) if tensor.dim() else 0
            return f"{_title(name, batch)}, row {row}"
    for name, parameter in objective.named_parameters():
        if not parameter.detach().isfinite().all():
            return f"parameter '{name}'"
    return None


def bad_part(total: Tensor, parts: Mapping[str, Tensor]) -> str | None:
    """The first part of the loss that is not finite, or the total; else None.

    Example:
        >>> import torch
        >>> bad_part(torch.tensor(float("nan")), {"likelihood": torch.tensor(float("inf"))})
        "part 'likelihood' of the loss"
    """
    for name, part in parts.items():
        if not math.isfinite(float(part.detach())):
            return f"part '{name}' of the loss"
    return None if math.isfinite(float(total.detach())) else "the loss"


def bad_gradient(objective: nn.Module) -> str | None:
    """The first parameter whose gradient is not finite; else None.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(1, 1)
        >>> layer.bias.grad = torch.tensor([float("inf")])
        >>> bad_gradient(layer)
        "the gradient of parameter 'bias'"
    """
    for name, parameter in objective.named_parameters():
        gradient = parameter.grad
        if gradient is not None and not dense(gradient).isfinite().all():
            return f"the gradient of parameter '{name}'"
    return None


def dense(gradient: Tensor) -> Tensor:
    """The numbers of a gradient, sparse or not."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def limit_columns(objective: nn.Module) -> frozenset[str]:
    """Columns that some law inside states as limits, where ±inf is legal."""
    found: set[str] = set()
    for module in objective.modules():
        found.update(getattr(module, "limit_columns", None) or ())
    return frozenset(found)


def _entries(batch: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(batch, Tensor):
        yield "", batch
    elif isinstance(batch, Mapping):
        yield from ((str(k), torch.as_tensor(v)) for k, v in batch.items())
    elif isinstance(batch, tuple | list):
        names = ("x", "y") if len(batch) == 2 else tuple(f"data[{k}]" for k in range(len(batch)))
        yield from ((n, v) for n, v in zip(names, batch, strict=True) if isinstance(v, Tensor))


def _title(name: str, batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"column '{name}'"
    return name or "the batch"
