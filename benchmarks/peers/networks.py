"""What a contestant of `pgm.py` speaks: one JSON request per line in, one JSON answer out.

    {"do": "setup", "case": path, "answers": path}
        → build_seconds, first_seconds, versions; the first rows' answers are written
    {"do": "step", "begin": 0, "end": 50}        → seconds for these rows, and processor time
    {"do": "memory"}                             → peak_bytes of this process so far

A case is a file of tables and rows: ``evidence`` (rows, variables) with −1 where nothing was
observed. A step answers all marginals of its rows and includes turning the numbers into whatever
the contestant takes. Needs numpy alone: peers pin their own.
"""

import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHECKED", "Network", "Rows", "load", "order", "save", "serve"]

CHECKED = 20  # rows whose answers are compared

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Network:
    """A network as every contestant can read it; states are numbers.

    Args:
        parents: The parents of each variable, in the order of its table's axes.
        tables: An axis for each parent and one for the variable itself, last; they sum to one.
    """

    parents: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Array]

    @property
    def names(self) -> list[str]:
        """The variables, in the order of the columns of the evidence."""
        return list(self.parents)

    @property
    def cards(self) -> dict[str, int]:
        """The number of states of each."""
        return {name: table.shape[-1] for name, table in self.tables.items()}


def order(network: Network) -> list[str]:
    """The variables, parents first."""
    done: dict[str, None] = {}
    while len(done) < len(network.parents):
        ready = [
            name
            for name, parents in network.parents.items()
            if name not in done and all(parent in done for parent in parents)
        ]
        done.update(dict.fromkeys(ready))
    return list(done)


def save(path: Path, network: Network, evidence: Rows) -> None:
    """Write a case."""
    parents = json.dumps({name: list(value) for name, value in network.parents.items()})
    tables = {f"t{i}": network.tables[name] for i, name in enumerate(network.names)}
    np.savez(path, parents=np.array(parents), evidence=evidence, **tables)


def load(path: str | Path) -> tuple[Network, Rows]:
    """Read a case."""
    with np.load(path) as held:
        parents = {name: tuple(value) for name, value in json.loads(str(held["parents"])).items()}
        tables = {name: held[f"t{i}"] for i, name in enumerate(parents)}
        return Network(parents, tables), held["evidence"]


def serve(
    build: Callable[[Network], Callable[[Rows], list[Array]]], packages: tuple[str, ...]
) -> None:
    """Answer requests until the input is closed.

    Args:
        build: Makes the peer's network, and returns what answers rows: for each variable
            ``(rows, states)``.
        packages: The distributions whose versions are told.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    answer: Callable[[Rows], list[Array]] | None = None
    evidence = np.zeros((0, 0), np.int64)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply: dict[str, Any]
            if request["do"] == "setup":
                network, evidence = load(request["case"])
                begin = time.perf_counter()
                answer = build(network)
                built = time.perf_counter()
                found = answer(evidence[:CHECKED])
                first = time.perf_counter()
                np.savez(request["answers"], *found)
                reply = {"build_seconds": built - begin, "first_seconds": first - built}
                reply["versions"] = {name: version(name) for name in packages}
                reply["versions"]["python"] = platform.python_version()
            elif request["do"] == "memory":
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                reply = {"peak_bytes": 1024 * peak}
            elif answer is None:
                reply = {"error": "setup comes first"}
            else:
                rows = evidence[request["begin"] : request["end"]]
                begin, used = time.perf_counter(), time.process_time()
                answer(rows)
                used = time.process_time() - used
                reply = {"seconds": time.perf_counter() - begin, "processor": used}
        except Exception as error:  # whatever a peer raises is its result
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(reply) + "\n")
