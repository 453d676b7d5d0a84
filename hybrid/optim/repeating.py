"""The same random numbers in several evaluations (floor 0)."""

from types import TracebackType

from torch import Tensor

from causal.draws import ALONE
from hybrid.random_state import random_state, set_random_state, used_devices

__all__ = ["Repeated"]


class Repeated:
    """A context in which torch's global generators run from the state they had at its making.

    The first time they go on from where they got to, as if nothing had been set; every later time
    they are put back afterwards.

    Example:
        >>> import torch
        >>> same = Repeated()
        >>> with same:
        ...     first = torch.rand(2)
        >>> with same:
        ...     second = torch.rand(2)
        >>> torch.equal(first, second)
        True
    """

    def __init__(self) -> None:
        self._devices = used_devices()
        self._start = random_state(self._devices)
        self._used = False
        self._before: list[Tensor] = []

    def __enter__(self) -> None:
        ALONE.acquire()
        if self._used:
            self._before = random_state(self._devices)
            set_random_state(self._start, self._devices)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._used:
            set_random_state(self._before, self._devices)
        self._used = True
        ALONE.release()
