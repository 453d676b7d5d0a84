"""Contestants as processes, and the contest: turns of a few steps, one contestant at a time."""

import json
import os
import select
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import machine
from environments import find
from peers.cases import Case
from peers.protocol import environment

__all__ = [
    "CONTESTANTS",
    "ContestantError",
    "Entry",
    "Line",
    "Process",
    "Settings",
    "contest",
    "reference",
]

_TURN_STEPS = 200  # the most steps in one turn
_FEWEST_TURNS = 3
_TOLERANCE = {"single": 1e-3, "double": 1e-9}


class ContestantError(RuntimeError):
    """A contestant could not be built, answered too late, or died."""


@dataclass(frozen=True)
class Entry:
    """A contestant: which program, in which environment, asked for what.

    Args:
        title: Its name in tables.
        module: The program in `peers`.
        environment: A file in ``peers/requirements``; None: the running environment.
        precision: The dtype of inputs and weights.
        which: The step of the program that is timed.
        variables: Environment variables of its process.
        largest: The most wires it is run on (beyond them it takes minutes a step).
    """

    title: str
    module: str
    environment: str | None = None
    precision: str = "single"
    which: str = "step"
    variables: Mapping[str, str] = field(default_factory=dict)
    largest: int = 20

    @property
    def process(self) -> tuple[Any, ...]:
        """Entries with the same key share a process."""
        return (self.module, self.precision, *sorted(self.variables.items()))


_TORCH = {"BORROMEAN_ENGINE": "torch"}
CONTESTANTS = {
    "ours": Entry("CircuitLayer", "borromean_layer"),
    "ours_double": Entry("CircuitLayer", "borromean_layer", precision="double"),
    "ours_torch": Entry("CircuitLayer, no kernel", "borromean_layer", variables=_TORCH),
    "empty": Entry("empty autograd.Function", "borromean_layer", which="empty"),
    "default_qubit": Entry("default.qubit, torch backprop", "default_qubit"),
    "default_qubit_double": Entry(
        "default.qubit, torch backprop", "default_qubit", precision="double"
    ),
    "torch_layer": Entry("qml.qnn.TorchLayer", "torch_layer"),
    "torch_layer_vmap": Entry("vmap over TorchLayer", "torch_layer", which="vmap"),
    "pennylane_jax": Entry("PennyLane + jax jit", "pennylane_jax", "pennylane_jax"),
    "quimb_jax": Entry("quimb + jax jit + vmap", "quimb_jax", "quimb_jax", largest=12),
    "tensorcircuit_scan": Entry(
        "tensorcircuit-ng + jax, scan", "tensorcircuit_scan", "tensorcircuit_scan"
    ),
    "tensorflow_quantum": Entry(
        "TensorFlow Quantum, adjoint", "tensorflow_quantum_step", "tensorflow_quantum"
    ),
    "tuned_jax": Entry("hand-tuned JAX", "tuned_jax", "tuned_jax"),
}


@dataclass(frozen=True)
class Settings:
    """How a contest is run.

    Args:
        cores: The cores the contestants are bound to; as many threads are used.
        seconds: Time for all turns of one contestant in one case.
        turn: Time of one turn.
        patience: The longest wait for an answer; a contestant that takes longer is out.
        cache: Where environments and references are kept.
    """

    cores: tuple[int, ...]
    seconds: float
    turn: float
    patience: float
    cache: Path


@dataclass(frozen=True)
class Line:
    """What one contestant did in one case; ``failure`` says why there are no times."""

    case: str
    name: str
    seconds: list[float] = field(default_factory=list)
    setup: dict[str, Any] = field(default_factory=dict)
    load: float = 0.0
    failure: str = ""

    @property
    def minimum(self) -> float:
        """The fastest step, in milliseconds."""
        return 1e3 * min(self.seconds)

    @property
    def median(self) -> float:
        """The median step, in milliseconds."""
        return 1e3 * statistics.median(self.seconds)

    @property
    def wrong(self) -> bool:
        """Whether values or gradients differ from the reference by more than rounding."""
        precision = CONTESTANTS[self.name].precision
        errors = [self.setup.get(f"error_{kind}", 0.0) for kind in ("values", "gradients")]
        return not max(errors) <= _TOLERANCE[precision]

    def record(self) -> dict[str, Any]:
        """The line as JSON holds it."""
        held = asdict(self)
        if self.seconds:
            held |= {"minimum_ms": self.minimum, "median_ms": self.median}
        return held | {"steps": len(held.pop("seconds"))}


