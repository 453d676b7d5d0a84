"""A function of tensors as a function of Autograd's arrays (floor 0 of scripts).

PennyLane's own NumPy differentiates with Autograd. `lift` makes of any PyTorch function an Autograd
primitive; its derivative is again a PyTorch function, lifted, so that every order exists.
"""

import functools
from collections.abc import Callable
from typing import Any

import autograd.extend
import numpy as np
import torch
from torch import Tensor

__all__ = ["lift"]


def lift(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """``function``, which takes and returns tensors, for Autograd's arrays.

    Args:
        function: Differentiable by PyTorch in every argument.

    Example:
        >>> from autograd import grad
        >>> cube = lift(lambda x: (x**3).sum())
        >>> x = np.array([2.0])
        >>> float(cube(x)), grad(cube)(x), grad(lambda x: grad(cube)(x)[0])(x)
        (8.0, array([12.]), array([12.]))
    """

    @autograd.extend.primitive
    def value(*arrays: Any) -> Any:
        with torch.no_grad():
            answer = function(*(torch.as_tensor(np.asarray(array)) for array in arrays))
        return answer.resolve_conj().numpy()[()]

    @functools.cache
    def pullback(number: int) -> Callable[..., Any]:
        return lift(_pull(function, number))

    def product(argnums: Any, _answer: Any, args: Any, _kwargs: Any) -> Callable[..., Any]:
        return lambda cotangent: tuple(pullback(n)(cotangent, *args) for n in argnums)

    autograd.extend.defvjp_argnums(value, product)
    lifted: Callable[..., Any] = value
    return lifted


def _pull(function: Callable[..., Tensor], argument: int) -> Callable[..., Tensor]:
    """The product of a cotangent with the derivative of ``function`` in one argument.

    Autograd's cotangents of complex numbers are the conjugates of PyTorch's.
    """

    def pulled(cotangent: Tensor, *tensors: Tensor) -> Tensor:
        further = torch.is_grad_enabled()  # a derivative of this derivative is wanted
        with torch.enable_grad():
            own = [t if t.requires_grad else t.detach().requires_grad_() for t in tensors]
            answer = function(*own)
            weight = cotangent.conj() if answer.is_complex() else cotangent.real
            (found,) = torch.autograd.grad(
                answer,
                own[argument],
                weight.to(answer).reshape(answer.shape),
                create_graph=further,
                allow_unused=True,
                materialize_grads=True,
            )
        return found.conj()

    return pulled
