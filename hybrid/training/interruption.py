"""Ctrl-C and termination wait for the end of the step, so that the state can be kept (floor 0)."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["deferred"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred(active: bool = True) -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM in the list that is yielded; deliver the first one at the end.

    A second signal is delivered at once. Handlers are as they were afterwards. Outside the main
    thread, and where ``active`` is False, nothing is done; signals that are ignored stay so.

    Example:
        >>> import signal
        >>> before = signal.signal(signal.SIGINT, signal.default_int_handler)
        >>> try:
        ...     with deferred() as caught:
        ...         signal.raise_signal(signal.SIGINT)
        ...         print("still here", caught)
        ... except KeyboardInterrupt:
        ...     print("now")
        still here [2]
        now
        >>> _ = signal.signal(signal.SIGINT, before)
    """
    caught: list[int] = []
    if not active or threading.current_thread() is not threading.main_thread():
        yield caught
        return
    handlers = {int(number): signal.getsignal(number) for number in _SIGNALS}
    before = {n: old for n, old in handlers.items() if old not in (signal.SIG_IGN, None)}

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a handler's arguments)
        caught.append(number)
        if len(caught) > 1:
            signal.signal(number, before[number])
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, old in before.items():
            signal.signal(number, old)
    if caught:
        signal.raise_signal(caught[0])
