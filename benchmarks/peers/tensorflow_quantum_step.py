"""TensorFlow Quantum: its C++ simulator with the adjoint differentiator, rows in one batched call.

It computes in complex64 only.
"""

import time
from typing import Any

import cirq
import numpy as np
import sympy
import tensorflow as tf
import tensorflow_quantum as tfq
from peers.cases import Case, data, ranges
from peers.protocol import Answer, Contestant, serve


def _circuit(case: Case) -> tuple[cirq.Circuit, list[cirq.Qid], list[str]]:
    """The entangling circuit, its qubits, and its symbols: inputs, then weights in row order."""
    qubits = cirq.GridQubit.rect(1, case.wires)
    inputs = sympy.symbols(f"x0:{case.wires}")
    weights = sympy.symbols(f"w0:{case.layers * case.wires * 3}")
    circuit = cirq.Circuit(cirq.ry(angle)(q) for angle, q in zip(inputs, qubits, strict=True))
    for layer, far in enumerate(ranges(case)):
        for wire, qubit in enumerate(qubits):
            place = 3 * (layer * case.wires + wire)
            phi, theta, omega = weights[place : place + 3]
            circuit += [cirq.rz(phi)(qubit), cirq.ry(theta)(qubit), cirq.rz(omega)(qubit)]
        for wire, qubit in enumerate(qubits):
            circuit += cirq.CNOT(qubit, qubits[(wire + far) % case.wires])
    return circuit, qubits, [str(symbol) for symbol in (*inputs, *weights)]


def build(case: Case, precision: str) -> Contestant:
    """The step as a `tf.function`."""
    if case.circuit != "entangling" or case.draws or precision == "double":
        raise ValueError("written for 'entangling' with one weight set, in single precision")
    began = time.perf_counter()
    circuit, qubits, names = _circuit(case)
    operator = tfq.differentiators.Adjoint().generate_differentiable_op(
        analytic_op=tfq.get_expectation_op()
    )
    circuits = tf.tile(tfq.convert_to_tensor([circuit]), [case.batch])
    observables = tf.tile(tfq.convert_to_tensor([[cirq.Z(q) for q in qubits]]), [case.batch, 1])
    numbers = data(case)
    inputs, weights, cotangent = (
        tf.constant(array.astype(np.float32))
        for array in (numbers.inputs, numbers.weights.reshape(1, -1), numbers.cotangent)
    )

    @tf.function
    def step(inputs: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([inputs, weights])
            values = tf.concat([inputs, tf.tile(weights, [case.batch, 1])], 1)
            out = operator(circuits, tf.constant(names), values, observables)
            loss = tf.reduce_sum(out * cotangent)
        return out, *tape.gradient(loss, [weights, inputs])

    def answer(found: Any) -> Answer:
        out, of_weights, of_inputs = (tensor.numpy() for tensor in found)
        return Answer(out, of_weights.reshape(case.weight_shape), of_inputs)

    return Contestant(
        lambda: step(inputs, weights), answer, "complex64", time.perf_counter() - began
    )


if __name__ == "__main__":
    serve(build, ("tensorflow-quantum", "tensorflow", "cirq-core"))
