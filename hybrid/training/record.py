"""All that a training is at one moment, as tensors and JSON, and back again (floor 3).

Parameters, buffers (those that a ``state_dict`` leaves out too, once they were written to),
optimisers, callbacks, random states, the order of the data, and the numbers so far.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hybrid.storage.archive import CheckpointError
from hybrid.storage.checkpoint import fitting, fitting_optimizer, gathered, packed_optimizer
from hybrid.storage.packing import pack, unpack

__all__ = ["Record"]


class Record:
    """Captures and restores one training.

    Args:
        objective: The module in training.
        optimizers: Its optimisers.
        callbacks: Those with ``state_dict`` and ``load_state_dict`` take part, unless they belong
            to the objective.

    Example:
        >>> import tempfile
        >>> from hybrid.storage.archive import read, write
        >>> layer = nn.Linear(1, 1)
        >>> before = layer.weight.item()
        >>> sgd = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
        >>> record = Record(layer, (sgd,), ())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(folder, *record.capture({"step": 3}))
        ...     _ = nn.init.zeros_(layer.weight)
        ...     training = record.restore(folder, *read(folder))
        >>> training, layer.weight.item() == before
        ({'step': 3}, True)
    """

    def __init__(
        self, objective: nn.Module, optimizers: Sequence[Optimizer], callbacks: Sequence[Any]
    ) -> None:
        self.objective, self.optimizers = objective, tuple(optimizers)
        inside = {id(module) for module in objective.modules()}
        self.callbacks = [
            callback
            for callback in callbacks
            if id(callback) not in inside
            and callable(getattr(callback, "state_dict", None))
            and callable(getattr(callback, "load_state_dict", None))
        ]
        self._unwritten = {
            name: (buffer, buffer._version) for name, buffer in self._left_out().items()
        }

    def capture(
        self, training: Mapping[str, Any]
    ) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """Groups and contents for `archive.write`; ``training`` is plain data and tensors.

        The tensors are the live ones: write them before anything goes on.

        Raises:
            CheckpointError: Something is no plain data.
        """
        groups, contents = gathered(self.objective)
        tensors: dict[str, Tensor] = {}
        states: dict[str, Tensor] = {}
        contents["optimizers"] = [
            packed_optimizer(self.objective, optimizer, states, str(index))
            for index, optimizer in enumerate(self.optimizers)
        ]
        try:
            contents["training"] = pack(dict(training), "training", tensors)
            contents["buffers"] = pack(self._written(), "buffers", tensors)
            contents["callbacks"] = [
                {
                    "class": type(callback).__name__,
                    "state": pack(callback.state_dict(), f"callback.{index}", tensors),
                }
                for index, callback in enumerate(self.callbacks)
            ]
        except TypeError as error:
            raise CheckpointError(f"the training cannot be kept: {error}") from error
        named = {"optimizers": states, "training": tensors}
        return {**groups, **{name: group for name, group in named.items() if group}}, contents

    def restore(
        self,
        path: str | os.PathLike[str],
        groups: Mapping[str, Mapping[str, Tensor]],
        contents: Mapping[str, Any],
    ) -> Any:
        """Bring what was captured back in place; returns ``training``.

        Raises:
            CheckpointError: It is no training's, or another one's; nothing was changed then.
        """
        self._check(path, contents)
        tensors = groups.get("training", {})
        state = fitting(path, groups, contents, self.objective)
        optimizers = [
            fitting_optimizer(stored, groups.get("optimizers", {}), self.objective, optimizer)
            for stored, optimizer in zip(contents["optimizers"], self.optimizers, strict=True)
        ]
        training = unpack(contents["training"], tensors)
        self.objective.load_state_dict(state)
        self._write(unpack(contents["buffers"], tensors))
        for optimizer, saved in zip(self.optimizers, optimizers, strict=True):
            optimizer.load_state_dict(saved)
        for callback, stored in zip(self.callbacks, contents["callbacks"], strict=True):
            callback.load_state_dict(unpack(stored["state"], tensors))
        return training

    def _check(self, path: str | os.PathLike[str], contents: Mapping[str, Any]) -> None:
        if "training" not in contents:
            raise CheckpointError(
                f"{os.fspath(path)} holds a module, not a training: hybrid.load reads it; "
                "a training goes on from a folder step-…"
            )
        there = [stored["class"] for stored in contents["callbacks"]]
        here = [type(callback).__name__ for callback in self.callbacks]
        if there != here:
            raise CheckpointError(
                f"the training at {os.fspath(path)} had callbacks {there} with a state, this one "
                f"has {here}: resume with the same"
            )
        if len(contents["optimizers"]) != len(self.optimizers):
            raise CheckpointError(
                f"the training at {os.fspath(path)} had {len(contents['optimizers'])} optimizers, "
                f"this one has {len(self.optimizers)}: resume with the same"
            )

    def _left_out(self) -> dict[str, Tensor]:
        """Buffers that are not in the ``state_dict``."""
        kept = self.objective.state_dict(keep_vars=True)
        return {name: b for name, b in self.objective.named_buffers() if name not in kept}

    def _written(self) -> dict[str, Tensor]:
        """Those of them that were replaced or written to since the start."""
        found = {}
        for name, buffer in self._left_out().items():
            before, version = self._unwritten.get(name, (None, 0))
            if buffer.layout is torch.strided and (
                buffer is not before or buffer._version != version
            ):
                found[name] = buffer
        return found

    def _write(self, buffers: Mapping[str, Tensor]) -> None:
        for name, saved in buffers.items():
            path, _, leaf = name.rpartition(".")
            try:
                owner = self.objective.get_submodule(path)
            except AttributeError as error:
                raise CheckpointError(f"there is no buffer '{name}' here") from error
            own = owner._buffers.get(leaf)
            if own is not None and own.shape == saved.shape and own.dtype == saved.dtype:
                with torch.no_grad():
                    own.copy_(saved)
            else:
                owner._buffers[leaf] = saved if own is None else saved.to(own.device)
