"""What a training step with uncertainty costs: random weights, ensembles, autoencoders, mixtures.

Cases are described in `peers/uncertain.py`. Each contestant is a process of its own; all are bound
to one core with one thread and take turns of about 50 ms. A ratio is the median, over the turns, of
the ratios of median steps, by processor time, which other work on the machine disturbs least; those
of wall time and of the fastest steps stand beside it.
Losses at the same parameters are compared first, where they are the same number.

    python benchmarks/uncertainty.py --install all      # an environment for each peer, once
    python benchmarks/uncertainty.py --core 1 --markdown block.md
"""

import argparse
import datetime as dt
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import machine
from contest import ContestantError, Entry, Process, Settings
from environments import DEFAULT_CACHE, install

_PEERS = {
    "ours": Entry("Borromean", "borromean_uncertain"),
    "torch": Entry("torch by hand", "torch_by_hand"),
    "pyro": Entry("Pyro", "pyro_uncertain"),
    "bayesian_torch": Entry("bayesian-torch", "bayesian_torch_uncertain", "bayesian_torch"),
    "torch_uncertainty": Entry(
        "torch-uncertainty", "torch_uncertainty_uncertain", "torch_uncertainty"
    ),
    "numpyro": Entry("NumPyro, jit", "numpyro_uncertain", "numpyro"),
}
Runner = tuple[str, str]  # contestant, case


class Goal(NamedTuple):
    """A line of goals: ``over`` in units of ``under``.

    Args:
        title: What it says.
        over: Whose time is divided.
        under: By whose.
        floor: What is asked for, None to report only.
        stretch: What is aimed for.
        least: Whether the figure is to be at least as large, not at most.
    """

    title: str
    over: Runner
    under: Runner
    floor: float | None
    stretch: float | None = None
    least: bool = True


def _random(peer: str, case: str, draws: int, *bounds: float | None) -> Goal:
    title = f"{peer} ({case}) / variational, {draws} draws"
    return Goal(title, (peer, f"{case}-{draws}"), ("ours", f"variational-{draws}"), *bounds)


def _overhead(draws: int, floor: float, stretch: float) -> Goal:
    ours, plain = ("ours", f"variational-{draws}"), ("torch", "plain")
    return Goal(f"variational, {draws} draws / plain network", ours, plain, floor, stretch, False)


GOALS = (
    _overhead(1, 2.5, 2.0),
    _overhead(8, 4.5, 3.5),
    _overhead(32, 12.0, 9.0),
    *(
        _random("pyro", kind, draws, floor, 5.0)
        for draws, floor in ((1, 3.5), (8, 3.5), (32, 2.5))
        for kind in ("variational", "diagonal")
    ),
    _random("bayesian_torch", "variational", 16, 3.0),
    _random("torch_uncertainty", "variational", 16, 20.0),
    _random("numpyro", "variational", 16, None),
    _random("numpyro", "variational", 32, None),
    Goal("ensemble of 10 / one member", ("ours", "ensemble"), ("ours", "member"), 3.5, 2.5, False),
    Goal("VAE / by hand", ("ours", "vae"), ("torch", "vae"), 1.3, None, False),
    Goal("Pyro / VAE", ("pyro", "vae"), ("ours", "vae"), 4.0),
    Goal("mixture / by hand", ("ours", "gmm"), ("torch", "gmm"), 1.3, None, False),
    Goal("Pyro / mixture", ("pyro", "gmm"), ("ours", "gmm"), 4.0),
)
# Cases whose loss is the same number for all, and how far they may lie apart: those that draw are
# means over some draws.
_SAME = {"vae": 2e-2, "gmm": 1e-5, **{f"variational-{s}": 2e-2 for s in (1, 8, 16, 32)}}


