"""Finds compiled libraries, the widest instruction set that this machine runs (floor 0)."""

import contextlib
import ctypes
import logging
import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

__all__ = ["SETS", "load_widest", "path_of", "runs_here"]

SETS = ("avx512", "avx2", "portable")
_SUFFIX = {"Darwin": ".dylib", "Windows": ".dll"}.get(platform.system(), ".so")
_ENGINE = "BORROMEAN_ENGINE"  # "torch" switches kernels off, a set's name is the widest one used

Finder = Callable[[str], Path | None]


def load_widest(
    path: Finder, runs: Callable[[str], bool], log: logging.Logger, kernel: str, without: str
) -> ctypes.CDLL | None:
    """The first library that is there, runs here and loads; None if none does, or by wish.

    Args:
        path: Where the library of an instruction set lies.
        runs: Whether this machine has these instructions.
        log: Where it is said that there is none.
        kernel: What the library is called there.
        without: What happens without it.

    Example:
        >>> from quantum.kernels.loading import load_widest
        >>> quiet = logging.getLogger("quiet")
        >>> quiet.disabled = True
        >>> load_widest(
        ...     lambda name: None, lambda name: True, quiet, "kernel", "all is slow"
        ... ) is None
        True
    """
    limit = os.environ.get(_ENGINE, "").lower()
    if limit == "torch":
        return None
    for name in SETS[SETS.index(limit) if limit in SETS else 0 :]:
        found = path(name)
        if found is None or not runs(name):
            continue
        try:
            return ctypes.CDLL(str(found))
        except OSError as error:
            log.warning("the compiled %s %s does not load: %s", kernel, found.name, error)
    log.warning(
        "no compiled %s is installed: %s in PyTorch, several times slower; reinstall borromean "
        "where a C++ compiler is found",
        kernel,
        without,
    )
    return None


def path_of(folder: str, stem: str) -> Path | None:
    """Where a library lies: in this source tree, or where an editable installation put it.

    Args:
        folder: The folder below the root of the packages, as "quantum/kernels/libraries".
        stem: The file's name without its ending.

    Example:
        >>> path_of("quantum/kernels/libraries", "libborromean_of_nobody") is None
        True
    """
    folders = [Path(__file__).parents[2] / folder]
    with contextlib.suppress(PackageNotFoundError):
        folders.append(Path(str(distribution("borromean").locate_file(folder))))
    paths = (place / f"{stem}{_SUFFIX}" for place in folders)
    return next((path for path in paths if path.is_file()), None)


def runs_here(path: Finder, question: str, name: str) -> bool:
    """Whether this machine has the instructions of a library; the portable one knows.

    Args:
        path: Where the library of an instruction set lies.
        question: The function of the portable library that says so.
        name: The instruction set.

    Example:
        >>> runs_here(lambda name: None, "supports", "portable")
        True
    """
    if name == "portable":
        return True
    portable = path("portable")
    try:
        library = None if portable is None else ctypes.CDLL(str(portable))
        return library is not None and bool(getattr(library, question)(name.encode()))
    except (OSError, AttributeError):
        return False