class Process:
    """One long-lived process of a contestant, asked line by line."""

    def __init__(self, entry: Entry, settings: Settings) -> None:
        found = find(entry.environment, settings.cache)
        if isinstance(found, str):
            raise ContestantError(found)
        folder = Path(__file__).parent
        threads = environment(len(settings.cores))
        variables = {**os.environ, **threads, **entry.variables, "PYTHONPATH": str(folder)}
        self.patience = settings.patience
        self.log = settings.cache / f"{entry.module}.log"
        settings.cache.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                machine.pinned([str(found), "-m", f"peers.{entry.module}"], list(settings.cores)),
                cwd=folder,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request, one answer.

        Raises:
            ContestantError: The answer is an error, comes too late, or the process died.
        """
        to, back = self.process.stdin, self.process.stdout
        if to is None or back is None or to.closed:
            raise ContestantError("its process was ended")
        try:
            to.write(json.dumps(request) + "\n")
            to.flush()
            if not select.select([back], [], [], self.patience)[0]:
                self.close()
                raise ContestantError(f"no answer within {self.patience:.0f} s")
            line = back.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            last = self.log.read_text().strip().splitlines()[-1:]
            raise ContestantError(f"died ({self.process.poll()}): {' '.join(last)[:200]}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise ContestantError(reply["error"])
        return reply

    def setup(self, entry: Entry, case: Case, truth: Path | None) -> dict[str, Any]:
        """Build the case and run one step of it."""
        path = None if truth is None else str(truth)
        return self.ask(do="setup", case=asdict(case), precision=entry.precision, reference=path)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def reference(case: Case, settings: Settings) -> Path:
    """The float64 reference of a case, computed by default.qubit once and kept."""
    path = settings.cache / "references" / f"{case.name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        python = find(None, settings.cache)
        command = [str(python), "-m", "peers.default_qubit", case.json(), str(path)]
        folder = Path(__file__).parent
        variables = {**os.environ, **environment(1), "PYTHONPATH": str(folder)}
        begin = machine.pinned(command, list(settings.cores))
        subprocess.run(begin, cwd=folder, env=variables, check=True)
    return path


def contest(case: Case, names: Sequence[str], settings: Settings) -> list[Line]:
    """All contestants on one case, in turns; every process is fresh.

    Each turn of a contestant lasts about ``settings.turn`` and at least one step; the others wait.
    The steps of a contestant end with its share of the time, or after three turns if they are long.
    """
    truth = reference(case, settings)
    running: dict[tuple[Any, ...], Process] = {}
    lines: dict[str, Line] = {}
    for name in names:
        entry = CONTESTANTS[name]
        try:
            if case.wires > entry.largest:
                raise ContestantError(f"not run beyond {entry.largest} wires")
            if entry.process not in running:
                running[entry.process] = Process(entry, settings)
            lines[name] = Line(
                case.name, name, [], running[entry.process].setup(entry, case, truth)
            )
        except ContestantError as failure:
            lines[name] = Line(case.name, name, failure=str(failure))
    try:
        _turns(lines, running, settings)
    finally:
        for process in running.values():
            process.close()
    return [lines[name] for name in names]


def _turns(
    lines: dict[str, Line], running: Mapping[tuple[Any, ...], Process], settings: Settings
) -> None:
    """Fill in the seconds of all lines, and the highest load seen."""
    counts = {name: 1 for name, line in lines.items() if not line.failure}
    turns = 0
    while counts and turns < settings.seconds / settings.turn:
        turns += 1
        for name in list(counts):
            entry, line = CONTESTANTS[name], lines[name]
            try:
                reply = running[entry.process].ask(do="step", count=counts[name], which=entry.which)
            except ContestantError as failure:
                lines[name] = Line(line.case, name, failure=str(failure))
                del counts[name]
                continue
            new = reply["seconds"]
            lines[name] = replace(
                line, seconds=line.seconds + new, load=max(line.load, machine.load())
            )
            counts[name] = max(1, min(_TURN_STEPS, int(settings.turn / min(new))))
            if turns >= _FEWEST_TURNS and sum(lines[name].seconds) > settings.seconds:
                del counts[name]
