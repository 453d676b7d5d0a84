"""A training step in torch: forward, gradients of weights and inputs, loss Σ cotangent · out."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from peers.cases import Case, data
from peers.protocol import Answer, Contestant
from torch import Tensor

__all__ = ["Arguments", "contestant", "training_step"]

Forward = Callable[[Tensor, Tensor], Tensor]


class Arguments:
    """Leaf tensors of a case: inputs and weights that want gradients, and the cotangent.

    Args:
        case: Whose data is taken.
        precision: "single" or "double".
        weights: A layer's own parameter, which is filled and used; None makes a tensor.
        device: Where the tensors are.
    """

    def __init__(
        self, case: Case, precision: str, weights: Tensor | None = None, device: str = "cpu"
    ) -> None:
        numbers = data(case)
        dtype = torch.float32 if precision == "single" else torch.float64

        def leaf(array: Any) -> Tensor:
            return torch.tensor(array, dtype=dtype, device=device)

        self.inputs = leaf(numbers.inputs).requires_grad_()
        self.cotangent = leaf(numbers.cotangent)
        if weights is None:
            self.weights = leaf(numbers.weights).requires_grad_()
        else:
            self.weights = weights
            with torch.no_grad():
                weights.copy_(leaf(numbers.weights))


def training_step(forward: Forward, arguments: Arguments) -> Callable[[], Tensor]:
    """Forward and backward; gradients are left in the ``grad`` of the leaves."""

    def step() -> Tensor:
        arguments.inputs.grad = None
        arguments.weights.grad = None
        out = forward(arguments.inputs, arguments.weights)
        (out * arguments.cotangent).sum().backward()
        return out

    return step


def contestant(
    forward: Forward,
    arguments: Arguments,
    *,
    computes_in: str,
    began: float,
    others: Mapping[str, Forward] | None = None,
) -> Contestant:
    """The contestant of a forward function ``(inputs, weights) → outputs``.

    Args:
        forward: What is timed.
        arguments: What it is given.
        computes_in: The dtype of the amplitudes.
        began: When building began (`time.perf_counter`), for the preparation time.
        others: Further forward functions, timed alike on the same data.
    """

    def answer(out: Tensor) -> Answer:
        tensors = (out.detach(), arguments.weights.grad, arguments.inputs.grad)
        return Answer(*(t.cpu().numpy() for t in tensors if t is not None))

    return Contestant(
        training_step(forward, arguments),
        answer,
        computes_in,
        time.perf_counter() - began,
        {name: training_step(other, arguments) for name, other in (others or {}).items()},
    )
