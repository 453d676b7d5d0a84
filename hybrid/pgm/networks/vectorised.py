"""A network's questions have axes of rows and draws of their own (floor 0)."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["refuse_vmap"]


def refuse_vmap(*given: Any) -> None:
    """Raise where `torch.func.vmap` runs over one of these tensors, or tensors by name.

    Which plan is followed depends on what is observed and on zeros, so that vmap cannot follow.

    Raises:
        TypeError: It does.

    Example:
        >>> torch.func.vmap(lambda rows: refuse_vmap({"X": rows}))(torch.zeros(2))
        Traceback (most recent call last):
        TypeError: torch.func.vmap cannot run over a network's questions: ...
    """
    for group in given:
        values = [group[name] for name in group] if hasattr(group, "keys") else [group]
        if any(isinstance(v, Tensor) and torch._C._functorch.is_batchedtensor(v) for v in values):
            raise TypeError(
                "torch.func.vmap cannot run over a network's questions: they take rows themselves, "
                "as evidence (*batch,), a context (*batch, width) or tables (*batch, *states), and "
                "draws of weights as draws=S"
            )
