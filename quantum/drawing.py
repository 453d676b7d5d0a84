"""A circuit as text: drawn, or as OpenQASM, both by PennyLane (floor 8)."""

from typing import Any

import pennylane as qml
import torch
from torch import Tensor

from quantum.circuits.wiring import decomposed_order, order_matters, wire_order
from quantum.layer import CircuitLayer
from quantum.simulators import DensityMatrix

__all__ = ["diagram", "openqasm"]


def diagram(layer: CircuitLayer) -> str:
    """The circuit of ``layer`` drawn as text, wires as rows, with names in place of numbers.

    Args:
        layer: Any circuit whose number of inputs is known.

    Raises:
        ValueError: The number of inputs is not known yet.
        RuntimeError: The layer was unpickled and its function cannot be imported.

    Example:
        >>> def circuit(x, w):
        ...     qml.RX(x[0], wires=0)
        ...     qml.CRY(w[0], wires=[0, 1])
        ...     return qml.expval(qml.Z(1))
        >>> print(diagram(CircuitLayer(circuit, {"w": 1}, in_features=1)))
        0: ──RX─╭●──┤
        1: ─────╰RY─┤  <Z>
    """
    if layer.in_features is None:
        raise ValueError(
            "in_features is not known yet, so the circuit cannot be drawn: give it to CircuitLayer "
            "as in_features=..., or call the layer once first"
        )
    inputs = torch.full((layer.in_features,), max(layer.in_features, 1) ** -0.5)
    script = _script(layer, inputs)
    how = {"decimals": None, "show_matrices": False, "show_all_wires": layer._wires is not None}
    return str(qml.drawer.tape_text(script, wire_order=_order(layer, script), **how))


def openqasm(layer: CircuitLayer, inputs: Tensor) -> str:
    """The circuit for one row of inputs and the present weights, as OpenQASM 2.0.

    Args:
        layer: A circuit of gates that PennyLane's exporter knows or can decompose; observables are
            not part of the language, every wire is measured at the end.
        inputs: One row, ``(in,)``.

    Raises:
        ValueError: Inputs are not one row, or weights have leading dimensions.
        RuntimeError: The layer was unpickled and its function cannot be imported.

    Example:
        >>> def circuit(x):
        ...     qml.RX(x[0], wires=0)
        ...     return qml.expval(qml.Z(0))
        >>> print(openqasm(CircuitLayer(circuit, {}, in_features=1), torch.tensor([0.5])))
        OPENQASM 2.0;
        include "qelib1.inc";
        qreg q[1];
        creg c[1];
        rx(0.5) q[0];
        measure q[0] -> c[0];
    """
    if inputs.dim() != 1 or layer.in_features not in (None, inputs.shape[0]):
        expected = "in" if layer.in_features is None else layer.in_features
        raise ValueError(
            f"openqasm writes the circuit for one row of inputs, ({expected},), got "
            f"{tuple(inputs.shape)}: index one row, as in inputs[0]"
        )
    script = _script(layer, inputs)
    with qml.QueuingManager.stop_recording():
        # State vectors, observables and gradients have no place in the text: only the gates.
        bare = qml.tape.QuantumScript(script.operations, [])
        return str(qml.to_openqasm(bare, wires=_order(layer, script), rotations=False))


def _script(layer: CircuitLayer, inputs: Tensor) -> Any:
    """The circuit's function, called on one row and the layer's weights."""
    function = layer._function.resolve()
    weights = {}
    for name, shape in layer._shapes.items():
        weight = layer._checked_weight(name).detach().double()
        if weight.dim() != len(shape):
            raise ValueError(
                f"the weight {name!r} has shape {tuple(weight.shape)}, but one circuit is written "
                f"out: its weights must have shape {shape}"
            )
        weights[name] = weight
    with torch.no_grad():
        return qml.tape.make_qscript(function)(inputs.detach().double(), **weights)


def _order(layer: CircuitLayer, script: Any) -> Any:
    """The wires in the order in which the layer numbers them."""
    if layer._wires is not None:
        return qml.wires.Wires(layer._wires)
    order = wire_order(script.operations, script.measurements)
    if order_matters(order, script.measurements):
        shapes = {"the inputs": (layer.in_features or 0,), **layer._shapes}
        channels = isinstance(layer.simulator, DensityMatrix)
        found = decomposed_order(layer._function.resolve(), shapes, channels=channels)
        order = order if found is None else found
    return qml.wires.Wires(order)
