"""Copies of a module that share its parameters, with some parts exchanged (floor 1)."""

from collections.abc import Callable

import torch
from torch import nn

__all__ = ["exchanged", "is_law", "shadow"]


def is_law(module: nn.Module) -> bool:
    """Whether ``module`` is a Law of the form ``link(body(context))``.

    Example:
        >>> is_law(nn.Linear(2, 1))
        False
    """
    body = module._modules.get("body")
    return isinstance(body, nn.Module) and callable(getattr(module, "link", None))


def exchanged(
    module: nn.Module,
    change: Callable[[nn.Module], nn.Module | None],
    done: dict[int, nn.Module] | None = None,
) -> nn.Module:
    """``module`` with parts exchanged; parameters, buffers and all other parts are shared.

    Args:
        module: Any module. It is not changed.
        change: Asked for every part, from the outside in: what takes its place (itself to leave it
            and all that is inside alone), or None to look at its own parts.
        done: Parts that have been asked for already, by identity.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> exchanged(net, lambda part: nn.Tanh() if isinstance(part, nn.ReLU) else None)
        Sequential(
          (0): Linear(in_features=2, out_features=2, bias=True)
          (1): Tanh()
        )
    """
    done = {} if done is None else done
    if id(module) not in done:
        new = change(module)
        done[id(module)] = _inside(module, change, done) if new is None else new
    return done[id(module)]


def _inside(
    module: nn.Module, change: Callable[[nn.Module], nn.Module | None], done: dict[int, nn.Module]
) -> nn.Module:
    parts: dict[str, nn.Module] = {}
    for name, part in module._modules.items():
        new = None if part is None else exchanged(part, change, done)
        if new is not None and new is not part:
            parts[name] = new
    if not parts:
        return module
    copy = module.__new__(type(module))
    for name, value in module.__dict__.items():
        copy.__dict__[name] = value.copy() if isinstance(value, dict) else value
    copy._modules.update(parts)
    return copy


def shadow(module: nn.Module) -> nn.Module:
    """A copy of all parts that shares all parameters and buffers.

    ``torch.func.functional_call`` puts stand-ins into the module that it runs; run on a shadow,
    other threads that use the module do not see them. What a part remembers in containers (a
    circuit's traces) is shared too. While ``torch.compile`` traces, it is the module itself.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 1))
        >>> twin = shadow(net)
        >>> twin[0] is net[0], twin[0].weight is net[0].weight
        (False, True)
    """
    return module if torch.compiler.is_compiling() else _shadow(module, {})


def _shadow(part: nn.Module, done: dict[int, nn.Module]) -> nn.Module:
    known = done.get(id(part))
    if known is not None:
        return known
    copy = part.__new__(type(part))
    own = copy.__dict__
    own.update(part.__dict__)
    own["_parameters"], own["_buffers"] = part._parameters.copy(), part._buffers.copy()
    if "_flat_weights" in own:  # torch's recurrent layers keep their parameters twice
        own["_flat_weights"] = list(own["_flat_weights"])
    done[id(part)] = copy
    own["_modules"] = {
        name: None if inner is None else _shadow(inner, done)
        for name, inner in part._modules.items()
    }
    return copy
