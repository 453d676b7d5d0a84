"""State vector functions against dense matrices built with Kronecker products."""

import numpy as np
import pytest
import torch

from quantum.circuits.gates import matrix
from quantum.states import statevector

WIRES = 4


def random_state(*batch, wires=WIRES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(*batch, 2**wires, generator=generator, dtype=torch.complex128)
    return state / state.norm(dim=-1, keepdim=True)


def random_matrix(*lead, size, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*lead, 2**size, 2**size, generator=generator, dtype=torch.complex128)


def dense(small, wires, controls=(), values=(), total=WIRES):
    """The matrix on all wires, entry by entry from the definition."""
    full = torch.zeros(2**total, 2**total, dtype=torch.complex128)
    for column in range(2**total):
        bits = [column >> (total - 1 - w) & 1 for w in range(total)]
        if any(bits[c] != int(v) for c, v in zip(controls, values, strict=True)):
            full[column, column] = 1
            continue
        source = int("".join(str(bits[w]) for w in wires) or "0", 2)
        for target in range(2 ** len(wires)):
            moved = list(bits)
            for k, w in enumerate(wires):
                moved[w] = target >> (len(wires) - 1 - k) & 1
            full[int("".join(map(str, moved)), 2), column] += small[target, source]
    return full


PLACES = [
    ((0,), (), ()),
    ((3,), (), ()),
    ((2, 0), (), ()),
    ((1, 3, 2), (), ()),
    ((0, 1), (), ()),
    ((2,), (0,), (True,)),
    ((2,), (3, 0), (False, True)),
    ((3, 1), (0,), (False,)),
    ((), (1,), (True,)),
    ((0, 1, 2, 3), (), ()),
]


@pytest.mark.parametrize(("wires", "controls", "values"), PLACES)
def test_matrices(wires, controls, values):
    if not wires:
        return
    small, state = random_matrix(size=len(wires)), random_state(3)
    ours = statevector.apply_matrix(state, small, wires, controls, values)
    expected = state @ dense(small, wires, controls, values).T
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("wires", "controls", "values"), PLACES)
def test_diagonals(wires, controls, values):
    diagonal = torch.diagonal(random_matrix(size=len(wires)))
    state = random_state(3)
    ours = statevector.apply_diagonal(state, diagonal, wires, controls, values)
    expected = state @ dense(torch.diag(diagonal), wires, controls, values).T
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("wires", "controls", "values"), PLACES)
def test_words(wires, controls, values):
    letters = "YXZI"[: len(wires)]
    coefficients = torch.tensor([0.3 - 0.2j, 0.5j], dtype=torch.complex128)
    word = torch.ones(1, 1, dtype=torch.complex128)
    for letter in letters:
        name = {"X": "PauliX", "Y": "PauliY", "Z": "PauliZ", "I": "Identity"}[letter]
        word = torch.kron(word, matrix(name, [], 1).to(torch.complex128))
    small = coefficients[0] * torch.eye(len(word), dtype=word.dtype) + coefficients[1] * word
    state = random_state(3)
    ours = statevector.apply_word(state, coefficients, wires, letters, controls, values)
    expected = state @ dense(small, wires, controls, values).T
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("wires", "controls", "values"), PLACES)
def test_permutations(wires, controls, values):
    images = tuple(np.random.default_rng(2).permutation(2 ** len(wires)).tolist())
    small = torch.zeros(len(images), len(images), dtype=torch.complex128)
    for source, target in enumerate(images):
        small[target, source] = 1
    state = random_state(3)
    source = statevector.permutation(WIRES, images, wires, controls, values)
    expected = state @ dense(small, wires, controls, values).T
    torch.testing.assert_close(statevector.permute(state, source), expected, atol=0, rtol=0)


def test_the_gradient_of_a_diagonal_keeps_its_digits_in_single_precision():
    state, weights = random_state(wires=12), random_state(wires=12, seed=1) * 8
    found = []
    for dtype in (torch.complex64, torch.complex128):
        diagonal = torch.ones(4, dtype=dtype, requires_grad=True)
        moved = statevector.apply_diagonal(state.to(dtype), diagonal, (7, 2))
        overlap = statevector.inner(weights.abs() + 0j, moved.abs() + 0j).real
        found += torch.autograd.grad(overlap, diagonal)
    torch.testing.assert_close(found[0].to(torch.complex128), found[1], atol=3e-7, rtol=0)


@pytest.mark.parametrize("function", ["apply_matrix", "apply_diagonal"])
@pytest.mark.parametrize(
    ("lead", "batch"), [((5,), ()), ((), (5,)), ((2, 1), (3,)), ((3,), (2, 1))]
)
@pytest.mark.parametrize("wires", [(1,), (2, 0)])
def test_leading_dimensions_broadcast(function, lead, batch, wires):
    gate = random_matrix(*lead, size=len(wires))
    gate = gate if function == "apply_matrix" else torch.diagonal(gate, dim1=-2, dim2=-1)
    state = random_state(*batch)
    apply = getattr(statevector, function)
    together = apply(state, gate, wires)
    shape = torch.broadcast_shapes(lead, batch)
    assert together.shape == (*shape, 2**WIRES)
    core = gate.shape[len(lead) :]
    gates = gate.expand(*shape, *core).reshape(-1, *core)
    states = state.expand(*shape, -1).reshape(-1, 2**WIRES)
    alone = torch.stack([apply(s, g, wires) for s, g in zip(states, gates, strict=True)])
    torch.testing.assert_close(together.reshape(-1, 2**WIRES), alone, atol=1e-13, rtol=0)


def test_small_and_large_states_take_the_same_values():
    gate, state = random_matrix(size=1), random_state(2000)
    large = statevector.apply_matrix(state, gate, (2,))
    small = statevector.apply_matrix(state[:3], gate, (2,))
    torch.testing.assert_close(large[:3], small, atol=1e-14, rtol=0)


def test_prepare_is_a_product_state():
    state = statevector.ground(3, torch.complex128, torch.device("cpu"))
    amplitudes = random_state(2, wires=2)
    made = statevector.prepare(state, amplitudes, (2, 0))
    grid = made.reshape(2, 2, 2, 2)
    torch.testing.assert_close(grid[:, :, 0].mT.reshape(2, 4), amplitudes)
    assert grid[:, :, 1].abs().max() == 0


def test_marginals_and_reduced_states_agree():
    state = random_state(2)
    for wires in ((0,), (3, 1), (2, 0, 3)):
        chances = statevector.marginal(statevector.probabilities(state), wires)
        reduced = statevector.reduced(state, wires)
        torch.testing.assert_close(reduced.diagonal(dim1=-2, dim2=-1).real, chances)
        torch.testing.assert_close(reduced, reduced.mH)
        torch.testing.assert_close(chances.sum(-1), torch.ones(2, dtype=torch.float64))


def test_inner_is_conjugate_linear_on_the_left():
    left, right = random_state(2), random_state(2, seed=5)
    product = statevector.inner(left, right)
    torch.testing.assert_close(statevector.inner(1j * left, right), -1j * product)
    torch.testing.assert_close(product, (left.conj() * right).sum(-1))


def test_a_reduced_state_of_many_amplitudes_keeps_its_digits():
    wires = 14
    uniform = torch.full((2**wires,), 2 ** (-wires / 2), dtype=torch.complex64)
    uniform[0] = 0.9
    wide = uniform.to(torch.complex128)
    difference = statevector.reduced(uniform, (0,)) - statevector.reduced(wide, (0,))
    assert difference.abs().max() < 1e-6
