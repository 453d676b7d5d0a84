r"""Gradients from values at shifted parameters: parameter-shift rules and SPSA (floor 4).

Neither looks inside a simulation, so both serve exact and sampled values alike. A gate
:math:`A e^{-i \theta G} B` makes an expectation a trigonometric polynomial in :math:`\theta` whose
frequencies are the differences of the eigenvalues of G; its derivative is a combination of as many
pairs of values (Wierichs, Izaac, Wang, Lin, "General parameter-shift rules for quantum gradients",
arXiv:2107.12390).
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quantum.circuits import gates
from quantum.circuits.program import Measurement, Operation, Program, Term
from quantum.shapes import broadcast_shapes

__all__ = ["Evaluate", "parameter_shift", "rule", "spsa"]

Evaluate = Callable[[Program, list[Tensor], tuple[int, ...]], list[Tensor]]
_PAULI = ("PauliX", "PauliY", "PauliZ")
_MATRICES = ("QubitUnitary", "DiagonalQubitUnitary", "StatePrep")


def parameter_shift(program: Program, values: Sequence[Tensor], evaluate: Evaluate) -> list[Tensor]:
    """The answer of each measurement, differentiable in the slots by parameter-shift rules.

    Args:
        program: A circuit with measurements "expval", "var" or "probs".
        values: Its slots.
        evaluate: Answers ``(*front, *batch, width)`` of a program for slots; ``front`` are leading
            dimensions that some slots have in front of all others.

    Raises:
        ValueError: In the backward pass, when a parameter is needed that has no rule.

    Example:
        >>> from quantum.states.evolution import evolve
        >>> from quantum.states.measure import measure
        >>> from quantum.states.statevector import ground
        >>> from quantum.tracing.recorder import record
        >>> z = Measurement("expval", terms=(Term(1, (Operation("PauliZ", (0,)),)),))
        >>> turn = Operation("RY", (0,), (0,))
        >>> program = Program(1, (turn,), (z,), record(lambda x: [x, 1.0], [()]))
        >>> def evaluate(program, values, front):
        ...     state = ground(1, torch.complex128, torch.device("cpu"))
        ...     state = evolve(state, program.operations, values)
        ...     return measure(state, program.measurements, values)
        >>> angle = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        >>> one = torch.ones((), dtype=torch.float64)
        >>> parameter_shift(program, [angle, one], evaluate)[0].sum().backward()
        >>> torch.allclose(angle.grad, -torch.sin(angle))
        True
    """
    task = _Task(program, evaluate)
    widths = [measurement.width for measurement in program.measurements]
    answer: Tensor = _Shift.apply(task, *values)  # type: ignore[no-untyped-call]
    return list(answer.split(widths, -1))


@dataclass(frozen=True, eq=False)
class _Task:
    program: Program
    evaluate: Evaluate

    def known(self) -> set[int]:
        return {slot for slot, _ in self.program.recording.constants}


class _Shift(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(task: _Task, *values: Tensor) -> Tensor:
        return _joined(task.evaluate(task.program, list(values), ()))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.task, *values = inputs
        ctx.rank = output.dim() - 1
        ctx.save_for_backward(*values)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        values, needed = list(ctx.saved_tensors), ctx.needs_input_grad[1:]
        task = ctx.task
        needed = [on and slot not in task.known() for slot, on in enumerate(needed)]
        found = _gradients(task, values, needed, cotangents[0], ctx.rank)
        return None, *found


def _joined(answers: Sequence[Tensor]) -> Tensor:
    """Answers side by side on the last axis, their leading dimensions broadcast."""
    shape = broadcast_shapes(*[answer.shape[:-1] for answer in answers])
    return torch.cat([answer.expand((*shape, answer.shape[-1])) for answer in answers], -1)


def _gradients(
    task: _Task, values: list[Tensor], needed: Sequence[bool], cotangent: Tensor, rank: int
) -> list[Tensor | None]:
    """The gradient of each slot, None where it is not needed."""
    _check(task.program, needed)
    plain, every, uses = _separated(task.program, values, needed)
    program, every = _moments(plain, every)
    means = None
    if any(measurement.kind == "var" for measurement in task.program.measurements):
        means = _joined(task.evaluate(program, every, ()))
    found: list[Tensor | None] = [
        torch.zeros_like(value) if on else None for value, on in zip(values, needed, strict=True)
    ]
    for slot, place, pairs, unit in uses:
        if not pairs:
            continue
        shifted = list(every)
        shifted[place] = _shifted(every[place], [s for _, s in pairs], unit, rank)
        linear = place == slot  # a coefficient of an observable
        answers = _joined(task.evaluate(plain if linear else program, shifted, (len(pairs),)))
        factors = torch.tensor([f for f, _ in pairs], dtype=answers.dtype, device=answers.device)
        slope = torch.tensordot(factors, answers, 1)
        slope = slope if linear else _slopes(task.program, slope, means)
        own = (cotangent * slope).sum(-1).sum_to_size(every[place].shape) * unit
        total = found[slot]
        found[slot] = own if total is None else total + own
    return found


def _shifted(value: Tensor, shifts: Sequence[float], unit: complex, rank: int) -> Tensor:
    """``(shifts, *batch)``: the value with each of the shifts."""
    steps = torch.tensor(shifts, dtype=value.real.dtype, device=value.device)
    aligned = value.reshape((*[1] * (rank - value.dim()), *value.shape)).unsqueeze(0)
    return aligned + unit * steps.reshape((-1, *[1] * rank))


Use = tuple[int, int, tuple[tuple[float, float], ...], complex]


def _separated(
    program: Program, values: list[Tensor], needed: Sequence[bool]
) -> tuple[Program, list[Tensor], list[Use]]:
    """The program with a slot of its own for each use of a parameter, and all these uses."""
    every, uses, operations = list(values), [], []
    for operation in program.operations:
        slots = list(operation.slots)
        for position, slot in enumerate(operation.slots):
            if needed[slot]:
                slots[position] = len(every)
                unit = 1j if operation.gate == "PauliExponential" else 1.0
                uses.append((slot, len(every), rule(operation, position), unit))
                every.append(values[slot])
        operations.append(replace(operation, slots=tuple(slots)))
    # An answer is linear in the coefficients of an observable (a variance quadratic), so that a
    # central difference of any step is exact.
    linear = ((0.5, 1.0), (-0.5, -1.0))
    coefficients = {t.coefficient for m in program.measurements for t in m.terms}
    uses += [(slot, slot, linear, 1.0) for slot in sorted(coefficients) if needed[slot]]
    return replace(program, operations=tuple(operations)), every, uses


def _check(program: Program, needed: Sequence[bool]) -> None:
    """Refuse parameters that have no shift rule."""
    for operation in program.operations:
        unruly = operation.gate in _MATRICES or not operation.unitary
        if unruly and any(needed[slot] for slot in operation.slots):
            raise ValueError(
                f"{operation.gate} on wires {list(operation.wires)} has no parameter-shift rule: "
                "use gradient='backprop', or do not ask for gradients of its parameters"
            )
    for measurement in program.measurements:
        factors = [factor for term in measurement.terms for factor in term.factors]
        for operation in (*factors, *measurement.rotations):
            if any(needed[slot] for slot in operation.slots):
                raise ValueError(
                    f"the {operation.gate} in an observable has no parameter-shift rule: use "
                    "gradient='backprop'"
                )


def _moments(program: Program, values: list[Tensor]) -> tuple[Program, list[Tensor]]:
    r"""Each variance replaced by :math:`<O>` and :math:`<O^2>`, which have shift rules."""
    every, measurements = list(values), []
    for measurement in program.measurements:
        if measurement.kind != "var":
            measurements.append(measurement)
            continue
        terms = []
        for coefficient, factors in _square(measurement, values):
            terms.append(Term(len(every), factors))
            every.append(coefficient)
        measurements.append(replace(measurement, kind="expval"))
        measurements.append(replace(measurement, kind="expval", terms=tuple(terms)))
    return replace(program, measurements=tuple(measurements)), every


def _square(
    measurement: Measurement, values: Sequence[Tensor]
) -> list[tuple[Tensor, tuple[Operation, ...]]]:
    """Coefficients and factors of the square of an observable."""
    made = []
    for first, second in itertools.product(measurement.terms, repeat=2):
        coefficient = values[first.coefficient] * values[second.coefficient]
        left, right = _letters(first), _letters(second)
        if left is None or right is None:
            made.append((coefficient, first.factors + second.factors))
            continue
        phase, word = 1.0 + 0j, []
        for wire in sorted(left.keys() | right.keys()):
            turn, letter = _PRODUCTS[left.get(wire, "I"), right.get(wire, "I")]
            phase *= turn
            if letter != "I":
                word.append(Operation(f"Pauli{letter}", (wire,)))
        if abs(phase.real) > 0.5:  # imaginary products cancel against those in the other order
            made.append((coefficient * phase.real, tuple(word)))
    return made


def _letters(term: Term) -> dict[int, str] | None:
    """Wire → letter of a product of Pauli matrices on distinct wires."""
    found = {f.wires[0]: f.gate[-1] for f in term.factors if f.gate in _PAULI and not f.controls}
    return found if len(found) == len(term.factors) else None


def _products() -> dict[tuple[str, str], tuple[complex, str]]:
    """The product of two Pauli matrices: a phase and a letter."""
    made: dict[tuple[str, str], tuple[complex, str]] = {}
    for letter in "IXYZ":
        made |= {(letter, "I"): (1, letter), ("I", letter): (1, letter), (letter, letter): (1, "I")}
    for a, b, c in ("XYZ", "YZX", "ZXY"):
        made |= {(a, b): (1j, c), (b, a): (-1j, c)}
    return made


_PRODUCTS = _products()


def rule(operation: Operation, position: int) -> tuple[tuple[float, float], ...]:
    r"""Factors and shifts with :math:`f'(\theta) = \sum_k c_k f(\theta + s_k)`.

    Args:
        operation: A gate of the table.
        position: Which of its parameters is meant.

    Example:
        >>> [(round(f, 3), round(s, 3)) for f, s in rule(Operation("RX", (0,), (0,)), 0)]
        [(0.5, 1.571), (-0.5, -1.571)]
    """
    if operation.gate in _MATRICES or operation.gate not in gates.TABLE:
        return ()
    frequencies = _frequencies(
        operation.gate, len(operation.wires), operation.setting, bool(operation.controls), position
    )
    return _combination(frequencies)


@functools.lru_cache(maxsize=256)
def _frequencies(
    gate: str, size: int, setting: Any, controlled: bool, position: int
) -> tuple[float, ...]:
    r"""Positive differences of the eigenvalues of the generator :math:`i U' U^\dagger`."""
    if gate == "PauliExponential":
        return (1.0, 2.0) if controlled else (2.0,)
    count = len(gates.TABLE[gate].core)
    with torch.inference_mode(False), torch.enable_grad():
        angles = [torch.tensor(0.3 + k, dtype=torch.float64) for k in range(count)]

        def unitary(angle: Tensor) -> Tensor:
            given = [*angles[:position], angle, *angles[position + 1 :]]
            made = gates.matrix(gate, given, size, setting)
            return torch.view_as_real(made.resolve_conj())

        jacobian = torch.func.jacrev(unitary)(angles[position])
        matrix = gates.matrix(gate, angles, size, setting)
        generator = 1j * torch.view_as_complex(jacobian.contiguous()) @ matrix.mH
        found = torch.linalg.eigvalsh(generator.detach())
    eigenvalues = {round(value, 8) for value in found.tolist()} | ({0.0} if controlled else set())
    gaps = {round(abs(a - b), 6) for a, b in itertools.combinations(eigenvalues, 2)}
    return tuple(sorted(gap for gap in gaps if gap > 0))


@functools.lru_cache(maxsize=256)
def _combination(frequencies: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    r"""Shifts and factors: :math:`\sum_\mu 2 c_\mu \sin(\Omega_k s_\mu) = \Omega_k`."""
    count = len(frequencies)
    if not count:
        return ()
    shifts = (2 * np.arange(count) + 1) * math.pi / (2 * count * frequencies[0])
    table = 2 * np.sin(np.outer(frequencies, shifts))
    factors = np.linalg.solve(table, np.array(frequencies))
    pairs = [(f, s) for f, s in zip(factors.tolist(), shifts.tolist(), strict=True)]
    return tuple(pairs + [(-f, -s) for f, s in pairs])


def _slopes(program: Program, slope: Tensor, means: Tensor | None) -> Tensor:
    r"""Derivatives of the answers: of a variance :math:`<O^2>' - 2 <O> <O>'`."""
    if means is None:
        return slope
    columns, start = [], 0
    for measurement in program.measurements:
        if measurement.kind == "var":
            mean = means[..., start : start + 1]
            own, square = slope[..., start : start + 2].split(1, -1)
            columns.append(square - 2 * mean * own)
            start += 2
        else:
            columns.append(slope[..., start : start + measurement.width])
            start += measurement.width
    return torch.cat(columns, -1)


def spsa(
    arguments: Sequence[Tensor],
    shapes: Sequence[tuple[int, ...]],
    evaluate: Callable[[list[Tensor]], list[Tensor]],
    *,
    step: float,
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    r"""The answer of each measurement, with a gradient from two values along a random direction.

    :math:`g = \Delta\, (f(x + h \Delta) - f(x - h \Delta)) / 2h` with random signs
    :math:`\Delta` for every entry of every argument (Spall, IEEE TAC 37(3), 1992): right on
    average, up to :math:`O(h^2)`.

    Args:
        arguments: The circuit's arguments, ``(*lead, *core)``.
        shapes: The core shape of each.
        evaluate: Answers ``(*batch, width)`` for arguments.
        step: h, in the units of the arguments.
        generator: Where the signs come from; None: torch's global generator.

    Example:
        >>> x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        >>> spsa([x], [()], lambda a: [a[0].sin().unsqueeze(-1)], step=1e-4)[0].sum().backward()
        >>> torch.allclose(x.grad, x.cos())
        True
    """
    widths: list[int] = []
    leads = [a.shape[: a.dim() - len(s)] for a, s in zip(arguments, shapes, strict=True)]
    lead = broadcast_shapes(*leads)

    def joined(values: Sequence[Tensor]) -> Tensor:
        answers = evaluate(list(values))
        widths[:] = [answer.shape[-1] for answer in answers]
        return torch.cat([answer.expand((*lead, answer.shape[-1])) for answer in answers], -1)

    answer: Tensor = _Directions.apply(joined, leads, step, generator, *arguments)  # type: ignore[no-untyped-call]
    return list(answer.split(widths, -1))


class _Directions(torch.autograd.Function):
    @staticmethod
    def forward(
        evaluate: Any, _leads: Any, _step: float, _generator: Any, *arguments: Tensor
    ) -> Tensor:
        made: Tensor = evaluate(arguments)
        return made

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.evaluate, ctx.leads, ctx.step, ctx.generator, *arguments = inputs
        ctx.save_for_backward(*arguments)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        arguments, needed = ctx.saved_tensors, ctx.needs_input_grad[4:]
        signs = [
            _signs(a, ctx.generator) if on else None
            for a, on in zip(arguments, needed, strict=True)
        ]
        pairs = list(zip(arguments, signs, strict=True))
        ends = [
            ctx.evaluate([a if d is None else a + way * ctx.step * d for a, d in pairs])
            for way in (1, -1)
        ]
        slope = (cotangents[0] * (ends[0] - ends[1])).sum(-1) / (2 * ctx.step)
        own = [
            None
            if d is None
            else d * slope.sum_to_size(lead).reshape((*lead, *[1] * (d.dim() - len(lead))))
            for d, lead in zip(signs, ctx.leads, strict=True)
        ]
        return None, None, None, None, *own


def _signs(argument: Tensor, generator: torch.Generator | None) -> Tensor:
    device = argument.device if generator is None else generator.device
    bits = torch.randint(0, 2, argument.shape, generator=generator, device=device)
    return (2 * bits - 1).to(argument)
