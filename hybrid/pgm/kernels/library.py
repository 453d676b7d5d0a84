"""Loads the compiled kernel, the widest instruction set that this machine runs (floor 0)."""

import contextlib
import ctypes
import functools
import logging
import os
import platform
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

__all__ = ["available", "instruction_set", "load"]

_log = logging.getLogger("hybrid")
_HERE = "hybrid/pgm/kernels/libraries"
_SETS = ("avx512", "avx2", "portable")
_SUFFIX = {"Darwin": ".dylib", "Windows": ".dll"}.get(platform.system(), ".so")
_ENGINE = "BORROMEAN_ENGINE"  # "torch" switches the kernel off, a set's name is the widest one used


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library, None where it was not built or is switched off (said once, by logging).

    Example:
        >>> load() is load()
        True
    """
    limit = os.environ.get(_ENGINE, "").lower()
    if limit == "torch":
        return None
    for name in _SETS[_SETS.index(limit) if limit in _SETS else 0 :]:
        path = _path(name)
        if path is None or not _runs(name):
            continue
        try:
            return _declared(ctypes.CDLL(str(path)))
        except OSError as error:
            _log.warning("the compiled inference kernel %s does not load: %s", path.name, error)
    _log.warning(
        "no compiled inference kernel is installed: graphical models run in PyTorch, several times "
        "slower; reinstall borromean where a C++ compiler is found"
    )
    return None


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
    """Where a library lies: beside this file, or where an editable installation put it."""
    folders = [Path(__file__).parent / "libraries"]
    with contextlib.suppress(PackageNotFoundError):
        folders.append(Path(str(distribution("borromean").locate_file(_HERE))))
    paths = (folder / f"libborromean_pgm_{name}{_SUFFIX}" for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def _runs(name: str) -> bool:
    """Whether this machine has the instructions of a library; the portable one knows."""
    if name == "portable":
        return True
    portable = _path("portable")
    try:
        return portable is not None and bool(
            ctypes.CDLL(str(portable)).borromean_pgm_supports(name.encode())
        )
    except (OSError, AttributeError):
        return False


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
