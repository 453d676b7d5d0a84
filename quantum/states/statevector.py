r"""Pure functions on state vectors ``(*batch, 2^n)`` (floor 0 of states).

The amplitude of :math:`|b_0 b_1 ... b_{n-1}>` stands at :math:`\sum_w b_w 2^{n-1-w}`. Leading
dimensions of gates and states broadcast; nothing is written in place, so that autograd and every
`torch.func` transform apply. Index tables are kept as NumPy arrays and shared.
"""

import functools
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

__all__ = [
    "apply_diagonal",
    "apply_matrix",
    "apply_word",
    "ground",
    "inner",
    "marginal",
    "permutation",
    "permute",
    "prepare",
    "probabilities",
    "reduced",
]

Bits = tuple[int, ...]
_SMALL = 4096  # amplitudes, below which calls cost more than arithmetic


def ground(wires: int, dtype: torch.dtype, device: torch.device) -> Complex[Tensor, " states"]:
    """The state :math:`|0...0>` of ``wires`` wires, shape ``(2^wires,)``.

    Example:
        >>> ground(1, torch.complex64, torch.device("cpu"))
        tensor([1.+0.j, 0.+0.j])
    """
    return torch.cat(
        [
            torch.ones(1, dtype=dtype, device=device),
            torch.zeros(2**wires - 1, dtype=dtype, device=device),
        ]
    )


def apply_matrix(
    state: Complex[Tensor, "*batch states"],
    matrix: Complex[Tensor, "*lead d d"],
    wires: Bits,
    controls: Bits = (),
    control_values: tuple[bool, ...] = (),
) -> Complex[Tensor, "*out states"]:
    r"""Apply a matrix to ``wires`` where the controls carry their values.

    Args:
        state: ``(*batch, 2^n)``.
        matrix: ``(*lead, 2^k, 2^k)`` for k wires, the first the most significant.
        wires: Target wires.
        controls: Control wires.
        control_values: One bit each.

    Example:
        >>> flip = torch.tensor([[0, 1], [1, 0]], dtype=torch.complex64)
        >>> apply_matrix(ground(2, torch.complex64, flip.device), flip, (1,))
        tensor([0.+0.j, 1.+0.j, 0.+0.j, 0.+0.j])
    """
    n = _wires(state)
    if len(wires) == 1 and not controls:
        parts = state.unflatten(-1, (2 ** wires[0], 2, 2 ** (n - 1 - wires[0])))
        if max(state.numel(), matrix[..., 0, 0].numel() * state.shape[-1]) <= _SMALL:
            return torch.matmul(matrix[..., None, :, :], parts).flatten(-3)
        # Entry by entry: for many 2 x 2 matrices faster than a matrix product.
        low, high = parts.unbind(-2)
        (a, b), (c, d) = (row.unbind(-1) for row in matrix[..., None, None, :, :].unbind(-2))
        return torch.stack([a * low + b * high, c * low + d * high], -2).flatten(-3)
    chosen, others, back = _subspace(n, wires, controls, control_values)
    picked = state.index_select(-1, _index(chosen, state)).unflatten(-1, (-1, 2 ** len(wires)))
    moved = torch.matmul(picked, matrix.mT).flatten(-2)
    if len(others):
        rest = state.index_select(-1, _index(others, state))
        moved = torch.cat([moved, rest.expand(*moved.shape[:-1], -1)], -1)
    return moved.index_select(-1, _index(back, state))


def apply_diagonal(
    state: Complex[Tensor, "*batch states"],
    diagonal: Complex[Tensor, "*lead d"],
    wires: Bits,
    controls: Bits = (),
    control_values: tuple[bool, ...] = (),
) -> Complex[Tensor, "*out states"]:
    """Multiply by a diagonal ``(*lead, 2^k)`` on ``wires`` where the controls carry their values.

    Example:
        >>> z = torch.tensor([1, -1], dtype=torch.complex64)
        >>> apply_diagonal(torch.ones(2, dtype=torch.complex64), z, (0,))
        tensor([ 1.+0.j, -1.+0.j])
    """
    n = _wires(state)
    if wires and not controls and wires == tuple(range(wires[0], wires[0] + len(wires))):
        parts = state.unflatten(-1, (2 ** wires[0], 2 ** len(wires), -1))
        return (parts * diagonal[..., None, :, None]).flatten(-3)
    if controls:
        diagonal = torch.cat([diagonal, torch.ones_like(diagonal[..., :1])], -1)
    entries = _entries(n, wires, controls, control_values)
    kind = diagonal.dtype
    if kind == torch.complex64 and diagonal.device.type in ("cpu", "cuda"):
        # The gradient adds one entry after another, which in single precision loses digits.
        diagonal = diagonal.to(torch.complex128)
    return state * diagonal.index_select(-1, _index(entries, state)).to(kind)


