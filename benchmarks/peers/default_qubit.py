"""PennyLane's default.qubit with torch backprop, native batch: the QNode itself.

It computes in complex128 whatever the dtype of inputs and weights. Run with a case and a path, it
writes the float64 reference that every contestant is compared with.

    python -m peers.default_qubit '{"circuit": "entangling", ...}' reference.npz
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pennylane as qml
import torch
from peers.cases import Case
from peers.circuits import quantum_function
from peers.protocol import Contestant, serve
from peers.torch_step import Arguments, Forward, contestant
from torch import Tensor

_AT_ONCE = 2**17  # amplitudes held by the reference; its memory is this times the gates


def forward(case: Case) -> Forward:
    """The QNode as a function of inputs and one weight set."""
    device = qml.device("default.qubit", wires=case.wires)
    node = qml.QNode(quantum_function(case), device, interface="torch", diff_method="backprop")

    def values(inputs: Tensor, weights: Tensor) -> Tensor:
        return torch.stack(node(inputs, weights), -1)

    return values


def build(case: Case, precision: str) -> Contestant:
    """The QNode; draws of the weights in a loop."""
    began = time.perf_counter()
    plain = forward(case)

    def drawn(inputs: Tensor, weights: Tensor) -> Tensor:
        return torch.stack([plain(inputs, one) for one in weights])

    return contestant(
        drawn if case.draws else plain,
        Arguments(case, precision),
        computes_in="complex128",
        began=began,
    )


def reference(case: Case, path: Path) -> None:
    """Values and gradients in float64, few rows at a time, as ``path`` (.npz)."""
    plain, arguments = forward(case), Arguments(case, "double")
    rows = max(1, _AT_ONCE >> case.wires)
    sets = arguments.weights if case.draws else arguments.weights.unsqueeze(0)
    cotangents = arguments.cotangent if case.draws else arguments.cotangent.unsqueeze(0)
    values = torch.empty_like(cotangents)
    for number, (weights, cotangent) in enumerate(zip(sets, cotangents, strict=True)):
        for some in torch.arange(case.batch).split(rows):
            out = plain(arguments.inputs[some], weights)
            values[number, some] = out.detach()
            (out * cotangent[some]).sum().backward(retain_graph=True)
    found = {
        "values": values if case.draws else values[0],
        "weights": arguments.weights.grad,
        "inputs": arguments.inputs.grad,
    }
    np.savez(path, **{name: t.numpy() for name, t in found.items() if t is not None})


if __name__ == "__main__":
    if len(sys.argv) == 3:
        reference(Case(**json.loads(sys.argv[1])), Path(sys.argv[2]))
    else:
        serve(build, ("pennylane", "torch"))
