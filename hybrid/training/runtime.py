"""Where to train, in which precision, and what to keep: a description, and the one door to Fabric.

(Floor 1.)
"""

import atexit
import os
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hybrid.loss import whole

__all__ = ["Checkpoints", "Runtime"]


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a training keeps all it needs to go on after it was killed.

    A checkpoint is a folder ``step-00000120`` with what `hybrid.save` writes, and the states of
    optimisers, callbacks, random generators, the order of the data and the history. It appears
    under its name only when it is whole and on the disk. ``best`` holds the module with the lowest
    validation loss (without validation data: loss) after an epoch, for `hybrid.load`.

    Args:
        folder: One folder per training; made if missing.
        epochs: Keep one after every this many epochs; the last epoch's is always kept.
        steps: Keep one after every this many steps too, for long epochs.
        last: How many of the newest stay; older ones are deleted.
        best: Whether to keep the best module too.

    Raises:
        ValueError: A number is below 1.

    Example:
        >>> Checkpoints("runs/first", steps=1000).last
        3
    """

    folder: str | os.PathLike[str]
    epochs: int = 1
    steps: int | None = None
    last: int = 3
    best: bool = True

    def __post_init__(self) -> None:
        whole("epochs", self.epochs)
        whole("last", self.last)
        if self.steps is not None:
            whole("steps", self.steps)


@dataclass(frozen=True)
class Runtime:
    """Where and how a training runs; without any setting, plain torch on the objective's device.

    Naming a device, precision or strategy hands the loop to Lightning Fabric, which must then be
    installed (``pip install "borromean[distributed]"``); the objective is moved to the device.

    Args:
        devices: "auto", 1, or a list with one device index; None stays on the objective's device.
        precision: Fabric's names: "32-true", "64-true", "bf16-mixed" (only what the objective
            computes; its data keeps its digits), "bf16-true". Not "16-mixed": its loss scaling
            lets gradients overflow on purpose, which the guard against infinities must stop.
        strategy: A Fabric strategy by name or as object. ``strategy="ddp", devices=n`` in a script
            that ``torchrun --nproc-per-node=n`` starts: every process evaluates its rows of each
            batch and the gradients are added, so that the training is that of one process.
        checkpoint: A folder, or `Checkpoints` for more choice: the training can then be resumed.
        resume: True goes on from the newest checkpoint in that folder, and starts where there is
            none yet, so that one script serves both; a path goes on from that checkpoint.

    Raises:
        ValueError: ``resume=True`` without a folder.

    Example:
        >>> Runtime(checkpoint="runs/first", resume=True).asks
        False
        >>> Runtime(precision="bf16-mixed").asks
        True
    """

    devices: int | str | list[int] | None = None
    precision: int | str | None = None
    strategy: Any = None
    checkpoint: str | os.PathLike[str] | Checkpoints | None = None
    resume: bool | str | os.PathLike[str] = False

    def __post_init__(self) -> None:
        if self.resume is True and self.checkpoint is None:
            raise ValueError(
                "resume=True goes on from the newest checkpoint in the folder checkpoint=: name it"
            )

    @property
    def checkpoints(self) -> Checkpoints | None:
        """What is kept, if anything."""
        plain = self.checkpoint is None or isinstance(self.checkpoint, Checkpoints)
        return self.checkpoint if plain else Checkpoints(self.checkpoint)  # type: ignore[return-value,arg-type]

    @property
    def asks(self) -> bool:
        """Whether a device, precision or strategy is set, so that Fabric is needed."""
        return not (self.devices is None and self.precision is None and self.strategy is None)


def fabric_of(runtime: Runtime, device: torch.device) -> Any:
    """A launched Fabric with what the runtime asks for, and ``device`` where it names none.

    Raises:
        ImportError: Fabric is not installed.
        ValueError: The runtime asks for several processes that nobody started, or for half
            precision.
    """
    if str(runtime.precision).startswith("16"):
        raise ValueError(
            f"precision={runtime.precision!r} needs loss scaling, in which gradients overflow on "
            "purpose: use 'bf16-mixed', which has the range of float32"
        )
    try:
        with warnings.catch_warnings():  # its import sets filters of its own
            from lightning_fabric import Fabric  # an extra, loaded only when a runtime asks for it
    except ImportError as error:
        raise ImportError(
            'devices, precision and strategy need Fabric: pip install "borromean[distributed]"'
        ) from error
    accelerator, devices = "auto", runtime.devices
    if devices is None:
        accelerator = device.type
        devices = 1 if device.index is None else [device.index]
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        strategy="auto" if runtime.strategy is None else runtime.strategy,
        precision=runtime.precision,  # type: ignore[arg-type]
    )
    started = "LOCAL_RANK" in os.environ or torch.distributed.is_initialized()
    if fabric.world_size > 1 and not started:
        raise ValueError(
            f"{runtime} asks for {fabric.world_size} processes: start the script by "
            f"torchrun --nproc-per-node={fabric.world_size}, or use devices=1"
        )
    if fabric.world_size > 1 and not str(runtime.precision or "32").startswith(("32", "bf16-m")):
        raise ValueError(
            f"precision={runtime.precision!r} is for one process: with several, convert the "
            "objective itself (objective.double()), or use 'bf16-mixed'"
        )
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(_leave)
    return fabric


def call_of(fabric: Any, runtime: Runtime, objective: nn.Module, wrapped: Any) -> Any:
    """What evaluates the objective: in mixed precision itself, so that its data is not rounded."""
    if not str(runtime.precision).endswith("mixed"):
        return wrapped

    def call(batch: Any) -> Any:
        with fabric.autocast():
            return objective(batch)

    return call


def device_of(module: nn.Module) -> torch.device | None:
    """The device of a module's parameters; None if they lie on several."""
    devices = {parameter.device for parameter in module.parameters()}
    return devices.pop() if len(devices) == 1 else None


def dtype_of(module: nn.Module) -> torch.dtype:
    """The floating dtype of a module's first real parameter, else torch's default."""
    dtypes = (p.dtype for p in module.parameters() if p.is_floating_point())
    return next(dtypes, torch.get_default_dtype())


def _leave() -> None:
    """Take down the processes' group at exit: its threads may abort a process that just ends.

    Fabric does so for NCCL alone.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
