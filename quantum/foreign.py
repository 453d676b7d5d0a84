"""Circuits on any PennyLane device: hardware, other simulators (floor 4).

The function is traced as for our own simulators, but into PennyLane's operators and the parameters
in them. A call binds the parameters of its rows and hands all circuits to the device together;
where every operator can hold a batch of parameters, it is one circuit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pennylane as qml
import torch
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator
from pennylane.ops import Conditional, MidMeasure
from pennylane.ops.qubit.attributes import supports_broadcasting
from pennylane.tape import QuantumScript
from torch import Tensor

from quantum.circuits.program import Measurement, Program
from quantum.circuits.reading import traced
from quantum.circuits.translation import Translator
from quantum.circuits.wiring import wire_order
from quantum.shapes import broadcast_shapes
from quantum.tracing.recording import same, widened

__all__ = ["Script", "run", "script"]

_KEPT = {"density_matrix": 2, "state": 1, "probs": 1, "sample": 2}


@dataclass(frozen=True, eq=False)
class Script:
    """A circuit as PennyLane's operators.

    Args:
        tape: The operators, with example values in them.
        program: No operations, but the measurements, and how arguments become parameters.

    Example:
        >>> made = script(lambda x: (qml.RX(x[0], 0), qml.probs(wires=0))[1], {"x": (1,)})
        >>> made.program.out_features
        2
    """

    tape: QuantumScript
    program: Program


def script(
    function: Callable[..., Any],
    shapes: Mapping[str, Sequence[int]],
    wires: Sequence[Any] | None = None,
) -> Script:
    """Trace ``function`` into PennyLane's operators.

    Args:
        function: Called with the first tensor by position and the others by name.
        shapes: Name → shape without leading dimensions; the inputs come first.
        wires: The wires of the device, None: as they appear.

    Raises:
        ValueError: Nothing measurable is returned, or the structure depends on values.

    Example:
        >>> script(lambda x: (qml.RX(x[0], 0), qml.probs(wires=0))[1], {"x": (1,)}).tape.operations
        [RX(..., wires=[0])]
    """
    first, second = (_once(function, shapes, wires, seed) for seed in (0, 1))
    alike = [type(o) for o in first.tape] == [type(o) for o in second.tape]
    alike = alike and [o.wires for o in first.tape] == [o.wires for o in second.tape]
    if not (alike and same(first.program.recording, second.program.recording)):
        raise ValueError(
            "the circuit is not the same for different values of its arguments: its structure or "
            "its constants depend on values (or on random numbers). It is traced once, so let only "
            "gate parameters depend on inputs and weights"
        )
    return first


def _once(
    function: Callable[..., Any],
    shapes: Mapping[str, Sequence[int]],
    wires: Sequence[Any] | None,
    seed: int,
) -> Script:
    found: dict[str, Any] = {}

    def read(operations: Sequence[Operator], measured: Sequence[MeasurementProcess]) -> list[Any]:
        labels = list(wires) if wires is not None else wire_order(operations, measured)
        translator = Translator({label: number for number, label in enumerate(labels)})
        found["measurements"] = tuple(translator.measurement(m) for m in measured)
        found["wires"] = len(labels)
        found["tape"] = QuantumScript(operations, measured)
        return list(found["tape"].get_parameters(trainable_only=False))

    recording = traced(function, shapes, read, seed)
    tape = found.pop("tape")
    values = [
        value.detach().clone() if isinstance(value, Tensor) else value
        for value in tape.get_parameters(trainable_only=False)
    ]
    bound = tape.bind_new_parameters(values, range(len(values)))
    return Script(bound, Program(operations=(), recording=recording, **found))


def run(
    script: Script,
    device: Any,
    gradient: str,
    arguments: Sequence[Tensor],
    shots: int | None = None,
) -> list[Any]:
    """The answers of ``device``, as those of `quantum.engine.run`, on the arguments' device.

    Args:
        script: The circuit.
        device: A PennyLane device.
        gradient: PennyLane's name of the gradient method; "none" for samples and counts.
        arguments: The circuit's arguments, each ``(*lead, *core)``.
        shots: The number of shots, None: exact.

    Example:
        >>> made = script(lambda x: (qml.RX(x[0], 0), qml.probs(wires=0))[1], {"x": (1,)})
        >>> angles = torch.tensor([[0.0], [torch.pi]])
        >>> run(made, qml.device("default.qubit"), "best", [angles])[0].round().abs()
        tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64)
    """
    recording, measurements = script.program.recording, script.program.measurements
    place = arguments[0].device
    slots = recording.replay([argument.cpu() for argument in arguments])
    shapes = zip(arguments, recording.shapes, strict=True)
    lead = broadcast_shapes(*[a.shape[: a.dim() - len(s)] for a, s in shapes])
    fixed = {slot for slot, _ in recording.constants}
    values = {k: widened(slot) for k, slot in enumerate(slots) if k not in fixed}
    if math.prod(lead) == 0:
        return [torch.zeros(*lead, m.width, device=place) for m in measurements]
    tape = script.tape.copy(shots=shots)
    trained = any(value.requires_grad for value in values.values())
    method = _method(tape, device, gradient) if trained else None
    # PennyLane shifts no batches of parameters.
    single = method not in (None, "backprop") or any(m.draws for m in measurements)
    tapes = _tapes(tape, values, lead, single)
    results = qml.execute(tapes, device, diff_method=method, interface="torch")
    per_tape = [[result] if len(measurements) == 1 else result for result in results]
    columns = zip(*per_tape, strict=True)
    return [
        _shaped(measurement, list(column), lead, place)
        for measurement, column in zip(measurements, columns, strict=True)
    ]


def _method(tape: QuantumScript, device: Any, gradient: str) -> str | None:
    """PennyLane's name of the gradient method: backprop, where the choice is left and it can."""
    if gradient == "none":
        return None
    backprop = qml.devices.ExecutionConfig(gradient_method="backprop", interface="torch")
    modern = isinstance(device, qml.devices.Device)
    if gradient == "best" and modern and device.supports_derivatives(backprop, tape):
        return "backprop"
    return gradient


