r"""What is read from a state vector: expectations, variances, probabilities, states (floor 3).

Products of Pauli matrices are never applied as matrices: with bit masks x (where X or Y acts) and
z (where Y or Z acts), :math:`P|i> = i^{n_Y} (-1)^{|i \wedge z|} |i \oplus x>`, so that all words
with the same x share one product :math:`\bar\psi_{i \oplus x} \psi_i` and one matrix of signs.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from quantum import statevector
from quantum.evolution import apply, evolve
from quantum.program import Measurement, Term

__all__ = ["measure"]

_LETTERS = {"PauliX": (1, 0), "PauliY": (1, 1), "PauliZ": (0, 1)}
Slots = Sequence[Tensor]


class _Word(NamedTuple):
    """A product of Pauli matrices on distinct wires, as bit masks."""

    x: int
    z: int


def measure(state: Tensor, measurements: Sequence[Measurement], slots: Slots) -> list[Tensor]:
    """The answer of each measurement, ``(*batch, width)``; a density matrix ``(*batch, d, d)``.

    Args:
        state: The final state ``(*batch, 2^n)``.
        measurements: What is read.
        slots: Coefficients and matrices of observables, in the precision of the state.

    Example:
        >>> from quantum.program import Operation
        >>> z = Measurement("expval", terms=(Term(0, (Operation("PauliZ", (0,)),)),))
        >>> measure(torch.tensor([0.6 + 0j, 0.8]), [z], [torch.tensor(2.0)])
        [tensor([-0.5600])]
    """
    wires = state.shape[-1].bit_length() - 1
    words = [
        word
        for measurement in measurements
        if measurement.kind == "expval"
        for term in measurement.terms
        if (word := _word(term, wires)) is not None
    ]
    known = _expectations(state, tuple(dict.fromkeys(words)))
    return [_one(state, measurement, slots, known) for measurement in measurements]


def _one(
    state: Tensor, measurement: Measurement, slots: Slots, known: dict[_Word, Tensor]
) -> Tensor:
    if measurement.kind == "expval":
        return _expectation(state, measurement.terms, slots, known).unsqueeze(-1)
    if measurement.kind == "var":
        applied = _observable(state, measurement.terms, slots)
        mean = statevector.inner(state, applied).real
        return (statevector.probabilities(applied).sum(-1) - mean.square()).unsqueeze(-1)
    if measurement.kind == "probs":
        state = evolve(state, measurement.rotations, slots)
        return statevector.marginal(statevector.probabilities(state), measurement.wires)
    if measurement.kind == "density_matrix":
        return statevector.reduced(state, measurement.wires)
    return state


def _expectation(
    state: Tensor, terms: Sequence[Term], slots: Slots, known: dict[_Word, Tensor]
) -> Tensor:
    wires = state.shape[-1].bit_length() - 1
    total = torch.zeros((), dtype=state.real.dtype, device=state.device)
    for term in terms:
        word = _word(term, wires)
        coefficient = slots[term.coefficient]
        if word is None:
            value = statevector.inner(state, _product(state, term, slots))
            total = total + (coefficient * value).real
        else:
            total = total + coefficient.real * known[word]
    return total


def _observable(state: Tensor, terms: Sequence[Term], slots: Slots) -> Tensor:
    """The (not normalised) vector O|state>."""
    total = torch.zeros((), dtype=state.dtype, device=state.device)
    for term in terms:
        total = total + slots[term.coefficient].unsqueeze(-1) * _product(state, term, slots)
    return total.expand(torch.broadcast_shapes(total.shape, state.shape))


def _product(state: Tensor, term: Term, slots: Slots) -> Tensor:
    for factor in reversed(term.factors):
        state = apply(state, factor, slots)
    return state


def _word(term: Term, wires: int) -> _Word | None:
    """The masks of a product of Pauli matrices on distinct wires, None for any other product."""
    x = z = seen = 0
    for factor in term.factors:
        if factor.gate not in _LETTERS or factor.controls:
            return None
        bit = 1 << (wires - 1 - factor.wires[0])
        if seen & bit:
            return None
        flips, signs = _LETTERS[factor.gate]
        seen, x, z = seen | bit, x | bit * flips, z | bit * signs
    return _Word(x, z)


def _expectations(state: Tensor, words: tuple[_Word, ...]) -> dict[_Word, Tensor]:
    """The expectation ``(*batch,)`` of each word."""
    known: dict[_Word, Tensor] = {}
    for x in dict.fromkeys(word.x for word in words):
        group = tuple(word for word in words if word.x == x)
        signs = _signs(state.shape[-1], tuple(word.z for word in group))
        matrix = torch.as_tensor(signs, device=state.device).to(state.real.dtype)
        if x == 0:
            known.update(
                zip(group, (statevector.probabilities(state) @ matrix).unbind(-1), strict=True)
            )
            continue
        partner = statevector.permute(state, np.arange(state.shape[-1]) ^ x)
        product = partner.conj() * state
        # An odd number of Y makes the word purely imaginary against the product.
        for part, odd in ((product.real, 0), (product.imag, 1)):
            chosen = [k for k, word in enumerate(group) if (word.x & word.z).bit_count() % 2 == odd]
            if not chosen:
                continue
            values = (part @ matrix[:, chosen]).unbind(-1)
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
