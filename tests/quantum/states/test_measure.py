"""Measurements against dense matrices."""

import itertools

import pytest
import torch

from quantum.circuits.gates import matrix
from quantum.circuits.program import Measurement, Operation, Term
from quantum.states.measure import measure

LETTERS = {"X": "PauliX", "Y": "PauliY", "Z": "PauliZ", "I": "Identity"}


def random_state(*batch, wires=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(*batch, 2**wires, generator=generator, dtype=torch.complex128)
    return state / state.norm(dim=-1, keepdim=True)


def word(letters):
    return tuple(
        Operation(LETTERS[letter], (w,)) for w, letter in enumerate(letters) if letter != "I"
    )


def dense(letters):
    full = torch.ones(1, 1, dtype=torch.complex128)
    for letter in letters:
        full = torch.kron(full, matrix(LETTERS[letter], [], 1).to(torch.complex128))
    return full


def mean(state, operator):
    return torch.einsum("...i,ij,...j->...", state.conj(), operator, state).real


@pytest.mark.parametrize("letters", ["".join(p) for p in itertools.product("IXYZ", repeat=3)])
def test_every_word_of_three_pauli_matrices(letters):
    state, slots = random_state(2), [torch.tensor(1.0, dtype=torch.float64)]
    terms = (Term(0, word(letters)),)
    value, spread = measure(state, [Measurement(k, terms=terms) for k in ("expval", "var")], slots)
    expected = mean(state, dense(letters))
    torch.testing.assert_close(value.squeeze(-1), expected)
    torch.testing.assert_close(spread.squeeze(-1), 1 - expected**2)


def test_many_words_at_once_share_a_sum_with_coefficients():
    state = random_state(4)
    letters = ["XYI", "YXI", "ZIZ", "IIX", "YYX", "III", "IZZ"]
    coefficients = torch.linspace(-1, 2, len(letters), dtype=torch.float64).unbind()
    terms = tuple(Term(k, word(w)) for k, w in enumerate(letters))
    total = sum(c * dense(w) for c, w in zip(coefficients, letters, strict=True))
    both = measure(state, [Measurement(k, terms=terms) for k in ("expval", "var")], coefficients)
    torch.testing.assert_close(both[0].squeeze(-1), mean(state, total))
    torch.testing.assert_close(
        both[1].squeeze(-1), mean(state, total @ total) - both[0].squeeze(-1) ** 2
    )


def test_products_beyond_pauli_words():
    state = random_state(2)
    hermitian = torch.tensor([[1.0, 2 - 1j], [2 + 1j, -0.5]], dtype=torch.complex128)
    scale = torch.tensor(0.7, dtype=torch.float64)
    factors = (Operation("Hadamard", (0,)), Operation("QubitUnitary", (2,), slots=(1,)))
    hadamard = matrix("Hadamard", [torch.zeros((), dtype=torch.float64)][:0], 1).to(
        torch.complex128
    )
    hadamard = hadamard / hadamard[0, 0].real * 0.5**0.5
    full = torch.kron(torch.kron(hadamard, torch.eye(2)), hermitian)
    answer = measure(state, [Measurement("expval", terms=(Term(0, factors),))], [scale, hermitian])
    torch.testing.assert_close(answer[0].squeeze(-1), 0.7 * mean(state, full))


def test_factors_of_one_wire_multiply_in_the_order_written():
    state, slots = random_state(), [torch.tensor(1j, dtype=torch.complex128)]
    factors = (Operation("PauliX", (0,)), Operation("PauliY", (0,)))  # i X Y = -Z
    answer = measure(state, [Measurement("expval", terms=(Term(0, factors),))], slots)
    torch.testing.assert_close(answer[0].squeeze(-1), -mean(state, dense("ZII")))


def test_probabilities_after_rotations():
    state = random_state(2)
    rotated = Measurement("probs", (0,), rotations=(Operation("Hadamard", (0,)),))
    x = mean(state, dense("XII"))
    answer = measure(state, [rotated], [])[0]
    torch.testing.assert_close(answer, torch.stack([(1 + x) / 2, (1 - x) / 2], -1))


def test_batched_coefficients():
    state = random_state(3)
    coefficients = torch.rand(2, 1, dtype=torch.float64)
    terms = (Term(0, word("XZI")),)
    for kind in ("expval", "var"):
        together = measure(state, [Measurement(kind, terms=terms)], [coefficients])[0]
        assert together.shape == (2, 3, 1)
        for k in range(2):
            alone = measure(state, [Measurement(kind, terms=terms)], [coefficients[k, 0]])[0]
            torch.testing.assert_close(together[k], alone)


@pytest.mark.parametrize("wires", [8, 10, 12])
def test_small_amplitudes_behind_a_large_one_do_not_round_the_same_way(wires):
    state = torch.full((2**wires,), (0.3 / (2**wires - 1)) ** 0.5, dtype=torch.complex128)
    state[0] = 0.7**0.5
    asked = [
        Measurement("expval", terms=(Term(0, (Operation(gate, (wires - 1,)),)),))
        for gate in ("PauliX", "PauliZ")
    ]
    double = measure(state, asked, [torch.ones((), dtype=torch.float64)])
    single = measure(state.to(torch.complex64), asked, [torch.ones(())])
    for one, other in zip(single, double, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-6)
