"""A copy of a module's trainable state and of its optimisers', to come back to (floor 1).

Taking one is cheap enough for every step: the tensors are copied in one fused call into the same
memory, and large buffers (data, not statistics) are skipped unless they were written to.
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["Snapshot"]

_UNLIKE = object()  # unlike anything in a state, so that the next copy is built anew
_SMALL = 4096  # buffers up to this size are copied without asking whether they changed


class Snapshot:
    """Parameters and buffers of a module, and the state of its optimisers, at one moment.

    Args:
        module: Its trainable parameters and its buffers are copied.
        optimizers: Their state and settings (learning rates) are copied too.
        parameters: Whether parameters are copied, or buffers alone.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(1, 1)
        >>> snapshot = Snapshot(layer)
        >>> snapshot.take()
        >>> _ = torch.nn.init.constant_(layer.weight, float("nan"))
        >>> snapshot.restore()
        >>> bool(layer.weight.isfinite().all())
        True
    """

    def __init__(
        self,
        module: nn.Module,
        optimizers: Sequence[Optimizer] = (),
        *,
        parameters: bool = True,
    ) -> None:
        self._parameters = [p for p in module.parameters() if p.requires_grad and parameters]
        self._optimizers = tuple(optimizers)
        self._slots = [
            (part._buffers, name)
            for part in module.modules()
            for name, buffer in part._buffers.items()
            if buffer is not None
        ]
        self._live: list[Tensor] = []
        self._leaves: list[Any] = [_UNLIKE]
        self._saved: list[Tensor] = []
        self.taken = False  # whether there is a copy
        self._buffers: list[tuple[Tensor, int, Tensor] | None] = [None] * len(self._slots)
        self._states: list[dict[Any, Any]] = []
        self._groups: list[list[dict[str, Any]]] = []

    @property
    def elements(self) -> int:
        """How many numbers a copy of parameters and optimiser states has (as Adam's would be)."""
        return sum(p.numel() for p in self._parameters) * (3 if self._optimizers else 1)

    @torch.no_grad()
    def take(self) -> None:
        """Copy the present state, over the earlier copy."""
        leaves: list[Any] = []
        for optimizer in self._optimizers:
            for entry in optimizer.state.values():
                leaves.extend(entry.values() if isinstance(entry, dict) else (entry,))
        if len(leaves) == len(self._leaves) and all(map(operator.is_, leaves, self._leaves)):
            if self._live:
                torch._foreach_copy_(self._saved, self._live)
        else:
            nested = any(isinstance(leaf, dict | list | tuple) for leaf in leaves)
            self._leaves = [_UNLIKE] if nested else leaves
            self._rebuild()
        self._groups = [
            [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            for optimizer in self._optimizers
        ]
        self._take_buffers()
        self.taken = True

    def _rebuild(self) -> None:
        """Copy into new memory, because a state has other entries than at the last copy."""
        live: list[Tensor] = list(self._parameters)
        self._states = [
            {key: _split(entry, live) for key, entry in optimizer.state.items()}
            for optimizer in self._optimizers
        ]
        self._saved = [tensor.detach().clone() for tensor in live]
        self._live = live

    def _take_buffers(self) -> None:
        for index, (owner, name) in enumerate(self._slots):
            buffer = owner.get(name)
            if buffer is None:
                continue
            known = self._buffers[index]
            if known is None or known[0] is not buffer or _may_differ(buffer, known[1]):
                self._buffers[index] = (buffer, buffer._version, buffer.detach().clone())

    @torch.no_grad()
    def restore(self) -> None:
        """Bring the copied state back, in place."""
        for parameter, saved in zip(self._parameters, self._saved, strict=False):
            parameter.copy_(saved)
        for (owner, name), known in zip(self._slots, self._buffers, strict=True):
            if known is not None:
                buffer, version, saved = known
                if _may_differ(buffer, version):
                    buffer.copy_(saved)
                owner[name] = buffer
        for optimizer, states, groups in zip(
            self._optimizers, self._states, self._groups, strict=True
        ):
            optimizer.state.clear()
            for key, entry in states.items():
                optimizer.state[key] = _join(entry, self._saved)
            for group, settings in zip(optimizer.param_groups, groups, strict=True):
                group.update(settings)

    def state_dict(self) -> dict[str, list[Any]]:
        """The copy of parameters and buffers as plain data, without optimisers."""
        buffers = [None if known is None else known[2] for known in self._buffers]
        return {"parameters": self._saved[: len(self._parameters)], "buffers": buffers}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Sequence[Any]]) -> None:
        """Take over a copy that `state_dict` gave, of a module of the same shape."""
        self.take()
        for saved, tensor in zip(self._saved, state["parameters"], strict=False):
            saved.copy_(tensor)
        for index, tensor in enumerate(state["buffers"]):
            known = self._buffers[index]
            if known is None or tensor is None:
                continue
            saved = tensor.to(known[2], copy=True)
            buffer = known[0] if known[0].shape == saved.shape else saved.clone()
            self._buffers[index] = (buffer, -1, saved)  # no version is -1: it is copied back


def _may_differ(buffer: Tensor, version: int) -> bool:
    """Whether a buffer may have changed; batch normalisation does not count up its versions."""
    return buffer.numel() <= _SMALL or buffer._version != version


class _Place(int):
    """Where a tensor of an optimiser's state lies in the flat list of copies."""


def _split(value: Any, tensors: list[Tensor]) -> Any:
    """``value`` with each tensor moved to the flat list and replaced by its place."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return _Place(len(tensors) - 1)
    if isinstance(value, dict):
        return {key: _split(part, tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_split(part, tensors) for part in value])
    return value


def _join(value: Any, tensors: list[Tensor]) -> Any:
    """The inverse of `_split`, with copies of the tensors."""
    if isinstance(value, _Place):
        return tensors[value].clone()
    if isinstance(value, dict):
        return {key: _join(part, tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_join(part, tensors) for part in value])
    return value
