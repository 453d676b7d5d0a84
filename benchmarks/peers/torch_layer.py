"""PennyLane's own torch layer, `qml.qnn.TorchLayer`, on default.qubit with backprop.

Draws of the weights: in a loop over the layer, or (``vmap``) under `torch.func.vmap`.
"""

import time

import pennylane as qml
import torch
from peers.cases import Case
from peers.circuits import quantum_function
from peers.protocol import Contestant, serve
from peers.torch_step import Arguments, contestant
from torch import Tensor


def build(case: Case, precision: str) -> Contestant:
    """The layer with its own weights, or called with draws of them."""
    began = time.perf_counter()
    device = qml.device("default.qubit", wires=case.wires)
    node = qml.QNode(quantum_function(case), device, interface="torch", diff_method="backprop")
    layer = qml.qnn.TorchLayer(node, {"weights": case.weight_shape})
    if precision == "double":
        layer = layer.double()

    def plain(inputs: Tensor, _weights: Tensor) -> Tensor:
        return layer(inputs)

    def one(inputs: Tensor, weights: Tensor) -> Tensor:
        layer.qnode_weights["weights"] = weights  # functional_call has no effect on this layer
        return layer(inputs)

    def loop(inputs: Tensor, weights: Tensor) -> Tensor:
        return torch.stack([one(inputs, draw) for draw in weights])

    return contestant(
        loop if case.draws else plain,
        Arguments(case, precision, None if case.draws else layer.weights),
        computes_in="complex128",
        began=began,
        others={"vmap": torch.func.vmap(one, in_dims=(None, 0))} if case.draws else {},
    )


if __name__ == "__main__":
    serve(build, ("pennylane", "torch"))
