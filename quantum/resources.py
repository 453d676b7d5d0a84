"""What a program costs: wires, gates, depth, bytes; refusal of what does not fit (floor 3)."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from quantum.circuits.program import Measurement, Operation, Program
from quantum.simulators import DensityMatrix, Device, Simulator, StateVector

__all__ = ["Resources", "available_bytes", "require_memory", "required_bytes", "resources"]

_UNCHECKED = 2**27  # bytes: less than this is not compared with what is free
_PURE_STATES = ("state",)
_SQUARES = ("density_matrix", "purity", "vn_entropy", "mutual_info")


@dataclass(frozen=True)
class Resources:
    """The size of a circuit.

    Args:
        wires: The number of wires.
        gates: The number of operations, channels among them.
        depth: The largest number of operations that follow each other on common wires.
        bytes: What executing one row takes at least, in bytes; see `required_bytes`.

    Example:
        >>> Resources(wires=2, gates=3, depth=2, bytes=64).depth
        2
    """

    wires: int
    gates: int
    depth: int
    bytes: int


def resources(
    program: Program,
    simulator: Simulator | None = None,
    rows: int = 1,
    precision: torch.dtype = torch.complex64,
) -> Resources:
    """The size of ``program``, as it is executed: after decomposition into known operations.

    Args:
        program: A traced circuit.
        simulator: What simulates it, None: a state vector.
        rows: How many rows of inputs and weights are simulated together.
        precision: complex64 or complex128.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> turns = tuple(Operation("Hadamard", (wire,)) for wire in (0, 1))
        >>> operations = (*turns, Operation("PauliX", (1,), controls=(0,), control_values=(True,)))
        >>> program = Program(
        ...     2, operations, (Measurement("probs", (0, 1)),), record(lambda x: [], [()])
        ... )
        >>> resources(program)
        Resources(wires=2, gates=3, depth=2, bytes=80)
    """
    needed = required_bytes(program, simulator or StateVector(), rows, precision)
    return Resources(program.wires, len(program.operations), _depth(program), needed)


def required_bytes(
    program: Program, simulator: Simulator, rows: int, precision: torch.dtype
) -> int:
    r"""The bytes that executing ``program`` takes at least: two states and the answers.

    A state vector has :math:`2^n` complex entries for each row, a density matrix :math:`4^n`; an
    operation reads one and writes another. Gradients take more: "adjoint" twice as much, "backprop"
    about one state for each operation. On a foreign device nothing is counted but the answers.

    Args:
        program: What is executed.
        simulator: What simulates it.
        rows: How many rows are simulated together: the product of the leading dimensions.
        precision: complex64 or complex128.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> program = Program(20, (), (Measurement("expval"),), record(lambda x: [], [()]))
        >>> required_bytes(program, StateVector(), 1, torch.complex64)
        16777220
        >>> required_bytes(program, DensityMatrix(), 1, torch.complex64)
        17592186044420
    """
    item = precision.itemsize
    mixed = isinstance(simulator, DensityMatrix)
    entries = 0 if isinstance(simulator, Device) else 2 ** (program.wires * (2 if mixed else 1))
    answers = sum(_answer(measurement, mixed, item) for measurement in program.measurements)
    return rows * (2 * item * entries + answers)


def require_memory(
    program: Program,
    simulator: Simulator,
    rows: int,
    precision: torch.dtype,
    device: torch.device,
) -> None:
    """Refuse a program that does not fit into the memory of ``device``, before any of it is taken.

    Args:
        program: What is executed.
        simulator: What simulates it.
        rows: How many rows are simulated together.
        precision: complex64 or complex128.
        device: Where it is executed.

    Raises:
        MemoryError: It needs more bytes than there are.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> program = Program(60, (), (Measurement("expval"),), record(lambda x: [], [()]))
        >>> require_memory(program, StateVector(), 1, torch.complex64, torch.device("cpu"))
        Traceback (most recent call last):
        ...
        MemoryError: 60 wires take at least 18446744073709551620 bytes ...
    """
    needed = required_bytes(program, simulator, rows, precision)
    if needed < _UNCHECKED:
        return
    there = available_bytes(device)
    if needed <= there:
        return
    name = type(simulator).__name__
    mixed = isinstance(simulator, DensityMatrix)
    smaller = "a StateVector where there is no noise, " if mixed else ""
    raise MemoryError(
        f"{program.wires} wires take at least {needed} bytes ({_readable(needed)}) on {name} for "
        f"{rows} row{'s' if rows != 1 else ''} in {precision}, but {device} has {there} bytes "
        f"({_readable(there)}) available: use fewer wires, smaller batches, {smaller}single "
        "precision, or quantum.Device with a device that is spread over several machines"
    )


def available_bytes(device: torch.device) -> int:
    """The bytes that can still be taken on ``device``.

    On CUDA what the driver calls free and what PyTorch holds unused; otherwise main memory that is
    free or can be freed, within the limits of the process's control group.

    Example:
        >>> available_bytes(torch.device("cpu")) > 0
        True
    """
    if device.type == "cuda":
        free = int(torch.cuda.mem_get_info(device)[0])
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    return min(_main_memory(), _control_group())


def _main_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # not Linux
        return _physical()


def _physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # a system that does not say
        return 2**63 - 1


def _control_group() -> int:
    """What the limit of a container leaves; file pages it holds can be freed."""
    try:
        folder = Path("/sys/fs/cgroup")
        limit = (folder / "memory.max").read_text().strip()
        if limit == "max":
            return 2**63 - 1
        used = int((folder / "memory.current").read_text())
        pages = (folder / "memory.stat").read_text().splitlines()
        freeable = sum(int(p.split()[1]) for p in pages if p.startswith(("inactive_file ",)))
        return max(int(limit) - used + freeable, 0)
    except (OSError, ValueError):
        return 2**63 - 1


def _answer(measurement: Measurement, mixed: bool, item: int) -> int:
    """The bytes of the answer of one row."""
    if measurement.kind in _PURE_STATES:
        return item * 2 ** (len(measurement.wires) * (2 if mixed else 1))
    if measurement.kind in _SQUARES:
        return item * 4 ** len(measurement.wires)
    return item // 2 * measurement.width


def _depth(program: Program) -> int:
    levels = [0] * program.wires
    for operation in program.operations:
        used = _wires(operation) or tuple(range(program.wires))
        level = 1 + max((levels[wire] for wire in used), default=0)
        for wire in used:
            levels[wire] = level
    return max(levels, default=0)


def _wires(operation: Operation) -> tuple[int, ...]:
    return operation.wires + operation.controls


def _readable(count: int) -> str:
    steps = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    power = min(int(math.log2(max(count, 1)) // 10), len(steps) - 1)
    return f"{count / 1024**power:.3g} {steps[power]}"
