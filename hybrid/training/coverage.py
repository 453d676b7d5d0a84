"""Which optimiser trains which parameter: every one exactly once, or an error by name (floor 1)."""

import inspect
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["needs_closure", "optimizers_for"]


def optimizers_for(objective: nn.Module, optimizer: Any = None) -> tuple[Optimizer, ...]:
    """The optimisers that together train every trainable parameter of ``objective`` once.

    Args:
        objective: The module to train.
        optimizer: A callable that makes an optimiser of a list of parameters, an optimiser, a
            mapping ``{name pattern: either}`` with shell patterns (``*``, ``?``, ``[…]``) on
            parameter names, or None for Adam with a learning rate of 0.001.

    Raises:
        TypeError: ``optimizer`` is something else, or the callable makes something else.
        ValueError: A trainable parameter is in no optimiser or in two, a tensor in an optimiser is
            no parameter of the objective, or a pattern matches nothing.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> split = {
        ...     "weight": lambda p: torch.optim.Adam(p, 1e-3),
        ...     "b*": lambda p: torch.optim.SGD(p, 0.1),
        ... }
        >>> [type(made).__name__ for made in optimizers_for(layer, split)]
        ['Adam', 'SGD']
        >>> optimizers_for(layer, torch.optim.Adam([layer.weight]))
        Traceback (most recent call last):
        ValueError: no optimizer trains 'bias': give it to one, or freeze it with ...
    """
    trainable = {n: p for n, p in objective.named_parameters() if p.requires_grad}
    if not trainable:
        raise ValueError(
            f"{type(objective).__name__} has no trainable parameter: pass the module that holds "
            "them (is requires_grad off, or the model not a submodule of the objective?)"
        )
    if optimizer is None:
        optimizer = _adam
    if isinstance(optimizer, Mapping):
        made = _by_pattern(optimizer, trainable)
    else:
        made = (_make(optimizer, trainable, "optimizer"),)
    _check_cover(objective, trainable, made)
    return made


def needs_closure(optimizer: Optimizer) -> bool:
    """Whether ``step`` wants a function that evaluates the loss again, as L-BFGS does.

    Example:
        >>> import torch
        >>> needs_closure(torch.optim.LBFGS([torch.nn.Parameter(torch.zeros(1))]))
        True
    """
    parameter = inspect.signature(type(optimizer).step).parameters.get("closure")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _adam(parameters: list[Tensor]) -> Optimizer:
    return torch.optim.Adam(parameters, 1e-3)


def _make(spec: Any, parameters: Mapping[str, Tensor], where: str) -> Optimizer:
    if isinstance(spec, Optimizer):
        return spec
    expected = "a callable of parameters such as lambda p: torch.optim.Adam(p, 1e-3), an Optimizer"
    if not callable(spec):
        raise TypeError(f"{where} must be {expected} or a mapping of name patterns, got {spec!r}")
    make: Callable[[list[Tensor]], Any] = spec
    made = make(list(parameters.values()))
    if not isinstance(made, Optimizer):
        raise TypeError(
            f"{where} must return a torch.optim.Optimizer, got {type(made).__name__}: for a "
            "learning-rate schedule add hybrid.Schedule to callbacks"
        )
    return made


def _by_pattern(
    patterns: Mapping[Any, Any], trainable: Mapping[str, Tensor]
) -> tuple[Optimizer, ...]:
    chosen: dict[str, str] = {}
    made = []
    for pattern, spec in patterns.items():
        mine = {n: p for n, p in trainable.items() if fnmatchcase(n, str(pattern))}
        if not mine:
            raise ValueError(
                f"optimizer pattern {pattern!r} matches no trainable parameter; there are "
                f"{', '.join(trainable)}"
            )
        for name in mine:
            if name in chosen:
                raise ValueError(
                    f"'{name}' is matched by the optimizer patterns {chosen[name]!r} and "
                    f"{pattern!r}: make them exclusive"
                )
            chosen[name] = str(pattern)
        made.append(_make(spec, mine, f"optimizer[{pattern!r}]"))
    return tuple(made)


def _check_cover(
    objective: nn.Module, trainable: Mapping[str, Tensor], made: tuple[Optimizer, ...]
) -> None:
    known = {id(parameter): name for name, parameter in objective.named_parameters()}
    seen: set[int] = set()
    for optimizer in made:
        for number, group in enumerate(optimizer.param_groups):
            for index, parameter in enumerate(group["params"]):
                if id(parameter) not in known:
                    raise ValueError(
                        f"{type(optimizer).__name__} (group {number}, entry {index}) has a tensor "
                        f"of shape {tuple(parameter.shape)} that is no parameter of the "
                        f"{type(objective).__name__}: make the optimizer from "
                        "objective.parameters(), after the objective"
                    )
                if id(parameter) in seen:
                    raise ValueError(
                        f"'{known[id(parameter)]}' is in two optimizers: give it to one"
                    )
                seen.add(id(parameter))
    missing = [f"'{name}'" for name, p in trainable.items() if id(p) not in seen]
    if missing:
        raise ValueError(
            f"no optimizer trains {', '.join(missing)}: give it to one, or freeze it with "
            "requires_grad_(False)"
        )
