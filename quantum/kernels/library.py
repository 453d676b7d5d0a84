"""Loads the compiled kernel, the widest instruction set that this machine runs (floor 1)."""

import ctypes
import functools
import logging
from pathlib import Path

import numpy as np

from quantum.kernels.loading import load_widest, path_of, runs_here

__all__ = ["Circuit", "available", "instruction_set", "load"]

_log = logging.getLogger("quantum")


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library, None where it was not built or is switched off (said once, by logging).

    Example:
        >>> load() is load()
        True
    """
    found = load_widest(_path, _runs, _log, "circuit kernel", "circuits run")
    return None if found is None else _declared(found)


def available() -> bool:
    """Whether circuits on the CPU run in the compiled kernel.

    Example:
        >>> available() == (load() is not None)
        True
    """
    return load() is not None


def instruction_set() -> str | None:
    """The instruction set of the loaded kernel, None without one.

    Example:
        >>> instruction_set() in (None, "avx512", "avx2", "portable")
        True
    """
    library = load()
    return None if library is None else library.borromean_target().decode()


def _path(name: str) -> Path | None:
    return path_of("quantum/kernels/libraries", f"libborromean_{name}")


def _runs(name: str) -> bool:
    return runs_here(_path, "borromean_supports", name)


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, integer, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    library.borromean_target.restype = ctypes.c_char_p
    library.borromean_create.argtypes = [pointer, pointer]
    library.borromean_create.restype = pointer
    library.borromean_destroy.argtypes = [pointer]
    library.borromean_saved_bytes.argtypes = [pointer, integer, long, long]
    library.borromean_saved_bytes.restype = long
    library.borromean_run.argtypes = [ctypes.c_char_p]
    library.borromean_run.restype = integer
    return library


class Circuit:
    """A circuit that the library holds; freed with this object.

    Args:
        library: The loaded library.
        code: The circuit, as `quantum.kernels.compiled` writes it.
        reals: Its real numbers.

    Raises:
        MemoryError: The library could not hold it.

    Example:
        >>> from quantum.kernels.compiled import compiled
        >>> from quantum.circuits.program import Measurement, Program
        >>> from quantum.tracing.recorder import record
        >>> asked = (Measurement("probs", (0,)),)
        >>> made = compiled(Program(1, (), asked, record(lambda x: [], [(1,)])))
        >>> library = load()
        >>> library is None or Circuit(library, made.code, made.reals).saved_bytes(True, 1, 1) > 0
        True
    """

    def __init__(self, library: ctypes.CDLL, code: np.ndarray, reals: np.ndarray) -> None:
        self.library = library
        self.handle = library.borromean_create(code.ctypes.data, reals.ctypes.data)
        self._run = library.borromean_run
        if not self.handle:
            raise MemoryError("the circuit kernel ran out of memory while reading a circuit")

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.library.borromean_destroy(self.handle)

    def saved_bytes(self, wide: bool, sets: int, rows: int) -> int:
        """The size of the final states that a forward run keeps for its backward run."""
        return int(self.library.borromean_saved_bytes(self.handle, wide, sets, rows))

    def run(self, call: bytes) -> None:
        """Run a call, as `quantum.kernels.rows.Layout` packs it.

        Args:
            call: Its numbers, 8 bytes each.

        Raises:
            MemoryError: There is not enough memory.
        """
        if self._run(call):
            raise MemoryError("the circuit kernel ran out of memory")
