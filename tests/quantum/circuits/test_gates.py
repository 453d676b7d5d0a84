"""The gate table: unitary, the conjugate transpose undoes it, equal to PennyLane's matrices."""

import numpy as np
import pennylane as qml
import pytest
import torch

from quantum.circuits.gates import TABLE, matrix

SETTINGS = {"PauliRot": "XZY", "PauliExponential": "YIX", "PCPhase": 5}


def drawn(name, lead=(), dtype=torch.float64):
    """Random parameters of a gate, and its number of wires."""
    gate = TABLE[name]
    size = gate.size or 3
    generator = torch.Generator().manual_seed(0)
    angles = [torch.rand(lead, generator=generator, dtype=dtype) * 6 for _ in gate.core]
    if name == "DiagonalQubitUnitary":
        angles = [torch.exp(1j * torch.rand(*lead, 2**size, generator=generator, dtype=dtype))]
    if name == "QubitUnitary":
        complex_dtype = torch.complex128 if dtype == torch.float64 else torch.complex64
        angles = [torch.rand(*lead, 8, 8, generator=generator, dtype=complex_dtype)]
        angles = [torch.linalg.qr(angles[0]).Q]
    if name == "PauliExponential":
        angles = [1j * angles[0]]
    return angles, size


@pytest.mark.parametrize("name", TABLE)
def test_every_gate_is_unitary_for_any_leading_dimensions(name):
    angles, size = drawn(name, (2, 3))
    gate = matrix(name, angles, size, SETTINGS.get(name))
    assert gate.shape == (*((2, 3) if angles else ()), 2**size, 2**size)
    identity = torch.eye(2**size, dtype=gate.dtype).expand_as(gate)
    torch.testing.assert_close(gate @ gate.mH, identity, atol=1e-6 if not angles else 1e-12, rtol=0)


@pytest.mark.parametrize("name", TABLE)
def test_leading_dimensions_are_independent(name):
    angles, size = drawn(name, (2,))
    if angles:
        together = matrix(name, angles, size, SETTINGS.get(name))
        alone = [matrix(name, [a[k] for a in angles], size, SETTINGS.get(name)) for k in range(2)]
        torch.testing.assert_close(together, torch.stack(alone), atol=1e-14, rtol=0)


@pytest.mark.parametrize("name", [name for name in TABLE if name != "PauliExponential"])
def test_matrices_are_pennylane_s(name):
    angles, size = drawn(name)
    wires = list(range(size))
    values = [a.numpy() if a.dim() else a.item() for a in angles]
    if name == "PauliRot":
        reference = qml.PauliRot(*values, "XZY", wires=wires)
    elif name == "PCPhase":
        reference = qml.PCPhase(*values, 5, wires=wires)
    else:
        reference = getattr(qml, name)(*values, wires=wires)
    ours = matrix(name, angles, size, SETTINGS.get(name))
    tolerance = 1e-12 if angles else 1e-7  # gates without parameters come in single precision here
    np.testing.assert_allclose(
        ours.numpy(), qml.matrix(reference, wire_order=wires), atol=tolerance
    )


def test_the_exponential_of_a_word():
    word = qml.matrix(qml.Y(0) @ qml.X(2), wire_order=[0, 1, 2])
    exponent = torch.tensor(0.3 - 0.7j, dtype=torch.complex128)
    ours = matrix("PauliExponential", [exponent], 3, "YIX")
    expected = torch.linalg.matrix_exp(exponent * torch.as_tensor(word))
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", [name for name in TABLE if set(TABLE[name].core) == {0}])
def test_gates_are_differentiable_twice(name):
    angles, size = drawn(name)
    setting = SETTINGS.get(name)
    parts = [a.imag if a.is_complex() else a for a in angles]

    def real(*parameters):
        if name == "PauliExponential":
            parameters = [1j * p for p in parameters]
        return torch.view_as_real(matrix(name, parameters, size, setting))[0]

    inputs = tuple(part.detach().clone().requires_grad_() for part in parts)
    assert torch.autograd.gradcheck(real, inputs)
    if size == 1:
        assert torch.autograd.gradgradcheck(real, inputs)


@pytest.mark.parametrize("name", TABLE)
def test_single_precision_stays_single(name):
    angles, size = drawn(name, dtype=torch.float32)
    assert matrix(name, angles, size, SETTINGS.get(name)).dtype == torch.complex64
