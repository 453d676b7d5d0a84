"""Mid-circuit measurements followed outcome by outcome (floor 3 of scripts).

The circuit is cut at its measurements. From each cut the walk continues once for every outcome that
occurs: with shots they are shared out at random between the outcomes, without shots each outcome
carries its probability. A branch is simulated once, however many shots it stands for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.measurements import MeasurementProcess, Shots
from pennylane.operation import Operator
from pennylane.ops import MeasurementValue, MidMeasure
from pennylane.ops.op_math import Conditional
from pennylane.wires import Wires
from torch import Tensor

from quantum.circuits.gates import UnsupportedOperation
from quantum.scripts.readout import arranged, draw, partitioned
from quantum.scripts.script import analytic, read
from quantum.simulators import StateVector
from quantum.states.statevector import probabilities

__all__ = ["branched", "branched_with_shots"]

_LINEAR = (
    qml.measurements.ExpectationMP,
    qml.measurements.VarianceMP,
    qml.measurements.ProbabilityMP,
)


@dataclass(frozen=True, eq=False)
class _Leaf:
    """The end of one branch: its outcomes in order, what it carries, its normalised state."""

    outcomes: tuple[int, ...]
    weight: Any  # a number of shots, or a probability
    state: Tensor


def branched(
    operators: Sequence[Operator],
    measurements: Sequence[MeasurementProcess],
    wires: Wires,
    simulator: StateVector,
) -> list[Tensor]:
    """Exact expectations, variances and probabilities after mid-circuit measurements.

    Args:
        operators: May contain mid-circuit measurements and operators conditioned on them.
        measurements: expval, var and probs, of observables, wires or measured values.
        wires: All wire labels.
        simulator: What simulates the branches.

    Raises:
        UnsupportedOperation: Another kind of measurement is asked for.

    Example:
        >>> with qml.queuing.AnnotatedQueue() as queue:
        ...     _ = qml.H(0)
        ...     outcome = qml.measure(0)
        ...     _ = qml.cond(outcome, qml.X)(1)
        ...     _ = qml.expval(qml.Z(0) @ qml.Z(1))
        >>> tape = qml.tape.QuantumScript.from_queue(queue)
        >>> branched(tape.operations, tape.measurements, tape.wires, StateVector())[0].round()
        tensor(1., dtype=torch.float64)
    """
    wrong = [m for m in measurements if not isinstance(m, _LINEAR)]
    if wrong:
        raise UnsupportedOperation(
            f"{type(wrong[0]).__name__} cannot be followed through the branches of mid-circuit "
            "measurements without shots: use mcm_method='deferred'"
        )
    measured = [operator for operator in operators if isinstance(operator, MidMeasure)]
    labels = _labels(measured)
    asked = [_relabelled(m, dict(zip(measured, labels, strict=True))) for m in measurements]
    firsts: list[Any] = [0.0] * len(asked)
    seconds: list[Any] = [0.0] * len(asked)
    total: Any = 0.0

    def exact(_: Any, chance: Tensor, weight: Any) -> tuple[Any, Any]:
        return weight * (1.0 - chance), weight * chance

    for leaf in _walk(list(operators), {}, None, 1.0, wires, simulator, exact):
        total = total + leaf.weight
        for place, measurement in enumerate(asked):
            mean, square = _moments(measurement, leaf, labels, wires, simulator)
            firsts[place] = firsts[place] + leaf.weight * mean
            seconds[place] = seconds[place] + leaf.weight * square
    if isinstance(total, float):  # no branch is left: nothing has a value
        return [_lost(measurement, wires) for measurement in asked]
    return [
        torch.as_tensor(
            second / total - (first / total) ** 2
            if isinstance(measurement, qml.measurements.VarianceMP)
            else first / total
        )
        for measurement, first, second in zip(asked, firsts, seconds, strict=True)
    ]


def branched_with_shots(
    operators: Sequence[Operator],
    measurements: Sequence[MeasurementProcess],
    wires: Wires,
    shots: Shots,
    simulator: StateVector,
    generator: np.random.Generator,
) -> Any:
    """Results with shots after mid-circuit measurements, in PennyLane's nesting.

    Shots whose outcome is not the one postselected are lost.

    Args:
        operators: May contain mid-circuit measurements and operators conditioned on them.
        measurements: Of observables, wires or measured values.
        wires: All wire labels.
        shots: How many, in which partition.
        simulator: What simulates the branches.
        generator: The source of randomness.

    Example:
        >>> with qml.queuing.AnnotatedQueue() as queue:
        ...     _ = qml.X(0)
        ...     _ = qml.counts(qml.measure(0))
        >>> tape = qml.tape.QuantumScript.from_queue(queue)
        >>> given = (tape.operations, tape.measurements, tape.wires, Shots(5))
        >>> branched_with_shots(*given, StateVector(), np.random.default_rng(0))
        {np.int64(1): np.int64(5)}
    """
    measured = [operator for operator in operators if isinstance(operator, MidMeasure)]
    labels = _labels(measured)
    asked = [_relabelled(m, dict(zip(measured, labels, strict=True))) for m in measurements]
    arrangement = arranged(asked)
    requests = arrangement.requests

    def shared(_: Any, chance: Tensor, weight: int) -> tuple[int, int]:
        ones = int(generator.binomial(weight, min(max(float(chance), 0.0), 1.0)))
        return weight - ones, ones

    total = shots.total_shots or 0
    drawn: list[list[np.ndarray]] = [
        [np.empty((0, len(wires) + len(labels)), dtype=int)] for _ in requests
    ]
    with torch.no_grad():
        for leaf in _walk(list(operators), {}, None, total, wires, simulator, shared):
            start = qml.StatePrep(leaf.state, wires, validate_norm=False)
            outcomes = np.tile(np.array(leaf.outcomes, dtype=int), (leaf.weight, 1))
            for basis, chances in enumerate(read([start], wires, requests, simulator)):
                own = draw(chances.cpu().numpy(), leaf.weight, generator)
                drawn[basis].append(np.concatenate([own, outcomes], axis=-1))
    samples = [np.concatenate(parts) for parts in drawn]
    kept = len(samples[0]) if samples else 0
    order = generator.permutation(total)  # lost shots are those from `kept` on
    every = Wires([*wires, *labels])
    per_bin = []
    for lower, upper in shots.bins():
        rows = order[lower:upper]
        chosen = [s[rows[rows < kept]] for s in samples]
        per_bin.append(arrangement.results(chosen, every))
    return partitioned(shots, per_bin)


def _walk(
    operators: list[Operator],
    outcomes: dict[Operator, int],
    state: Tensor | None,
    weight: Any,
    wires: Wires,
    simulator: StateVector,
    share: Any,
) -> Iterator[_Leaf]:
    """The leaves below ``state``; ``share`` splits a weight between the outcomes 0 and 1."""
    places = [k for k, operator in enumerate(operators) if isinstance(operator, MidMeasure)]
    segment = operators[: places[0]] if places else operators
    start = [] if state is None else [qml.StatePrep(state, wires, validate_norm=False)]
    applied = [o for operator in segment for o in _resolved(operator, outcomes)]
    (state,) = read([*start, *applied], wires, [qml.state()], simulator)
    if not places:
        yield _Leaf(tuple(outcomes.values()), weight, state)
        return
    measurement: Any = operators[places[0]]
    place = wires.index(measurement.wires[0])
    halves = state.unflatten(-1, (2**place, 2, -1))
    chances = probabilities(halves).sum((-1, -3))
    for outcome, part in enumerate(share(measurement, chances[1] / chances.sum(), weight)):
        unwanted = measurement.postselect is not None and measurement.postselect != outcome
        if unwanted or float(torch.as_tensor(part).detach()) <= 0.0:
            continue
        half = halves[..., outcome, :] / torch.sqrt(chances[outcome])
        both = [torch.zeros_like(half), torch.zeros_like(half)]
        both[0 if measurement.reset else outcome] = half
        following = torch.stack(both, -2).flatten()
        known = {**outcomes, measurement: outcome}
        rest = operators[places[0] + 1 :]
        yield from _walk(rest, known, following, part, wires, simulator, share)


def _resolved(operator: Operator, outcomes: dict[Operator, int]) -> list[Operator]:
    """An operator as it is applied once the outcomes before it are known."""
    if not isinstance(operator, Conditional):
        return [operator]
    return [operator.base] if operator.meas_val.concretize(outcomes) else []


def _labels(measured: Sequence[Operator]) -> list[str]:
    """A wire label for each outcome, as if outcomes were stored on wires of their own."""
    return [f"outcome {number} of a mid-circuit measurement" for number in range(len(measured))]


def _relabelled(measurement: MeasurementProcess, labels: dict[Operator, str]) -> Any:
    """A measurement of outcomes as one of the wires that store them."""
    if measurement.mv is None:
        return measurement

    def moved(value: MeasurementValue) -> MeasurementValue:
        stored: list[Any] = [qml.map_wires(m, {m.wires[0]: labels[m]}) for m in value.measurements]
        return MeasurementValue(stored, value.processing_fn if value.has_processing else None)

    several = isinstance(measurement.mv, list | tuple)
    values = [moved(v) for v in measurement.mv] if several else moved(measurement.mv)
    options = {}
    if isinstance(measurement, qml.measurements.CountsMP):
        options["all_outcomes"] = measurement.all_outcomes
    return type(measurement)(obs=values, **options)


def _lost(measurement: MeasurementProcess, wires: Wires) -> Tensor:
    of_states = isinstance(measurement, qml.measurements.ProbabilityMP)
    shape = (2 ** len(measurement.wires or wires),) if of_states else ()
    return torch.full(shape, torch.nan, dtype=torch.float64)


def _moments(
    measurement: Any, leaf: _Leaf, labels: Sequence[str], wires: Wires, simulator: StateVector
) -> tuple[Any, Any]:
    """Mean (or probabilities) and mean square of a measurement on one leaf."""
    if measurement.mv is not None:
        bits = [leaf.outcomes[labels.index(label)] for label in measurement.wires]
        place = int("".join(map(str, bits)), 2)
        if isinstance(measurement, qml.measurements.ProbabilityMP):
            hit = torch.zeros(2 ** len(bits), dtype=torch.float64)
            hit[place] = 1.0
            return hit, hit
        value = float(np.asarray(measurement.eigvals())[place])
        return value, value**2
    start = [qml.StatePrep(leaf.state, wires, validate_norm=False)]
    if not isinstance(measurement, qml.measurements.VarianceMP):
        (mean,) = analytic(start, [measurement], wires, simulator)
        return mean, mean
    expectation = qml.measurements.ExpectationMP(obs=measurement.obs)
    mean, variance = analytic(start, [expectation, measurement], wires, simulator)
    return mean, variance + mean**2
