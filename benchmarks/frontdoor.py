"""What does evaluating a front-door formula on many joint tables cost, next to a loop over pgmpy?

python benchmarks/frontdoor.py
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import machine
import numpy as np
import torch
from pgmpy.factors.discrete import DiscreteFactor

from causal.factor import Factor
from causal.graph import Graph
from causal.identification.observational import identify

_GRAPH = Graph.parse("X -> M -> Y; X <-> Y")
_NAMES = ("M", "X", "Y")


def ours(tables: torch.Tensor) -> np.ndarray:
    """All tables at once, P(Y | do(X)) with axes (batch, X, Y)."""
    query = identify(_GRAPH, outcomes="Y", treatments="X")
    answer = query.evaluate(Factor(_NAMES, tables))
    order = [answer.names.index(name) for name in ("X", "Y")]
    return answer.values.permute(0, *(1 + axis for axis in order)).numpy()


def loop(tables: torch.Tensor) -> np.ndarray:
    """The same formula by pgmpy's factors, one table after the other."""
    found = []
    for table in tables.numpy():
        joint = DiscreteFactor(_NAMES, table.shape, table)
        treatment = joint.marginalize(["M", "Y"], inplace=False)
        mediator = joint.marginalize(["Y"], inplace=False) / treatment
        outcome = joint / joint.marginalize(["Y"], inplace=False)
        inner = (outcome * treatment).marginalize(["X"], inplace=False)
        answer = (mediator * inner).marginalize(["M"], inplace=False)
        order = [answer.variables.index(name) for name in ("X", "Y")]
        found.append(answer.values.transpose(order))
    return np.stack(found)


def _seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def main() -> None:
    """Compare values, then time both in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    chosen = parser.parse_args()
    os.sched_setaffinity(0, {chosen.core})
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    shape = (chosen.tables, *(chosen.states,) * 3)
    tables = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1
    tables /= tables.sum((1, 2, 3), keepdim=True)
    gap = np.abs(ours(tables) - loop(tables)).max()
    if gap > 1e-12:
        sys.exit(f"the answers differ by {gap:.2g}")
    times = [
        (_seconds(lambda: ours(tables)), _seconds(lambda: loop(tables)))
        for _ in range(chosen.turns)
    ]
    mine, theirs = (sorted(column) for column in zip(*times, strict=True))
    print(
        f"{machine.describe()}; one core, one thread; load {machine.load():.2f}; "
        f"torch {version('torch')}, pgmpy {version('pgmpy')}\n"
    )
    print("| tables, states | identify and evaluate, ms | pgmpy factors, ms | ratio |")
    print("| --- | --- | --- | --- |")
    medians = statistics.median(mine), statistics.median(theirs)
    print(
        f"| {chosen.tables}, {chosen.states} | {1e3 * mine[0]:.3g} / {1e3 * medians[0]:.3g} "
        f"| {1e3 * theirs[0]:.4g} / {1e3 * medians[1]:.4g} "
        f"| {theirs[0] / mine[0]:.3g} / {medians[1] / medians[0]:.3g} |"
    )


if __name__ == "__main__":
    main()
