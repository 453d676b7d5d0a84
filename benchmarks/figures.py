"""Figures for the documentation: time of a step against wires, depth, batch and threads.

The thin line is the machine's limit, measured in the same run (`machine.py` has the formula). The
fastest step of each contestant is drawn, which other work on the machine disturbs least.

    python benchmarks/figures.py --output docs/figures
    python benchmarks/figures.py --output docs/figures --data docs/figures/sweeps.json  # draw again
"""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import matplotlib as mpl
import matplotlib.pyplot as plt
from contest import CONTESTANTS, Settings, contest
from environments import DEFAULT_CACHE
from peers.cases import Case

_NAMES = ("ours", "default_qubit", "quimb_jax", "tuned_jax")
_LARGEST = {"default_qubit": 14, "quimb_jax": 12}  # wires; beyond them: 20 GB, an hour


@dataclass(frozen=True)
class Sweep:
    """One figure.

    Args:
        title: What is kept.
        axis: What is varied.
        cases: Value on the axis → the case.
        threads: Value on the axis → threads, where these are varied.
    """

    title: str
    axis: str
    cases: dict[int, Case]
    threads: dict[int, int]


def _sweeps(threads: int, quick: bool) -> list[Sweep]:
    counts = sorted({1, *(2**power for power in range(8) if 2**power < threads), threads})
    wide = {count: Case("entangling", 12, 6, 128) for count in counts}
    sweeps = [
        Sweep(
            "4 layers, 64 rows",
            "wires",
            {wires: Case("entangling", wires, 4, 64) for wires in (4, 6, 8, 10, 12, 14, 16)},
            {},
        ),
        Sweep(
            "10 wires, 128 rows",
            "layers",
            {layers: Case("entangling", 10, layers, 128) for layers in (1, 2, 4, 8, 16, 32)},
            {},
        ),
        Sweep(
            "8 wires, 4 layers",
            "rows",
            {rows: Case("entangling", 8, 4, rows) for rows in (1, 4, 16, 64, 256, 1024, 4096)},
            {},
        ),
        Sweep("12 wires, 6 layers, 128 rows", "threads", wide, {c: c for c in counts}),
    ]
    if not quick:
        return sweeps
    return [Sweep(s.title, s.axis, dict(list(s.cases.items())[:2]), s.threads) for s in sweeps[:3]]


def _measured(
    sweep: Sweep, chosen: Sequence[str], base: Settings, limits: machine.Limits
) -> dict[str, Any]:
    """Name → [(value, minimum ms, median ms)], and the limit likewise."""
    curves: dict[str, list[tuple[int, float, float]]] = {name: [] for name in (*_NAMES, "limit")}
    for value, case in sweep.cases.items():
        threads = sweep.threads.get(value, 1)
        cores = tuple(range(threads)) if sweep.threads else base.cores
        settings = Settings(cores, base.seconds, base.turn, base.patience, base.cache)
        names = [name for name in chosen if case.wires <= _LARGEST.get(name, case.wires)]
        for line in contest(case, names, settings):
            said = line.failure or f"{line.minimum:.3f} / {line.median:.3f} ms"
            print(case.name, threads, line.name, said, flush=True)
            if not line.failure and not line.wrong:
                curves[line.name].append((value, line.minimum, line.median))
        least = 1e3 * limits.seconds(case) / threads
        curves["limit"].append((value, least, least))
    return {"title": sweep.title, "axis": sweep.axis, "curves": curves}


def _drawn(figure: dict[str, Any], path: Path) -> None:
    """One figure, both axes logarithmic."""
    _, axes = plt.subplots(figsize=(5.0, 3.6), layout="constrained")
    for name, points in _curves(figure["curves"]):
        values, times, _ = zip(*points, strict=True)
        if name == "limit":
            axes.plot(values, times, color="black", linewidth=0.8, label="limit of the core(s)")
        else:
            axes.plot(values, times, marker="o", markersize=3, label=CONTESTANTS[name].title)
    ticks = [value for value, *_ in figure["curves"]["limit"]]
    axes.set_xscale("linear" if figure["axis"] == "wires" else "log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_yscale("log")
    axes.set_xlabel(figure["axis"])
    axes.set_ylabel("ms a step (fastest)")
    axes.set_title(figure["title"])
    axes.legend(fontsize="small")
    plt.savefig(path)
    plt.close()


def _curves(curves: dict[str, Sequence[Any]]) -> Iterator[tuple[str, Sequence[Any]]]:
    for name, points in curves.items():
        if points:
            yield name, points


def main() -> None:
    """Measure (unless data is given) and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    parser.add_argument("--data", type=Path, help="draw what was measured before")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3.0, help="a contestant and point")
    parser.add_argument("--names", nargs="+", choices=_NAMES, default=_NAMES, help="contestants")
    parser.add_argument("--quick", action="store_true", help="two points of three figures")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    mpl.use("svg")
    if arguments.data is not None:
        measured = json.loads(arguments.data.read_text())
    else:
        base = Settings((arguments.core,), arguments.seconds, 0.05, 400.0, arguments.cache)
        limits = machine.measure(arguments.core, arguments.cache)
        sweeps = _sweeps(os.cpu_count() or 1, arguments.quick)
        measured = []
        for sweep in sweeps:
            measured.append(_measured(sweep, arguments.names, base, limits))
            (arguments.output / "sweeps.json").write_text(json.dumps(measured, indent=1))
    for figure in measured:
        _drawn(figure, arguments.output / f"time-{figure['axis']}.svg")


if __name__ == "__main__":
    main()