def apply_word(
    state: Complex[Tensor, "*batch states"],
    coefficients: Complex[Tensor, "*lead 2"],
    wires: Bits,
    letters: str,
    controls: Bits = (),
    control_values: tuple[bool, ...] = (),
) -> Complex[Tensor, "*out states"]:
    """Apply :math:`a I + b P` with a word P of Pauli matrices where the controls are on.

    Args:
        state: ``(*batch, 2^n)``.
        coefficients: a and b, ``(*lead, 2)``.
        wires: The wires of the word.
        letters: One of I, X, Y, Z for each wire.
        controls: Control wires.
        control_values: One bit each.

    Example:
        >>> both = torch.tensor([0.6, 0.8], dtype=torch.complex64)
        >>> apply_word(ground(1, both.dtype, both.device), both, (0,), "Y")
        tensor([0.6000+0.0000j, 0.0000+0.8000j])
    """
    source, phases = _flips(_wires(state), wires, letters)
    moved = permute(state, source) * torch.as_tensor(phases, device=state.device).to(state.dtype)
    own, other = coefficients.unsqueeze(-1).unbind(-2)
    if controls:
        active = _active(_wires(state), controls, control_values)
        on = torch.as_tensor(active, device=state.device)
        own, other = torch.where(on, own, 1.0), torch.where(on, other, 0.0)
    return own * state + other * moved


def permutation(
    wires: int,
    images: tuple[int, ...],
    targets: Bits,
    controls: Bits = (),
    control_values: tuple[bool, ...] = (),
) -> np.ndarray:
    """For each amplitude of a permuted state: the position it is taken from, ``(2^wires,)``.

    Args:
        wires: The number of wires of the state.
        images: The basis state that each basis state of the targets goes to.
        targets: Target wires.
        controls: Control wires.
        control_values: One bit each.

    Example:
        >>> permutation(2, (1, 0), (1,), (0,), (True,)).tolist()
        [0, 1, 3, 2]
    """
    chosen, _, _ = _subspace(wires, targets, controls, control_values)
    source = np.arange(2**wires)
    rows = chosen.reshape(-1, 2 ** len(targets))
    source[rows[:, list(images)]] = rows
    return source


def permute(
    state: Complex[Tensor, "*batch states"], source: np.ndarray
) -> Complex[Tensor, "*batch states"]:
    """Take the amplitudes of ``state`` from the positions ``source``.

    Example:
        >>> permute(torch.tensor([1, 2j]), np.array([1, 0]))
        tensor([0.+2.j, 1.+0.j])
    """
    return state.index_select(-1, _index(source, state))


def prepare(
    state: Complex[Tensor, "*batch states"], amplitudes: Complex[Tensor, "*lead d"], wires: Bits
) -> Complex[Tensor, "*out states"]:
    """Put ``wires``, which must be in :math:`|0>` and free of entanglement, into a given state.

    Args:
        state: ``(*batch, 2^n)``.
        amplitudes: ``(*lead, 2^k)``.
        wires: The k wires.

    Example:
        >>> plus = torch.full((2,), 0.5**0.5, dtype=torch.complex64)
        >>> prepare(ground(2, torch.complex64, plus.device), plus, (1,)).abs()
        tensor([0.7071, 0.7071, 0.0000, 0.0000])
    """
    chosen, _, back = _subspace(_wires(state), wires, (), ())
    zeros = chosen.reshape(-1, 2 ** len(wires))[:, 0]
    rest = state.index_select(-1, _index(zeros, state))
    product = rest[..., :, None] * amplitudes[..., None, :]
    return product.flatten(-2).index_select(-1, _index(back, state))


def inner(
    left: Complex[Tensor, "*batch states"], right: Complex[Tensor, "*other states"]
) -> Complex[Tensor, "*out"]:
    r"""Inner product :math:`<left|right>` over the last axis.

    Example:
        >>> inner(torch.tensor([1j, 0j]), torch.tensor([1 + 0j, 0j]))
        tensor(0.-1.j)
    """
    return (left.conj() * right).sum(-1)


