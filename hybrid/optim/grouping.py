"""Parameter groups by name, for one optimiser with several settings (floor 0)."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

__all__ = ["groups"]


def groups(module: nn.Module, patterns: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Trainable parameters in groups, each with options of its own, for any torch optimiser.

    A parameter goes to the first pattern that matches its name, so that ``"*"`` at the end takes
    the rest. ``hybrid.fit`` takes the optimiser made of them like any other.

    Args:
        module: The objective, or whatever owns the parameters.
        patterns: Shell pattern on parameter names (``*``, ``?``, ``[…]``) → options of the group,
            such as ``{"lr": 0.01}``; an option left out is the optimiser's own.

    Raises:
        ValueError: A pattern is the first match of no trainable parameter, or a trainable parameter
            matches none.
        TypeError: ``patterns`` is no mapping of mappings.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
        >>> adam = torch.optim.Adam(groups(net, {"0.*": {"lr": 0.1}, "*": {}}), lr=1e-3)
        >>> [(len(group["params"]), group["lr"]) for group in adam.param_groups]
        [(2, 0.1), (2, 0.001)]
    """
    if not isinstance(patterns, Mapping):
        raise TypeError(f"patterns must map name patterns to options, got {patterns!r}")
    for pattern, options in patterns.items():
        if not isinstance(options, Mapping) or "params" in options:
            raise TypeError(
                f"the options of pattern {pattern!r} must be a mapping such as {{'lr': 0.01}}, "
                f"without 'params': got {options!r}"
            )
    trainable = {name: p for name, p in module.named_parameters() if p.requires_grad}
    made = {pattern: {"params": [], **options} for pattern, options in patterns.items()}
    missing = []
    for name, parameter in trainable.items():
        first = next((p for p in made if fnmatchcase(name, p)), None)
        if first is None:
            missing.append(f"'{name}'")
        else:
            made[first]["params"].append(parameter)
    if missing:
        raise ValueError(
            f"no pattern matches {', '.join(missing)}: add one, or '*' at the end for the rest"
        )
    for pattern, group in made.items():
        if not group["params"]:
            raise ValueError(
                f"pattern {pattern!r} gets no trainable parameter (the first match counts); there "
                f"are {', '.join(trainable)}"
            )
    return list(made.values())
