r"""The Fubini–Study metric of a circuit: how fast its state moves with its weights (floor 8).

:math:`g_{ij} = \mathrm{Re}(\langle\partial_i\psi|\partial_j\psi\rangle -
\langle\partial_i\psi|\psi\rangle\langle\psi|\partial_j\psi\rangle)`; four times it is the quantum
Fisher information. J. Stokes, J. Izaac, N. Killoran, G. Carleo, "Quantum Natural Gradient",
Quantum 4, 269 (2020), equations 9–12.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from quantum.circuits.gates import TABLE
from quantum.circuits.program import Measurement, Program
from quantum.engine import answers
from quantum.layer import CircuitLayer
from quantum.plan import Plan
from quantum.shapes import broadcast_shapes
from quantum.simulators import StateVector

__all__ = ["metric_tensor"]

_ENTRIES = 2**24  # of tangent states held together
_NO_ANGLE = (
    "weights enter a matrix, a state or a complex exponent, which has no angle to approximate by: "
    "use approximation=None"
)


def metric_tensor(
    layer: CircuitLayer,
    inputs: Tensor,
    *,
    approximation: Literal["block-diag", "diag"] | None = None,
) -> Float[Tensor, "*batch weights weights"]:
    r"""The Fubini–Study metric of the layer's state with respect to its weights, for each row.

    Weights are flattened in the order of ``layer.parameters()``, so that a natural gradient step
    is ``torch.linalg.solve(metric + damping, gradient)`` with the gradients of the parameters
    flattened and joined in the same order. What is measured plays no part.

    The approximations neglect what parameters of different layers of gates have to do with each
    other ("block-diag", equation 12 of the paper; a layer is a set of gates none of which follows
    another on a wire), or any two parameters of gates ("diag"). They are taken between the
    parameters of gates and then carried to the weights by the chain rule, as PennyLane does.

    Args:
        layer: A circuit on pure states.
        inputs: ``(*batch, in)``; weights with leading dimensions broadcast with ``batch``.
        approximation: None for the full metric.

    Returns:
        Real, symmetric and positive semidefinite, ``(*batch, weights, weights)``; differentiable.

    Raises:
        ValueError: The layer simulates no pure states, has no weights, or an approximation is asked
            for and weights enter otherwise than through angles.

    Example:
        >>> import pennylane as qml
        >>> def circuit(x, weights):
        ...     qml.RX(weights[0], wires=0)
        ...     qml.RY(weights[1], wires=0)
        ...     return qml.expval(qml.Z(0))
        >>> layer = CircuitLayer(circuit, {"weights": 2}, in_features=1, init=torch.nn.init.zeros_)
        >>> metric_tensor(layer, torch.zeros(3, 1))[0]
        tensor([[0.2500, 0.0000],
                [0.0000, 0.2500]], grad_fn=<SelectBackward0>)
    """
    if approximation not in (None, "block-diag", "diag"):
        raise ValueError(
            f"approximation must be None, 'block-diag' or 'diag', got {approximation!r}"
        )
    if not isinstance(layer.simulator, StateVector):
        raise ValueError(
            "metric_tensor needs pure states, but the layer is simulated with "
            f"{layer.simulator!r}: build it with simulator=quantum.StateVector()"
        )
    if layer._fingerprint.changed() is not None:
        layer.retrace()
    program = layer._checked_evaluator(inputs).plan.program
    weights = [layer._checked_weight(name) for name in layer._shapes]
    if not sum(math.prod(shape) for shape in layer._shapes.values()):
        raise ValueError("metric_tensor: the layer has no weights")
    working = torch.float32
    for tensor in (inputs, *weights):
        working = torch.promote_types(working, tensor.dtype)
    if layer.simulator.precision is not None:
        working = torch.float64 if layer.simulator.precision == "double" else torch.float32
    with torch.autocast(inputs.device.type, enabled=False):
        traced = _Traced(program, [a.to(working) for a in (inputs, *weights)])
        metric = _full(traced) if approximation is None else _masked(traced, approximation)
    return metric.expand(*traced.lead, *metric.shape[-2:])


class _Traced:
    """States and slots of a program as functions of small changes of its weights."""

    def __init__(self, program: Program, arguments: Sequence[Tensor]) -> None:
        everything = Measurement("state", tuple(range(program.wires)))
        alone = replace(program, measurements=(everything,))
        self.plan = Plan(alone, StateVector(), "backprop")
        self.program = program
        self.arguments = arguments
        self.precision = arguments[0].dtype.to_complex()
        shapes = program.recording.shapes
        leads = [a.shape[: a.dim() - len(s)] for a, s in zip(arguments, shapes, strict=True)]
        self.lead = broadcast_shapes(*leads)
        self.sizes = [math.prod(shape) for shape in shapes[1:]]

    def zeros(self, count: int) -> Tensor:
        """No change, ``(count,)``."""
        return torch.zeros(count, dtype=self.arguments[0].dtype, device=self.arguments[0].device)

    def slots(self, change: Tensor) -> list[Tensor]:
        """The slots, with ``change`` ``(weights,)`` added to every row's weights."""
        shapes = self.program.recording.shapes[1:]
        parts = zip(change.split(self.sizes), shapes, self.arguments[1:], strict=True)
        moved = [weight + part.reshape(shape) for part, shape, weight in parts]
        slots = self.program.recording.replay([self.arguments[0], *moved])
        real = self.precision.to_real()
        return [slot.to(self.precision if slot.is_complex() else real) for slot in slots]

    def state(self, slots: Sequence[Tensor]) -> Tensor:
        """The state ``(*lead, 2^n)`` for these slots."""
        device = self.arguments[0].device
        (state,) = answers(self.plan, slots, self.lead, self.precision, device)
        return state.expand(*self.lead, state.shape[-1])

    def derivative(self, function: Callable[[Tensor], Tensor], count: int) -> Tensor:
        """The derivatives at no change, ``(*shape of the value, count)``, some at a time."""
        entries = 2**self.program.wires * max(1, self.lead.numel())
        chunk = max(1, min(count, _ENTRIES // entries))
        zeros = self.zeros(count)

        def along(direction: Tensor) -> Tensor:
            return torch.as_tensor(torch.func.jvp(function, (zeros,), (direction,))[1])

        directions = torch.eye(count, dtype=zeros.dtype, device=zeros.device)
        return torch.as_tensor(torch.vmap(along, chunk_size=chunk)(directions)).movedim(0, -1)


def _full(traced: _Traced) -> Tensor:
    count = sum(traced.sizes)
    state = traced.state(traced.slots(traced.zeros(count)))
    tangents = traced.derivative(lambda change: traced.state(traced.slots(change)), count)
    return _metric(state, tangents)


def _metric(state: Tensor, tangents: Tensor) -> Tensor:
    """The metric of tangents ``(*batch, 2^n, parameters)`` at a normalised state."""
    along = tangents.mH @ state.unsqueeze(-1)
    return (tangents.mH @ tangents - along @ along.mH).real


def _masked(traced: _Traced, approximation: str) -> Tensor:
    """The metric between the parameters of gates, thinned out, then carried to the weights."""
    layers = _layers(traced.program)
    chosen = list(layers)
    count = sum(traced.sizes)
    still = traced.slots(traced.zeros(count))
    if not chosen:
        return traced.zeros(count * count).reshape(count, count)
    if any(still[slot].is_complex() for slot in chosen):
        raise ValueError(_NO_ANGLE)

    def angles(change: Tensor) -> Tensor:
        slots = traced.slots(change)
        return torch.stack([slots[slot].expand(traced.lead) for slot in chosen], -1)

    def moved(change: Tensor) -> Tensor:
        slots = list(still)
        for place, slot in enumerate(chosen):
            slots[slot] = slots[slot] + change[place]
        return traced.state(slots)

    chain = traced.derivative(angles, count)
    between = _metric(traced.state(still), traced.derivative(moved, len(chosen)))
    places = torch.tensor([layers[slot] for slot in chosen], device=between.device)
    kept = places[:, None] == places
    if approximation == "diag":
        kept = torch.eye(len(chosen), dtype=torch.bool, device=between.device)
    return chain.mT @ (between * kept) @ chain


def _layers(program: Program) -> dict[int, int]:
    """Slot that depends on a weight → the number of its layer of gates.

    A gate goes into the current layer unless it comes after a gate of that layer on some wire. A
    gate of several angles counts as so many gates.
    """
    recording = program.recording
    trained = {slot for slot, argument, _ in recording.gathers if argument > 0}
    trained |= {slot for g in recording.groups if max(g.depends, default=0) > 0 for slot in g.slots}
    layers: dict[int, int] = {}
    reached = [-1] * program.wires  # the last layer that each wire comes after
    current = 0
    for operation in program.operations:
        wires = (operation.wires + operation.controls) or tuple(range(program.wires))
        after = max(reached[wire] for wire in wires)
        angles = operation.gate in TABLE and not any(TABLE[operation.gate].core)
        for slot in operation.slots:
            if slot not in trained:
                continue
            if not angles:
                raise ValueError(_NO_ANGLE)
            current = max(current, after + 1)
            layers[slot] = after = current
        for wire in wires:
            reached[wire] = after
    return layers
