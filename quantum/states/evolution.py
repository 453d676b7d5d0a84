"""Apply the operations of a program to a state vector (floor 1 of states).

Two things make this quicker than gate after gate without changing the answer: neighbouring
permutations (such as a ring of CNOTs) become one, and a run of gates whose parameters are the same
for all rows of a large batch is first multiplied into one small matrix.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quantum.circuits.gates import TABLE
from quantum.circuits.program import Operation
from quantum.states import statevector

__all__ = ["apply", "evolve"]

Slots = Sequence[Tensor]


def evolve(state: Tensor, operations: Sequence[Operation], slots: Slots) -> Tensor:
    """The state ``(*batch, 2^n)`` after ``operations``, in order.

    Args:
        state: ``(*batch, 2^n)``, complex.
        operations: What is applied.
        slots: Parameter values in the precision of the state.

    Example:
        >>> zero = statevector.ground(1, torch.complex64, torch.device("cpu"))
        >>> evolve(zero, [Operation("PauliX", (0,)), Operation("S", (0,))], [])
        tensor([0.+0.j, 0.+1.j])
    """
    states = state.shape[-1]
    for shared, run in _runs(operations, slots):
        rows = state.shape[-2] if state.dim() > 1 else 1
        if shared and len(run) > 1 and rows >= states:
            state = _multiply(state, run, slots)
        else:
            state = _sequence(state, run, slots)
    return state


def apply(state: Tensor, operation: Operation, slots: Slots) -> Tensor:
    """The state ``(*batch, 2^n)`` after one operation.

    Example:
        >>> plus = torch.full((2,), 0.5**0.5, dtype=torch.complex64)
        >>> apply(plus, Operation("PauliZ", (0,)), []).real
        tensor([ 0.7071, -0.7071])
    """
    return _sequence(state, [operation], slots)


def _runs(operations: Sequence[Operation], slots: Slots) -> Iterator[tuple[bool, list[Operation]]]:
    """Maximal runs of operations that are (or are not) the same along the last batch axis."""
    run: list[Operation] = []
    current = False
    for operation in operations:
        shared = operation.gate != "StatePrep" and _is_shared(operation, slots)
        if run and shared != current:
            yield current, run
            run = []
        current = shared
        run.append(operation)
    if run:
        yield current, run


def _cores(operation: Operation) -> tuple[int, ...]:
    return (1,) if operation.gate == "StatePrep" else TABLE[operation.gate].core


def _is_shared(operation: Operation, slots: Slots) -> bool:
    for slot, core in zip(operation.slots, _cores(operation), strict=True):
        lead = slots[slot].shape[: slots[slot].dim() - core]
        if lead and lead[-1] != 1:
            return False
    return True


def _multiply(state: Tensor, run: Sequence[Operation], slots: Slots) -> Tensor:
    """Apply ``run``, whose parameters are the same along the last batch axis, as one matrix."""
    # The trailing leading dimension of 1, where there is one, becomes the rows of the identity.
    identity = torch.eye(state.shape[-1], dtype=state.dtype, device=state.device)
    return state @ _sequence(identity, run, slots)


def _sequence(state: Tensor, operations: Sequence[Operation], slots: Slots) -> Tensor:
    source: np.ndarray | None = None
    wires = state.shape[-1].bit_length() - 1
    built = _built(operations, slots, state)
    for number, operation in enumerate(operations):
        if _form(operation) == "permutation":
            step = _source(operation, wires)
            source = step if source is None else source[step]
            continue
        if source is not None:
            state, source = statevector.permute(state, source), None
        state = _apply_one(state, operation, built[number])
    return state if source is None else statevector.permute(state, source)


def _form(operation: Operation) -> str:
    return "state" if operation.gate == "StatePrep" else TABLE[operation.gate].form


def _built(operations: Sequence[Operation], slots: Slots, state: Tensor) -> dict[int, Tensor]:
    """The matrix, diagonal or amplitudes of each operation but permutations.

    Gates of one kind are built together: a layer of rotations costs as many calls as one rotation.
    """
    alike: dict[Any, list[int]] = {}
    for number, operation in enumerate(operations):
        shapes = tuple(slots[slot].shape for slot in operation.slots)
        kind = (operation.gate, len(operation.wires), operation.setting, operation.adjoint, shapes)
        if _form(operation) != "permutation":
            alike.setdefault(kind, []).append(number)
    built: dict[int, Tensor] = {}
    for numbers in alike.values():
        first = operations[numbers[0]]
        rows = [[slots[slot] for slot in operations[number].slots] for number in numbers]
        if len(rows) == 1 or any(_cores(first)):
            parts = [_build(first, row, state) for row in rows]
        elif not first.slots:
            parts = [_build(first, [], state)] * len(rows)
        else:
            rank = max(angle.dim() for angle in rows[0])
            stacked = [_stack(column, rank) for column in zip(*rows, strict=True)]
            parts = list(_build(first, stacked, state).unbind(0))
        built.update(zip(numbers, parts, strict=True))
    return built


def _stack(angles: Sequence[Tensor], rank: int) -> Tensor:
    """Stack in front of ``rank`` leading dimensions, so that parameters of a gate still align."""
    together = torch.stack(list(angles))
    return together.reshape(len(angles), *[1] * (rank + 1 - together.dim()), *together.shape[1:])


def _build(operation: Operation, parameters: Sequence[Tensor], state: Tensor) -> Tensor:
    if operation.gate == "StatePrep":
        return parameters[0].to(state.dtype)
    gate = TABLE[operation.gate]
    size = len(operation.wires)
    built = gate.build(*parameters, size=size, setting=operation.setting, like=state.real)
    if not operation.adjoint:
        return built
    return built.mH if gate.form == "matrix" else built.conj()


def _source(operation: Operation, wires: int) -> np.ndarray:
    gate = TABLE[operation.gate]
    images = tuple(gate.build(like=torch.empty(0)).tolist())
    if operation.adjoint:
        images = tuple(int(place) for place in np.argsort(images))
    return statevector.permutation(
        wires, images, operation.wires, operation.controls, operation.control_values
    )


def _apply_one(state: Tensor, operation: Operation, built: Tensor) -> Tensor:
    form = _form(operation)
    if form == "state":
        return statevector.prepare(state, built, operation.wires)
    if form == "word":
        letters, controls = operation.setting, (operation.controls, operation.control_values)
        return statevector.apply_word(state, built, operation.wires, letters, *controls)
    function = statevector.apply_diagonal if form == "diagonal" else statevector.apply_matrix
    return function(state, built, operation.wires, operation.controls, operation.control_values)
