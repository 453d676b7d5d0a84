"""tensorcircuit-ng on JAX: one layer is a `tensorcircuit.Circuit`, `jax.lax.scan` runs over layers.

The ring of CNOTs differs from layer to layer, so the scanned body takes it as a permutation of the
amplitudes, whose derivative is the inverse gather (a scatter is several times slower on CPUs).
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorcircuit
from peers.cases import Case
from peers.jax_step import contestant, prepare, rotation
from peers.protocol import Contestant, serve
from peers.rings import gather, rings, signs


def build(case: Case, precision: str) -> Contestant:
    """The entangling circuit under `jax.jit` and `jax.vmap`."""
    if case.circuit != "entangling":
        raise ValueError(f"the scanned circuit is 'entangling', not {case.circuit!r}")
    prepare(precision)
    began = time.perf_counter()
    tensorcircuit.set_backend("jax")
    tensorcircuit.set_dtype("complex64" if precision == "single" else "complex128")
    wires = case.wires
    orders = rings(case)
    permutations = (jnp.asarray(orders), jnp.asarray(np.argsort(orders, axis=1), jnp.int32))

    def embedded(inputs: Any) -> Any:
        circuit = tensorcircuit.Circuit(wires)
        for wire in range(wires):
            circuit.ry(wire, theta=inputs[wire])
        return circuit.state()

    def layer(state: Any, step: Any) -> tuple[Any, None]:
        weights, order, inverse = step
        circuit = tensorcircuit.Circuit(wires, inputs=state)
        for wire in range(wires):
            circuit.unitary(wire, unitary=rotation(weights[wire]))
        return gather(circuit.state(), order, inverse), None

    def row(inputs: Any, weights: Any) -> Any:
        state, _ = jax.lax.scan(layer, embedded(inputs), (weights, *permutations))
        probabilities = jnp.real(state) ** 2 + jnp.imag(state) ** 2
        return jnp.asarray(signs(wires), inputs.dtype) @ probabilities

    return contestant(jax.vmap(row, (0, None)), case, precision, began)


if __name__ == "__main__":
    serve(build, ("tensorcircuit-ng", "jax"))
