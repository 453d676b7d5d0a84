"""Loads the compiled kernel, the widest instruction set that this machine runs (floor 1)."""

import ctypes
import functools
import logging
from pathlib import Path

from quantum.kernels.loading import load_widest, path_of, runs_here

__all__ = ["available", "instruction_set", "load"]

_log = logging.getLogger("hybrid")


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library, None where it was not built or is switched off (said once, by logging).

    Example:
        >>> load() is load()
        True
    """
    found = load_widest(_path, _runs, _log, "inference kernel", "graphical models run")
    return None if found is None else _declared(found)


def available() -> bool:
    """Whether graphical models on the CPU run in the compiled kernel.

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
    return None if library is None else library.borromean_pgm_target().decode()


def _path(name: str) -> Path | None:
    return path_of("hybrid/pgm/kernels/libraries", f"libborromean_pgm_{name}")


def _runs(name: str) -> bool:
    return runs_here(_path, "borromean_pgm_supports", name)


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, integer, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    library.borromean_pgm_target.restype = ctypes.c_char_p
    library.borromean_pgm_create.argtypes = [pointer]
    library.borromean_pgm_create.restype = pointer
    library.borromean_pgm_destroy.argtypes = [pointer]
    library.borromean_pgm_fill.argtypes = [pointer, ctypes.c_char_p, integer]
    library.borromean_pgm_fill.restype = integer
    library.borromean_pgm_work.argtypes = [pointer]
    library.borromean_pgm_work.restype = long
    library.borromean_pgm_run.argtypes = [ctypes.c_char_p]
    library.borromean_pgm_run.restype = integer
    return library
