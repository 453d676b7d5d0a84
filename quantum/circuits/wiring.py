"""The order of the wires of a circuit whose device names none (floor 1 of circuits)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pennylane as qml
import torch
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator

__all__ = ["decomposed_order", "order_matters", "wire_order"]


def wire_order(operations: Sequence[Operator], measured: Sequence[MeasurementProcess]) -> list[Any]:
    """Wire labels in PennyLane's order: 0, 1, 2, … if they are these, else as they appear.

    Example:
        >>> wire_order([qml.CNOT([1, 0])], [qml.probs(wires=2)])
        [0, 1, 2]
    """
    acted = list(dict.fromkeys(w for op in operations for w in op.wires))
    read = [w for w in dict.fromkeys(w for m in measured for w in m.wires) if w not in acted]
    if set(acted) == set(range(len(acted))):
        later = range(len(acted), len(acted) + len(read))
        if set(read) == set(later):
            return list(range(len(acted) + len(read)))
    return acted + read


def order_matters(order: Sequence[Any], measured: Sequence[MeasurementProcess]) -> bool:
    """Whether a measurement reads all wires, in an order that their labels do not say.

    Example:
        >>> order_matters(["a", "b"], [qml.probs()]), order_matters([0, 1], [qml.state()])
        (True, False)
    """
    whole = any(m.obs is None and m.mv is None and not m.wires for m in measured)
    return whole and list(order) != list(range(len(order)))


def decomposed_order(
    function: Callable[..., Any], shapes: Mapping[str, Sequence[int]], *, channels: bool = False
) -> list[Any] | None:
    """The order of the wires after PennyLane's own simulator has decomposed the circuit.

    Wires are numbered as they appear in the gates that a simulator runs, so that the parts of a
    template count, not the template: the last wire of the adjoint of an embedding comes first.

    Args:
        function: Called with the first tensor by position and the others by name.
        shapes: Name → shape without leading dimensions; the inputs come first.
        channels: Whether default.mixed is asked, not default.qubit.

    Returns:
        The labels; None where that simulator cannot run the circuit.

    Example:
        >>> def circuit(x):
        ...     qml.adjoint(qml.AngleEmbedding)(x, wires=["a", "b"])
        ...     return qml.probs()
        >>> decomposed_order(circuit, {"x": (2,)})
        ['b', 'a']
    """
    device = qml.device("default.mixed" if channels else "default.qubit")
    generator = torch.Generator().manual_seed(0)
    first, *rest = (
        torch.rand(*shape, generator=generator, dtype=torch.float64) * 0.8 + 0.1
        for shape in shapes.values()
    )
    try:
        with qml.QueuingManager.stop_recording(), torch.no_grad():
            weights = dict(zip(list(shapes)[1:], rest, strict=True))
            script = qml.tape.make_qscript(function)(first, **weights)
            # Of the gates alone: samples and counts would need shots here.
            gates = qml.tape.QuantumScript(script.operations, [qml.probs()])
            (made, *_), _ = device.preprocess_transforms()((gates,))
    except Exception:  # what that simulator lacks; faults of the function are told by its trace
        return None
    order = wire_order(made.operations, script.measurements)
    kept = [wire for wire in order if wire in script.wires]  # not the decomposition's work wires
    return kept + [wire for wire in script.wires if wire not in kept]
