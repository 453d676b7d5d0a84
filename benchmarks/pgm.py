"""What all posterior marginals of a Bayesian network cost, beside pyAgrum, pgmpy and NBN.

A step answers every marginal of its rows and includes turning numbers into what the contestant
takes. Each contestant runs in an environment and a long-lived process of its own, all bound to one
core with one thread; they take turns, so that all meet the same machine. Before anything is timed
the answers of all are compared with pyAgrum's.

    python benchmarks/pgm.py --install all               # environments, once
    python benchmarks/pgm.py --core 1 --markdown block.md
    python benchmarks/pgm.py --networks alarm --kinds many shared
    python benchmarks/pgm.py --quick
"""

import argparse
import datetime as dt
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import machine
import numpy as np
from contest import ContestantError, Entry, Process, Settings
from environments import DEFAULT_CACHE, install
from pgm_cases import CASES, Case, prepared

_OURS = "ours"
_TORCH = {"BORROMEAN_ENGINE": "torch"}
_CONTESTANTS = {
    _OURS: Entry("BayesianNetwork", "borromean_pgm", precision="double"),
    "ours_torch": Entry("BayesianNetwork, no kernel", "borromean_pgm", variables=_TORCH),
    "pyagrum": Entry("pyAgrum, LazyPropagation", "pyagrum_pgm", "pyagrum", "double"),
    "pgmpy": Entry("pgmpy, a loop of VE", "pgmpy_pgm", precision="double"),
    "nbn": Entry("NBN, batched VE (float32)", "nbn_pgm", "nbn"),
}
_LOOPS = {"pyagrum": 25, "pgmpy": 5}  # rows of a turn of those who answer row by row
_SAMPLE = 100  # rows that pgmpy answers of 1,000; its time is scaled up
_TOLERANCE = {"nbn": 1e-3}
_FIGURES = ("median_ms", "minimum_ms", "processor_ms")


class _Turns:
    """One contestant in one case: its process, and the seconds of each piece of the rows."""

    def __init__(self, name: str, case: Case, settings: Settings, sample: int) -> None:
        self.name = name
        self.failure = ""
        self.setup: dict[str, Any] = {}
        self.load = 0.0
        size = 1 if case.by_row else _LOOPS.get(name, case.rows)
        most = min(sample, _SAMPLE) if name == "pgmpy" else sample
        rows = min(case.rows, most if name in _LOOPS else case.rows)
        self.scale = case.rows / rows if not case.by_row else 1.0
        self.pieces = [(i, min(i + size, rows)) for i in range(0, rows, size)]
        self.seconds: dict[int, list[float]] = defaultdict(list)
        self.processor: dict[int, list[float]] = defaultdict(list)
        self.once = case.kind == "new"
        self.place = 0
        self.process: Process | None = None
        folder = settings.cache / "networks"
        path = prepared(case, folder)
        self.answers = folder / f"answers-{name}.npz"
        try:
            self.process = Process(_CONTESTANTS[name], settings)
            self.setup = self.process.ask(do="setup", case=str(path), answers=str(self.answers))
        except ContestantError as failure:
            self.failure = str(failure)

    @property
    def done(self) -> bool:
        """Whether every piece was timed once."""
        return self.place >= len(self.pieces)

    @property
    def spent(self) -> float:
        """Seconds of all steps so far."""
        return sum(map(sum, self.seconds.values()))

    def turn(self, seconds: float) -> None:
        """Steps for about so long, one at least; in a case of new rows each of them once."""
        spent = 0.0
        while not self.failure and spent < seconds and not (self.once and self.done):
            piece = self.place % len(self.pieces)
            begin, end = self.pieces[piece]
            try:
                if self.process is None:
                    raise ContestantError("no process")
                reply = self.process.ask(do="step", begin=begin, end=end)
            except ContestantError as failure:
                self.failure = str(failure)
                return
            self.seconds[piece].append(reply["seconds"])
            self.processor[piece].append(reply["processor"])
            self.place += 1
            spent += reply["seconds"]
        self.load = max(self.load, machine.load())

    def line(self, case: Case, error: float | None) -> dict[str, Any]:
        """What is recorded: milliseconds of all rows (of one, where they come one by one)."""
        held = {"case": case.name, "name": self.name, "setup": self.setup, "error": error}
        if self.failure or not self.done:
            return held | {"failure": self.failure or "not all rows within the time"}
        figures = []
        for seconds in (self.seconds, self.processor):
            groups = list(seconds.values())
            if case.kind == "new":
                groups = [[took for group in groups for took in group]]
            figures += [sum(map(min, groups)), sum(map(statistics.median, groups))]
        return held | {
            "minimum_ms": 1e3 * self.scale * figures[0],
            "median_ms": 1e3 * self.scale * figures[1],
            "processor_ms": 1e3 * self.scale * figures[3],
            "passes": min(map(len, self.seconds.values())),
            "load": self.load,
        }

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.close()


