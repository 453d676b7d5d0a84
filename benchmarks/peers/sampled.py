"""What a contestant of `samplers.py` speaks.

    {"do": "setup", "data": path}                        → versions
    {"do": "run", "model": "eight_schools", "seed": 0, "path": path}
        → first and again: wall seconds, first_processor and again_processor; gradients, if told

``data`` names an archive with ``effects`` and ``errors`` of eight schools, and ``design`` and
``labels`` of the logistic regression. The first run makes everything that sampling needs, as a user
who has just written the model does; what can be kept is kept for the second, with another seed.
The draws ``(chains, draws, values)`` are written to ``path``, in float64: mu, tau and eight
standardised effects, or the intercept and ten slopes.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DRAWS", "WARMUP", "serve"]

WARMUP, DRAWS = 500, 1000
Array = NDArray[np.float64]
Data = Mapping[str, Array]
Sampler = Callable[[int], Array]
"""From a seed to draws."""


def serve(build: Mapping[str, Callable[[Data], Sampler]], packages: tuple[str, ...]) -> None:
    """Answer until the input is closed.

    Args:
        build: For each model, what makes a sampler of the data.
        packages: The distributions whose versions are told.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    data: Data = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply: dict[str, Any]
            if request["do"] == "setup":
                with np.load(Path(request["data"])) as held:
                    data = dict(held)
                reply = {"versions": {name: version(name) for name in packages}}
                reply["versions"]["python"] = platform.python_version()
            else:
                reply = _twice(build[request["model"]], data, request)
        except Exception as error:  # whatever a peer raises is its result
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(reply) + "\n")


def _twice(
    build: Callable[[Data], Sampler], data: Data, request: Mapping[str, Any]
) -> dict[str, Any]:
    times = [(time.perf_counter(), time.process_time())]
    sampler = build(data)
    draws = []
    for seed in (2 * request["seed"], 2 * request["seed"] + 1):
        draws.append(sampler(seed))
        times.append((time.perf_counter(), time.process_time()))
    np.savez(request["path"], first=draws[0], again=draws[1])
    (first, first_processor), (again, again_processor) = (
        (after[0] - before[0], after[1] - before[1]) for before, after in pairwise(times)
    )
    return {
        "first": first,
        "again": again,
        "first_processor": first_processor,
        "again_processor": again_processor,
    }
