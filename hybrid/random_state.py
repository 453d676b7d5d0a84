"""The states of torch's global generators (floor 0)."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["random_state", "set_random_state", "used_devices"]


def random_state(devices: Sequence[int] = ()) -> list[Tensor]:
    """The states of torch's global generators: the CPU's, then those of CUDA ``devices``.

    Example:
        >>> before = random_state()
        >>> first = torch.rand(2)
        >>> set_random_state(before)
        >>> torch.equal(torch.rand(2), first)
        True
    """
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


def set_random_state(states: Sequence[Tensor], devices: Sequence[int] = ()) -> None:
    """Set what `random_state` returned for the same ``devices``.

    Example:
        >>> set_random_state(random_state())
    """
    torch.set_rng_state(states[0])
    for device, state in zip(devices, states[1:], strict=True):
        torch.cuda.set_rng_state(state, device)


def used_devices() -> range:
    """Every CUDA device, where CUDA has been used at all; else none.

    Example:
        >>> used_devices().step
        1
    """
    return range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