@dataclass
class Times:
    """What one contestant did in one case, turn by turn: medians and minima in ms."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    fastest: list[float] = field(default_factory=list)
    setup: dict[str, Any] = field(default_factory=dict)
    failure: str = ""


def measure(settings: Settings, goals: Sequence[Goal]) -> dict[Runner, Times]:
    """Time every case of the goals; contestants take turns on those that a goal compares."""
    runners = list(dict.fromkeys(r for goal in goals for r in (goal.under, goal.over)))
    times = {runner: Times() for runner in runners}
    running: dict[str, Process] = {}
    try:
        for peer, case in runners:
            try:
                if peer not in running:
                    running[peer] = Process(_PEERS[peer], settings)
                times[peer, case].setup = running[peer].ask(do="setup", case=case)
            except ContestantError as failure:
                times[peer, case].failure = str(failure)
        alive = [runner for runner in runners if not times[runner].failure]
        for turn in range(max(4, int(settings.seconds / settings.turn))):
            for peer, case in alive:
                held = times[peer, case]
                # by the fastest step: on a busy machine a slow one would make turns of cold steps
                count = max(3, int(1e3 * settings.turn / min(held.fastest, default=20.0)))
                reply = running[peer].ask(do="step", case=case, count=count)
                wall = [1e3 * s for s in reply["seconds"]]
                if turn:  # the first turn warms up
                    held.fastest.append(min(wall))
                    held.processor.append(1e3 * statistics.median(reply["processor"]))
                held.wall.append(statistics.median(wall))
    finally:
        for process in running.values():
            process.close()
    return times


def figures(over: Times, under: Times) -> tuple[float, float, float]:
    """The ratio by processor time and by wall time, medians of turns, and by the fastest steps."""
    pairs = [
        statistics.median(a / b for a, b in zip(first, second, strict=True))
        for first, second in ((over.processor, under.processor), (over.wall[1:], under.wall[1:]))
    ]
    return pairs[0], pairs[1], min(over.fastest) / min(under.fastest)


def verdict(goal: Goal, found: float) -> str:
    """Which bound the ratio reaches."""
    for bound, word in ((goal.stretch, "stretch"), (goal.floor, "floor")):
        if bound is not None and (found >= bound if goal.least else found <= bound):
            return word
    return "reported" if goal.floor is None else "MISSED"


def different(times: dict[Runner, Times]) -> list[str]:
    """Losses that lie further from ours than they may."""
    wrong = []
    for (peer, case), held in times.items():
        ours = times.get(("ours", case))
        value = held.setup.get("loss")
        if case not in _SAME or ours is None or value is None or ours.failure:
            continue
        expected = ours.setup["loss"]
        if abs(value - expected) > _SAME[case] * abs(expected):
            wrong.append(f"{peer}, {case}: loss {value:.6g}, ours {expected:.6g}")
    return wrong


def _conditions(before: float) -> str:
    return (
        f"{machine.describe()}; one core, one thread. Load per core before and after: "
        f"{before:.2f}, {machine.load():.2f}."
    )


def markdown(times: dict[Runner, Times], goals: Sequence[Goal], before: float) -> str:
    """The block for RESULTS.md."""
    versions: dict[str, str] = {}
    for held in times.values():
        versions |= held.setup.get("versions", {})
    lines = [
        f"## {dt.datetime.now(dt.UTC).date().isoformat()}, `uncertainty.py`",
        "",
        _conditions(before),
        "",
        ", ".join(f"{name} {number}" for name, number in sorted(versions.items())),
        "",
        "| | ratio by processor time (wall time; fastest steps) | floor | stretch | reached |",
        "| --- " * 5 + "|",
    ]
    for goal in goals:
        over, under = times[goal.over], times[goal.under]
        if over.failure or under.failure:
            lines.append(f"| {goal.title} | – {over.failure or under.failure} | | | |")
            continue
        processor, wall, fastest = figures(over, under)
        sign = "≥" if goal.least else "≤"
        bounds = ["" if b is None else f"{sign} {b:g}" for b in (goal.floor, goal.stretch)]
        found = f"{processor:.3g} ({wall:.3g}; {fastest:.3g})"
        lines.append(
            f"| {goal.title} | {found} | {' | '.join(bounds)} | {verdict(goal, processor)} |"
        )
    lines += [
        "",
        "| contestant | case | ms, median / fastest | first step, s |",
        "| --- " * 4 + "|",
    ]
    for (peer, case), held in times.items():
        if not held.failure:
            median, fastest = statistics.median(held.wall), min(held.fastest)
            made = held.setup["setup_seconds"]
            title = _PEERS[peer].title
            lines.append(f"| {title} | {case} | {median:.3g} / {fastest:.3g} | {made:.2g} |")
    apart = different(times)
    lines += ["", "Losses agree." if not apart else "DIFFERENT: " + "; ".join(apart)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the tables; 1 if somebody's loss differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=2.0, help="a contestant and case")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--only", default="", help="goals whose title has this in it")
    parser.add_argument("--install", metavar="PEER", help="an environment, or all")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--markdown", type=Path)
    chosen = parser.parse_args()
    if chosen.install:
        known = [e.environment for e in _PEERS.values() if e.environment is not None]
        for name in known if chosen.install == "all" else [chosen.install]:
            print(name, install(name, chosen.cache))
        return 0
    settings = Settings((chosen.core,), chosen.seconds, 0.05, 300.0, chosen.cache)
    before = machine.load()
    goals = [goal for goal in GOALS if chosen.only in goal.title]
    times = measure(settings, goals)
    text = markdown(times, goals, before)
    print(text)
    if chosen.markdown is not None:
        chosen.markdown.write_text(text)
    return int(bool(different(times)))


if __name__ == "__main__":
    sys.exit(main())
