"""How many effective draws a second do samplers give, compile time counted?

Two posteriors: eight schools (non-centred, 10 dimensions) and a logistic regression (breast
cancer, 10 standardised features and an intercept, 569 rows), in float64, 500 iterations of warm-up
and 1,000 draws of each chain. Effective draws: the smallest bulk effective size of all values, by
ArviZ, the same for all. Each contestant is a fresh process on one core with one thread
(`peers/sampled.py`); they take turns, round by round. The first run of a process counts
compilation, the second is sampling only. Means are compared before anything is printed.

    python benchmarks/samplers.py --install          # NumPyro and nutpie, an environment each, once
    python benchmarks/samplers.py --core 1 --rounds 3 --markdown block.md
"""

import argparse
import datetime as dt
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import numpy as np
from arviz_stats.base import array_stats
from contest import ContestantError, Entry, Process, Settings
from environments import DEFAULT_CACHE, install

CONTESTANTS = {
    "chees": Entry("ChEES, 64 chains", "borromean_chees"),
    "nuts": Entry("NUTS, 1 chain", "borromean_nuts"),
    "pyro": Entry("Pyro NUTS, jit, 1 chain", "pyro_nuts"),
    "numpyro": Entry("NumPyro NUTS, 4 vectorised chains", "numpyro_nuts", "numpyro"),
    "nutpie": Entry("nutpie NUTS, 4 chains", "nutpie_nuts", "nutpie"),
}
MODELS = ("eight_schools", "logistic")


@dataclass(frozen=True)
class Goal:
    """What we hold ourselves to: effective draws a second, ours over theirs.

    Args:
        ours: Our contestant.
        theirs: The other.
        run: "first", compile time counted, or "again", sampling only.
        bounds: Model → (floor, stretch).
    """

    ours: str
    theirs: str
    run: str
    bounds: dict[str, tuple[float, float]]


GOALS = (
    Goal("chees", "pyro", "first", dict.fromkeys(MODELS, (60.0, 100.0))),
    Goal("chees", "numpyro", "first", dict.fromkeys(MODELS, (15.0, 25.0))),
    Goal("chees", "nutpie", "again", {"eight_schools": (0.3, 1.0), "logistic": (6.0, 12.0)}),
    Goal("nuts", "pyro", "first", dict.fromkeys(MODELS, (2.0, 10.0))),
)


@dataclass(frozen=True)
class Line:
    """One contestant on one model in one round."""

    size: dict[str, float]
    seconds: dict[str, float]
    processor: dict[str, float]
    means: Any
    errors: Any

    def rate(self, run: str, *, processor: bool = False) -> float:
        """Effective draws a second, by wall or processor time."""
        return self.size[run] / (self.processor if processor else self.seconds)[run]


def archive(folder: Path) -> Path:
    """The data of both models."""
    from sklearn.datasets import load_breast_cancer

    design, labels = load_breast_cancer(return_X_y=True)
    design = design[:, :10]
    path = folder / "data.npz"
    np.savez(
        path,
        effects=np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
        errors=np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
        design=(design - design.mean(0)) / design.std(0),
        labels=labels.astype(float),
    )
    return path


def once(
    name: str, model: str, seed: int, folder: Path, settings: Settings
) -> tuple[Line, dict[str, str]]:
    """A fresh process: two runs; and the versions in it."""
    process = Process(CONTESTANTS[name], settings)
    path = folder / "draws.npz"
    try:
        versions = process.ask(do="setup", data=str(folder / "data.npz"))["versions"]
        reply = process.ask(do="run", model=model, seed=seed, path=str(path))
    finally:
        process.close()
    sizes = {}
    with np.load(path) as held:
        for run in ("first", "again"):
            draws = held[run]
            sizes[run] = min(
                float(array_stats.ess(draws[..., i], chain_axis=0, draw_axis=1, method="bulk"))
                for i in range(draws.shape[-1])
            )
        flat = held["again"].reshape(-1, draws.shape[-1])
    seconds = {run: reply[run] for run in sizes}
    processor = {run: reply[f"{run}_processor"] for run in sizes}
    errors = flat.std(0) / np.sqrt(max(sizes["again"], 4.0))
    return Line(sizes, seconds, processor, flat.mean(0), errors), versions