def _contest(case: Case, names: list[str], settings: Settings, sample: int) -> list[dict[str, Any]]:
    """All contestants on one case, in turns, until all had their time and answered every row."""
    running = {name: _Turns(name, case, settings, sample) for name in names}
    try:
        waiting = [turns for turns in running.values() if not turns.failure]
        while waiting:
            for turns in waiting:
                turns.turn(settings.turn)
            waiting = [turns for turns in waiting if _goes_on(turns, settings)]
    finally:
        for turns in running.values():
            turns.close()
    truth = running.get("pyagrum")
    return [turns.line(case, _error(turns, truth)) for turns in running.values()]


def _goes_on(turns: _Turns, settings: Settings) -> bool:
    if turns.failure:
        return False
    return not turns.done if turns.once else not turns.done or turns.spent < settings.seconds


def _error(turns: _Turns, truth: _Turns | None) -> float | None:
    """The largest difference from pyAgrum's marginals in the first rows."""
    if truth is None or truth.failure or turns.failure or turns is truth:
        return None
    with np.load(turns.answers) as ours, np.load(truth.answers) as theirs:
        return max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs.files)


def _wrong(line: dict[str, Any]) -> bool:
    error = line["error"]
    return error is not None and not error <= _TOLERANCE.get(line["name"], 1e-10)


def _peaks(settings: Settings, names: list[str]) -> list[dict[str, Any]]:
    """Peak memory of 1,000 rows beyond that of the first 20, each network in a fresh process."""
    from hybrid.pgm.trees.tree import junction_tree

    found = []
    for case in CASES:
        if case.kind != "many" or case.network not in names:
            continue
        turns = _Turns(_OURS, case, settings, case.rows)
        try:
            if turns.failure or turns.process is None:
                continue
            before = turns.process.ask(do="memory")["peak_bytes"]
            turns.turn(0.0)
            after = turns.process.ask(do="memory")["peak_bytes"]
        finally:
            turns.close()
        from pgm_cases import network

        of = network(case.network)
        number = {name: i for i, name in enumerate(of.names)}
        scopes = tuple((*map(number.get, of.parents[name]), number[name]) for name in of.names)
        tree = junction_tree(tuple(of.cards.values()), scopes)
        found.append({"case": case.name, "bytes": after - before, "tree_bytes": 8 * tree.cells})
    return found


def _verdict(figure: float, bounds: tuple[float, float | None]) -> str:
    floor, stretch = bounds
    if stretch is not None and figure >= stretch:
        return "stretch"
    return "floor" if figure >= floor else "MISSED"


def markdown(run: dict[str, Any]) -> str:
    """The block for RESULTS.md."""
    lines = {(line["case"], line["name"]): line for line in run["lines"]}
    goals = ["| against | case | medians | minima | processor time | floor | stretch | reached |"]
    goals.append("| --- " * 8 + "|")
    for case in CASES:
        ours = lines.get((case.name, _OURS), {})
        for peer, bounds in case.peers.items():
            theirs = lines.get((case.name, peer), {})
            if "median_ms" not in ours or "median_ms" not in theirs:
                continue
            ratios = [theirs[key] / ours[key] for key in _FIGURES]
            shown = [f"{ratio:.3g}" for ratio in ratios]
            shown += [f"≥ {bound:g}" if bound else "" for bound in bounds]
            cells = (_CONTESTANTS[peer].title, case.name, *shown)
            goals.append(f"| {' | '.join(cells)} | {_verdict(min(ratios), bounds)} |")
    times = ["| rows | " + " | ".join(entry.title for entry in _CONTESTANTS.values()) + " |"]
    times.append("| --- " * (1 + len(_CONTESTANTS)) + "|")
    for case in CASES:
        if (case.name, _OURS) in lines:
            cells = [_cell(lines.get((case.name, name))) for name in _CONTESTANTS]
            times.append(f"| {case.name} | {' | '.join(cells)} |")
    versions = ", ".join(f"{name} {number}" for name, number in sorted(run["versions"].items()))
    memory = [
        f"- {row['case']}: {row['bytes'] / 2**20:.0f} MiB; the tree of one row holds "
        f"{row['tree_bytes'] / 2**20:.3g} MiB"
        for row in run["memory"]
    ]
    highest = max([0.0, *(line.get("load", 0.0) for line in run["lines"])])
    head = (
        f"## {run['date']}, `pgm.py`\n\n{run['machine']}; one core, one thread. Load per core "
        f"before and at most: {run['load']:.2f}, {highest:.2f}.\n\n{versions}\n"
    )
    explanation = (
        "\nReached: by the lowest of the three ratios. Below: ms, minimum / median (median of "
        "processor\ntime); 'new': a row whose variables no row before observed.\n"
    )
    return "\n".join(
        [
            head,
            *goals,
            explanation,
            *times,
            *(["\nPeak memory beyond that of 20 rows:\n"] if memory else []),
            *memory,
        ]
    )


