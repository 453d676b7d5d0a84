"""Multilayer perceptron (floor 0)."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from hybrid.backbones.activation import activation_of

__all__ = ["MLP"]


class MLP(nn.Sequential):
    """Linear layers with an activation between them; a plain ``torch.nn.Sequential``.

    Args:
        in_features: Width of the input.
        hidden: Widths of the hidden layers; empty for a single linear layer.
        out_features: Width of the result.
        activation: A module class or another callable that makes a module, called once per hidden
            layer, so that a PReLU has parameters of its own in each; a module is copied instead.
        dropout: Probability with which a hidden unit is dropped in training mode.
        device: Where the parameters live.
        dtype: Their type.

    Raises:
        ValueError: A width is not positive, or ``dropout`` is not in [0, 1).
        TypeError: A width is not a whole number, or ``activation`` is no module.

    Example:
        >>> mlp = MLP(3, [64, 64], 2, activation=torch.nn.PReLU)
        >>> mlp(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        out_features: int,
        activation: Callable[..., Any] = nn.GELU,
        *,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(hidden, Sequence):
            raise TypeError(f"hidden is a list of widths such as [64, 64], got {hidden!r}")
        widths = [in_features, *hidden, out_features]
        if not all(isinstance(width, int) for width in widths):
            raise TypeError(f"widths must be whole numbers: {widths}")
        if any(width < 1 for width in widths[1:]) or in_features < 0:
            raise ValueError(f"widths must be positive: {widths}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is a probability below 1: {dropout}")
        self.in_features, self.out_features = in_features, out_features
        for index, (width, following) in enumerate(itertools.pairwise(widths)):
            self.append(nn.Linear(width, following, device=device, dtype=dtype))
            if index < len(hidden):
                self.append(activation_of(activation).to(device=device, dtype=dtype))
                if dropout:
                    self.append(nn.Dropout(dropout))
