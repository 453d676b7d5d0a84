"""Random circuits against PennyLane's simulators: values and all gradients, both precisions.

    python tests/support/random_circuits.py --count 1000 --seed 0
    python tests/support/random_circuits.py --count 1000 --seed 0 --mixed --gradient backprop
    python tests/support/random_circuits.py --count 1000 --seed 0 --engine torch

Each seed gives one circuit of 1 to 10 wires (1 to 4 with channels): gates and templates under
nested controls, adjoints and powers, matrices, states, Hamiltonians, of at most 500 known
operations. Oracles are default.qubit and default.mixed in double precision; differences are
absolute, at most 1e-10 in complex128 and 1e-5 in complex64. All are given the same numbers, which
single precision holds exactly. Exits with 1 where a circuit differs.
"""

import argparse
import os
import sys
import time
import warnings

import pennylane as qml
import torch
from circuit_draw import INPUTS, WEIGHTS, Draw

from quantum.circuits.wiring import wire_order
from quantum.layer import CircuitLayer
from quantum.simulators import DensityMatrix, StateVector

MOST_GATES = 500
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}


def flat(value):
    """All measurements of one row as one real vector."""
    parts = value if isinstance(value, list | tuple) else [value]
    joined = torch.cat([part.reshape(-1) for part in parts])
    return torch.view_as_real(joined).reshape(-1) if joined.is_complex() else joined


def score(value):
    weights = torch.cos(1 + torch.arange(value.shape[-1], dtype=torch.float64))
    return (value * weights.to(value.dtype)).sum()


def outcome(rows, x, w):
    """The value, and the gradients of a fixed combination of all of it."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    value = rows(x, w)
    gradients = torch.autograd.grad(score(value), (x, w), materialize_grads=True)
    return [value.detach(), *gradients]


def drawn(seed, *, mixed=False, gradient="auto"):
    """The circuit of this seed and its layer: the first of its series that is small enough."""
    for attempt in range(100):
        circuit = Draw(f"{seed}.{attempt}", mixed)
        simulator = DensityMatrix() if mixed else StateVector()
        layer = CircuitLayer(
            circuit, {"w": WEIGHTS}, in_features=INPUTS, simulator=simulator, gradient=gradient
        )
        if layer.resources().gates <= MOST_GATES:
            break
    return circuit, layer


def _oracle(circuit, mixed):
    """The circuit on PennyLane's simulator.

    Where default.qubit knows no decomposition it is given matrices; so is default.mixed always,
    which with torch takes the eigenvalues of diagonal gates in single precision. Where the parts of
    a template leave a wire idle it is told of that wire, which it would leave out of the state.
    """
    how = {"interface": "torch", "diff_method": "backprop"}
    device = qml.device("default.mixed" if mixed else "default.qubit", wires=circuit.labels)
    direct = qml.QNode(circuit.__call__, qml.device("default.qubit"), **how)

    def known(operator):
        channel = isinstance(operator, qml.operation.Channel)
        return channel or operator.has_matrix or operator.name == "StatePrep"

    def plain(x, w):
        with qml.QueuingManager.stop_recording():
            script = qml.tape.make_qscript(circuit.__call__)(x, w)
            (script,), _ = qml.devices.preprocess.decompose(script, stopping_condition=known)
        for operator in script.operations:
            if operator.name == "GlobalPhase" or not operator.has_matrix:
                qml.apply(operator)
            else:
                qml.QubitUnitary(operator.matrix(), wires=operator.wires)
        return [qml.apply(measurement) for measurement in script.measurements]

    by_matrices = qml.QNode(plain, device, **how)

    def oracle(x, w):
        if mixed:
            return by_matrices(x, w)
        script = qml.tape.make_qscript(circuit.__call__)(x, w)
        try:
            (made,), _ = qml.device("default.qubit").preprocess_transforms()((script,))
        except qml.exceptions.DeviceError:
            order = wire_order(script.operations, script.measurements)
            return qml.QNode(plain, qml.device("default.qubit", wires=order), **how)(x, w)
        idle = [wire for wire in script.wires if wire not in made.wires]
        if not idle:
            return direct(x, w)
        order = list(made.wires) + idle
        order = sorted(order) if set(order) == set(range(len(order))) else order
        named = qml.device("default.qubit", wires=order)
        return qml.QNode(circuit.__call__, named, **how)(x, w)

    return oracle


def differences(seed, *, mixed=False, gradient="auto", rows=None):
    """For each precision the largest differences of the value and of the gradients."""
    circuit, layer = drawn(seed, mixed=mixed, gradient=gradient)
    node = _oracle(circuit, mixed)
    generator = torch.Generator().manual_seed(seed)
    rows = rows or (2 if circuit.wires <= 4 else 1)
    x = (torch.rand(rows, INPUTS, generator=generator) + 0.1).double()
    w = (torch.rand(WEIGHTS, generator=generator) * 2 + 0.1).double()

    def ours(x, w):
        answer = torch.func.functional_call(layer, {"w": w}, (x,))
        return torch.stack([flat(row) for row in answer])

    expected = outcome(lambda x, w: torch.stack([flat(node(row, w)) for row in x]), x, w)
    found = {}
    for dtype in TOLERANCES:
        got = outcome(ours, x.to(dtype), w.to(dtype))
        if any(part.dtype != dtype or not part.isfinite().all() for part in got):
            found[dtype] = [float("inf")]
            continue
        pairs = zip(got, expected, strict=True)
        found[dtype] = [(one.double() - other).abs().max().item() for one, other in pairs]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--mixed", action="store_true", help="channels, on density matrices")
    parser.add_argument("--gradient", default="auto")
    parser.add_argument("--engine", default="", help="sets BORROMEAN_ENGINE, as in torch")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    if chosen.engine:
        os.environ["BORROMEAN_ENGINE"] = chosen.engine  # read when the first circuit runs
    how = {"mixed": chosen.mixed, "gradient": chosen.gradient}
    wrong, worst, start = [], dict.fromkeys(TOLERANCES, 0.0), time.perf_counter()
    for seed in range(chosen.seed, chosen.seed + chosen.count):
        try:
            found = differences(seed, **how)
        except Exception as error:
            wrong.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            continue
        for dtype, tolerance in TOLERANCES.items():
            worst[dtype] = max(worst[dtype], *found[dtype])
            if not max(found[dtype]) <= tolerance:
                wrong.append(seed)
                print(f"seed {seed}: {dtype} differs by {found[dtype]}", flush=True)
    shown = ", ".join(f"{dtype} {value:.1e}" for dtype, value in worst.items())
    print(f"{chosen.count} circuits, {len(set(wrong))} wrong, largest difference {shown}, ", end="")
    print(f"{time.perf_counter() - start:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
