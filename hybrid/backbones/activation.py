"""Activations as modules, one for each place (floor 0)."""

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

__all__ = ["activation_of"]


def activation_of(activation: Callable[..., Any]) -> nn.Module:
    """A module of its own for one place in a network.

    Args:
        activation: A module class or another callable that makes a module, so that a PReLU has
            parameters of its own in each place; a module is copied instead.

    Raises:
        TypeError: It is no module and makes none.

    Example:
        >>> activation_of(nn.PReLU), activation_of(nn.LeakyReLU(0.2))
        (PReLU(num_parameters=1), LeakyReLU(negative_slope=0.2))
    """
    if isinstance(activation, nn.Module):
        return copy.deepcopy(activation)
    made = activation() if callable(activation) else activation
    if not isinstance(made, nn.Module):
        raise TypeError(
            f"activation must be or make a torch.nn.Module, got {type(made).__name__}: "
            "pass torch.nn.GELU() or its class, not a name or a function such as torch.relu"
        )
    return made
