"""The same random numbers in several evaluations (floor 0)."""

from types import TracebackType

import torch
from torch import Tensor

from causal.draws import ALONE

__all__ = ["Repeated"]


class Repeated:
    """A context in which torch's global generators run from the state they had at its making.

    The first time they go on from where they got to, as if nothing had been set; every later time
    they are put back afterwards.

    Example:
        >>> same = Repeated()
        >>> with same:
        ...     first = torch.rand(2)
        >>> with same:
        ...     second = torch.rand(2)
        >>> torch.equal(first, second)
        True
    """

    def __init__(self) -> None:
        self._start = _states()
        self._used = False
        self._before: list[Tensor] = []

    def __enter__(self) -> None:
        ALONE.acquire()
        self._before = _states() if self._used else []
        if self._used:
            _set_states(self._start)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._used:
            _set_states(self._before)
        self._used = True
        ALONE.release()


def _states() -> list[Tensor]:
    cuda = torch.cuda.is_initialized()
    devices = range(torch.cuda.device_count()) if cuda else ()
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


def _set_states(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for device, state in enumerate(states[1:]):
        torch.cuda.set_rng_state(state, device)
