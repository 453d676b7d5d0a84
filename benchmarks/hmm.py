"""What a step of a hidden Markov model costs, forward and gradient, beside Pyro.

16 states, 64 steps, 32 sequences, single precision (`peers/chains.py`). Each contestant is a
process of its own; all are bound to one core with one thread and take turns of about 50 ms. Losses
and gradients are compared before anything is timed.

    python benchmarks/hmm.py --core 1 --markdown block.md
"""

import argparse
import datetime as dt
import statistics
import sys
from pathlib import Path
from typing import Any

import machine
import numpy as np
from contest import Entry, Process, Settings
from environments import DEFAULT_CACHE

_CONTESTANTS = {
    "HiddenMarkovModel": (Entry("HiddenMarkovModel", "borromean_hmm"), 1.0),
    "TraceEnum_ELBO": (Entry("Pyro, TraceEnum_ELBO", "pyro_trace_enum"), 20.0),
    "DiscreteHMM": (Entry("Pyro, DiscreteHMM", "pyro_discrete_hmm"), 5.0),
}
_OURS = "HiddenMarkovModel"


def _errors(setups: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The largest difference of a gradient from ours, in parts of the largest entry."""
    ours = setups[_OURS]["gradients"]
    found = {}
    for name, setup in setups.items():
        pairs = [(np.array(a), np.array(b)) for a, b in zip(ours, setup["gradients"], strict=True)]
        apart = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)
        loss = abs(setup["loss"] - setups[_OURS]["loss"]) / abs(setups[_OURS]["loss"])
        found[name] = max(apart, loss)
    return found


def _figures(seconds: list[float], processor: list[float]) -> tuple[float, float, float]:
    """Milliseconds: minimum, median, median of processor time."""
    return (
        1e3 * min(seconds),
        1e3 * statistics.median(seconds),
        1e3 * statistics.median(processor),
    )


def main() -> int:
    """Print the table; 1 if somebody's gradients differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=6.0, help="a contestant")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--markdown", type=Path)
    chosen = parser.parse_args()
    settings = Settings((chosen.core,), chosen.seconds, 0.05, 300.0, chosen.cache)
    before = machine.load()
    running = {name: Process(entry, settings) for name, (entry, _) in _CONTESTANTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in running}
    processor: dict[str, list[float]] = {name: [] for name in running}
    try:
        setups = {name: process.ask(do="setup") for name, process in running.items()}
        errors = _errors(setups)
        while any(sum(taken) < chosen.seconds for taken in seconds.values()):
            for name, process in running.items():
                count = max(1, int(0.05 / min(seconds[name]))) if seconds[name] else 1
                reply = process.ask(do="step", count=count)
                seconds[name] += reply["seconds"]
                processor[name] += reply["processor"]
    finally:
        for process in running.values():
            process.close()
    versions = ", ".join(f"{name} {number}" for name, number in setups[_OURS]["versions"].items())
    head = (
        f"## {dt.datetime.now(dt.UTC).date().isoformat()}, `hmm.py`\n\n{machine.describe()}; one "
        f"core, one thread. Load per core before and after: {before:.2f}, {machine.load():.2f}.\n\n"
        f"{versions}\n"
    )
    lines = [head, "| | ms, minimum / median (of processor time) | ratios | floor | apart |"]
    lines.append("| --- " * 5 + "|")
    for name in running:
        entry, floor = _CONTESTANTS[name]
        ours, theirs = (_figures(seconds[n], processor[n]) for n in (_OURS, name))
        ratios = " / ".join(f"{a / b:.3g}" for a, b in zip(theirs, ours, strict=True))
        lines.append(
            f"| {entry.title} | {theirs[0]:.3g} / {theirs[1]:.3g} ({theirs[2]:.3g}) | {ratios} | "
            f"{'' if name == _OURS else f'≥ {floor:g}'} | {errors[name]:.0e} |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.markdown is not None:
        chosen.markdown.write_text(text)
    return int(max(errors.values()) > 1e-3)


if __name__ == "__main__":
    sys.exit(main())
