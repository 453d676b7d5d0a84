r"""One table: name of a channel → its superoperator as a function (floor 1 of circuits).

A channel :math:`\rho \mapsto \sum_k K_k \rho K_k^\dagger` on k wires is a matrix
:math:`S = \sum_k K_k \otimes \overline{K_k}` on the row-major vector of :math:`\rho`, so on twice
the wires: first the k wires of the rows (kets), then the k of the columns (bras). Closed forms
instead of Kraus matrices: no square roots of probabilities, so gradients are finite at 0.
Names and parameters are PennyLane's; parameters are ``(*lead,)``, Kraus matrices
``(*lead, count, d, d)``, superoperators ``(*lead, d^2, d^2)``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quantum.circuits.gates import matrix

__all__ = ["CHANNELS", "superoperator"]

Builder = Callable[..., Tensor]


def superoperator(name: str, parameters: list[Tensor], setting: Any = None) -> Tensor:
    r"""The superoperator ``(*lead, d^2, d^2)`` of a channel of the table, complex.

    Args:
        name: A key of `CHANNELS`.
        parameters: Its parameters, each ``(*lead, *core)``.
        setting: The word of Pauli matrices of a PauliError.

    Example:
        >>> superoperator("PhaseFlip", [torch.tensor(0.5)]).diagonal().real
        tensor([1., 0., 0., 1.])
    """
    built = CHANNELS[name](*parameters, setting=setting)
    return built if built.is_complex() else torch.complex(built, torch.zeros_like(built))


def _relaxation(up: Tensor, down: Tensor, coherence: Tensor) -> Tensor:
    """Populations go 0 → 1 and 1 → 0 with these probabilities, coherences shrink by a factor."""
    zero = torch.zeros_like(up)
    rows = [
        [1 - up, zero, zero, down],
        [zero, coherence, zero, zero],
        [zero, zero, coherence, zero],
        [up, zero, zero, 1 - down],
    ]
    entries = torch.broadcast_tensors(*[entry for row in rows for entry in row])
    return torch.stack(entries, -1).unflatten(-1, (4, 4))


def _amplitude_damping(gamma: Tensor, **_: Any) -> Tensor:
    return _relaxation(torch.zeros_like(gamma), gamma, torch.sqrt(1 - gamma))


def _generalized_damping(gamma: Tensor, p: Tensor, **_: Any) -> Tensor:
    return _relaxation(p * gamma, (1 - p) * gamma, torch.sqrt(1 - gamma))


def _phase_damping(gamma: Tensor, **_: Any) -> Tensor:
    zero = torch.zeros_like(gamma)
    return _relaxation(zero, zero, torch.sqrt(1 - gamma))


def _phase_flip(p: Tensor, **_: Any) -> Tensor:
    zero = torch.zeros_like(p)
    return _relaxation(zero, zero, 1 - 2 * p)


def _depolarizing(p: Tensor, **_: Any) -> Tensor:
    return _relaxation(2 * p / 3, 2 * p / 3, 1 - 4 * p / 3)


def _bit_flip(p: Tensor, **_: Any) -> Tensor:
    return _pauli_error(p, setting="X")


def _reset(p_0: Tensor, p_1: Tensor, **_: Any) -> Tensor:
    return _relaxation(p_1, p_0, 1 - p_0 - p_1)


def _thermal(excited: Tensor, t1: Tensor, t2: Tensor, time: Tensor, **_: Any) -> Tensor:
    reset = 1 - torch.exp(-time / t1)
    return _relaxation(excited * reset, (1 - excited) * reset, torch.exp(-time / t2))


def _pauli_error(p: Tensor, *, setting: str, **_: Any) -> Tensor:
    word = torch.ones(1, 1, dtype=torch.complex128)
    for letter in setting:
        name = {"I": "Identity", "X": "PauliX", "Y": "PauliY", "Z": "PauliZ"}[letter]
        word = torch.kron(word, matrix(name, [], 1).to(word))
    # A word of Pauli matrices times its conjugate is real.
    flip = torch.kron(word, word.conj()).real.to(dtype=p.dtype, device=p.device)
    identity = torch.eye(len(flip), dtype=p.dtype, device=p.device)
    return identity + p[..., None, None] * (flip - identity)


def _kraus(matrices: Tensor, **_: Any) -> Tensor:
    made = torch.einsum("...kij,...kmn->...imjn", matrices, matrices.conj())
    return made.flatten(-4, -3).flatten(-2, -1)


CHANNELS: dict[str, Builder] = {
    "AmplitudeDamping": _amplitude_damping,
    "BitFlip": _bit_flip,
    "DepolarizingChannel": _depolarizing,
    "GeneralizedAmplitudeDamping": _generalized_damping,
    "PauliError": _pauli_error,
    "PhaseDamping": _phase_damping,
    "PhaseFlip": _phase_flip,
    "QubitChannel": _kraus,
    "ResetError": _reset,
    "ThermalRelaxationError": _thermal,
}
