"""PyTorch functions under Autograd: values and derivatives of every order."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
import torch

from quantum.scripts.bridge import lift

POINT = np.array([0.3, -0.7, 1.1])
FUNCTIONS = {
    "one": (lambda x: torch.sin(x) * x.flip(0), lambda x: anp.sin(x) * x[::-1]),
    "scalar": (lambda x: (x**3).sum().exp(), lambda x: anp.exp(anp.sum(x**3))),
    "complex": (
        lambda x: torch.exp(1j * x) * (2 + 1j) * x,
        lambda x: anp.exp(1j * x) * (2 + 1j) * x,
    ),
}


def real(values):
    return anp.concatenate([anp.ravel(anp.real(values)), anp.ravel(anp.imag(values))])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_orders(name):
    own, other = FUNCTIONS[name]
    first, second = (lambda x: real(lift(own)(x)), lambda x: real(other(x)))
    for _ in range(3):
        np.testing.assert_allclose(first(POINT), second(POINT), atol=1e-12)
        first, second = autograd.jacobian(first), autograd.jacobian(second)


def test_complex_arguments():
    matrix = np.array([[0.3, 1j], [0.5 - 0.2j, 2.0]])
    found = autograd.grad(lambda x: anp.real(anp.sum(lift(lambda t: t @ t)(x) * (1 + 2j))))(matrix)
    expected = autograd.grad(lambda x: anp.real(anp.sum((x @ x) * (1 + 2j))))(matrix)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_several_arguments():
    product = lift(lambda a, b: (a * torch.sin(b)).sum())
    other = np.array([1.0, 2.0, 3.0])
    found = autograd.grad(product, argnum=1)(POINT, other)
    np.testing.assert_allclose(found, POINT * np.cos(other), atol=1e-12)
    mixed = autograd.jacobian(autograd.grad(product, argnum=1), argnum=0)(POINT, other)
    np.testing.assert_allclose(mixed, np.diag(np.cos(other)), atol=1e-12)


def test_an_argument_that_is_not_used():
    lifted = lift(lambda a, b: a.sum())
    np.testing.assert_array_equal(autograd.grad(lifted, argnum=1)(POINT, POINT), np.zeros(3))
