"""What is installed here, and what would keep the library from working (floor 0).

The packages are called `hybrid`, `causal` and `quantum`, names that other distributions and users'
folders may have too: which files Python would take is looked up without importing them.
"""

import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

__all__ = ["Report", "clashes", "examine", "shadows"]

PACKAGES = ("causal", "hybrid", "quantum")
LIBRARIES = {
    "borromean": "borromean",
    "torch": "torch",
    "pyro": "pyro-ppl",
    "pennylane": "pennylane",
    "pgmpy": "pgmpy",
    "zuko": "zuko",
    "safetensors": "safetensors",
}
OPTIONAL = {"lightning-fabric": "lightning-fabric", "matplotlib": "matplotlib"}
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Report:
    """What `examine` found.

    Attributes:
        facts: Name and value of everything worth telling.
        problems: What keeps the library from working, each with its mend; empty when healthy.

    Example:
        >>> Report({"python": "3.11"}, ()).healthy
        True
    """

    facts: Mapping[str, str]
    problems: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def examine(folder: str | os.PathLike[str] = ".") -> Report:
    """Look at the installation, as seen by a program that is started in ``folder``.

    Example:
        >>> "torch" in examine().facts
        True
    """
    facts = {"python": f"{platform.python_version()} ({sys.executable})"}
    problems = []
    for name, distribution in LIBRARIES.items():
        version = _version(distribution)
        facts[name] = version or "missing"
        if version is None:
            problems.append(f"{name} is not installed: pip install {distribution}")
    facts |= {name: _version(of) or "not installed (optional)" for name, of in OPTIONAL.items()}
    facts["circuit engine"] = _engine("quantum.kernels.library")
    facts["inference engine"] = _engine("hybrid.pgm.kernels.library")
    try:
        import torch  # broken installations are what this file is for
    except Exception as error:
        problems.append(f"torch cannot be loaded ({error}): install it again")
    else:
        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        facts["CUDA devices"] = ", ".join(names) or "none"
        facts["threads"] = f"{torch.get_num_threads()} of {os.cpu_count()} processors"
    facts["packages in"] = str(ROOT)
    problems += clashes() + resolved_elsewhere() + shadows(folder)
    return Report(facts, tuple(problems))


def _engine(library: str) -> str:
    """What a kernel's library is, by the name of the module that loads it."""
    try:
        name = importlib.import_module(library).instruction_set()
    except Exception as error:  # a broken NumPy, say
        return f"unknown ({error})"
    if name is None:
        return "PyTorch (no compiled kernel: install again where a C++ compiler is found)"
    return f"compiled kernel ({name}), PyTorch on other devices"


def clashes(owners: Mapping[str, Iterable[str]] | None = None) -> list[str]:
    """Other distributions that install a package under one of our names.

    Args:
        owners: Distributions by top-level name; None asks the environment.

    Example:
        >>> clashes({"hybrid": ["borromean", "dwave-hybrid"]})
        ["the distribution dwave-hybrid also installs a package 'hybrid', ..."]
    """
    owners = metadata.packages_distributions() if owners is None else owners
    return [
        f"the distribution {other} also installs a package '{package}', and one overwrote files of "
        f"the other: pip uninstall {other}, then pip install --force-reinstall --no-deps borromean "
        "(or use an environment for each)"
        for package in PACKAGES
        for other in sorted(set(owners.get(package, ())) - {"borromean"})
    ]


def resolved_elsewhere() -> list[str]:
    """Packages of ours for which Python finds files outside our own folder."""
    found = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        places = [*(spec.submodule_search_locations or ())] if spec is not None else []
        if spec is not None and not places and spec.origin:
            places = [spec.origin]
        if not any(_inside(place) for place in places):
            found.append(
                f"'import {package}' finds {', '.join(places) or 'nothing'}, not "
                f"{ROOT / package}: take the other one off the import path, or install borromean "
                "again"
            )
    return found


def shadows(folder: str | os.PathLike[str]) -> list[str]:
    """Files and folders that ``python``, started in ``folder``, would import instead of ours.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "causal.py").write_text("")
        ...     len(shadows(folder))
        1
    """
    found = []
    for package in PACKAGES:
        for candidate in (Path(folder, package, "__init__.py"), Path(folder, f"{package}.py")):
            if candidate.is_file() and not _inside(candidate):
                hiding = candidate.parent if candidate.name == "__init__.py" else candidate
                found.append(
                    f"{hiding.resolve()} hides the package '{package}' from programs started in "
                    "this folder: rename it, or start them elsewhere"
                )
    return found


def _inside(place: str | os.PathLike[str]) -> bool:
    return Path(place).resolve().is_relative_to(ROOT)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
