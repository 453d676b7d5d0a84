"""What a contestant of `uncertainty.py` speaks, and the data that all of them train on.

    {"do": "setup", "case": "variational-8"}              → loss, setup_seconds, versions
    {"do": "step", "case": "variational-8", "count": 5}   → seconds of each step, processor time

A step is a whole one: gradients and an Adam update. ``loss`` is the mean over some calls at the
initial parameters, without an update. Only numpy is imported here.

- variational: MLP 13-50-50-1 with ReLU, y normal around it with scale 1, weights independently
  normal, initial scale 0.02, prior N(0, 1), S draws, 128 rows of 1,000; "plain" is the network.
- ensemble: ten such networks, "member" one of them.
- vae: 64 binary pixels, 8 codes, one hidden layer of 128 on each side, 128 rows.
- gmm: 16 normal components in the plane with scales of their own, maximum likelihood, 1,000 rows.
"""

import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CALLS",
    "COMPONENTS",
    "LATENT",
    "MEMBERS",
    "PIXELS",
    "ROWS",
    "SCALE",
    "SIZES",
    "WIDTH",
    "Step",
    "centres",
    "images",
    "points",
    "regression",
    "serve",
    "weights",
]

SIZES = (13, 50, 50, 1)
ROWS = 1000  # of the whole data: the weight of the divergence
SCALE = 0.02
PIXELS, LATENT, WIDTH = 64, 8, 128
COMPONENTS = 16
MEMBERS = 10
CALLS = 100  # that the loss is averaged over

Array = NDArray[np.float32]


class Step(NamedTuple):
    """A case as a contestant runs it.

    Attributes:
        step: One training step.
        loss: The loss at the present parameters, without an update; None where it is not told.
        random: Whether it draws.
    """

    step: Callable[[], Any]
    loss: Callable[[], float] | None
    random: bool = True


def _normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def regression() -> tuple[Array, Array]:
    """Inputs (128, 13) and targets (128,)."""
    return _normal(0, 128, SIZES[0]), _normal(1, 128)


def weights(sizes: Sequence[int] = SIZES, seed: int = 2) -> list[tuple[Array, Array]]:
    """Initial weights (out, in) and biases of each layer."""
    pairs = itertools.pairwise(sizes)
    return [
        (_normal(seed + k, b, a) / np.float32(np.sqrt(a)), np.zeros(b, np.float32))
        for k, (a, b) in enumerate(pairs)
    ]


def images() -> Array:
    """Binary pixels (128, 64)."""
    return (_normal(10, 128, PIXELS) > 0.5).astype(np.float32)


def points() -> Array:
    """Points (1000, 2)."""
    return 2 * _normal(20, 1000, 2)


def centres() -> Array:
    """Initial centres (16, 2) of the components."""
    return _normal(21, COMPONENTS, 2)


def serve(cases: Mapping[str, Callable[[], Step]], packages: tuple[str, ...]) -> None:
    """Answer until the input is closed.

    Args:
        cases: Makes the case of each name.
        packages: The distributions whose versions are told.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    made: dict[str, Step] = {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request["case"]
        try:
            reply: dict[str, Any]
            if request["do"] == "setup":
                begin = time.perf_counter()
                made[name] = cases[name]()
                loss = made[name].loss
                calls = CALLS if made[name].random else 1
                value = None if loss is None else float(np.mean([loss() for _ in range(calls)]))
                made[name].step()
                reply = {"loss": value, "setup_seconds": time.perf_counter() - begin}
                reply["versions"] = {package: version(package) for package in packages}
                reply["versions"]["python"] = platform.python_version()
            else:
                reply = _timed(made[name].step, request["count"])
        except Exception as error:  # whatever a peer raises is its result
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(reply) + "\n")


def _timed(step: Callable[[], Any], count: int) -> dict[str, Any]:
    seconds, processor = [], []
    for _ in range(count):
        begin, used = time.perf_counter(), time.process_time()
        step()
        processor.append(time.process_time() - used)
        seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds, "processor": processor}
