"""An environment of its own for each peer: they pin versions that exclude each other."""

import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["DEFAULT_CACHE", "REQUIREMENTS", "find", "install"]

DEFAULT_CACHE = Path("~/.cache/borromean-benchmarks").expanduser()
REQUIREMENTS = Path(__file__).parent / "peers" / "requirements"
_COMPLETE = "complete"  # a file that an interrupted installation lacks


def find(name: str | None, cache: Path) -> Path | str:
    """The interpreter of an environment, or why there is none.

    Args:
        name: A file in ``peers/requirements`` without its ending; None: the running interpreter.
        cache: Where environments are kept.
    """
    if name is None:
        return Path(sys.executable)
    python = cache / name / "bin" / "python"
    reason = cache / f"{name}.failed"
    if reason.exists():
        return reason.read_text()
    complete = python.exists() and (cache / name / _COMPLETE).exists()
    return python if complete else f"not installed: run with --install {name}"


def install(name: str, cache: Path) -> Path | str:
    """Make the environment where it is missing or failed before.

    Returns:
        Its interpreter, or the last words of pip.
    """
    requirements = REQUIREMENTS / f"{name}.txt"
    if not requirements.exists():
        known = ", ".join(sorted({path.name.split(".")[0] for path in REQUIREMENTS.glob("*.txt")}))
        raise ValueError(f"there is no environment {name!r}: the environments are {known}")
    found = find(name, cache)
    if isinstance(found, Path):
        return found
    reason = cache / f"{name}.failed"
    reason.unlink(missing_ok=True)
    venv.create(cache / name, with_pip=True, clear=True)
    python = cache / name / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--requirement"]
    done = subprocess.run([*pip, str(requirements)], capture_output=True, text=True, check=False)
    alone = requirements.with_suffix(".alone.txt")  # packages that ask for what they do not need
    if done.returncode == 0 and alone.exists():
        pip = [*pip, str(alone), "--no-deps"]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason.write_text("pip: " + " ".join((errors or done.stderr.splitlines())[-1:])[:500])
        return reason.read_text()
    (cache / name / _COMPLETE).touch()
    return python
