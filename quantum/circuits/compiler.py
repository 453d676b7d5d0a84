"""Passes ``Program -> Program`` that keep the answer and leave less to do (floor 2 of circuits).

Each is pure and stands alone; `optimized` applies them all.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from quantum.circuits.gates import TABLE
from quantum.circuits.program import Measurement, Operation, Program, Term

__all__ = ["cancelled", "cone", "merged", "optimized", "pulled"]

_SELF_INVERSE = frozenset({"Identity", "PauliX", "PauliY", "PauliZ", "Hadamard", "SWAP", "ECR"})
_ADDITIVE = frozenset(name for name, gate in TABLE.items() if gate.core == (0,)) - {
    "PauliExponential",
    "FermionicSWAP",
}
_DIAGONAL_READ = ("probs", "sample", "counts")


@functools.lru_cache(maxsize=128)
def optimized(program: Program) -> Program:
    """The program after all passes.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> flip = Operation("PauliX", (0,))
        >>> twice = Program(1, (flip, flip), (Measurement("probs", (0,)),), record(lambda: [], []))
        >>> optimized(twice).operations
        ()
    """
    return pulled(cone(merged(cancelled(program))))


def _touched(operation: Operation) -> tuple[int, ...]:
    return operation.controls + operation.wires


def _place(operation: Operation) -> tuple[object, ...]:
    return (
        operation.gate,
        operation.wires,
        operation.controls,
        operation.control_values,
        operation.setting,
    )


def cancelled(program: Program) -> Program:
    """Without pairs of operations that undo each other with nothing between on their wires.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> turn = Operation("RX", (0,), (0,))
        >>> both = (turn, Operation("PauliX", (1,)), Operation("RX", (0,), (0,), adjoint=True))
        >>> program = Program(2, both, (), record(lambda x: [x], [()]))
        >>> [operation.gate for operation in cancelled(program).operations]
        ['PauliX']
    """
    kept: list[Operation] = []
    for operation in program.operations:
        place = _previous(kept, operation)
        if place is not None and _undoes(kept[place], operation):
            del kept[place]
        else:
            kept.append(operation)
    return replace(program, operations=tuple(kept))


def _previous(kept: Sequence[Operation], operation: Operation) -> int | None:
    """The place of the last operation that shares a wire with this one."""
    own = set(_touched(operation))
    for place in range(len(kept) - 1, -1, -1):
        other = _touched(kept[place])
        if not own.isdisjoint(other) or not own or not other:
            return place
    return None


def _undoes(first: Operation, second: Operation) -> bool:
    if not (first.unitary and second.unitary) or first.gate == "StatePrep":
        return False
    if _place(first) != _place(second) or first.slots != second.slots:
        return False
    if first.gate in _SELF_INVERSE:
        return True
    known = first.gate in TABLE and first.gate not in _GIVEN
    return known and first.adjoint != second.adjoint


_GIVEN = ("QubitUnitary", "DiagonalQubitUnitary", "PauliExponential")  # perhaps not unitary


def merged(program: Program) -> Program:
    """With neighbouring rotations of one kind by constant angles turned into one.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> turns = (Operation("RX", (0,), (0,)), Operation("RX", (0,), (1,), adjoint=True))
        >>> program = merged(Program(1, turns, (), record(lambda: [0.5, 0.2], [])))
        >>> program.operations[0].slots, round(float(program.recording.constants[2][1]), 6)
        ((2,), 0.3)
    """
    recording = program.recording
    known: dict[int, Tensor] = dict(recording.constants)
    count = len(known) + len(recording.gathers) + sum(len(g.slots) for g in recording.groups)
    added: list[tuple[int, Tensor]] = []
    kept: list[Operation] = []
    for operation in program.operations:
        place = _previous(kept, operation)
        if place is None or not _adds(kept[place], operation, known):
            kept.append(operation)
            continue
        first = kept[place]
        angles = [
            -known[o.slots[0]] if o.adjoint else known[o.slots[0]] for o in (first, operation)
        ]
        slot = count + len(added)
        known[slot] = angles[0] + angles[1]
        added.append((slot, known[slot]))
        kept[place] = replace(first, slots=(slot,), adjoint=False)
    if not added:
        return program
    recording = replace(recording, constants=(*recording.constants, *added))
    return replace(program, operations=tuple(kept), recording=recording)


def _adds(first: Operation, second: Operation, known: dict[int, Tensor]) -> bool:
    return (
        first.gate in _ADDITIVE
        and _place(first) == _place(second)
        and first.slots[0] in known
        and second.slots[0] in known
    )


def cone(program: Program) -> Program:
    """Without operations that no measurement can see.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> both = tuple(Operation("PauliX", (w,)) for w in range(2))
        >>> program = Program(2, both, (Measurement("probs", (1,)),), record(lambda: [], []))
        >>> cone(program).operations
        (Operation(gate='PauliX', wires=(1,), ...),)
    """
    if not program.measurements:
        return program
    seen = {wire for m in program.measurements for wire in _read_wires(m)}
    states = any(m.kind == "state" for m in program.measurements)
    kept: list[Operation] = []
    for operation in reversed(program.operations):
        touched = _touched(operation)
        if (
            operation.unitary
            and seen.isdisjoint(touched)
            and not states
            and operation.gate != "StatePrep"
        ):
            continue
        seen.update(touched)
        kept.append(operation)
    return replace(program, operations=tuple(reversed(kept)))


def _read_wires(measurement: Measurement) -> set[int]:
    read = set(measurement.wires)
    for term in measurement.terms:
        read |= {wire for factor in term.factors for wire in _touched(factor)}
    for rotation in measurement.rotations:
        read |= set(_touched(rotation))
    return read


def pulled(program: Program) -> Program:
    """With final permutations and diagonals taken into the measurements where that is free.

    Products of Z stay such products through CNOT and SWAP, and do not see diagonals.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> flip = Operation("PauliX", (1,), controls=(0,), control_values=(True,))
        >>> z = Measurement("expval", terms=(Term(0, (Operation("PauliZ", (1,)),)),))
        >>> program = pulled(Program(2, (flip,), (z,), record(lambda: [1.0], [])))
        >>> program.operations, [f.wires for f in program.measurements[0].terms[0].factors]
        ((), [(0,), (1,)])
    """
    if not program.measurements:
        return program
    words = [[_zs(term) for term in m.terms] for m in program.measurements]
    still = set(range(program.wires))  # wires whose permutations may be taken over
    free = set(range(program.wires))  # wires whose diagonals no measurement sees
    for measurement, own in zip(program.measurements, words, strict=True):
        read = _read_wires(measurement)
        if measurement.kind not in ("expval", "var") or None in own:
            still -= read
            seen = measurement.kind not in _DIAGONAL_READ or measurement.rotations or own
            free -= read if seen else set()
    if any(m.kind == "state" for m in program.measurements):
        return program
    kept: list[Operation] = []
    for operation in reversed(program.operations):
        touched = set(_touched(operation))
        form = TABLE[operation.gate].form if operation.gate in TABLE else "other"
        if form == "diagonal" and touched <= free and _safe(operation):
            continue
        if touched <= still & free and _is_linear(operation):
            words = [[None if w is None else _moved(w, operation) for w in own] for own in words]
            continue
        still -= touched
        free -= touched
        kept.append(operation)
    if len(kept) == len(program.operations):
        return program
    measurements = tuple(
        _rewritten(m, own) for m, own in zip(program.measurements, words, strict=True)
    )
    return replace(program, operations=tuple(reversed(kept)), measurements=measurements)


def _safe(operation: Operation) -> bool:
    return operation.unitary and operation.gate not in _GIVEN


def _zs(term: Term) -> frozenset[int] | None:
    """The wires of a product of Z on distinct wires; None for anything else."""
    wires = [factor.wires[0] for factor in term.factors if factor.wires]
    plain = all(f.gate == "PauliZ" and not f.controls for f in term.factors)
    return frozenset(wires) if plain and len(set(wires)) == len(term.factors) else None


def _is_linear(operation: Operation) -> bool:
    if not operation.unitary:
        return False
    if operation.gate == "SWAP":
        return not operation.controls
    return operation.gate == "PauliX" and operation.control_values == (True,)


def _moved(word: frozenset[int], operation: Operation) -> frozenset[int]:
    """The product of Z that has, before the operation, the value of ``word`` after it."""
    if operation.gate == "SWAP":
        first, second = operation.wires
        exchange = {first: second, second: first}
        return frozenset(exchange.get(wire, wire) for wire in word)
    return word ^ set(operation.controls) if operation.wires[0] in word else word


def _rewritten(measurement: Measurement, words: Sequence[frozenset[int] | None]) -> Measurement:
    terms = tuple(
        term
        if word is None
        else replace(term, factors=tuple(Operation("PauliZ", (w,)) for w in sorted(word)))
        for term, word in zip(measurement.terms, words, strict=True)
    )
    return replace(measurement, terms=terms)
