"""How long does it take to tell whether a causal effect has a formula, and which?

python benchmarks/identify.py --install all
python benchmarks/identify.py --core 1 --markdown block.md
"""

import argparse
import itertools
import json
import os
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import machine
from contest import ContestantError, Entry, Process, Settings
from environments import DEFAULT_CACHE, install
from peers import borromean_identify

_Query = dict[str, Any]
_SLOW = 1.0  # seconds above which a contestant is asked a query once


@dataclass(frozen=True)
class Contestant:
    """A program and the largest graphs it is asked about (beyond them it takes minutes).

    Args:
        entry: The program.
        largest: The most nodes.
        at_least: How many times faster than it ours has to be; below 1: how much slower it may be.
    """

    entry: Entry
    largest: int
    at_least: Mapping[int, float]


OURS = "ours"
CONTESTANTS = {
    OURS: Contestant(Entry("causal.identify, verdict and formula", "borromean_identify"), 200, {}),
    "y0": Contestant(Entry("y0 0.2.11, verdict and formula", "y0_identify", "y0"), 100, {50: 40}),
    "antecedent": Contestant(
        Entry("antecedent 2.4.1, verdict", "antecedent_identify", "antecedent"),
        200,
        {50: 0.25, 200: 0.25},
    ),
}


def sparse(nodes: int, seed: int) -> _Query:
    """A random graph of density 0.25 with nodes / 4 bidirected edges, and one effect in it.

    The treatment is in the first half of the order, the outcome in its last quarter.
    """
    rng = random.Random(seed)  # noqa: S311
    names = [f"V{k:03d}" for k in range(nodes)]
    pairs = list(itertools.combinations(names, 2))
    directed = [pair for pair in pairs if rng.random() < 0.25]
    treatment = rng.choice(names[: nodes // 2])
    outcome = rng.choice(names[-(nodes // 4) :])
    return {
        "nodes": names,
        "directed": directed,
        "bidirected": rng.sample(pairs, nodes // 4),
        "outcome": outcome,
        "treatment": treatment,
    }


def chain(nodes: int) -> _Query:
    """A path with a hidden cause of every two nodes at distance two."""
    names = [f"V{k:03d}" for k in range(nodes)]
    hidden = list(zip(names, names[2:], strict=False))
    return _asked(names, list(itertools.pairwise(names)), hidden, names[nodes // 2], names[-1])


def grid(nodes: int) -> _Query:
    """A square grid with a hidden cause across each of its cells."""
    side = round(nodes**0.5)
    node = [[f"G{i:02d}{j:02d}" for j in range(side)] for i in range(side)]
    down = [(node[i][j], node[i + 1][j]) for i in range(side - 1) for j in range(side)]
    right = [(node[i][j], node[i][j + 1]) for i in range(side) for j in range(side - 1)]
    cells = itertools.product(range(side - 1), repeat=2)
    hidden = [(node[i][j], node[i + 1][j + 1]) for i, j in cells]
    names = list(itertools.chain(*node))
    return _asked(names, down + right, hidden, node[side // 2][side // 2], names[-1])


def dense(nodes: int) -> _Query:
    """All arrows, and hidden causes of neighbours among what comes before the treatment."""
    names = [f"V{k:03d}" for k in range(nodes)]
    hidden = [*itertools.pairwise(names[: nodes // 2]), (names[0], names[-1])]
    directed = list(itertools.combinations(names, 2))
    return _asked(names, directed, hidden, names[nodes // 2], names[-1])


def _asked(
    names: Sequence[str],
    directed: Sequence[tuple[str, str]],
    hidden: Sequence[tuple[str, str]],
    treatment: str,
    outcome: str,
) -> _Query:
    edges = {"nodes": names, "directed": directed, "bidirected": hidden}
    return {**edges, "treatment": treatment, "outcome": outcome}


def _without_adjustment(nodes: int, graphs: int) -> list[_Query]:
    """Random queries with a formula of more than the two probabilities of an adjustment."""
    chosen: list[_Query] = []
    for seed in range(1000 * nodes, 1000 * nodes + 999):
        query = sparse(nodes, seed)
        found = borromean_identify.answer(borromean_identify.prepare(query))
        if (borromean_identify.read(found)[1] or 0) > 2:
            chosen.append(query)
        if len(chosen) == graphs:
            break
    return chosen


def groups(sizes: Sequence[int], graphs: int) -> dict[str, tuple[int, list[_Query]]]:
    """Titles with the number of nodes and the queries."""
    drawn = {
        f"random, n = {nodes}": (nodes, [sparse(nodes, 1000 * nodes + k) for k in range(graphs)])
        for nodes in sizes
    }
    for nodes in sizes:
        title = f"random, n = {nodes}, no adjustment"
        drawn[title] = nodes, _without_adjustment(nodes, graphs // 2)
    largest = min(100, max(sizes))
    shapes = {"chain": chain, "grid": grid, "dense": dense}
    return drawn | {
        f"{title}, n = {largest}": (largest, [make(largest)]) for title, make in shapes.items()
    }


def measured(
    title: str, nodes: int, queries: Sequence[_Query], running: dict[str, Process], turns: int
) -> list[dict[str, Any]]:
    """One record per contestant: for each query the minimum of its turns, all in alternation."""
    lines: dict[str, dict[str, Any]] = {}
    for name, contestant in CONTESTANTS.items():
        if name in running and nodes <= contestant.largest:
            lines[name] = {"group": title, "nodes": nodes, "name": name, "answers": [], "failed": 0}
    for query in queries:
        best: dict[str, dict[str, Any]] = {}
        for turn, name in itertools.product(range(turns), lines):
            if turn and best[name]["seconds"] > _SLOW:
                continue
            try:
                answer = running[name].ask(**query)
            except ContestantError as failure:
                answer = {"seconds": float("inf"), "error": str(failure)}
            if name not in best or answer["seconds"] < best[name]["seconds"]:
                best[name] = answer
        for name, answer in best.items():
            lines[name]["failed"] += "error" in answer
            lines[name]["answers"].append(answer)
    return list(lines.values())


def _summary(line: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """A row: median milliseconds, how many times ours, verdicts that differ, terms."""
    contestant = CONTESTANTS[line["name"]]
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(ours["answers"], line["answers"], strict=True)
        if "error" not in theirs
    ]
    if not pairs:
        return [line["group"], contestant.entry.title, "–", "", "", "", str(line["failed"])]
    median = statistics.median(theirs["seconds"] for _, theirs in pairs)
    ratios = [theirs["seconds"] / mine["seconds"] for mine, theirs in pairs]
    of_medians = median / statistics.median(mine["seconds"] for mine, _ in pairs)
    differ = sum(mine["identified"] != theirs["identified"] for mine, theirs in pairs)
    terms = [theirs["terms"] for _, theirs in pairs if theirs["terms"] is not None]
    ratio = "" if line is ours else f"{of_medians:.3g} ({statistics.median(ratios):.3g})"
    goal = contestant.at_least.get(line["nodes"]) if "random" in line["group"] else None
    if goal is not None:
        ratio += f", goal {goal:g}: {'reached' if of_medians >= goal else 'MISSED'}"
    slowest = max(theirs["seconds"] for _, theirs in pairs)
    return [
        line["group"],
        contestant.entry.title,
        f"{1e3 * median:.3g} / {1e3 * slowest:.3g}",
        ratio,
        "" if line is ours else f"{differ} of {len(pairs)}",
        f"{statistics.median(terms):g} / {max(terms)}" if terms else "",
        str(line["failed"] or ""),
    ]


def markdown(lines: Sequence[dict[str, Any]], graphs: int, loads: Sequence[float]) -> str:
    """The block for RESULTS.md."""
    head = [
        "graphs",
        "",
        "ms, median / slowest",
        "time of medians over ours (median of ratios)",
        "verdicts unlike ours",
        "probabilities, median / most",
        "crashes",
    ]
    rows = [head, ["---"] * len(head)]
    ours = {line["group"]: line for line in lines if line["name"] == OURS}
    rows += [_summary(line, ours[line["group"]]) for line in lines]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    shown = ", ".join(f"{load:.2f}" for load in loads)
    return (
        f"## {date.today().isoformat()}, `identify.py`\n\n{machine.describe()}; one core, one "
        f"thread. Load per core before and after: {shown}. {graphs} random graphs a size, density "
        "0.25, n / 4 bidirected edges, one effect in each; for each graph and contestant the "
        f"minimum of its turns. borromean {version('borromean')}, Python "
        f"{sys.version.split()[0]}.\n\n{table}\n"
    )


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", choices=["all", "y0", "antecedent"])
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 50, 100, 200])
    parser.add_argument("--graphs", type=int, default=30)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--patience", type=float, default=120.0)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Run the contest and print its table."""
    chosen = _parsed()
    if chosen.install:
        names = ["y0", "antecedent"] if chosen.install == "all" else [chosen.install]
        for name in names:
            print(name, install(name, chosen.cache))
        return
    settings = Settings((chosen.core,), 0.0, 0.0, chosen.patience, chosen.cache)
    running: dict[str, Process] = {}
    for name, contestant in CONTESTANTS.items():
        try:
            running[name] = Process(contestant.entry, settings)
        except ContestantError as failure:
            print(f"{contestant.entry.title}: {failure}", file=sys.stderr)
    before = machine.load()
    lines: list[dict[str, Any]] = []
    try:
        for title, (nodes, queries) in groups(chosen.sizes, chosen.graphs).items():
            print(title, file=sys.stderr)
            lines += measured(title, nodes, queries, running, chosen.turns)
    finally:
        for process in running.values():
            process.close()
    block = markdown(lines, chosen.graphs, (before, machine.load()))
    print(block)
    if chosen.markdown:
        chosen.markdown.write_text(block)
    if chosen.json:
        chosen.json.write_text(json.dumps(lines))


if __name__ == "__main__":
    main()
