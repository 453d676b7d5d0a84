r"""One table: name of a gate → its matrix, a function of batched parameters (floor 0 of circuits).

Each entry has one of four forms, so that the cheap cases stay cheap: a full matrix, the diagonal of
a diagonal gate, the image of each basis state under a permutation, or the two coefficients of
:math:`a I + b P` with P a word of Pauli matrices. Parameters carry any
leading dimensions, ``(*lead,)`` for angles, and matrices are ``(*lead, d, d)``. Names and matrices
follow PennyLane; controls are not part of the table, they are added when a gate is applied.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

__all__ = ["TABLE", "Gate", "UnsupportedOperation", "matrix"]

Number = complex | float | int
Builder = Callable[..., Tensor]
_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


class UnsupportedOperation(NotImplementedError):  # noqa: N818
    """A circuit contains something that no engine here can simulate; the message names it.

    Example:
        >>> issubclass(UnsupportedOperation, NotImplementedError)
        True
    """


@dataclass(frozen=True)
class Gate:
    """One row of the table.

    Args:
        form: What ``build`` returns: ``(*lead, d, d)`` matrices, ``(*lead, d)`` diagonals, or
            ``(d,)`` the number of the basis state that each basis state goes to, or ``(*lead, 2)``
            the coefficients of the identity and of the Pauli word in ``setting``.
        build: Called with the parameters, then ``size`` (the number of wires), ``setting`` and
            ``like`` (a real tensor whose dtype and device are used).
        core: The number of dimensions of each parameter without leading ones.
        size: The number of wires, None where it is free.

    Example:
        >>> TABLE["PauliZ"].form
        'diagonal'
    """

    form: Literal["matrix", "diagonal", "permutation", "word"]
    build: Builder
    core: tuple[int, ...] = ()
    size: int | None = None


def matrix(name: str, parameters: Sequence[Tensor], size: int, setting: Any = None) -> Tensor:
    """The matrix ``(*lead, 2^size, 2^size)`` of a gate of the table, whatever its form.

    Args:
        name: A key of `TABLE`.
        parameters: Tensors ``(*lead, *core)``; angles in radians.
        size: The number of wires.
        setting: What else the gate needs (a Pauli word, a dimension).

    Example:
        >>> matrix("PauliX", [], 1)
        tensor([[0.+0.j, 1.+0.j],
                [1.+0.j, 0.+0.j]])
    """
    gate = TABLE[name]
    like = parameters[0].real if parameters else torch.zeros(())
    built = gate.build(*parameters, size=size, setting=setting, like=like)
    if gate.form == "matrix":
        return built
    if gate.form == "diagonal":
        return torch.diag_embed(built)
    if gate.form == "word":
        return _word(built, setting)
    identity = torch.eye(len(built), dtype=_COMPLEX[like.dtype], device=like.device)
    return identity.index_select(0, built).mT.contiguous()


def _phase(angle: Tensor) -> Tensor:
    r""":math:`e^{i\,angle}`."""
    return torch.complex(torch.cos(angle), torch.sin(angle))


def _complex(real: Tensor) -> Tensor:
    return torch.complex(real, torch.zeros_like(real))


def _rows(*rows: Sequence[Tensor]) -> Tensor:
    """Entries ``(*lead,)``, row by row → ``(*lead, d, d)``; their leading dimensions broadcast."""
    entries = torch.broadcast_tensors(*[entry for row in rows for entry in row])
    return torch.stack(entries, -1).unflatten(-1, (len(rows), len(rows)))


def _embed(block: Tensor, positions: Sequence[int], size: int) -> Tensor:
    """``block`` acting on the basis states at ``positions``, the identity on the others."""
    identity = torch.eye(2**size, dtype=block.dtype, device=block.device)
    place = identity[list(positions)]
    return identity - place.mT @ place + place.mT @ block @ place


def _fixed(entries: Sequence[Sequence[Number]]) -> Gate:
    def build(*, like: Tensor, **_: Any) -> Tensor:
        return torch.tensor(entries, dtype=_COMPLEX[like.dtype], device=like.device)

    return Gate("matrix", build, (), int(math.log2(len(entries))))


def _fixed_diagonal(*entries: Number) -> Gate:
    def build(*, like: Tensor, **_: Any) -> Tensor:
        return torch.tensor(entries, dtype=_COMPLEX[like.dtype], device=like.device)

    return Gate("diagonal", build, (), int(math.log2(len(entries))))


def _permutation(*images: int) -> Gate:
    def build(*, like: Tensor, **_: Any) -> Tensor:
        return torch.tensor(images, device=like.device)

    return Gate("permutation", build, (), int(math.log2(len(images))))


def _angles(count: int, size: int | None) -> Callable[[Callable[..., Tensor]], Gate]:
    """A gate of ``count`` angles with the matrix that the decorated function makes of them."""

    def decorate(function: Callable[..., Tensor]) -> Gate:
        return Gate("matrix", lambda *p, **_: function(*p), (0,) * count, size)

    return decorate


def _exponential(size: int, *eigenvalues: float) -> Gate:
    r"""Diagonal :math:`e^{i \lambda_k \theta}`."""

    def build(angle: Tensor, **_: Any) -> Tensor:
        spectrum = torch.tensor(eigenvalues, dtype=angle.dtype, device=angle.device)
        return _phase(angle.unsqueeze(-1) * spectrum)

    return Gate("diagonal", build, (0,), size)


def _multi_rz(angle: Tensor, *, size: int, **_: Any) -> Tensor:
    sign = torch.ones(1, dtype=angle.dtype, device=angle.device)
    for _wire in range(size):
        sign = torch.cat([sign, -sign])
    return _phase(angle.unsqueeze(-1) * (-0.5 * sign))


def _projector_phase(angle: Tensor, *, size: int, setting: int, **_: Any) -> Tensor:
    places = torch.arange(2**size, device=angle.device)
    sign = torch.where(places < setting, 1.0, -1.0).to(angle.dtype)
    return _phase(angle.unsqueeze(-1) * sign)


def _global_phase(angle: Tensor, *, size: int, **_: Any) -> Tensor:
    return _phase(-angle).unsqueeze(-1).expand(*angle.shape, 2**size)


def _word(coefficients: Tensor, letters: str) -> Tensor:
    word = torch.ones(1, 1, dtype=coefficients.dtype, device=coefficients.device)
    for letter in letters:
        name = {"I": "Identity", "X": "PauliX", "Y": "PauliY", "Z": "PauliZ"}[letter]
        word = torch.kron(word, matrix(name, [], 1).to(word))
    identity = torch.eye(len(word), dtype=word.dtype, device=word.device)
    own, other = coefficients[..., None, None].unbind(-3)
    return own * identity + other * word


def _pauli_rotation(angle: Tensor, **_: Any) -> Tensor:
    return torch.stack([_complex(torch.cos(angle / 2)), -1j * torch.sin(angle / 2)], -1)


def _pauli_exponential(exponent: Tensor, **_: Any) -> Tensor:
    exponent = _as_complex(exponent)
    return torch.stack([torch.cosh(exponent), torch.sinh(exponent)], -1)


def _pairs(signs: tuple[float, ...], *parts: Tensor) -> Tensor:
    """Real and imaginary parts, row by row, times ``signs`` → ``(*lead, 2, 2)``.

    Real arithmetic: a product of a real and a complex tensor costs autograd three calls more.
    """
    together = torch.stack(parts, -1) * _signs(signs, parts[0].dtype, parts[0].device)
    return torch.view_as_complex(together.unflatten(-1, (2, 2, 2)))


@functools.lru_cache(maxsize=64)
def _signs(signs: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False), temporarily_clear_interpreter_stack():  # it is kept
        return torch.tensor(signs, dtype=dtype, device=device)


def _rx(angle: Tensor) -> Tensor:
    half = angle / 2
    c, s = torch.cos(half), torch.sin(half)
    return _pairs((1, 0, 0, -1, 0, -1, 1, 0), c, s, c, s, c, s, c, s)


def _ry(angle: Tensor) -> Tensor:
    half = angle / 2
    c, s = torch.cos(half), torch.sin(half)
    return _pairs((1, 0, -1, 0, 1, 0, 1, 0), c, s, s, s, s, c, c, c)


def _rot(phi: Tensor, theta: Tensor, omega: Tensor) -> Tensor:
    phi, theta, omega = torch.broadcast_tensors(phi, theta, omega)
    half, plus, minus = theta / 2, (phi + omega) / 2, (phi - omega) / 2
    c, s = torch.cos(half), torch.sin(half)
    a, b = torch.cos(plus) * c, torch.sin(plus) * c
    d, e = torch.cos(minus) * s, torch.sin(minus) * s
    return _pairs((1, -1, -1, -1, 1, -1, 1, 1), a, b, d, e, d, e, a, b)


def _u3(theta: Tensor, phi: Tensor, delta: Tensor) -> Tensor:
    cosine, sine = _complex(torch.cos(theta / 2)), torch.sin(theta / 2)
    return _rows(
        [cosine, -_phase(delta) * sine], [_phase(phi) * sine, _phase(phi + delta) * cosine]
    )


def _u2(phi: Tensor, delta: Tensor) -> Tensor:
    return _u3(torch.full_like(phi, math.pi / 2), phi, delta)


def _ising_xx(angle: Tensor) -> Tensor:
    return _embed(_rx(angle), (0, 3), 2) @ _embed(_rx(angle), (1, 2), 2)


def _ising_yy(angle: Tensor) -> Tensor:
    return _embed(_rx(-angle), (0, 3), 2) @ _embed(_rx(angle), (1, 2), 2)


def _excitation(size: int, low: int, sign: int) -> Gate:
    """A rotation between two basis states; the others get the phase ``sign`` times half of it."""
    high = 2**size - 1 - low

    @_angles(1, size)
    def gate(angle: Tensor) -> Tensor:
        rotation = _embed(_ry(angle), (low, high), size)
        if not sign:
            return rotation
        outside = torch.ones(2**size, dtype=rotation.dtype, device=rotation.device)
        outside = outside.index_fill(0, torch.tensor([low, high], device=angle.device), 0)
        phase = _phase(sign * angle / 2)[..., None, None]
        return rotation + (phase - 1) * torch.diag(outside)

    return gate


def _fermionic_swap(angle: Tensor) -> Tensor:
    half = _phase(angle / 2)
    block = half[..., None, None] * _rx(angle)
    one, zero = torch.ones_like(half), torch.zeros_like(half)
    corners = _rows([one, zero], [zero, _phase(angle)])
    return _embed(block, (1, 2), 2) @ _embed(corners, (0, 3), 2)


def _phase_swap(angle: Tensor) -> Tensor:
    phase = _phase(angle)
    zero = torch.zeros_like(phase)
    return _embed(_rows([zero, phase], [phase, zero]), (1, 2), 2)


def _as_complex(value: Tensor, **_: Any) -> Tensor:
    return value if value.is_complex() else _complex(value)


_H = 1 / math.sqrt(2)
_A, _B = (1 + 1j) / 2, (1 - 1j) / 2

TABLE: dict[str, Gate] = {
    "Identity": _fixed_diagonal(1, 1),
    "PauliX": _permutation(1, 0),
    "PauliY": _fixed([[0, -1j], [1j, 0]]),
    "PauliZ": _fixed_diagonal(1, -1),
    "Hadamard": _fixed([[_H, _H], [_H, -_H]]),
    "S": _fixed_diagonal(1, 1j),
    "T": _fixed_diagonal(1, complex(_H, _H)),
    "SX": _fixed([[_A, _B], [_B, _A]]),
    "SWAP": _permutation(0, 2, 1, 3),
    "ISWAP": _fixed([[1, 0, 0, 0], [0, 0, 1j, 0], [0, 1j, 0, 0], [0, 0, 0, 1]]),
    "SISWAP": _fixed([[1, 0, 0, 0], [0, _H, _H * 1j, 0], [0, _H * 1j, _H, 0], [0, 0, 0, 1]]),
    "ECR": _fixed(
        [[0, 0, _H, _H * 1j], [0, 0, _H * 1j, _H], [_H, -_H * 1j, 0, 0], [-_H * 1j, _H, 0, 0]]
    ),
    "QubitSum": _permutation(0, 1, 3, 2, 5, 4, 6, 7),
    "QubitCarry": _permutation(*(0, 1, 2, 3, 6, 7, 5, 4, 8, 9, 11, 10, 15, 14, 13, 12)),
    "RX": _angles(1, 1)(_rx),
    "RY": _angles(1, 1)(_ry),
    "RZ": _exponential(1, -0.5, 0.5),
    "PhaseShift": _exponential(1, 0.0, 1.0),
    "U1": _exponential(1, 0.0, 1.0),
    "U2": _angles(2, 1)(_u2),
    "U3": _angles(3, 1)(_u3),
    "Rot": _angles(3, 1)(_rot),
    "IsingXX": _angles(1, 2)(_ising_xx),
    "IsingYY": _angles(1, 2)(_ising_yy),
    "IsingZZ": _exponential(2, -0.5, 0.5, 0.5, -0.5),
    "IsingXY": _angles(1, 2)(lambda angle: _embed(_rx(-angle), (1, 2), 2)),
    "CPhaseShift00": _exponential(2, 1.0, 0.0, 0.0, 0.0),
    "CPhaseShift01": _exponential(2, 0.0, 1.0, 0.0, 0.0),
    "CPhaseShift10": _exponential(2, 0.0, 0.0, 1.0, 0.0),
    "PSWAP": _angles(1, 2)(_phase_swap),
    "FermionicSWAP": _angles(1, 2)(_fermionic_swap),
    "SingleExcitation": _excitation(2, 1, 0),
    "SingleExcitationPlus": _excitation(2, 1, 1),
    "SingleExcitationMinus": _excitation(2, 1, -1),
    "DoubleExcitation": _excitation(4, 3, 0),
    "DoubleExcitationPlus": _excitation(4, 3, 1),
    "DoubleExcitationMinus": _excitation(4, 3, -1),
    "MultiRZ": Gate("diagonal", _multi_rz, (0,)),
    "PauliRot": Gate("word", _pauli_rotation, (0,)),
    "PauliExponential": Gate("word", _pauli_exponential, (0,)),
    "PCPhase": Gate("diagonal", _projector_phase, (0,)),
    "GlobalPhase": Gate("diagonal", _global_phase, (0,)),
    "DiagonalQubitUnitary": Gate("diagonal", _as_complex, (1,)),
    "QubitUnitary": Gate("matrix", _as_complex, (2,)),
}
