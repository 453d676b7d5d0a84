"""Ours: `quantum.CircuitLayer`, and beside it an empty autograd function in the same process.

The engine is the one that the layer chooses; the variable BORROMEAN_ENGINE forces another.
"""

import time
from typing import Any

import torch
from peers.cases import Case
from peers.circuits import quantum_function
from peers.protocol import Contestant, serve
from peers.torch_step import Arguments, contestant
from torch import Tensor

import quantum


class _Empty(torch.autograd.Function):
    """Takes what the layer takes, returns what it returns, computes nothing."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weights: Tensor) -> Tensor:
        ctx.shapes = inputs.shape, weights.shape
        return torch.empty_like(inputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, Tensor]:
        inputs, weights = ctx.shapes
        return cotangents[0].new_empty(inputs), cotangents[0].new_empty(weights)


def circuit_layer(case: Case, precision: str) -> quantum.CircuitLayer:
    """The layer of a case."""
    return quantum.CircuitLayer(
        quantum_function(case),
        {"weights": case.weight_shape},
        in_features=case.wires,
        dtype=torch.float32 if precision == "single" else torch.float64,
    )


def build(case: Case, precision: str) -> Contestant:
    """The layer with its own weights, or given draws of them as `torch.func` gives them."""
    began = time.perf_counter()
    layer = circuit_layer(case, precision)

    def plain(inputs: Tensor, _weights: Tensor) -> Tensor:
        return layer(inputs)

    def drawn(inputs: Tensor, weights: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weights": weights.unsqueeze(1)}, (inputs,))

    def empty(inputs: Tensor, weights: Tensor) -> Tensor:
        return _Empty.apply(inputs, weights)

    return contestant(
        drawn if case.draws else plain,
        Arguments(case, precision, None if case.draws else layer.weights),
        computes_in="complex64" if precision == "single" else "complex128",
        began=began,
        others={} if case.draws else {"empty": empty},
    )


if __name__ == "__main__":
    serve(build, ("borromean", "torch", "pennylane"))
