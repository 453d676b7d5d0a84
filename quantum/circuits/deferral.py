"""Measurements in mid-circuit → measurements at the end (floor 0 of circuits).

By the principle of deferred measurement an outcome that is used again is kept on a wire of its own,
and what is conditioned on it is controlled by that wire (Nielsen and Chuang, section 4.4).
PennyLane does this; here its circuits are first put into an order that does not depend on the
random names that PennyLane gives to measurements, so that a circuit traced twice is the same twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pennylane as qml
from pennylane.measurements import CountsMP, MeasurementProcess
from pennylane.operation import Operator
from pennylane.ops import Conditional
from pennylane.ops.mid_measure import MeasurementValue, MidMeasure
from pennylane.tape import QuantumScript

__all__ = ["deferred"]


def deferred(
    operations: Sequence[Operator], measured: Sequence[MeasurementProcess]
) -> QuantumScript:
    """The circuit without measurements in mid-circuit; each that is used again takes a new wire.

    Args:
        operations: What the circuit does.
        measured: What it returns.

    Raises:
        ValueError: A state, or wires without a name, are returned beside mid-circuit measurements.

    Example:
        >>> outcome = qml.measure(0)
        >>> tape = deferred([outcome.measurements[0], qml.X(0)], [qml.expval(outcome)])
        >>> tape.operations
        [CNOT(wires=[0, 1]), X(0)]
    """
    found = [operation for operation in operations if isinstance(operation, MidMeasure)]
    if not found:
        return QuantumScript(operations, measured)
    rank = {operation.meas_uid: number for number, operation in enumerate(found)}
    with qml.QueuingManager.stop_recording():
        ordered = [
            Conditional(_sorted(o.meas_val, rank), o.base) if isinstance(o, Conditional) else o
            for o in operations
        ]
        tape = QuantumScript(ordered, [_read(process, rank) for process in measured])
        (made,), _ = qml.defer_measurements(tape)
    return made


def _read(process: MeasurementProcess, rank: Mapping[str, int]) -> MeasurementProcess:
    if not isinstance(process.mv, MeasurementValue):
        return process  # lists of outcomes keep the order in which they were written
    value = _sorted(process.mv, rank)
    if isinstance(process, CountsMP):
        return CountsMP(obs=value, all_outcomes=process.all_outcomes)
    return type(process)(obs=value)


def _sorted(value: MeasurementValue, rank: Mapping[str, int]) -> MeasurementValue:
    """The same value, its measurements in the order in which they are made."""
    given = list(value.measurements)
    order = sorted(range(len(given)), key=lambda number: rank[given[number].meas_uid])
    if not value.has_processing:
        return value

    def processed(*outcomes: Any) -> Any:
        return value.processing_fn(*(outcomes[order.index(k)] for k in range(len(given))))

    return MeasurementValue([given[k] for k in order], processed)
