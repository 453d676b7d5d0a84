"""A PennyLane quantum function (or QNode) → an immutable `Program` (floor 3 of circuits).

The function is run on two different sets of example values; both runs must give the same program.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pennylane as qml
import torch
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator
from torch import Tensor

from quantum.circuits.deferral import deferred
from quantum.circuits.program import Program
from quantum.circuits.translation import Translator
from quantum.circuits.wiring import decomposed_order, order_matters, wire_order
from quantum.tracing.recorder import record, refuse
from quantum.tracing.recording import Recording, same

__all__ = ["Source", "capture", "quantum_function", "traced", "weight_names"]

_ALONE = (
    qml.measurements.StateMP,  # DensityMatrixMP is one
    qml.measurements.SampleMP,
    qml.measurements.CountsMP,
)


class Source(NamedTuple):
    """What a quantum function or QNode says.

    Args:
        function: The plain quantum function.
        wires: The wires of the QNode's device, where it names them.
        shots: The shots of the QNode.

    Example:
        >>> Source(print, (0, 1), None).wires
        (0, 1)
    """

    function: Callable[..., Any]
    wires: tuple[Any, ...] | None = None
    shots: int | None = None


def quantum_function(circuit: Any) -> Source:
    """The plain function inside ``circuit``, the wires of its device and its shots.

    Args:
        circuit: A quantum function or a QNode.

    Raises:
        TypeError: It is neither.
        ValueError: It is a QNode with several numbers of shots, or with transforms.

    Example:
        >>> quantum_function(lambda inputs: qml.probs()).wires is None
        True
    """
    if not isinstance(circuit, qml.QNode):
        if not callable(circuit):
            raise TypeError(
                f"circuit must be a quantum function or a QNode, got {type(circuit).__name__}"
            )
        return Source(circuit)
    if circuit.shots.has_partitioned_shots:
        raise ValueError(
            f"the QNode asks for several numbers of shots {list(circuit.shots)}: give one number, "
            "as in shots=1000"
        )
    if len(circuit.compile_pipeline):
        names = [str(t.tape_transform.__name__) for t in circuit.compile_pipeline]
        raise ValueError(
            f"the QNode carries transforms ({', '.join(names)}) that would be ignored: apply them "
            "to the quantum function instead, or remove them"
        )
    wires = circuit.device.wires
    named = None if wires is None else tuple(wires)
    return Source(circuit.func, named, circuit.shots.total_shots)


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
    *,
    channels: bool = False,
) -> Program:
    """Trace ``function`` on example values of these shapes.

    Measurements in mid-circuit are deferred: each that is used again gets a wire of its own, after
    the others.

    Args:
        function: Called with the first tensor by position and the others by name.
        shapes: Name → shape without leading dimensions; the inputs come first.
        wires: The wires in order, None: as PennyLane's default.qubit orders them.
        channels: Whether what will run the program can simulate noise.

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
    first, unsure = _once(function, shapes, wires, channels, 0)
    if unsure and wires is None:
        wires = decomposed_order(function, shapes, channels=channels)
        first, _ = _once(function, shapes, wires, channels, 0)
    second, _ = _once(function, shapes, wires, channels, 1)
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
    channels: bool,
    seed: int,
) -> tuple[Program, bool]:
    """The program, and whether what it measures hangs on the order of its wires."""
    found: dict[str, Any] = {}
    unsure = False

    def read(operations: Sequence[Operator], measured: Sequence[MeasurementProcess]) -> list[Any]:
        nonlocal unsure
        labels = list(wires) if wires is not None else wire_order(operations, measured)
        unsure = order_matters(labels, measured)
        named = set(qml.tape.QuantumScript(operations, measured).wires)
        tape = deferred(operations, measured)
        labels += [wire for wire in tape.wires if wire not in labels and wire not in named]
        numbers = {label: number for number, label in enumerate(labels)}
        translator = Translator(numbers, channels)
        found["operations"] = translator.circuit(tape.operations)
        found["measurements"] = tuple(translator.measurement(m) for m in tape.measurements)
        found["wires"] = len(labels)
        return translator.values

    return Program(recording=traced(function, shapes, read, seed), **found), unsure


def traced(
    function: Callable[..., Any],
    shapes: Mapping[str, Sequence[int]],
    read: Callable[[Sequence[Operator], Sequence[MeasurementProcess]], Sequence[Any]],
    seed: int = 0,
) -> Recording:
    """Run ``function`` on example values and record how they become what ``read`` returns.

    Args:
        function: Called with the first tensor by position and the others by name.
        shapes: Name → shape without leading dimensions; the inputs come first.
        read: Gets the operations and the returned measurements; returns tensors and numbers.
        seed: Chooses the example values.

    Raises:
        ValueError: Nothing measurable is returned, or a value is looked at.

    Example:
        >>> def circuit(x):
        ...     qml.RX(2 * x[0], wires=0)
        ...     return qml.expval(qml.Z(0))
        >>> angles = traced(circuit, {"x": (1,)}, lambda operations, _: operations[0].data)
        >>> angles.replay([torch.tensor([1.5])])
        [tensor(3., dtype=torch.float64)]
    """

    def parameters(*arguments: Tensor) -> Sequence[Any]:
        inputs, *weights = arguments
        with qml.queuing.AnnotatedQueue() as queue:
            answer = function(inputs, **dict(zip(list(shapes)[1:], weights, strict=True)))
        with qml.QueuingManager.stop_recording():
            tape = qml.tape.QuantumScript.from_queue(queue)
            return read(tape.operations, _measurements(function, answer))

    try:
        return record(parameters, list(shapes.values()), seed=seed, trusted=_trusted)
    except Exception as error:
        sizes = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        error.add_note(
            f"raised while CircuitLayer traced {_name(function)} on one row of example values in "
            f"[0.1, 0.9): {sizes}"
        )
        raise


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
    alone = [m for m in measured if isinstance(m, _ALONE)]
    if alone and len(measured) > 1:
        raise ValueError(
            f"the circuit {_name(function)} returns {type(alone[0]).__name__} beside other "
            "measurements: states, density matrices, samples and counts must be returned alone"
        )
    return measured


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
    skipped = (*wrappers, *libraries, "quantum.tracing.recording", "quantum.tracing.recorder")
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
