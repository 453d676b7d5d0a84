"""What every contestant's process speaks: one JSON request per line in, one JSON answer out.

    {"do": "setup", "case": {...}, "precision": "single", "reference": path or null}
        → compile_seconds, answer ("complex64"), error_values, error_gradients (null: no reference),
          versions
    {"do": "step", "count": 5, "which": "step"}     → seconds of each step
    {"do": "memory"}                                → peak_bytes of this process so far

An answer ``{"error": ...}`` says why a request failed. Errors are absolute for values and relative
to the largest reference entry for gradients. A process leaves when its input is closed.
"""

import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers.cases import Case

__all__ = ["Answer", "Contestant", "environment", "peak_bytes", "serve"]


@dataclass(frozen=True)
class Answer:
    """Values ``(*draws, batch, wires)`` and the gradients of the loss, as numpy arrays."""

    values: NDArray[Any]
    weights: NDArray[Any]
    inputs: NDArray[Any]

    def errors(self, reference: "Answer") -> tuple[float, float]:
        """The largest error of the values, and that of the gradients in parts of the largest."""
        gradients = [
            np.abs(ours - theirs).max() / np.abs(theirs).max()
            for ours, theirs in (
                (self.weights, reference.weights),
                (self.inputs, reference.inputs),
            )
        ]
        return float(np.abs(self.values - reference.values).max()), float(max(gradients))


@dataclass(frozen=True)
class Contestant:
    """What a peer builds for one case.

    Args:
        step: Runs forward and gradients to the end and returns whatever holds the answer.
        answer: Turns what ``step`` returned into numpy arrays (not timed).
        computes_in: The dtype of its amplitudes, as far as the peer tells.
        compile_seconds: Spent before the first step, where something is compiled.
        others: Further steps that can be timed in the same process.
    """

    step: Callable[[], Any]
    answer: Callable[[Any], Answer]
    computes_in: str
    compile_seconds: float = 0.0
    others: Mapping[str, Callable[[], Any]] = field(default_factory=dict)


def peak_bytes() -> int:
    """The most memory this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def environment(threads: int) -> dict[str, str]:
    """What makes the numerical libraries of a process use this many threads."""
    names = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
    counts = {f"{name}_NUM_THREADS": str(threads) for name in names}
    eigen = "true" if threads > 1 else "false"
    flags = f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={threads}"
    tensorflow = {f"TF_NUM_{kind}_THREADS": str(threads) for kind in ("INTRAOP", "INTEROP")}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_USE_LEGACY_KERAS": "1", "JAX_PLATFORMS": "cpu"}
    return {**counts, **tensorflow, **quiet, "XLA_FLAGS": flags, "OMP_WAIT_POLICY": "PASSIVE"}


def serve(build: Callable[[Case, str], Contestant], packages: tuple[str, ...]) -> None:
    """Answer requests until the input is closed.

    Args:
        build: Makes the contestant for a case and a precision ("single" or "double").
        packages: The distributions whose versions are told.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    contestant: Contestant | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "setup":
                contestant = build(Case(**request["case"]), request["precision"])
                reply = _first(contestant, request["reference"])
                reply["versions"] = {name: version(name) for name in packages}
                reply["versions"]["python"] = platform.python_version()
            elif request["do"] == "memory":
                reply = {"peak_bytes": peak_bytes()}
            elif contestant is None:
                reply = {"error": "setup comes first"}
            else:
                reply = _timed(contestant, request["which"], request["count"])
        except Exception as error:  # whatever a peer raises is its result
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(reply) + "\n")


def _first(contestant: Contestant, reference: str | None) -> dict[str, Any]:
    """The first step (compilation by first use counts as such), compared with the reference."""
    begin = time.perf_counter()
    answer = contestant.answer(contestant.step())
    first = time.perf_counter() - begin
    reply: dict[str, Any] = {
        "compile_seconds": contestant.compile_seconds,
        "first_seconds": first,
        "computes_in": contestant.computes_in,
        "answer": str(answer.values.dtype),
    }
    if reference is not None:
        with np.load(Path(reference)) as held:
            truth = Answer(held["values"], held["weights"], held["inputs"])
        reply["error_values"], reply["error_gradients"] = answer.errors(truth)
    return reply


def _timed(contestant: Contestant, which: str, count: int) -> dict[str, Any]:
    step = contestant.step if which == "step" else contestant.others[which]
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds}
