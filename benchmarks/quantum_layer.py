"""What a training step of a circuit layer costs, beside every peer worth measuring.

Step = forward, and gradients of weights and inputs of the loss Σ cotangent · outputs. Each peer
runs in an environment and a long-lived process of its own, all bound to one core with one thread;
they take turns of a few steps, so that all meet the same machine. Values and gradients of every
contestant are compared with a float64 reference before anything is timed.

    python benchmarks/quantum_layer.py --install all         # environments, once
    python benchmarks/quantum_layer.py                       # everything; an hour or so
    python benchmarks/quantum_layer.py --cases 8 10 --sections entangling --seconds 2
    python benchmarks/quantum_layer.py --quick
"""

import argparse
import datetime as dt
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import machine
from contest import CONTESTANTS, Line, Settings, contest
from environments import DEFAULT_CACHE, REQUIREMENTS, install
from memory import importing, peaks
from peers.cases import DEPTHS, DRAWS, ENTANGLING, GENERAL, Case
from report import markdown

_SECTIONS = ("entangling", "general", "draws", "memory")
_OURS = ("ours", "ours_double", "ours_torch")
_PACKAGES = ("pennylane_jax", "quimb_jax", "tensorcircuit_scan", "tensorflow_quantum", "tuned_jax")


def _contestants(case: Case) -> list[str]:
    """Who is measured on a case unless the user chooses."""
    if case.draws:
        return ["ours", "ours_torch", "torch_layer", "torch_layer_vmap"]
    if case.circuit != "entangling":
        return [*_OURS, "default_qubit"]
    small = ["torch_layer"] if case.wires <= 8 else []
    empty = ["empty"] if case.wires == 4 else []
    return [*_OURS, *empty, "default_qubit", *small, *_PACKAGES]


def _cases(arguments: argparse.Namespace) -> list[Case]:
    """The timed cases of the chosen sections and sizes."""
    if arguments.quick:
        return [ENTANGLING[0], GENERAL[0]]
    known = {"entangling": ENTANGLING, "general": GENERAL, "draws": (DRAWS,)}
    cases = [case for name in arguments.sections for case in known.get(name, ())]
    if arguments.circuits:
        cases = [case for case in cases if case.circuit in arguments.circuits]
    return [case for case in cases if not arguments.cases or case.wires in arguments.cases]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))
    parser.add_argument("--install", nargs="+", default=[], choices=["all", *names])
    parser.add_argument("--sections", nargs="+", default=_SECTIONS, choices=_SECTIONS)
    parser.add_argument("--cases", nargs="+", type=int, default=[], help="numbers of wires")
    parser.add_argument("--circuits", nargs="+", default=[], help="names of circuits")
    parser.add_argument("--peers", nargs="+", default=[], choices=list(CONTESTANTS))
    parser.add_argument("--seconds", type=float, default=6.0, help="a contestant and case")
    parser.add_argument("--turn", type=float, default=0.05, help="seconds of a turn")
    parser.add_argument("--patience", type=float, default=400.0, help="seconds for an answer")
    parser.add_argument("--core", type=int, default=0, help="the core that all are bound to")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--output", type=Path, default=Path("quantum_layer.json"))
    parser.add_argument("--markdown", type=Path, help="where the block for RESULTS.md is written")
    parser.add_argument("--resume", action="store_true", help="keep the other cases of --output")
    parser.add_argument("--quick", action="store_true", help="a smoke run of two cases")
    return parser.parse_args()


def _installed(names: Sequence[str], cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    wanted = sorted(path.stem for path in REQUIREMENTS.glob("*.txt")) if "all" in names else names
    for name in wanted:
        print(f"{name}: {install(name, cache)}", flush=True)


def _start(settings: Settings) -> dict[str, Any]:
    """Conditions and limits, measured before anything else."""
    before = machine.load()
    limits = machine.measure(settings.cores[0], settings.cache)
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": machine.describe(),
        "cores": list(settings.cores),
        "load": {"before": before, "after": before},
        "limits": asdict(limits),
        "limit_ms": _limits_of_cases(limits),
        "versions": {},
        "lines": [],
        "memory": [],
        "torch_bytes": importing("torch", settings),
    }