def apart(lines: dict[str, list[Line]]) -> float:
    """The largest difference of a mean from that of our many chains, in combined errors."""
    named = {name: found[-1] for name, found in lines.items() if found}
    base = named["chees"]
    return max(
        float((abs(x.means - base.means) / np.hypot(x.errors, base.errors)).max())
        for x in named.values()
    )


def ratios(goal: Goal, lines: dict[str, list[Line]]) -> tuple[float, float]:
    """Medians over rounds of ours over theirs: by wall time, by processor time."""
    pairs = list(zip(lines[goal.ours], lines[goal.theirs], strict=True))
    wall = statistics.median(a.rate(goal.run) / b.rate(goal.run) for a, b in pairs)
    other = statistics.median(
        a.rate(goal.run, processor=True) / b.rate(goal.run, processor=True) for a, b in pairs
    )
    return wall, other


def report(found: dict[str, dict[str, list[Line]]]) -> list[str]:
    """Both tables."""
    out = ["| model | sampler | effective draws | seconds | a second | sampling only, a second |"]
    out.append("| --- " * 6 + "|")
    for model, lines in found.items():
        for name, rounds in lines.items():
            if not rounds:
                continue
            size = statistics.median(x.size["first"] for x in rounds)
            seconds = statistics.median(x.seconds["first"] for x in rounds)
            first, again = (
                statistics.median(x.rate(r) for x in rounds) for r in ("first", "again")
            )
            out.append(
                f"| {model} | {CONTESTANTS[name].title} | {size:,.0f} | {seconds:.2f} | "
                f"{first:,.0f} | {again:,.0f} |"
            )
    out += [
        "",
        "| ours | against | | model | ratio (by processor time) | floor | stretch | reached |",
    ]
    out.append("| --- " * 8 + "|")
    for goal in GOALS:
        for model, (floor, stretch) in goal.bounds.items():
            if not all(found[model].get(name) for name in (goal.ours, goal.theirs)):
                continue
            wall, processor = ratios(goal, found[model])
            least = min(wall, processor)
            reached = "stretch" if least >= stretch else "floor" if least >= floor else "MISSED"
            counted = "with compiling" if goal.run == "first" else "sampling only"
            out.append(
                f"| {CONTESTANTS[goal.ours].title} | {CONTESTANTS[goal.theirs].title} | {counted} "
                f"| {model} | {wall:.3g} ({processor:.3g}) | ≥ {floor:g} | ≥ {stretch:g} "
                f"| {reached} |"
            )
    return out


def main() -> int:
    """Print both tables; 1 if somebody's means differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--only", nargs="*", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--markdown", type=Path)
    chosen = parser.parse_args()
    if chosen.install:
        for name in ("numpyro", "nutpie"):
            print(name, install(name, chosen.cache))
        return 0
    settings = Settings((chosen.core,), 0.0, 0.0, 600.0, chosen.cache)
    before, versions = machine.load(), {}
    found: dict[str, dict[str, list[Line]]] = {m: {n: [] for n in chosen.only} for m in MODELS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive(folder)
        for seed in range(chosen.rounds):
            for model in MODELS:
                for contestant in chosen.only:
                    try:
                        line, its = once(contestant, model, seed, folder, settings)
                    except ContestantError as failure:
                        print(f"{contestant}: {failure}", file=sys.stderr)
                        continue
                    found[model][contestant].append(line)
                    versions |= its
                    print(
                        f"{seed} {model} {contestant} {line.size} {line.seconds} {line.processor}",
                        file=sys.stderr,
                    )
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    head = (
        f"## {dt.datetime.now(dt.UTC).date().isoformat()}, `samplers.py`\n\n{machine.describe()}; "
        f"one core, one thread, {chosen.rounds} rounds, medians. Load per core before and after: "
        f"{before:.2f}, {machine.load():.2f}.\n\n{told}\n"
    )
    far = max(apart(lines) for lines in found.values()) if "chees" in chosen.only else 0.0
    tail = f"\nMeans differ by at most {far:.1f} standard errors.\n"
    text = "\n".join([head, *report(found), tail])
    print(text)
    if chosen.markdown is not None:
        chosen.markdown.write_text(text)
    return int(far > 5)


if __name__ == "__main__":
    sys.exit(main())
