"""A run as tables: what is printed, and the block for RESULTS.md.

python benchmarks/report.py results.json
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contest import CONTESTANTS
from goals import results

__all__ = ["markdown"]

_BUSY = 1.2  # processes that want to run, per core, above which a run is marked


def markdown(run: Mapping[str, Any]) -> str:
    """The block for RESULTS.md: conditions, times by case, goals, failures.

    Args:
        run: What `quantum_layer.py` writes as JSON.
    """
    parts = [f"## {run['date']}, `quantum_layer.py`", _conditions(run), _goals(run)]
    parts += [_times(run, circuit) for circuit in _circuits(run)]
    parts += [_memory(run), _failures(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _conditions(run: Mapping[str, Any]) -> str:
    limits = run["limits"]
    versions = ", ".join(f"{name} {' and '.join(used)}" for name, used in run["versions"].items())
    load = run["load"]
    highest = max([load["before"], load["after"], *(line["load"] for line in run["lines"])])
    marked = " **Busy machine: trust the ratios, not the times.**" if highest > _BUSY else ""
    cores = ", ".join(map(str, run["cores"]))
    loads = ", ".join(f"{value:.2f}" for value in (load["before"], load["after"], highest))
    return (
        f"{run['machine']}; core {cores}, {len(run['cores'])} thread(s). Load per core before, "
        f"after and at most: {loads}.{marked}\n\n{versions}\n\nOne core measured: "
        f"{limits['multiply_add'] / 1e9:.0f} Gflop/s in registers, "
        f"{limits['product'] / 1e9:.0f} in a matrix product, {limits['bandwidth'] / 1e9:.1f} GB/s."
    )


def _goals(run: Mapping[str, Any]) -> str:
    def bound(value: float | None, sign: str) -> str:
        return "" if value is None else f"{sign} {value:g}"

    rows = []
    for result in results(run):
        sign = "≥" if result.goal.wants_more else "≤"
        figures = [f"{value:.3g}" for value in (result.median, result.minimum)]
        peer = "" if len(result.goal.peers) < 2 else f" ({result.peer})"
        bounds = [bound(value, sign) for value in (result.floor, result.stretch)]
        rows.append([result.goal.title + peer, result.case, *figures, *bounds, result.verdict])
    head = ["against", "case", "by medians", "by minima", "floor", "stretch", "reached"]
    return _table(head, rows) if rows else ""


def _circuits(run: Mapping[str, Any]) -> list[str]:
    """Groups of cases that share a table."""
    return list(dict.fromkeys(_group(line["case"]) for line in run["lines"]))


def _group(case: str) -> str:
    circuit, *sizes = case.split("-")
    return circuit + (", draws of the weights" if len(sizes) > 3 else "")


def _times(run: Mapping[str, Any], group: str) -> str:
    """Milliseconds, minimum / median, contestants by precision so that equals stand together."""
    lines = [line for line in run["lines"] if _group(line["case"]) == group]
    cases = list(dict.fromkeys(line["case"] for line in lines))
    cells = {(line["name"], line["case"]): line for line in lines}
    computes = {
        line["name"]: line["setup"]["computes_in"]
        for line in lines
        if "computes_in" in line["setup"]
    }
    rows = []
    for name in sorted(computes, key=lambda name: (computes[name], list(CONTESTANTS).index(name))):
        shown = [_cell(cells.get((name, case))) for case in cases]
        rows.append([CONTESTANTS[name].title, computes[name], *shown])
    limits = [run["limit_ms"].get(case) for case in cases]
    if any(limits):
        shown = ["" if limit is None else f"{limit:.3g}" for limit in limits]
        rows.append(["limit of the core", "complex64", *shown])
    sizes = [case.partition("-")[2].replace("-", ", ") for case in cases]
    title = f"{group}: wires, layers, batch; ms a step, minimum / median (compile seconds)"
    return f"{title}\n\n{_table(['', 'computes in', *sizes], rows)}"


def _cell(line: Mapping[str, Any] | None) -> str:
    if line is None or line["failure"]:
        return "–"
    compiled = line["setup"]["compile_seconds"]
    shown = f" ({compiled:.0f})" if compiled >= 0.5 else ""
    wrong = " WRONG" if line["wrong"] else ""
    return f"{line['minimum_ms']:.3g} / {line['median_ms']:.3g}{shown}{wrong}"


def _memory(run: Mapping[str, Any]) -> str:
    if not run["memory"]:
        return ""
    rows = [
        [
            row["case"],
            CONTESTANTS[row["name"]].title,
            row.get("failure") or f"{(row['peak_bytes'] - run['torch_bytes']) / 1e6:.0f}",
        ]
        for row in run["memory"]
    ]
    return _table(["case", "", "peak MB beyond `import torch`"], rows)


def _failures(run: Mapping[str, Any]) -> str:
    reasons: dict[str, list[str]] = {}
    for line in run["lines"]:
        if line["failure"]:
            title = CONTESTANTS[line["name"]].title
            reasons.setdefault(f"{title}: {line['failure']}", []).append(line["case"])
    shown = [f"- {reason} ({', '.join(cases)})" for reason, cases in reasons.items()]
    return "Without a figure:\n\n" + "\n".join(shown) if shown else ""


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())))
