"""Apply the operations of a program to a state vector (floor 1).

Two things make this quicker than gate after gate without changing the answer: neighbouring
permutations (such as a ring of CNOTs) become one, and a run of gates whose parameters are the same
for all rows of a large batch is first multiplied into one small matrix.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from quantum import statevector
from quantum.gates import TABLE
from quantum.program import Operation

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
        >>> apply(plus, Operation("Hadamard", (0,)), []).real
        tensor([1., 0.])
    """
    return _sequence(state, [operation], slots)


def _runs(
    operations: Sequence[Operation], slots: Slots
) -> Iterator[tuple[bool, list[Operation]]]:
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
    """Apply ``run``, whose parameters have leading dimensions ``(..., 1)`` or none, as one matrix."""
    # The trailing leading dimension of 1, where there is one, becomes the rows of the identity.
    identity = torch.eye(state.shape[-1], dtype=state.dtype, device=state.device)
    return state @ _sequence(identity, run, slots)


def _sequence(state: Tensor, operations: Sequence[Operation], slots: Slots) -> Tensor:
    source: np.ndarray | None = None
    wires = state.shape[-1].bit_length() - 1
    for operation in operations:
        if operation.gate in TABLE and TABLE[operation.gate].form == "permutation":
            step = _source(operation, wires)
            source = step if source is None else source[step]
            continue
        if source is not None:
            state, source = statevector.permute(state, source), None
        state = _apply_one(state, operation, slots)
    return state if source is None else statevector.permute(state, source)


def _source(operation: Operation, wires: int) -> np.ndarray:
    gate = TABLE[operation.gate]
    images = tuple(gate.build(like=torch.empty(0)).tolist())
    if operation.adjoint:
        images = tuple(int(place) for place in np.argsort(images))
    return statevector.permutation(
        wires, images, operation.wires, operation.controls, operation.control_values
    )


def _apply_one(state: Tensor, operation: Operation, slots: Slots) -> Tensor:
    parameters = [slots[slot] for slot in operation.slots]
    if operation.gate == "StatePrep":
        amplitudes = parameters[0].to(state.dtype)
        return statevector.prepare(state, amplitudes, operation.wires)
    gate = TABLE[operation.gate]
    built = gate.build(
        *parameters, size=len(operation.wires), setting=operation.setting, like=state.real
    )
    if gate.form == "diagonal":
        built = built.conj() if operation.adjoint else built
        function = statevector.apply_diagonal
    else:
        built = built.mH if operation.adjoint else built
        function = statevector.apply_matrix
    return function(state, built, operation.wires, operation.controls, operation.control_values)
