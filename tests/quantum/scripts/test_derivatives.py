"""Jacobians and their products against each other, for any function of a circuit's parameters."""

import autograd
import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane.tape import QuantumScript

from quantum.scripts.derivatives import differentiated_by_autograd, jacobian, pull, push

TAPE = QuantumScript(
    [qml.RX(0.3, 0), qml.Rot(0.1, np.array([0.4, 0.5]), 0.2, 0)], [qml.expval(qml.Z(0))]
)


def several(tape):
    """A vector, a number, and a number that depends on nothing."""
    first, _, rows, _ = tape.get_parameters(trainable_only=False)
    first, rows = (torch.as_tensor(v, dtype=torch.float64) for v in (first, rows))
    return [first * rows**2, torch.sin(rows).sum() + first, torch.tensor(2.0).double()]


@pytest.fixture
def tape():
    tape = TAPE.copy()
    tape.trainable_params = [0, 2]
    return tape


def test_jacobian(tape):
    results, rows = jacobian(several, tape)
    np.testing.assert_allclose(results[0], [0.048, 0.075])
    np.testing.assert_allclose(rows[0][0], [0.16, 0.25])
    np.testing.assert_allclose(rows[0][1], np.diag([0.24, 0.3]))
    np.testing.assert_allclose(rows[1][1], np.cos([0.4, 0.5]))
    np.testing.assert_array_equal(rows[2][1], [0, 0])


def test_products(tape):
    _, rows = jacobian(several, tape)
    tangents = (0.5, np.array([1.0, -2.0]))
    _, pushed = push(several, tape, tangents)
    cotangents = (np.array([1.0, 3.0]), 0.7, 5.0)
    _, pulled = pull(several, tape, cotangents)
    for found, row in zip(pushed, rows, strict=True):
        np.testing.assert_allclose(found, row[0] * 0.5 + row[1] @ tangents[1], atol=1e-12)
    both = sum(np.sum(p * t) for p, t in zip(pulled, tangents, strict=True))
    np.testing.assert_allclose(
        both, sum(np.sum(c * p) for c, p in zip(cotangents, pushed, strict=True))
    )


def test_no_trainable_parameters(tape):
    tape.trainable_params = []
    _, rows = jacobian(several, tape)
    assert rows == ((), (), ())
    assert pull(several, tape, (np.ones(2), 1.0, 1.0))[1] == ()


def test_real_and_complex_results_together():
    def mixed(tape):
        (x,) = tape.get_parameters()
        return [x * 2.0, torch.stack([torch.exp(1j * x), 1j * x])]

    def parts(x):
        real, turned = differentiated_by_autograd(mixed, QuantumScript([qml.RX(x, 0)]))
        return autograd.numpy.stack([real, *autograd.numpy.imag(turned)])

    np.testing.assert_allclose(autograd.jacobian(parts)(0.3), [2.0, np.cos(0.3), 1.0], atol=1e-12)
