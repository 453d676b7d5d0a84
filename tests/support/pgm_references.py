"""Bayesian networks against pyAgrum, and against eliminations in long doubles where they disagree.

    python tests/support/pgm_references.py --pyagrum OTHER/bin/python --cache FOLDER
    python tests/support/pgm_references.py --networks asia child alarm --rows 20 --write FOLDER

For each network, rows of evidence that hold a tenth of the variables, drawn from the network:
marginals to 1e-12, log-probability to 1e-10, most probable states as probable as pyAgrum's or more,
and as an elimination's. `--write` keeps references small enough for the tests.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pgm_cases import hidden, normalised, sampled, write_case
from pgm_elimination import Elimination, log_joint

from hybrid.pgm import BayesianNetwork
from hybrid.pgm.formats.description import Description
from hybrid.pgm.formats.files import write_description

NETWORKS = (
    *("asia", "child", "alarm", "insurance", "hailfinder", "win95pts", "hepar2"),
    *("pathfinder", "andes", "pigs", "munin2", "munin3"),
)
LIMITS = {"marginals": 1e-12, "log": 1e-10, "explanation": 1e-10}


def pyagrum_answers(
    name: str, network: Description, rows: int, python: Path, cache: Path
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Evidence, and what pyAgrum answers; kept in files, for it takes minutes."""
    case = cache / f"{name}-{rows}.npz"
    answers = cache / f"{name}-{rows}-pyagrum.npz"
    if not answers.exists():
        random = np.random.default_rng(0)
        write_case(case, network, hidden(sampled(network, rows, random), 0.1, random))
        program = Path(__file__).parents[2] / "benchmarks/peers/pyagrum_answers.py"
        subprocess.run([str(python), str(program), str(case), str(answers)], check=True)
    with np.load(case) as held:
        evidence = held["evidence"]
    with np.load(answers) as held:
        return evidence, dict(held)


def loaded(network: Description, cache: Path) -> BayesianNetwork:
    """The network as a user reads it."""
    file = cache / "network.bif"
    write_description(file, network)
    return BayesianNetwork.read(file)


def compared(
    network: Description, ours: BayesianNetwork, evidence: np.ndarray, theirs: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The largest differences, and the rows that need a third opinion."""
    names = list(network.states)
    columns = {name: torch.from_numpy(evidence[:, i].copy()) for i, name in enumerate(names)}
    begin = time.perf_counter()
    with torch.no_grad():
        marginals = ours.marginals(columns)
        answered = time.perf_counter()
        logs = ours.log_probability(columns).numpy()
        best = ours.most_probable(columns)
    off = [
        np.abs(marginals[name].numpy() - theirs[f"m{i}"]).max(-1) for i, name in enumerate(names)
    ]
    apart = np.stack(off, -1).max(-1)
    log_apart = np.abs(logs - theirs["log_probability"])
    states = np.stack([best.states[name].numpy() for name in names], -1)
    mine = log_joint(network, states)
    told = (theirs["states"] >= 0).all(-1)
    other = log_joint(network, np.where(told[:, None], theirs["states"], states))
    return {
        "seconds": answered - begin,
        "marginals": float(apart.max()),
        "log": float(log_apart.max()),
        "answered": int(told.sum()),
        "same": int((states == theirs["states"]).all(-1).sum()),
        "explanation": float((other - mine).max()),
        "better": int((mine > other + 1e-10).sum()),
        "agrees": bool((np.where(evidence >= 0, evidence, states) == states).all()),
        "wrong": np.flatnonzero((apart > LIMITS["marginals"]) | (log_apart > LIMITS["log"])),
        "logs": logs,
        "joint": mine.astype(float),
    }


def third_opinion(
    network: Description, evidence: np.ndarray, found: dict[str, Any], rows: int
) -> str:
    """Eliminations on rows in question, and on the first ones."""
    elimination = Elimination(network)
    chosen = [*found["wrong"][:rows], *range(min(rows, len(evidence)))]
    sums, maxima = [], []
    for i in chosen:
        row = {int(k): int(evidence[i, k]) for k in np.flatnonzero(evidence[i] >= 0)}
        sums.append(abs(elimination.log_sum(row) - found["logs"][i]))
        maxima.append(abs(elimination.log_maximum(row) - found["joint"][i]))
    return f"{max(sums):.0e} | {max(maxima):.0e} ({len(chosen)} rows)"


def written(
    network: Description, evidence: np.ndarray, theirs: dict[str, np.ndarray], file: Path
) -> None:
    """A reference for the tests, in JSON; "maximum" is an elimination's."""
    names, elimination = list(network.states), Elimination(network)
    rows = []
    for i, row in enumerate(evidence):
        seen = {int(k): int(row[k]) for k in np.flatnonzero(row >= 0)}
        rows.append(
            {
                "evidence": {names[k]: state for k, state in seen.items()},
                "log_probability": float(theirs["log_probability"][i]),
                "maximum": elimination.log_maximum(seen),
                "marginals": {n: theirs[f"m{k}"][i].tolist() for k, n in enumerate(names)},
            }
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows, separators=(",", ":")) + "\n")


def main() -> int:
    """Print a line for each network; 1 if any is beyond the limits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--pyagrum", type=Path, default=Path(sys.executable))
    parser.add_argument("--cache", type=Path, default=Path("references"))
    parser.add_argument("--opinions", type=int, default=5, help="rows of each network eliminated")
    parser.add_argument("--write", type=Path, help="where references for the tests go")
    chosen = parser.parse_args()
    print(
        "| network | marginals | log | explanations alike / told | lower by | higher in rows "
        "| elimination: log | its maximum |\n|" + " --- |" * 8
    )
    failed = False
    for name in chosen.networks:
        network = normalised(name)
        evidence, theirs = pyagrum_answers(name, network, chosen.rows, chosen.pyagrum, chosen.cache)
        if chosen.write is not None:
            written(network, evidence, theirs, chosen.write / f"{name}.json")
            continue
        found = compared(network, loaded(network, chosen.cache), evidence, theirs)
        beyond = [key for key, limit in LIMITS.items() if not found[key] <= limit]
        failed = failed or bool(beyond) or not found["agrees"]
        print(
            f"| {name} | {found['marginals']:.1e} | {found['log']:.1e} | {found['same']} / "
            f"{found['answered']} | {max(found['explanation'], 0):.0e} | {found['better']} | "
            f"{third_opinion(network, evidence, found, chosen.opinions)} | {' '.join(beyond)}",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
