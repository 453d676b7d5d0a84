"""quimb's circuit as a tensor network, contracted to the state under `jax.jit` and `jax.vmap`."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import quimb.tensor as qtn
from peers.cases import Case, ranges
from peers.jax_step import contestant, prepare, rotation
from peers.protocol import Contestant, serve
from peers.rings import signs


def build(case: Case, precision: str) -> Contestant:
    """The entangling circuit, each three-angle rotation as one tensor."""
    if case.circuit != "entangling":
        raise ValueError(f"quimb's circuit is written for 'entangling', not {case.circuit!r}")
    prepare(precision)
    began = time.perf_counter()
    wires, reach = case.wires, ranges(case)
    kind = jnp.complex64 if precision == "single" else jnp.complex128
    swap = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    cnot = jnp.asarray(swap, kind)
    zeros = jnp.zeros(wires)

    def state(inputs: Any, weights: Any) -> Any:
        circuit = qtn.Circuit(wires, gate_contract=False)
        turns = rotation(jnp.stack([zeros, inputs, zeros], -1))
        gates = rotation(weights)
        for wire in range(wires):
            circuit.apply_gate_raw(turns[wire].astype(kind), [wire])
        for layer, far in enumerate(reach):
            for wire in range(wires):
                circuit.apply_gate_raw(gates[layer, wire].astype(kind), [wire])
            for wire in range(wires):
                circuit.apply_gate_raw(cnot, [wire, (wire + far) % wires])
        order = [f"k{wire}" for wire in range(wires)]
        found = circuit.psi.contract(all, output_inds=order, optimize="greedy")
        return found.data.reshape(-1).astype(kind)

    def row(inputs: Any, weights: Any) -> Any:
        amplitudes = state(inputs, weights)
        return jnp.asarray(signs(wires), inputs.dtype) @ (amplitudes.real**2 + amplitudes.imag**2)

    return contestant(jax.vmap(row, (0, None)), case, precision, began)


if __name__ == "__main__":
    serve(build, ("quimb", "jax"))
