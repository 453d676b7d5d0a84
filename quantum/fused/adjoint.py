"""Pure states by schedules, with gradients that keep few states in memory (floor 3 of fused).

The program is compiled once for each pattern of leading dimensions. A product state is the start;
weights that are shared by all samples make matrices that multiply all samples at once; where they
are fewer than the samples, the matrix of the whole circuit is made first; Pauli words are read
together.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quantum.circuits.compiler import optimized
from quantum.circuits.program import Measurement, Program
from quantum.fused.ingredients import Parameters, made, product
from quantum.fused.schedule import Schedule, schedule
from quantum.fused.sweep import sweep
from quantum.shapes import broadcast_shapes
from quantum.states.measure import Word, measure, pauli_word
from quantum.states.words import expectations

__all__ = ["run"]


def run(
    program: Program,
    arguments: Sequence[Tensor],
    precision: torch.dtype,
    *,
    automatic: bool = False,
) -> list[Tensor]:
    """The answer of each measurement, ``(*batch, width)``, as `quantum.engine.run`.

    Args:
        program: A circuit of unitary operations.
        arguments: The circuit's arguments, each ``(*lead, *core)``.
        precision: complex64 or complex128.
        automatic: Second derivatives and forward mode by automatic differentiation; False: they
            raise.

    Raises:
        RuntimeError: When a second derivative is computed and ``automatic`` is False.

    Example:
        >>> from quantum.circuits.program import Operation, Term
        >>> from quantum.tracing.recorder import record
        >>> recording = record(lambda x: [x[0], 1.0], [(1,)])
        >>> z = Measurement("expval", terms=(Term(1, (Operation("PauliZ", (0,)),)),))
        >>> program = Program(1, (Operation("RY", (0,), slots=(0,)),), (z,), recording)
        >>> run(program, [torch.tensor([[0.0], [torch.pi]])], torch.complex64)
        [tensor([[ 1.],
                [-1.]])]
    """
    given, program = program, optimized(program)
    leads = [
        tuple(a.shape[: a.dim() - len(s)])
        for a, s in zip(arguments, program.recording.shapes, strict=True)
    ]
    layout = _layout(program, tuple(leads))
    parameters = Parameters(program.recording, arguments, precision, layout.lead, layout.split)
    state = _final(layout, parameters, automatic)
    if precision == torch.complex64 and _unit(program):
        state = _normalized(state)
    answers = _read(program, state, parameters)
    unseen = _used(given) - _used(program)
    if not unseen:
        return answers
    # What no measurement sees has a gradient all the same: zero.
    nothing = torch.cat([arguments[number].reshape(-1)[:0] for number in sorted(unseen)]).sum()
    return [answer + nothing.to(answer.dtype) for answer in answers]


def _used(program: Program) -> frozenset[int]:
    """The arguments that the program depends on."""
    return frozenset().union(*_depends(program).values())


@dataclass(frozen=True, eq=False)
class _Layout:
    """How leading dimensions are arranged, and the schedule for it."""

    lead: tuple[int, ...]
    split: int
    rows: int
    schedule: Schedule


@functools.lru_cache(maxsize=256)
def _layout(program: Program, leads: tuple[tuple[int, ...], ...]) -> _Layout:
    depends = _depends(program)
    used = _used(program)
    lead = tuple(broadcast_shapes(*[leads[argument] for argument in used]))
    varies = {
        a: {len(lead) - len(leads[a]) + k for k, size in enumerate(leads[a]) if size != 1}
        for a in used
    }
    steps = _schedule(program, frozenset()).tensors
    own = [
        frozenset(axis for slot in item.slots for a in depends[slot] for axis in varies[a])
        for item in steps
        if item.slots
    ]
    split = _split(own, len(lead))
    rows = {a for a in used if any(axis >= split for axis in varies[a])}
    varying = frozenset(slot for slot, on in depends.items() if not rows.isdisjoint(on))
    return _Layout(lead, split, math.prod(lead[split:]), _schedule(program, varying))


def _split(own: Sequence[frozenset[int]], rank: int) -> int:
    """How many leading dimensions stay: the rows behind them share as many matrices as they can."""
    if not own or not rank:
        return 0
    shared = [axes for axes in own if rank - 1 not in axes]
    if not shared:
        return rank
    return max((axis + 1 for axes in shared for axis in axes), default=0)


@functools.lru_cache(maxsize=128)
def _schedule(program: Program, varying: frozenset[int]) -> Schedule:
    return schedule(program.wires, program.operations, varying)


@functools.lru_cache(maxsize=128)
def _depends(program: Program) -> dict[int, frozenset[int]]:
    """The arguments that each slot used by the program depends on."""
    recording = program.recording
    depends: dict[int, frozenset[int]] = {slot: frozenset() for slot, _ in recording.constants}
    depends |= {slot: frozenset([argument]) for slot, argument, _ in recording.gathers}
    for group in recording.groups:
        depends |= dict.fromkeys(group.slots, frozenset(group.depends))
    used = {slot for operation in program.operations for slot in operation.slots}
    for measurement in program.measurements:
        used |= {slot for operation in measurement.rotations for slot in operation.slots}
        for term in measurement.terms:
            used |= {term.coefficient, *(s for factor in term.factors for s in factor.slots)}
    return {slot: depends[slot] for slot in used}


def _final(layout: _Layout, parameters: Parameters, automatic: bool) -> Tensor:
    """The state ``(*lead, 2^n, rows)`` at the end."""
    chosen = layout.schedule
    tensors = made([*chosen.start, *chosen.tensors], parameters)
    factors, tensors = tensors[: len(chosen.start)], tensors[len(chosen.start) :]
    start = product(factors)
    states = start.shape[-2]
    if chosen.shared and layout.rows >= 2 * states and len(chosen.steps) > 2:
        identity = torch.eye(states, dtype=start.dtype, device=start.device)
        return sweep(chosen.steps, identity, tensors, automatic=automatic) @ start
    if not chosen.shared:
        start = start.expand(*start.shape[:-1], layout.rows)
    return sweep(chosen.steps, start, tensors, automatic=automatic)


@functools.lru_cache(maxsize=128)
def _unit(program: Program) -> bool:
    """Whether the state has norm 1 whatever the arguments: no amplitudes come from outside."""
    given = ("StatePrep", "QubitUnitary", "DiagonalQubitUnitary", "PauliExponential")
    return not any(operation.gate in given for operation in program.operations)


def _normalized(state: Tensor) -> Tensor:
    """Give back to states ``(*lead, 2^n, rows)`` of norm 1 what rounding took off.

    Gates that occur often are rounded alike each time, so that it adds up. The factor is a constant
    to gradients, which no change of the norm enters.
    """
    squares = state.real.square() + state.imag.square()
    return state * squares.sum(-2, keepdim=True).detach().rsqrt()


@dataclass(frozen=True, eq=False)
class _Reading:
    """Which measurements are sums of Pauli words, and how the words add up."""

    numbers: tuple[int, ...]
    asked: tuple[Measurement, ...]
    own: tuple[tuple[tuple[int, int], ...], ...]
    words: tuple[tuple[int, int], ...]
    others: tuple[int, ...]
    table: Tensor | None  # (words, measurements) where all coefficients are constants
    plain: bool  # the table is the identity


@functools.lru_cache(maxsize=128)
def _reading(program: Program) -> _Reading:
    every = [_words(m, program.wires) for m in program.measurements]
    numbers = tuple(number for number, own in enumerate(every) if own is not None)
    asked = tuple(program.measurements[number] for number in numbers)
    own = tuple(tuple(found) for found in every if found is not None)
    words = tuple(dict.fromkeys(word for found in own for word in found))
    others = tuple(number for number, found in enumerate(every) if found is None)
    known = dict(program.recording.constants)
    table: Tensor | None = None
    if all(term.coefficient in known for measurement in asked for term in measurement.terms):
        with torch.inference_mode(False):
            table = torch.zeros(len(words), len(asked), dtype=torch.float64)
            for column, (measurement, found) in enumerate(zip(asked, own, strict=True)):
                for term, word in zip(measurement.terms, found, strict=True):
                    table[words.index(word), column] += known[term.coefficient].real
    plain = table is not None and len(words) == len(asked)
    plain = plain and torch.equal(table, torch.eye(len(words), dtype=torch.float64))  # type: ignore[arg-type]
    return _Reading(numbers, asked, own, words, others, table, plain)


def _read(program: Program, state: Tensor, parameters: Parameters) -> list[Tensor]:
    """All measurements of the final state."""
    reading = _reading(program)
    answers: dict[int, Tensor] = {}
    if reading.words:
        values = _batched(expectations(state, reading.words), parameters)
        answers.update(zip(reading.numbers, _combined(reading, values, parameters), strict=True))
    if reading.others:
        asked = [program.measurements[number] for number in reading.others]
        found = measure(_batched(state, parameters), asked, parameters.every())
        answers.update(zip(reading.others, found, strict=True))
    return [answers[number] for number in sorted(answers)]


def _batched(values: Tensor, parameters: Parameters) -> Tensor:
    """``(*lead, width, rows or 1)`` → ``(*batch, width)``."""
    rest = parameters.lead[parameters.split :]
    sizes = rest if values.shape[-1] != 1 else (1,) * len(rest)
    moved = values.mT
    return moved.reshape(*moved.shape[:-2], *sizes, moved.shape[-1])


def _combined(reading: _Reading, values: Tensor, parameters: Parameters) -> list[Tensor]:
    """Sums of words with their coefficients, ``(*batch, 1)`` each."""
    if reading.table is not None:
        if not reading.plain:
            values = values @ reading.table.to(values)
        return list(values.split(1, -1))
    every = parameters.every()
    place = {word: number for number, word in enumerate(reading.words)}
    columns = []
    for measurement, found in zip(reading.asked, reading.own, strict=True):
        terms = zip(measurement.terms, found, strict=True)
        parts = [every[term.coefficient].real * values[..., place[word]] for term, word in terms]
        columns.append(sum(parts[1:], parts[0]).unsqueeze(-1))
    return columns


def _words(measurement: Measurement, wires: int) -> list[Word] | None:
    """The masks of each term of an expectation of Pauli words; None for anything else."""
    if measurement.kind != "expval" or not measurement.terms:
        return None
    found = [pauli_word(term, wires) for term in measurement.terms]
    return None if None in found else [word for word in found if word is not None]