def _tapes(
    tape: QuantumScript,
    values: Mapping[int, Tensor],
    lead: Sequence[int],
    single: bool,
) -> list[QuantumScript]:
    """One tape for all rows where each operator can hold a batch, else one for each row."""
    parameters = tape.get_parameters(trainable_only=False)
    cores = {k: qml.math.ndim(parameters[k]) for k in values}
    rows = math.prod(lead)
    wide = {
        k: value.expand(*lead, *value.shape[value.dim() - cores[k] :]).flatten(0, len(lead) - 1)
        for k, value in values.items()
        if lead and value.dim() > cores[k]
    }
    if not single and _holds_batches(tape, set(wide)):
        together = [wide.get(k, value) for k, value in values.items()]
        return [tape.bind_new_parameters(together, list(values))]
    return [
        tape.bind_new_parameters(
            [wide[k][row] if k in wide else value for k, value in values.items()], list(values)
        )
        for row in range(rows)
    ]


def _holds_batches(tape: QuantumScript, varying: set[int]) -> bool:
    owners = [operator for operator in tape.operations for _ in operator.data]
    if not varying or any(isinstance(o, Conditional | MidMeasure) for o in tape.operations):
        return False
    return all(k < len(owners) and owners[k].name in supports_broadcasting for k in varying)


def _shaped(
    measurement: Measurement, results: list[Any], lead: Sequence[int], place: torch.device
) -> Any:
    """The results of one measurement, of one tape for all rows or one for each, along ``lead``."""
    if measurement.kind == "counts":
        plain = [{_plain(k): int(v) for k, v in result.items()} for result in results]
        return _nested(plain, tuple(lead))
    tensors = [torch.as_tensor(result) for result in results]
    rows, kept = math.prod(lead), _KEPT.get(measurement.kind, 0)
    if measurement.kind == "sample" and measurement.terms:
        kept = 1
    elif measurement.kind == "sample":
        tensors = [tensor.reshape(-1, measurement.width) for tensor in tensors]
    core = tensors[0].shape[tensors[0].dim() - kept :] if kept else (1,)
    joined = torch.stack(tensors) if len(tensors) == rows else tensors[0]
    if joined.numel() != rows * math.prod(core):  # nothing in the circuit varied
        joined = joined.expand(rows, *core)
    return joined.reshape(*lead, *core).to(place)


def _plain(outcome: Any) -> Any:
    return str(outcome) if isinstance(outcome, str) else float(outcome)


def _nested(items: list[Any], lead: tuple[int, ...]) -> Any:
    if not lead:
        return items[0]
    step = len(items) // lead[0]
    return [_nested(items[k * step : (k + 1) * step], lead[1:]) for k in range(lead[0])]