def _resumed(run: dict[str, Any], earlier: dict[str, Any]) -> None:
    """Take over what an earlier run measured; a case measured again replaces all of its lines."""
    limits = machine.Limits(**run["limits"]).best(machine.Limits(**earlier["limits"]))
    run["limits"] = asdict(limits)
    for name in ("lines", "memory", "versions"):
        run[name] = earlier[name]


def _memory(arguments: argparse.Namespace, settings: Settings) -> list[dict[str, Any]]:
    """Peaks of the large sizes, ours beside default.qubit, and of ours at growing depth."""
    large = [case for case in ENTANGLING if case.wires >= 12]
    large = [case for case in large if not arguments.cases or case.wires in arguments.cases]
    names = [n for n in ("ours", "default_qubit") if n in (arguments.peers or CONTESTANTS)]
    depths = DEPTHS if "ours" in names else ()
    return peaks(large, names, settings) + peaks(depths, ["ours"], settings)


def _limits_of_cases(limits: machine.Limits) -> dict[str, float]:
    return {case.name: 1e3 * limits.seconds(case) for case in ENTANGLING}


def _finish(run: dict[str, Any], settings: Settings) -> None:
    """Measure the limits again and keep the better: a busy moment must not flatter us."""
    again = machine.measure(settings.cores[0], settings.cache)
    limits = machine.Limits(**run["limits"]).best(again)
    run["limits"] = asdict(limits)
    run["limit_ms"] = _limits_of_cases(limits)


def _added(run: dict[str, Any], lines: Sequence[Line]) -> None:
    """Record the lines of one case, and say them."""
    for line in lines:
        run["lines"].append(line.record() | {"wrong": line.wrong})
        for package, number in line.setup.get("versions", {}).items():
            known = run["versions"].setdefault(package, [])
            known += [number] if number not in known else []
        title = CONTESTANTS[line.name].title
        if line.failure:
            print(f"  {title:32s} {line.failure}", flush=True)
            continue
        wrong = " WRONG" if line.wrong else ""
        print(
            f"  {title:32s} {line.setup['computes_in']:10s} min {line.minimum:10.3f} ms  median "
            f"{line.median:10.3f} ms  {len(line.seconds):5d} steps  compiled in "
            f"{line.setup['compile_seconds']:6.1f} s  errors {line.setup['error_values']:.0e} "
            f"{line.setup['error_gradients']:.0e}{wrong}  load {line.load:.2f}",
            flush=True,
        )


def main() -> int:
    """Run what was asked for; 1 if any contestant gave a wrong answer."""
    arguments = _arguments()
    if arguments.install:
        _installed(arguments.install, arguments.cache)
        return 0
    seconds = 0.5 if arguments.quick else arguments.seconds
    settings = Settings(
        (arguments.core,), seconds, arguments.turn, arguments.patience, arguments.cache
    )
    run = _start(settings)
    if arguments.resume and arguments.output.exists():
        _resumed(run, json.loads(arguments.output.read_text()))
    for case in _cases(arguments):
        names = [n for n in _contestants(case) if not arguments.peers or n in arguments.peers]
        print(case.name, flush=True)
        run["lines"] = [line for line in run["lines"] if line["case"] != case.name]
        _added(run, contest(case, names, settings))
        run["load"]["after"] = machine.load()
        arguments.output.write_text(json.dumps(run, indent=1))
    if "memory" in arguments.sections and not arguments.quick:
        run["memory"] = _memory(arguments, settings)
    _finish(run, settings)
    arguments.output.write_text(json.dumps(run, indent=1))
    text = markdown(run)
    print("\n" + text)
    if arguments.markdown is not None:
        arguments.markdown.write_text(text)
    return int(any(line["wrong"] for line in run["lines"]))


if __name__ == "__main__":
    sys.exit(main())
