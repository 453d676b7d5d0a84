r"""What is read from a state, pure or mixed (floor 3 of states).

Products of Pauli matrices are never applied as matrices: with bit masks x (where X or Y acts) and
z (where Y or Z acts), :math:`P|i> = i^{n_Y} (-1)^{|i \wedge z|} |i \oplus x>`, so that all words
with the same x share one product :math:`\bar\psi_{i \oplus x} \psi_i` and one matrix of signs.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from quantum.circuits.program import Measurement, Operation, Term
from quantum.shapes import broadcast_shapes
from quantum.states import entropy, statevector
from quantum.states.density import Mixed
from quantum.states.evolution import apply, evolve

__all__ = ["Pure", "Word", "measure", "pauli_word"]

_LETTERS = {"PauliX": (1, 0), "PauliY": (1, 1), "PauliZ": (0, 1)}
Slots = Sequence[Tensor]


class Word(NamedTuple):
    """A product of Pauli matrices on distinct wires, as bit masks.

    Example:
        >>> Word(1, 0).x
        1
    """

    x: int
    z: int


def measure(
    state: Tensor | Mixed, measurements: Sequence[Measurement], slots: Slots
) -> list[Tensor]:
    """The answer of each measurement, ``(*batch, width)``; a density matrix ``(*batch, d, d)``.

    Args:
        state: The final state: a vector ``(*batch, 2^n)``, or a density matrix.
        measurements: What is read.
        slots: Coefficients and matrices of observables, in the precision of the state.

    Raises:
        ValueError: A measurement is made of draws, which needs shots.

    Example:
        >>> z = Measurement("expval", terms=(Term(0, (Operation("PauliZ", (0,)),)),))
        >>> measure(torch.tensor([0.6 + 0j, 0.8]), [z], [torch.tensor(2.0)])
        [tensor([-0.5600])]
    """
    read = state if isinstance(state, Mixed) else Pure(state)
    words = [
        word
        for measurement in measurements
        if measurement.kind == "expval"
        for term in measurement.terms
        if (word := pauli_word(term, read.wires)) is not None
    ]
    known = _expectations(read, tuple(dict.fromkeys(words)))
    return [_one(read, measurement, slots, known) for measurement in measurements]


@dataclass(frozen=True, eq=False)
class Pure:
    """What can be read from a state vector: the same questions as of a mixed state.

    Args:
        vector: ``(*batch, 2^n)``.

    Example:
        >>> Pure(torch.tensor([0.6, 0.8j])).probabilities()
        tensor([0.3600, 0.6400])
    """

    vector: Tensor

    @property
    def wires(self) -> int:
        """The number of wires n."""
        return self.vector.shape[-1].bit_length() - 1

    def probabilities(self) -> Tensor:
        r"""Probabilities :math:`|\psi_i|^2` of the basis states."""
        return statevector.probabilities(self.vector)

    def overlaps(self, x: int) -> Tensor:
        r"""The products :math:`\psi_i \bar\psi_{i \oplus x}`."""
        partner = statevector.permute(self.vector, np.arange(self.vector.shape[-1]) ^ x)
        return partner.conj() * self.vector

    def reduced(self, wires: tuple[int, ...]) -> Tensor:
        """The density matrix of some wires."""
        return statevector.reduced(self.vector, wires)

    def evolved(self, operations: Sequence[Operation], slots: Slots) -> "Pure":
        """The state after some operations."""
        return Pure(evolve(self.vector, operations, slots))

    def mean(self, term: Term, slots: Slots) -> Tensor:
        r"""The expectation :math:`<\psi|P|\psi>` of the product P of a term."""
        return statevector.inner(self.vector, self._product(term, slots))

    def moments(self, terms: Sequence[Term], slots: Slots) -> tuple[Tensor, Tensor]:
        r"""Expectations :math:`<\psi|O|\psi>` and :math:`<\psi|O^2|\psi>`."""
        total = torch.zeros((), dtype=self.vector.dtype, device=self.vector.device)
        for term in terms:
            total = total + slots[term.coefficient].unsqueeze(-1) * self._product(term, slots)
        applied = total.expand(broadcast_shapes(total.shape, self.vector.shape))
        mean = statevector.inner(self.vector, applied).real
        return mean, statevector.probabilities(applied).sum(-1)

    def _product(self, term: Term, slots: Slots) -> Tensor:
        vector = self.vector
        for factor in reversed(term.factors):
            vector = apply(vector, factor, slots)
        return vector


def _one(
    state: Pure | Mixed, measurement: Measurement, slots: Slots, known: dict[Word, Tensor]
) -> Tensor:
    kind, wires = measurement.kind, measurement.wires
    if measurement.draws:
        raise ValueError(f"{kind} needs shots: give the layer shots=1000, say")
    if kind == "expval":
        return _expectation(state, measurement.terms, slots, known).unsqueeze(-1)
    if kind == "var":
        mean, second = state.moments(measurement.terms, slots)
        return (second - mean.square()).unsqueeze(-1)
    if kind == "probs":
        state = state.evolved(measurement.rotations, slots)
        return statevector.marginal(state.probabilities(), wires)
    if kind == "density_matrix" or (kind == "state" and isinstance(state, Mixed)):
        return state.reduced(wires)
    if kind == "state":
        return state.vector
    if kind == "purity":
        return entropy.purity(_part(state, wires)).unsqueeze(-1)
    if kind == "vn_entropy":
        return entropy.von_neumann(_part(state, wires), measurement.base).unsqueeze(-1)
    parts = (wires[: measurement.split], wires[measurement.split :], wires)
    first, second, both = (entropy.von_neumann(_part(state, p), measurement.base) for p in parts)
    return (first + second - both).unsqueeze(-1)


def _part(state: Pure | Mixed, wires: tuple[int, ...]) -> Tensor:
    """A density matrix with the spectrum of that of ``wires``, but for zeros.

    The two sides of a pure state have the same: the smaller one is taken.
    """
    if isinstance(state, Pure) and 2 * len(wires) > state.wires:
        wires = tuple(wire for wire in range(state.wires) if wire not in wires)
    return state.reduced(wires)


def _expectation(
    state: Pure | Mixed, terms: Sequence[Term], slots: Slots, known: dict[Word, Tensor]
) -> Tensor:
    total = torch.zeros((), dtype=state.vector.real.dtype, device=state.vector.device)
    for term in terms:
        word = pauli_word(term, state.wires)
        coefficient = slots[term.coefficient]
        if word is None:
            total = total + (coefficient * state.mean(term, slots)).real
        else:
            total = total + coefficient.real * known[word]
    return total


def pauli_word(term: Term, wires: int) -> Word | None:
    """The masks of a product of Pauli matrices on distinct wires, None for any other product.

    Example:
        >>> from quantum.circuits.program import Operation
        >>> pauli_word(Term(0, (Operation("PauliY", (0,)), Operation("PauliZ", (2,)))), 3)
        Word(x=4, z=5)
    """
    x = z = seen = 0
    for factor in term.factors:
        if factor.gate not in _LETTERS or factor.controls:
            return None
        bit = 1 << (wires - 1 - factor.wires[0])
        if seen & bit:
            return None
        flips, signs = _LETTERS[factor.gate]
        seen, x, z = seen | bit, x | bit * flips, z | bit * signs
    return Word(x, z)


def _expectations(state: Pure | Mixed, words: tuple[Word, ...]) -> dict[Word, Tensor]:
    """The expectation ``(*batch,)`` of each word.

    Summed in double precision: a matrix product adds one number after another, so that the small
    ones behind a large one all round the same way.
    """
    real = state.vector.real.dtype
    known: dict[Word, Tensor] = {}
    for x in dict.fromkeys(word.x for word in words):
        group = tuple(word for word in words if word.x == x)
        signs = _signs(2**state.wires, tuple(word.z for word in group))
        matrix = torch.as_tensor(signs, device=state.vector.device).double()
        if x == 0:
            values = (state.probabilities().double() @ matrix).to(real).unbind(-1)
            known.update(zip(group, values, strict=True))
            continue
        product = state.overlaps(x)
        # An odd number of Y makes the word purely imaginary against the product.
        for part, odd in ((product.real, 0), (product.imag, 1)):
            chosen = [k for k, word in enumerate(group) if (word.x & word.z).bit_count() % 2 == odd]
            if not chosen:
                continue
            values = (part.double() @ matrix[:, chosen]).to(real).unbind(-1)
            for k, value in zip(chosen, values, strict=True):
                turns = (group[k].x & group[k].z).bit_count() % 4
                known[group[k]] = -value if turns in (1, 2) else value
    return known


@functools.lru_cache(maxsize=64)
def _signs(states: int, masks: tuple[int, ...]) -> np.ndarray:
    """Columns :math:`(-1)^{|i & mask|}`, shape ``(states, masks)``, as int8."""
    overlap = np.arange(states)[:, None] & np.array(masks)
    for shift in (32, 16, 8, 4, 2, 1):
        overlap = overlap ^ (overlap >> shift)
    return (1 - 2 * (overlap & 1)).astype(np.int8)
