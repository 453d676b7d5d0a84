"""PennyLane's default.qubit with the jax interface: the QNode, native batch, `jax.jit`."""

import time
from typing import Any

import jax.numpy as jnp
import pennylane as qml
from peers.cases import Case
from peers.circuits import quantum_function
from peers.jax_step import contestant, prepare
from peers.protocol import Contestant, serve


def build(case: Case, precision: str) -> Contestant:
    """The compiled step; draws of the weights under `jax.vmap`."""
    prepare(precision)
    began = time.perf_counter()
    device = qml.device("default.qubit", wires=case.wires)
    node = qml.QNode(quantum_function(case), device, interface="jax", diff_method="backprop")

    def forward(inputs: Any, weights: Any) -> Any:
        return jnp.stack(node(inputs, weights), -1)

    return contestant(forward, case, precision, began)


if __name__ == "__main__":
    serve(build, ("pennylane", "jax"))
