"""Peak memory of a step, in a fresh process for each figure."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contest import CONTESTANTS, ContestantError, Process, Settings
from environments import find
from peers.cases import Case
from peers.protocol import environment

__all__ = ["importing", "peaks"]


def importing(module: str, settings: Settings) -> int:
    """Bytes that a fresh process has held at most after ``import module``."""
    python = find(None, settings.cache)
    code = f"import {module}; from peers.protocol import peak_bytes; print(peak_bytes())"
    done = subprocess.run(
        [str(python), "-c", code],
        env={**os.environ, **environment(1), "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def peaks(cases: Sequence[Case], names: Sequence[str], settings: Settings) -> list[dict[str, Any]]:
    """Case, contestant and peak bytes after three steps, or why there is no figure."""
    return [_peak(case, name, settings) for case in cases for name in names]


def _peak(case: Case, name: str, settings: Settings) -> dict[str, Any]:
    entry = CONTESTANTS[name]
    row: dict[str, Any] = {"case": case.name, "name": name}
    process: Process | None = None
    try:
        process = Process(entry, settings)
        process.setup(entry, case, None)
        process.ask(do="step", which=entry.which, count=2)
        return row | process.ask(do="memory")
    except ContestantError as failure:
        return row | {"failure": str(failure)}
    finally:
        if process is not None:
            process.close()
