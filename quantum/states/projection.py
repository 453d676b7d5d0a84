"""Postselection: a projection, after which the state is normalised again (floor 2 of states).

Everything between two projections is left to `quantum.states.evolution`.
"""

import itertools
from collections.abc import Sequence

from torch import Tensor

from quantum.circuits.program import Operation
from quantum.states import statevector
from quantum.states.evolution import evolve

__all__ = ["postselect"]


def postselect(state: Tensor, operations: Sequence[Operation], slots: Sequence[Tensor]) -> Tensor:
    """The state ``(*batch, 2^n)`` after ``operations``, some of which are projections.

    Normalising once, at the end, is the same as after each projection. An outcome that cannot
    occur gives NaN, as in PennyLane.

    Args:
        state: ``(*batch, 2^n)``, complex.
        operations: What is applied.
        slots: Parameter values in the precision of the state.

    Example:
        >>> import torch
        >>> both = torch.tensor([0.6, 0.5], dtype=torch.complex64)
        >>> one = torch.tensor([[0, 0], [0, 1.0]], dtype=torch.complex64)
        >>> postselect(both, [Operation("Projection", (0,), (0,), unitary=False)], [one]).abs()
        tensor([0., 1.])
    """
    for unitary, run in itertools.groupby(operations, key=lambda operation: operation.unitary):
        if unitary:
            state = evolve(state, list(run), slots)
            continue
        for operation in run:
            matrix = slots[operation.slots[0]].to(state.dtype)
            state = statevector.apply_matrix(state, matrix, operation.wires)
    norm = statevector.probabilities(state).sum(-1, keepdim=True).sqrt()
    return state / norm
