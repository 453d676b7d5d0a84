"""A PennyLane quantum function (or QNode) → an immutable `Program` (floor 4).

This file and `quantum.translation` are the only ones that know PennyLane. The function is run on
two different sets of example values; both runs must give the same program.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pennylane as qml
import torch
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator
from torch import Tensor

from quantum.program import Program
from quantum.recording import same
from quantum.tracing import record, refuse
from quantum.translation import Translator

__all__ = ["capture", "quantum_function", "weight_names"]


def quantum_function(circuit: Any) -> tuple[Callable[..., Any], tuple[Any, ...] | None]:
    """The plain function inside ``circuit`` and the wires of its device, where it names them.

    Args:
        circuit: A quantum function or a QNode.

    Raises:
        TypeError: It is neither.
        ValueError: It is a QNode with shots or transforms.

    Example:
        >>> quantum_function(lambda inputs: qml.probs())[1] is None
        True
    """
    if not isinstance(circuit, qml.QNode):
        if not callable(circuit):
            raise TypeError(
                f"circuit must be a quantum function or a QNode, got {type(circuit).__name__}"
            )
        return circuit, None
    if circuit.shots.total_shots is not None:
        raise ValueError(
            f"the QNode asks for shots={circuit.shots.total_shots}, but CircuitLayer computes "
            "exact expectations: leave shots out"
        )
    if len(circuit.compile_pipeline):
        names = [str(t.tape_transform.__name__) for t in circuit.compile_pipeline]
        raise ValueError(
            f"the QNode carries transforms ({', '.join(names)}) that would be ignored: apply them "
            "to the quantum function instead, or remove them"
        )
    wires = circuit.device.wires
    return circuit.func, None if wires is None else tuple(wires)


def weight_names(function: Callable[..., Any]) -> tuple[tuple[str, ...], frozenset[str], bool]:
    """The names after the first argument of ``function``, those with a default, and ``**`` or not.

    Raises:
        ValueError: The function takes no argument, or cannot be called by name.

    Example:
        >>> weight_names(lambda inputs, weights, turn=0.1: None)
        (('weights', 'turn'), frozenset({'turn'}), False)
    """
    parameters = list(inspect.signature(function).parameters.values())
    kinds = inspect.Parameter
    if not parameters or parameters[0].kind in (kinds.KEYWORD_ONLY, kinds.VAR_KEYWORD):
        raise ValueError(
            f"the circuit {_name(function)} takes no inputs: its first argument must be the "
            "inputs, as in def circuit(inputs, weights)"
        )
    rest = [p for p in parameters[1:] if p.kind is not kinds.VAR_POSITIONAL]
    if any(p.kind is kinds.POSITIONAL_ONLY for p in rest):
        raise ValueError(f"the weights of {_name(function)} must not be positional-only")
    named = [p for p in rest if p.kind is not kinds.VAR_KEYWORD]
    optional = frozenset(p.name for p in named if p.default is not kinds.empty)
    return tuple(p.name for p in named), optional, len(named) < len(rest)


def capture(
    function: Callable[..., Any],
    shapes: Mapping[str, Sequence[int]],
    wires: Sequence[Any] | None = None,
) -> Program:
    """Trace ``function`` on example values of these shapes.

    Args:
        function: Called with the first tensor by position and the others by name.
        shapes: Name → shape without leading dimensions; the inputs come first.
        wires: The wires in order, None: as PennyLane's default.qubit orders them.

    Raises:
        ValueError: Nothing measurable is returned, or the structure depends on values.
        UnsupportedOperation: Something is used that cannot be simulated exactly as a pure state.

    Example:
        >>> def circuit(x):
        ...     qml.RX(x[0], wires="a")
        ...     return qml.probs(wires="a")
        >>> capture(circuit, {"x": (1,)}).operations
        (Operation(gate='RX', wires=(0,), slots=(0,), ...),)
    """
    first, second = (_once(function, shapes, wires, seed) for seed in (0, 1))
    alike = first.wires == second.wires and first.operations == second.operations
    alike = alike and first.measurements == second.measurements
    if not (alike and same(first.recording, second.recording)):
        raise ValueError(
            f"the circuit {_name(function)} is not the same for different values of its arguments: "
            "its structure or its constants depend on values (or on random numbers). It is traced "
            "once, so let only gate parameters depend on inputs and weights"
        )
    return first


def _once(
    function: Callable[..., Any],
    shapes: Mapping[str, Sequence[int]],
    wires: Sequence[Any] | None,
    seed: int,
) -> Program:
    found: dict[str, Any] = {}

    def parameters(*arguments: Tensor) -> list[Any]:
        inputs, *weights = arguments
        with qml.queuing.AnnotatedQueue() as queue:
            answer = function(inputs, **dict(zip(list(shapes)[1:], weights, strict=True)))
        with qml.QueuingManager.stop_recording():
            tape = qml.tape.QuantumScript.from_queue(queue)
            measured = _measurements(function, answer)
            labels = list(wires) if wires is not None else _wire_order(tape.operations, measured)
            translator = Translator({label: number for number, label in enumerate(labels)})
            found["operations"] = translator.circuit(tape.operations)
            found["measurements"] = tuple(translator.measurement(m) for m in measured)
            found["wires"] = len(labels)
        return translator.values

    try:
        recording = record(parameters, list(shapes.values()), seed=seed, trusted=_trusted)
    except Exception as error:
        sizes = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        error.add_note(
            f"raised while CircuitLayer traced {_name(function)} on one row of example values in "
            f"[0.1, 0.9): {sizes}"
        )
        raise
    return Program(recording=recording, **found)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _measurements(function: Callable[..., Any], answer: Any) -> list[MeasurementProcess]:
    """The returned measurements, flat, in the order in which they were returned."""

    def flat(item: Any) -> list[Any]:
        return (
            [m for part in item for m in flat(part)] if isinstance(item, list | tuple) else [item]
        )

    measured = flat(answer)
    wrong = [m for m in measured if not isinstance(m, MeasurementProcess)]
    if wrong or not measured:
        got = f"{type(wrong[0]).__name__}" if wrong else "an empty list"
        raise ValueError(
            f"the circuit {_name(function)} returns nothing measurable ({got}): return "
            "measurements, as in return qml.expval(qml.Z(0)), or a list of them"
        )
    alone = [m for m in measured if isinstance(m, qml.measurements.StateMP)]
    if alone and len(measured) > 1:
        raise ValueError(
            f"the circuit {_name(function)} returns {type(alone[0]).__name__} beside other "
            "measurements: a state or density matrix is complex and must be returned alone"
        )
    return measured


def _wire_order(
    operations: Sequence[Operator], measured: Sequence[MeasurementProcess]
) -> list[Any]:
    """Wire labels in the order of default.qubit: 0, 1, 2, ... if they are, else as they appear."""
    acted = list(dict.fromkeys(w for op in operations for w in op.wires))
    read = [w for w in dict.fromkeys(w for m in measured for w in m.wires) if w not in acted]
    if set(acted) == set(range(len(acted))):
        later = range(len(acted), len(acted) + len(read))
        if set(read) == set(later):
            return list(range(len(acted) + len(read)))
    return acted + read


def _trusted(tensor: Tensor) -> Tensor:
    """What PennyLane's own checks may see of a traced tensor; anyone else is refused.

    PennyLane validates arguments by value. Those branches do not change the circuit (and a second
    trace with other values makes sure of it), so they see the example's value. The norm check of
    state preparation is the exception: it also decides whether to normalise, and must decide as for
    a general value.
    """
    frame = sys._getframe(1)
    # Test runs wrap every function of this package for run-time type checks.
    wrappers = ("jaxtyping", "beartype", "contextlib", "functools")
    libraries = ("torch", "autoray", "numpy", "scipy", "pennylane.math")
    skipped = (*wrappers, *libraries, "quantum.recording", "quantum.tracing")
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(skipped):
            break
        frame = frame.f_back
    choices = ("pennylane.control_flow", "pennylane.ops.op_math.condition")
    if not module.startswith("pennylane.") or module.startswith(choices):
        refuse(tensor)
    if module == "pennylane.ops.qubit.state_preparation" and frame.f_code.co_name == "_preprocess":
        normalize = frame.f_locals.get("normalize", False)
        return torch.zeros_like(tensor) if normalize else torch.ones_like(tensor)
    return tensor.clone()
