"""Expectations of many words, values and gradients, against dense matrices."""

import itertools

import pytest
import torch
from torch.func import jacrev, vmap

from quantum.circuits.gates import matrix
from quantum.states.words import expectations

LETTERS = {"I": "Identity", "X": "PauliX", "Y": "PauliY", "Z": "PauliZ"}


def dense(letters):
    full = torch.ones(1, 1, dtype=torch.complex128)
    for letter in letters:
        full = torch.kron(full, matrix(LETTERS[letter], [], 1).to(torch.complex128))
    return full


def masks(letters):
    bits = [1 << (len(letters) - 1 - w) for w in range(len(letters))]
    x = sum(b for b, letter in zip(bits, letters, strict=True) if letter in "XY")
    return x, sum(b for b, letter in zip(bits, letters, strict=True) if letter in "YZ")


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.complex128).requires_grad_()


def reference(state, words):
    values = [
        torch.einsum("...ir,ij,...jr->...r", state.conj(), dense(w), state).real for w in words
    ]
    return torch.stack(values, -2)


@pytest.mark.parametrize(
    "words",
    [
        ["ZII", "IZZ", "III"],
        ["".join(p) for p in itertools.product("IXYZ", repeat=3)],
        ["YYX"],
        ["XII", "YII", "ZII", "YYY"],
    ],
)
def test_values_and_gradients(words):
    state, found = drawn(2, 8, 3), tuple(map(masks, words))
    ours, expected = expectations(state, found), reference(state, words)
    torch.testing.assert_close(ours, expected)
    scale = torch.cos(torch.arange(expected.numel(), dtype=torch.float64)).reshape(expected.shape)
    pair = [
        torch.autograd.grad((v * scale).sum(), state, create_graph=True)[0]
        for v in (ours, expected)
    ]
    torch.testing.assert_close(*pair)
    second = [torch.autograd.grad(g.abs().square().sum(), state)[0] for g in pair]
    torch.testing.assert_close(*second)


def test_many_wires_keep_two_small_tables_of_signs():
    state = drawn(2**12, 1)
    chosen = [1 << 11, 3, (1 << 11) | 5, 0]
    values = expectations(state, tuple((0, z) for z in chosen))
    chances = state.detach().abs().square()
    signs = torch.tensor([[(-1.0) ** (i & z).bit_count() for i in range(2**12)] for z in chosen])
    torch.testing.assert_close(values, signs.double() @ chances)
    (gradient,) = torch.autograd.grad(values[:, 0] @ torch.arange(4.0).double(), state)
    diagonal = signs.double().T @ torch.arange(4.0).double()
    torch.testing.assert_close(gradient, 2 * diagonal.unsqueeze(-1) * state.detach())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_transforms():
    state, words = drawn(4, 8, 2).detach(), tuple(map(masks, ["XYZ", "ZZI"]))
    torch.testing.assert_close(
        vmap(lambda s: expectations(s, words))(state), expectations(state, words)
    )
    angle = torch.tensor(0.3, dtype=torch.float64)

    def curve(angle):
        return expectations(torch.cos(angle) * state[0] + torch.sin(angle) * state[1], words)

    torch.testing.assert_close(jacrev(curve)(angle), torch.func.jacfwd(curve)(angle))


@pytest.mark.parametrize("wires", [8, 10, 12, 14])
def test_small_amplitudes_behind_a_large_one_do_not_round_the_same_way(wires):
    state = torch.full((2**wires, 1), (0.3 / (2**wires - 1)) ** 0.5, dtype=torch.complex128)
    state[0] = 0.7**0.5
    words = ((0, 1), (1, 0), (0, 0), (2, 2))
    single = expectations(state.to(torch.complex64), words)
    torch.testing.assert_close(
        single.double(), expectations(state, words), rtol=0, atol=1e-6, check_dtype=False
    )