def probabilities(state: Complex[Tensor, "*batch states"]) -> Float[Tensor, "*batch states"]:
    r"""Probabilities of the basis states :math:`|\psi_i|^2`.

    Example:
        >>> probabilities(torch.tensor([0.6, 0.8j]))
        tensor([0.3600, 0.6400])
    """
    return state.real.square() + state.imag.square()


def marginal(chances: Float[Tensor, "*batch states"], wires: Bits) -> Float[Tensor, "*batch d"]:
    """Sum probabilities ``(*batch, 2^n)`` over all wires but ``wires``, in the order given.

    Example:
        >>> marginal(torch.tensor([0.1, 0.2, 0.3, 0.4]), (0,))
        tensor([0.3000, 0.7000])
    """
    n = _wires(chances)
    if wires == tuple(range(n)):
        return chances
    chosen, _, _ = _subspace(n, wires, (), ())
    ordered = chances.index_select(-1, _index(chosen, chances))
    return ordered.unflatten(-1, (-1, 2 ** len(wires))).sum(-2)


def reduced(state: Complex[Tensor, "*batch states"], wires: Bits) -> Complex[Tensor, "*batch d d"]:
    r"""Density matrix of ``wires``: :math:`\rho = \mathrm{Tr}_{rest} |\psi><\psi|`.

    Example:
        >>> reduced(ground(2, torch.complex64, torch.device("cpu")), (0,)).real
        tensor([[1., 0.],
                [0., 0.]])
    """
    chosen, _, _ = _subspace(_wires(state), wires, (), ())
    rows = state.index_select(-1, _index(chosen, state)).unflatten(-1, (-1, 2 ** len(wires)))
    if rows.device.type in ("cpu", "cuda"):  # a long sum in single precision loses digits
        rows = rows.to(torch.complex128)
    return (rows.mT @ rows.conj()).to(state.dtype)


def _wires(state: Tensor) -> int:
    return state.shape[-1].bit_length() - 1


def _index(positions: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(positions, device=like.device)


@functools.lru_cache(maxsize=512)
def _subspace(
    wires: int, targets: Bits, controls: Bits, values: tuple[bool, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions where the controls are on, ``(rest, 2^targets)`` flat; the others; the way back.

    ``back`` undoes the order "chosen, then others".
    """
    places = np.arange(2**wires)
    free = [w for w in range(wires) if w not in targets]
    order = places.reshape((2,) * wires).transpose(*free, *targets).reshape(-1)
    active = _active(wires, controls, values)
    chosen, others = order[active[order]], places[~active]
    back = np.argsort(np.concatenate([chosen, others]))
    return chosen, others, back


@functools.lru_cache(maxsize=512)
def _entries(wires: int, targets: Bits, controls: Bits, values: tuple[bool, ...]) -> np.ndarray:
    """For each basis state the entry of a diagonal on ``targets``, one past it: controls off."""
    places = np.arange(2**wires)
    entry = np.zeros_like(places)
    for target in targets:
        entry = 2 * entry + (places >> (wires - 1 - target) & 1)
    return np.where(_active(wires, controls, values), entry, 2 ** len(targets))


@functools.lru_cache(maxsize=512)
def _flips(wires: int, targets: Bits, letters: str) -> tuple[np.ndarray, np.ndarray]:
    """For each amplitude of P|state>: the position it comes from and the phase it gets."""
    places = np.arange(2**wires)
    source = places.copy()
    phases = np.ones(2**wires, dtype=complex)
    for target, letter in zip(targets, letters, strict=True):
        shift = wires - 1 - target
        bit = places >> shift & 1  # of the amplitude that arrives
        if letter in "XY":
            source ^= 1 << shift
        if letter == "Y":
            phases *= np.where(bit, 1j, -1j)
        elif letter == "Z":
            phases *= 1 - 2 * bit
    return source, phases


def _active(wires: int, controls: Bits, values: Sequence[bool]) -> np.ndarray:
    places = np.arange(2**wires)
    active = np.ones(2**wires, dtype=bool)
    for wire, value in zip(controls, values, strict=True):
        active &= (places >> (wires - 1 - wire) & 1) == int(value)
    return active
