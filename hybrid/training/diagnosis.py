"""Which part of a model made the first number that is not finite (floor 0).

Looked for only once a loss is known to be bad: the objective runs once more while every submodule's
output is watched.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor, nn

__all__ = ["bad_module"]

_UNBOUNDED = {"logits", "probs", "validate_args"}  # where -inf, a class of probability 0, is legal


def bad_module(objective: nn.Module, call: Callable[[], Any]) -> str | None:
    """The first submodule whose output is not finite although its inputs were, else None.

    Args:
        objective: Its submodules are watched.
        call: Runs the objective; what it raises is passed over.

    Example:
        >>> class Loss(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.body = nn.Sequential(nn.Linear(1, 1), nn.Softplus())
        ...
        ...     def forward(self, batch):
        ...         return self.body(batch).mean()
        >>> loss = Loss()
        >>> _ = nn.init.constant_(loss.body[0].bias, float("inf"))
        >>> bad_module(loss, lambda: loss(torch.ones(2, 1)))
        "the output of 'body.0' (Linear)"
    """
    found: list[str] = []
    names = {id(module): name for name, module in objective.named_modules() if name}

    def look(name: str, module: nn.Module, inputs: Any, keywords: Any, output: Any) -> None:
        if found:
            return
        try:
            what = _bad(output)
            if what is not None and _bad((inputs, keywords)) is None:
                found.append(f"the {what} of {name!r} ({type(module).__name__})")
        except RuntimeError:  # inside vmap no number can be read: the module around it is looked at
            return

    parts = [module for module in objective.modules() if id(module) in names]
    hooks = [  # the name goes along: a shadow of the module that runs in its place is another one
        module.register_forward_hook(functools.partial(look, names[id(module)]), with_kwargs=True)
        for module in parts
    ]
    try:
        with torch.no_grad():
            call()
    except (ValueError, ArithmeticError, RuntimeError, Warning):
        pass  # distributions refuse NaN: by then the part that made it has been seen
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None


def _bad(value: Any) -> str | None:
    """What in a module's result is not finite: "output", or the name of a law's parameter."""
    if isinstance(value, Tensor):
        real = value.is_floating_point() or value.is_complex()
        return "output" if real and not bool(value.isfinite().all()) else None
    if isinstance(value, td.Distribution):
        return next((name for name, tensor in _parameters(value) if _spoiled(name, tensor)), None)
    if isinstance(value, Mapping):
        return next(filter(None, map(_bad, value.values())), None)
    if isinstance(value, tuple | list):
        return next(filter(None, map(_bad, value)), None)
    return "output" if isinstance(value, float) and not math.isfinite(value) else None


def _parameters(distribution: td.Distribution) -> Iterator[tuple[str, Tensor]]:
    """Tensors that a distribution is made of, those of distributions inside it too."""
    for name, value in vars(distribution).items():
        if isinstance(value, Tensor) and value.is_floating_point():
            yield name.lstrip("_"), value
        elif isinstance(value, td.Distribution):
            yield from _parameters(value)


def _spoiled(name: str, tensor: Tensor) -> bool:
    bad = tensor.isnan() if name in _UNBOUNDED else ~tensor.isfinite()
    return bool(bad.any())
