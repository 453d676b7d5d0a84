"""What one step does to a state, and how it is undone (floor 0 of fused).

Each step has ``cores`` (for each of its tensors the number of dimensions without leading ones),
``forward`` and ``backward``. States are ``(*lead, 2^n, rows)``. ``backward`` takes the state and
the conjugate of the cotangent after the step, and returns both before the step and the gradients of
the tensors, not yet summed over dimensions that were broadcast.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from quantum.circuits.program import Operation
from quantum.states.evolution import evolve

__all__ = ["Dense", "Gather", "Phases", "Rows", "Single", "Step"]

Undone = tuple[Tensor, Tensor, list[Tensor]]


@dataclass(frozen=True, eq=False)
class Gather:
    """Amplitudes move: entry i is taken from ``source[i]``.

    Args:
        source: ``(2^n,)`` positions.
        back: The inverse permutation.

    Example:
        >>> swap = torch.tensor([1, 0])
        >>> Gather(swap, swap).forward(torch.tensor([[1.0], [2.0]]), []).flatten()
        tensor([2., 1.])
    """

    source: Tensor
    back: Tensor
    cores: tuple[int, ...] = ()

    def forward(self, state: Tensor, _tensors: Sequence[Tensor]) -> Tensor:
        """The state after the step."""
        return state.index_select(-2, self.source.to(state.device))

    def backward(self, state: Tensor, dual: Tensor, _tensors: Sequence[Tensor]) -> Undone:
        """State and conjugate cotangent before the step, and no gradients."""
        back = self.back.to(state.device)
        return state.index_select(-2, back), dual.index_select(-2, back), []


@dataclass(frozen=True, eq=False)
class Dense:
    """One unitary matrix ``(*lead, d, d)``, the same for all rows, on neighbouring wires.

    Args:
        before: The number of wires in front of them.
        size: The number of wires acted on.

    Example:
        >>> flip = torch.tensor([[0, 1], [1, 0]], dtype=torch.complex64)
        >>> Dense(0, 1).forward(torch.tensor([[1.0], [0.0]]) + 0j, [flip]).flatten()
        tensor([0.+0.j, 1.+0.j])
    """

    before: int
    size: int
    cores: tuple[int, ...] = (2,)

    def forward(self, state: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """The state after the step."""
        return self._apply(state, tensors[0])

    def backward(self, state: Tensor, dual: Tensor, tensors: Sequence[Tensor]) -> Undone:
        """State and conjugate cotangent before the step, and the gradient of the matrix."""
        (matrix,) = tensors
        state = self._apply(state, matrix.mH.resolve_conj())
        gradient = self._outer(dual, state).conj()
        return state, self._apply(dual, matrix.mT), [gradient]

    def _wide(self, state: Tensor) -> Tensor:
        states, rows = state.shape[-2:]
        behind = states // 2 ** (self.before + self.size) * rows
        return state.reshape(*state.shape[:-2], 2**self.before, 2**self.size, behind)

    def _apply(self, state: Tensor, matrix: Tensor) -> Tensor:
        wide = self._wide(state)
        if wide.shape[-1] == 1:  # nothing behind: multiply from the right, as one product
            return (wide.squeeze(-1) @ matrix.mT).reshape(state.shape)
        if matrix.dim() > 2:
            return (matrix.unsqueeze(-3) @ wide).reshape(state.shape)
        flat = wide.flatten(0, -3)
        if len(flat) == 1:
            return (matrix @ flat[0]).reshape(state.shape)
        return torch.bmm(matrix.expand(len(flat), *matrix.shape), flat).reshape(state.shape)

    def _outer(self, left: Tensor, right: Tensor) -> Tensor:
        left, right = self._wide(left), self._wide(right)
        if self.before == 0:
            return left.squeeze(-3) @ right.squeeze(-3).mT
        if left.shape[-1] >= 2**self.size:
            return (left @ right.mT).sum(-3)
        left, right = (t.transpose(-3, -2).flatten(-2) for t in (left, right))
        return left @ right.mT


@dataclass(frozen=True, eq=False)
class Rows:
    """One unitary 2 x 2 matrix for each row, ``(*lead, 2, 2, rows)``, on one wire.

    Args:
        before: The number of wires in front of it.

    Example:
        >>> flip = torch.tensor([[0, 1], [1, 0]], dtype=torch.complex64).unsqueeze(-1)
        >>> Rows(0).forward(torch.tensor([[1.0], [0.0]]) + 0j, [flip]).flatten()
        tensor([0.+0.j, 1.+0.j])
    """

    before: int
    cores: tuple[int, ...] = (3,)

    def forward(self, state: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """The state after the step."""
        return self._apply(state, tensors[0])

    def backward(self, state: Tensor, dual: Tensor, tensors: Sequence[Tensor]) -> Undone:
        """State and conjugate cotangent before the step, and the gradient of the matrices."""
        turned = tensors[0].transpose(-3, -2)
        state = self._apply(state, turned.conj().resolve_conj())
        left, right = self._parts(dual), self._parts(state)
        entries = [[(a * b).sum((-3, -2)).conj() for b in right] for a in left]
        gradient = torch.stack([torch.stack(row, -2) for row in entries], -3)
        return state, self._apply(dual, turned), [gradient]

    def _parts(self, state: Tensor) -> tuple[Tensor, ...]:
        states, rows = state.shape[-2:]
        behind = states // 2 ** (self.before + 1)
        return state.reshape(*state.shape[:-2], 2**self.before, 2, behind, rows).unbind(-3)

    def _apply(self, state: Tensor, matrix: Tensor) -> Tensor:
        low, high = self._parts(state)
        (a, b), (c, d) = (row.unbind(-4) for row in matrix[..., None, None, :].unbind(-5))
        moved = torch.stack([torch.addcmul(a * low, b, high), torch.addcmul(c * low, d, high)], -3)
        return moved.reshape(state.shape)


@dataclass(frozen=True, eq=False)
class Phases:
    """Diagonals ``(*lead, 2^k, rows or 1)`` of unitary gates, each on wires of its own.

    Args:
        entries: For each diagonal the entry that multiplies each amplitude, ``(2^n,)``.
        constant: What multiplies besides, ``(2^n, 1)``, or None.
        cores: 2 for each diagonal.

    Example:
        >>> z = torch.tensor([[1], [-1]]) + 0j
        >>> Phases((torch.tensor([0, 1]),), None, (2,)).forward(z, [z]).flatten().real
        tensor([1., 1.])
    """

    entries: tuple[Tensor, ...]
    constant: Tensor | None
    cores: tuple[int, ...]

    def forward(self, state: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """The state after the step."""
        return state * self._total(state, tensors)

    def backward(self, state: Tensor, dual: Tensor, tensors: Sequence[Tensor]) -> Undone:
        """State and conjugate cotangent before the step, and the gradients of the diagonals."""
        gradients = []
        if tensors:
            overlap = (dual * state).conj()
            once = overlap.sum(-1, keepdim=True)
            for entries, tensor in zip(self.entries, tensors, strict=True):
                summed = once if tensor.shape[-1] == 1 else overlap
                empty = summed.new_zeros(*summed.shape[:-2], tensor.shape[-2], summed.shape[-1])
                # |d| = 1, so multiplying by d divides by its conjugate.
                gradients.append(empty.index_add(-2, entries.to(state.device), summed) * tensor)
        total = self._total(state, tensors)
        return state * total.conj(), dual * total, gradients

    def _total(self, state: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """The product of all diagonals, those shared by the rows first."""
        factors = [] if self.constant is None else [self.constant.to(state)]
        pairs = sorted(
            zip(self.entries, tensors, strict=True), key=lambda pair: pair[1].shape[-1] != 1
        )
        factors += [t.index_select(-2, e.to(state.device)) for e, t in pairs]
        total = factors[0]
        for factor in factors[1:]:
            total = total * factor
        return total


@dataclass(frozen=True, eq=False)
class Single:
    """One operation of the gate table with parameters ``(*lead, rows or 1, *core)``.

    Args:
        operation: Its slots are 0, 1, ...: the numbers of its tensors.
        cores: For each tensor 1 + the dimensions of the parameter.

    Example:
        >>> flip = Single(Operation("PauliX", (0,)), ())
        >>> flip.forward(torch.tensor([[1.0], [0.0]]) + 0j, []).flatten()
        tensor([0.+0.j, 1.+0.j])
    """

    operation: Operation
    cores: tuple[int, ...]

    def forward(self, state: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """The state after the step."""
        return evolve(state.mT, [self.operation], tensors).mT

    def backward(self, state: Tensor, dual: Tensor, tensors: Sequence[Tensor]) -> Undone:
        """State and conjugate cotangent before the step, and the gradients of the parameters."""
        back = [replace(self.operation, adjoint=not self.operation.adjoint)]
        if self.operation.gate == "PauliExponential":  # unitary or not, this undoes it
            earlier = evolve(state.mT, [self.operation], [-tensor for tensor in tensors])
        else:
            earlier = evolve(state.mT, back, tensors)
        cotangent = dual.mT.conj()

        def forward(*values: Tensor) -> Tensor:
            return evolve(earlier, [self.operation], values)

        gradients = torch.func.vjp(forward, *tensors)[1](cotangent) if tensors else ()
        return earlier.mT, evolve(cotangent, back, tensors).mT.conj(), list(gradients)


Step = Gather | Dense | Rows | Phases | Single
