r"""Mixed states: a density matrix as a vector on twice the wires (floor 2 of states).

Row-major, :math:`\rho_{ij}` stands at :math:`i 2^n + j`, so the wires 0 ... n-1 hold the row (ket)
and n ... 2n-1 the column (bra). A unitary acts as U on the former and as its conjugate on the
latter, both by the code for state vectors; a channel is one matrix on the wires of both.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from quantum.circuits.channels import superoperator
from quantum.circuits.program import Operation, Term
from quantum.shapes import broadcast_shapes
from quantum.states import statevector
from quantum.states.evolution import evolve

__all__ = ["Mixed", "evolved"]

Slots = Sequence[Tensor]


def evolved(
    vector: Complex[Tensor, "*batch entries"], operations: Sequence[Operation], slots: Slots
) -> Complex[Tensor, "*out entries"]:
    """The density matrix after ``operations``, as a vector ``(*batch, 4^n)``.

    Args:
        vector: ``(*batch, 4^n)``, the density matrix row by row.
        operations: What is applied: unitaries, channels and projections.
        slots: Parameter values in the precision of the state.

    Example:
        >>> ground = statevector.ground(2, torch.complex64, torch.device("cpu"))
        >>> flip = Operation("BitFlip", (0,), (0,), unitary=False)
        >>> evolved(ground, [flip], [torch.tensor(0.25)]).real
        tensor([0.7500, 0.0000, 0.0000, 0.2500])
    """
    for unitary, run in itertools.groupby(operations, key=lambda operation: operation.unitary):
        if unitary:
            vector = _rotated(vector, list(run), slots)
            continue
        for operation in run:
            vector = _applied(vector, operation, slots)
    if any(operation.gate == "Projection" for operation in operations):
        vector = vector / _diagonal(vector).sum(-1, keepdim=True)
    return vector


def _rotated(vector: Tensor, operations: Sequence[Operation], slots: Slots) -> Tensor:
    shift = _wires(vector)
    kets = evolve(vector, operations, slots)
    moved = [
        replace(
            operation,
            wires=tuple(wire + shift for wire in operation.wires),
            controls=tuple(wire + shift for wire in operation.controls),
        )
        for operation in operations
    ]
    return evolve(kets.conj().resolve_conj(), moved, slots).conj().resolve_conj()


def _applied(vector: Tensor, operation: Operation, slots: Slots) -> Tensor:
    parameters = [slots[slot] for slot in operation.slots]
    both = operation.wires + tuple(wire + _wires(vector) for wire in operation.wires)
    if operation.gate == "QubitDensityMatrix":
        return statevector.prepare(vector, parameters[0].to(vector.dtype).flatten(-2), both)
    if operation.gate == "Projection":
        made = superoperator("QubitChannel", [parameters[0].unsqueeze(-3)])
    else:
        made = superoperator(operation.gate, parameters, operation.setting)
    return statevector.apply_matrix(vector, made.to(vector.dtype), both)


@dataclass(frozen=True, eq=False)
class Mixed:
    r"""What can be read from a density matrix.

    Args:
        vector: ``(*batch, 4^n)``, the density matrix row by row.

    Example:
        >>> half = Mixed(torch.tensor([0.5, 0, 0, 0.5], dtype=torch.complex64))
        >>> half.probabilities()
        tensor([0.5000, 0.5000])
    """

    vector: Complex[Tensor, "*batch entries"]

    @property
    def wires(self) -> int:
        """The number of wires n."""
        return _wires(self.vector)

    def probabilities(self) -> Float[Tensor, "*batch states"]:
        r"""Probabilities :math:`\rho_{ii}` of the basis states."""
        return _diagonal(self.vector)

    def overlaps(self, x: int) -> Complex[Tensor, "*batch states"]:
        r"""The entries :math:`\rho_{i, i \oplus x}`."""
        places = np.arange(2**self.wires)
        return _take(self.vector, places * 2**self.wires + (places ^ x))

    def reduced(self, wires: tuple[int, ...]) -> Complex[Tensor, "*batch d d"]:
        """The density matrix of some wires."""
        places, size = _partial(self.wires, wires), 2 ** len(wires)
        return _take(self.vector, places).unflatten(-1, (size, size, -1)).sum(-1)

    def evolved(self, operations: Sequence[Operation], slots: Slots) -> "Mixed":
        """The state after some operations."""
        return Mixed(evolved(self.vector, operations, slots))

    def mean(self, term: Term, slots: Slots) -> Complex[Tensor, "*batch"]:
        r"""The expectation :math:`\mathrm{Tr}(P \rho)` of the product P of a term."""
        return self._trace(self._product(self.vector, term, slots))

    def moments(self, terms: Sequence[Term], slots: Slots) -> tuple[Tensor, Tensor]:
        r"""Expectations :math:`\mathrm{Tr}(O \rho)` and :math:`\mathrm{Tr}(O^2 \rho)`."""
        once = self._sum(self.vector, terms, slots)
        return self._trace(once).real, self._trace(self._sum(once, terms, slots)).real

    def _trace(self, vector: Tensor) -> Tensor:
        return _take(vector, _steps(self.wires)).sum(-1)

    def _sum(self, vector: Tensor, terms: Sequence[Term], slots: Slots) -> Tensor:
        total = torch.zeros((), dtype=vector.dtype, device=vector.device)
        for term in terms:
            coefficient = slots[term.coefficient].unsqueeze(-1)
            total = total + coefficient * self._product(vector, term, slots)
        return total.expand(broadcast_shapes(total.shape, vector.shape))

    @staticmethod
    def _product(vector: Tensor, term: Term, slots: Slots) -> Tensor:
        for factor in reversed(term.factors):  # acts on the wires of the rows
            vector = evolve(vector, [factor], slots)
        return vector


def _wires(vector: Tensor) -> int:
    return (vector.shape[-1].bit_length() - 1) // 2


def _take(vector: Tensor, places: np.ndarray) -> Tensor:
    return vector.index_select(-1, torch.as_tensor(places, device=vector.device))


def _steps(wires: int) -> np.ndarray:
    return np.arange(2**wires) * (2**wires + 1)


def _diagonal(vector: Tensor) -> Tensor:
    return _take(vector, _steps(_wires(vector))).real


@functools.lru_cache(maxsize=64)
def _partial(wires: int, kept: tuple[int, ...]) -> np.ndarray:
    """Positions to take so that the wires that are not kept stand last, to be summed over."""
    rest = [wire for wire in range(wires) if wire not in kept]
    places = np.arange(2**wires).reshape((2,) * wires).transpose(*kept, *rest)
    rows = places.reshape(2 ** len(kept), -1)
    return (rows[:, None, :] * 2**wires + rows[None, :, :]).reshape(-1)