def _cell(line: dict[str, Any] | None) -> str:
    if line is None:
        return "–"
    if "median_ms" not in line:
        return f"({line['failure'][:60]})"
    wrong = " WRONG" if _wrong(line) else ""
    shown = [f"{line[key]:.3g}" for key in ("minimum_ms", "median_ms", "processor_ms")]
    return f"{shown[0]} / {shown[1]} ({shown[2]}){wrong}"


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--install", choices=["all", "pyagrum", "nbn"])
    parser.add_argument("--networks", nargs="+", default=[], help="names; all unless given")
    parser.add_argument("--kinds", nargs="+", default=[], help="many, shared, new, again")
    parser.add_argument("--peers", nargs="+", default=list(_CONTESTANTS), choices=_CONTESTANTS)
    parser.add_argument("--seconds", type=float, default=6.0, help="a contestant and case at least")
    parser.add_argument("--turn", type=float, default=0.3, help="seconds of a turn")
    parser.add_argument("--patience", type=float, default=600.0, help="seconds for an answer")
    parser.add_argument(
        "--sample", type=int, default=1000, help="rows that loops answer; their time is scaled up"
    )
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--output", type=Path, default=Path("pgm.json"))
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--quick", action="store_true", help="child and alarm without pgmpy")
    return parser.parse_args()


def _names(case: Case, chosen: argparse.Namespace) -> list[str]:
    """Who is measured: those with a goal, us, and our engine without a kernel."""
    return [n for n in (_OURS, "ours_torch", *case.peers) if n in chosen.peers]


def main() -> int:
    """Run what was asked for; 1 if any contestant gave a wrong answer."""
    chosen = _parsed()
    if chosen.install:
        for name in ("pyagrum", "nbn") if chosen.install == "all" else (chosen.install,):
            print(name, install(name, chosen.cache))
        return 0
    if chosen.quick:
        chosen.networks, chosen.seconds = ["child", "alarm"], 0.5
        chosen.peers = [name for name in chosen.peers if name != "pgmpy"]
    networks = chosen.networks or sorted({case.network for case in CASES})
    settings = Settings((chosen.core,), chosen.seconds, chosen.turn, chosen.patience, chosen.cache)
    run: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": machine.describe(),
        "load": machine.load(),
        "versions": {},
        "lines": [],
        "memory": [],
    }
    for case in CASES:
        if case.network not in networks or (chosen.kinds and case.kind not in chosen.kinds):
            continue
        print(case.name, flush=True)
        for line in _contest(case, _names(case, chosen), settings, chosen.sample):
            run["versions"] |= line["setup"].get("versions", {})
            run["lines"].append(line)
            print(f"  {_CONTESTANTS[line['name']].title:28s} {_cell(line)}  {line['error']}")
        chosen.output.write_text(json.dumps(run, indent=1))
    run["memory"] = [] if chosen.no_memory else _peaks(settings, networks)
    chosen.output.write_text(json.dumps(run, indent=1))
    text = markdown(run)
    print("\n" + text)
    if chosen.markdown is not None:
        chosen.markdown.write_text(text)
    return int(any(map(_wrong, run["lines"])))


if __name__ == "__main__":
    sys.exit(main())
