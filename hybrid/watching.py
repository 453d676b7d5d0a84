"""Seeing what an objective's parts are given and return, without leaving a trace (floor 0)."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

__all__ = ["Call", "undisturbed", "watched"]

_SMALL = 4096  # buffers up to this size are put back, as those of batch normalisation always are


class Call(NamedTuple):
    """One call of a part.

    Attributes:
        part: The module that was called.
        inputs: Its first argument.
        result: What it returned.

    Example:
        >>> import torch
        >>> with watched(net := nn.Linear(1, 1), lambda part: part is net) as calls:
        ...     _ = net(torch.ones(3, 1))
        >>> calls[0].inputs.shape
        torch.Size([3, 1])
    """

    part: nn.Module
    inputs: Any
    result: Any


@contextmanager
def watched(module: nn.Module, chosen: Callable[[nn.Module], bool]) -> Iterator[list[Call]]:
    """Collect the calls of the chosen parts of ``module``, of nested ones the outermost.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
        >>> with watched(net, lambda part: isinstance(part, nn.ReLU)) as calls:
        ...     _ = net(torch.ones(3, 1))
        >>> [type(call.part).__name__ for call in calls]
        ['ReLU']
    """
    calls: list[Call] = []
    depth = 0

    def before(module: nn.Module, args: Any) -> None:  # noqa: ARG001 (torch's hook)
        nonlocal depth
        depth += 1

    def after(part: nn.Module, _: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        nonlocal depth
        depth -= 1
        if not depth:
            given = args[0] if args else next(iter(kwargs.values()), None)
            calls.append(Call(part, given, result))

    with ExitStack() as stack:
        for part in module.modules():
            if chosen(part):
                handles = (
                    part.register_forward_pre_hook(before),
                    # bound to the part: what runs may be a copy that takes its place
                    part.register_forward_hook(functools.partial(after, part), with_kwargs=True),
                )
                for handle in handles:
                    stack.callback(handle.remove)
        yield calls


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Give buffers that an evaluation writes to (running statistics, counts) their values back.

    Example:
        >>> import torch
        >>> norm = nn.BatchNorm1d(2)
        >>> with undisturbed(norm):
        ...     _ = norm(torch.ones(3, 2))
        >>> norm.num_batches_tracked
        tensor(0)
    """
    kept: list[tuple[dict[str, Tensor | None], str, Tensor]] = []
    for part in module.modules():
        norm = isinstance(part, nn.modules.batchnorm._NormBase)
        for name, buffer in part._buffers.items():
            if buffer is not None and (norm or buffer.numel() <= _SMALL):
                kept.append((part._buffers, name, buffer))
    for owner, name, buffer in kept:
        owner[name] = buffer.detach().clone()  # a graph may need it as it was
    try:
        yield
    finally:
        for owner, name, buffer in kept:
            owner[name] = buffer
