"""Where and in which precision to train: a description, and the one door to Fabric (floor 1)."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["Runtime"]


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
        strategy: A Fabric strategy for one process, by name or as object.

    Example:
        >>> Runtime().asks
        False
        >>> Runtime(precision="bf16-mixed").asks
        True
    """

    devices: int | str | list[int] | None = None
    precision: int | str | None = None
    strategy: Any = None

    @property
    def asks(self) -> bool:
        """Whether anything is set, so that Fabric is needed."""
        return not (self.devices is None and self.precision is None and self.strategy is None)


def fabric_of(runtime: Runtime, device: torch.device) -> Any:
    """A launched Fabric with what the runtime asks for, and ``device`` where it names none.

    Raises:
        ImportError: Fabric is not installed.
        ValueError: The runtime asks for several processes, or for half precision.
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
    if fabric.world_size > 1:
        raise ValueError(
            f"{runtime} asks for {fabric.world_size} processes: hybrid.fit trains in one; use "
            "devices=1 or a list with one index"
        )
    fabric.launch()
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
