"""The PennyLane devices ``borromean.qubit`` and ``borromean.mixed`` (floor 9).

A device here is an adapter: PennyLane's transforms bring a circuit into a form that the engines
read, and what the engines answer is put into PennyLane's shapes. Both devices are one class apart
from the simulator they name.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pennylane as qml
import torch
from pennylane.devices import Device, ExecutionConfig, MCMConfig
from pennylane.devices.default_mixed import DEFAULT_MIXED_GATES
from pennylane.devices.default_qubit import (
    ALL_DQ_GATES_PLUS_MCM,
    accepted_analytic_measurement,
    accepted_sample_measurement,
    stopping_condition,
)
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import (
    decompose,
    device_resolve_dynamic_wires,
    no_sampling,
    validate_device_wires,
    validate_measurements,
)
from pennylane.exceptions import DeviceError
from pennylane.math import Interface
from pennylane.measurements import MeasurementProcess, StateMP
from pennylane.operation import Channel, Operator
from pennylane.ops import MidMeasure
from pennylane.tape import QuantumScript
from pennylane.transforms import broadcast_expand, defer_measurements
from pennylane.transforms.core import CompilePipeline
from pennylane.wires import Wires
from torch import Tensor

from quantum.scripts.branches import branched, branched_with_shots
from quantum.scripts.derivatives import (
    as_array,
    boxed,
    differentiated_by_autograd,
    jacobian,
    nested,
    pull,
    push,
)
from quantum.scripts.readout import sampled
from quantum.scripts.script import analytic
from quantum.simulators import DensityMatrix, StateVector

__all__ = ["BorromeanMixed", "BorromeanQubit"]

_TRACED = (Interface.TORCH, Interface.AUTOGRAD, Interface.NUMPY, Interface.AUTO, None)
Tapes = QuantumScript | Sequence[QuantumScript]
Precision = Literal["single", "double"]


class _Simulator(Device):
    """What both devices have in common: everything but the simulator and what it accepts."""

    def __init__(
        self,
        simulator: StateVector | DensityMatrix,
        wires: Any,
        shots: Any,
        seed: Any,
    ) -> None:
        super().__init__(wires=wires, shots=shots)
        chosen = np.random.randint(10_000_000) if seed == "global" else seed  # noqa: NPY002
        self._simulator = simulator
        self._generator = np.random.default_rng(chosen)

    def supports_derivatives(
        self,
        execution_config: ExecutionConfig | None = None,
        circuit: QuantumScript | None = None,
    ) -> bool:
        """Whether the device differentiates this circuit itself, with this configuration."""
        if execution_config is None:
            return True
        if execution_config.gradient_method not in ("backprop", "adjoint", "best"):
            return False
        products = not self._traces(execution_config)
        mixed = isinstance(self._simulator, DensityMatrix)
        if products and (mixed or execution_config.gradient_method == "backprop"):
            return False
        if circuit is None:
            return True
        is_complex = any(isinstance(m, StateMP) for m in circuit.measurements)
        return not circuit.shots and not (products and is_complex)

    def supports_vjp(
        self,
        execution_config: ExecutionConfig | None = None,
        circuit: QuantumScript | None = None,
    ) -> bool:
        """Whether the device multiplies cotangents with derivatives itself."""
        return self.supports_derivatives(execution_config, circuit)

    def supports_jvp(
        self,
        execution_config: ExecutionConfig | None = None,
        circuit: QuantumScript | None = None,
    ) -> bool:
        """Whether the device multiplies derivatives with tangents itself."""
        return self.supports_derivatives(execution_config, circuit)

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """Fill in what PennyLane left to the device.

        Raises:
            DeviceError: An option or a way of mid-circuit measurement is not known here.
        """
        config = config or ExecutionConfig()
        if config.device_options:
            raise DeviceError(
                f"{self.name} has no options for single executions, got "
                f"{sorted(config.device_options)}: give them when the device is made"
            )
        method = config.gradient_method
        if method == "best":
            method = "backprop" if self._traces(config) else "adjoint"
        given = {
            "use_device_gradient": method in ("backprop", "adjoint"),
            "use_device_jacobian_product": method == "adjoint",
            "grad_on_execution": False,
        }
        given = {key: value for key, value in given.items() if getattr(config, key) is None}
        branching = self._branching(config.mcm_config, circuit)
        return replace(config, gradient_method=method, mcm_config=branching, **given)

    def preprocess_transforms(
        self, execution_config: ExecutionConfig | None = None
    ) -> CompilePipeline:
        """The transforms that make a circuit readable for the engines."""
        config = execution_config or ExecutionConfig()
        pipeline = CompilePipeline()
        deferred = config.mcm_config.mcm_method in ("deferred", None)
        if deferred:
            pipeline.add_transform(defer_measurements, allow_postselect=True)
        pipeline.add_transform(
            decompose,
            stopping_condition=self._accepts,
            device_wires=self.wires,
            target_gates=self._gates(),
            name=self.name,
        )
        pipeline.add_transform(
            device_resolve_dynamic_wires, wires=self.wires, allow_resets=not deferred
        )
        pipeline.add_transform(validate_device_wires, self.wires, name=self.name)
        adjoint = config.gradient_method == "adjoint"
        pipeline.add_transform(
            validate_measurements,
            analytic_measurements=_real_measurement if adjoint else accepted_analytic_measurement,
            sample_measurements=accepted_sample_measurement,
            name=self.name,
        )
        if not deferred:
            pipeline.add_transform(_branches_apart)
        if adjoint and not config.use_device_jacobian_product:
            pipeline.add_transform(broadcast_expand)
        if config.gradient_method in ("adjoint", "backprop"):
            pipeline.add_transform(no_sampling, name=f"{config.gradient_method} + {self.name}")
        return pipeline

    def execute(self, circuits: Tapes, execution_config: ExecutionConfig | None = None) -> Any:
        """The results of circuits, in PennyLane's shapes."""
        config = execution_config or ExecutionConfig()
        return tuple(self._executed(tape, config) for tape in _several(circuits))

    def compute_derivatives(
        self,
        circuits: Tapes,
        execution_config: ExecutionConfig | None = None,  # noqa: ARG002 PennyLane's signature
    ) -> Any:
        """The Jacobian of each circuit with respect to its trainable parameters."""
        return tuple(jacobian(self._exact, tape)[1] for tape in _several(circuits))

    def execute_and_compute_derivatives(
        self,
        circuits: Tapes,
        execution_config: ExecutionConfig | None = None,  # noqa: ARG002
    ) -> Any:
        """Results and Jacobians."""
        return tuple(
            zip(*(jacobian(self._exact, tape) for tape in _several(circuits)), strict=True)
        )

    def compute_vjp(
        self,
        circuits: Tapes,
        cotangents: Any,
        execution_config: ExecutionConfig | None = None,  # noqa: ARG002
    ) -> Any:
        """For each circuit the products of its cotangents with its Jacobian, one a parameter."""
        pairs = zip(_several(circuits), cotangents, strict=True)
        return tuple(pull(self._exact, tape, given)[1] for tape, given in pairs)

    def execute_and_compute_vjp(
        self,
        circuits: Tapes,
        cotangents: Any,
        execution_config: ExecutionConfig | None = None,  # noqa: ARG002
    ) -> Any:
        """Results and products of cotangents with Jacobians."""
        pairs = zip(_several(circuits), cotangents, strict=True)
        return tuple(zip(*(pull(self._exact, tape, given) for tape, given in pairs), strict=True))

    def compute_jvp(
        self,
        circuits: Tapes,
        tangents: Any,
        execution_config: ExecutionConfig | None = None,
    ) -> Any:
        """For each circuit the product of its Jacobian with its tangents, shaped as its result."""
        return self.execute_and_compute_jvp(circuits, tangents, execution_config)[1]

    def execute_and_compute_jvp(
        self,
        circuits: Tapes,
        tangents: Any,
        execution_config: ExecutionConfig | None = None,  # noqa: ARG002
    ) -> Any:
        """Results and products of Jacobians with tangents."""
        pairs = zip(_several(circuits), tangents, strict=True)
        return tuple(zip(*(push(self._exact, tape, given) for tape, given in pairs), strict=True))

    def _accepts(self, operator: Operator) -> bool:
        mixed = isinstance(self._simulator, DensityMatrix)
        noisy = isinstance(operator, Channel) or operator.name == "QubitDensityMatrix"
        return (mixed and noisy) or bool(stopping_condition(operator, allow_mcms=not mixed))

    def _gates(self) -> Any:
        mixed = isinstance(self._simulator, DensityMatrix)
        return DEFAULT_MIXED_GATES if mixed else ALL_DQ_GATES_PLUS_MCM

    def _traces(self, config: ExecutionConfig) -> bool:
        """Whether derivatives flow through the device, in the interface of the parameters."""
        return config.gradient_method != "adjoint" and config.interface in _TRACED

    def _branching(self, given: MCMConfig, circuit: QuantumScript | None) -> MCMConfig:
        """How mid-circuit measurements are simulated."""
        if isinstance(self._simulator, DensityMatrix):
            known = {None: "deferred", "deferred": "deferred"}
        else:
            shots = circuit is not None and bool(circuit.shots)
            known = {None: "one-shot" if shots else "deferred", "device": "tree-traversal"}
            known |= {name: name for name in ("deferred", "one-shot", "tree-traversal")}
        if given.mcm_method not in known:
            raise DeviceError(
                f"{self.name} does not know mcm_method={str(given.mcm_method)!r}: it knows "
                f"{sorted(name for name in known if name)}"
            )
        method = known[given.mcm_method]
        if given.postselect_mode == "fill-shots" and method != "deferred":
            raise DeviceError(
                f"postselect_mode='fill-shots' needs mcm_method='deferred', got {method!r}"
            )
        return replace(given, mcm_method=method)

    def _executed(self, tape: QuantumScript, config: ExecutionConfig) -> Any:
        if tape.shots:
            return self._sampled(tape, config.mcm_config.postselect_mode)
        if boxed(tape):
            return nested(differentiated_by_autograd(self._exact, tape))
        traced = any(isinstance(p, Tensor) for p in tape.get_parameters(trainable_only=False))
        if traced or (config.gradient_method == "backprop" and config.interface == Interface.TORCH):
            return nested(self._exact(tape))
        with torch.no_grad():
            found = nested([as_array(answer) for answer in self._exact(tape)])
        wrapped = config.gradient_method == "backprop" and config.interface == Interface.AUTOGRAD
        return _as_autograd(found) if wrapped else found

    def _exact(self, tape: QuantumScript) -> list[Tensor]:
        """The exact results of a circuit as tensors."""
        wires = self._ordered(tape)
        if isinstance(self._simulator, StateVector) and _has_branches(tape):
            return branched(tape.operations, tape.measurements, wires, self._simulator)
        return analytic(tape.operations, tape.measurements, wires, self._simulator)

    def _sampled(self, tape: QuantumScript, postselect_mode: str | None) -> Any:
        given = (tape.operations, tape.measurements, self._ordered(tape), tape.shots)
        with torch.no_grad():
            if isinstance(self._simulator, StateVector) and _has_branches(tape):
                return branched_with_shots(*given, self._simulator, self._generator)
            fill = postselect_mode == "fill-shots"
            return sampled(*given, self._simulator, self._generator, fill)

    def _ordered(self, tape: QuantumScript) -> Wires:
        """The wires that the circuit uses, in the order in which states are given."""
        used = tape.wires
        if self.wires is not None:
            return Wires([wire for wire in self.wires if wire in used])
        acted = Wires.all_wires([operator.wires for operator in tape.operations])
        plain = set(acted) == set(range(len(acted))) and set(used) == set(range(len(used)))
        return Wires(range(len(used))) if plain else used


@simulator_tracking
@single_tape_support
class BorromeanQubit(_Simulator):
    """PennyLane device that simulates pure states with the engines of this package.

    Args:
        wires: The number of wires, their labels, or None for those of each circuit.
        shots: The default number of shots; None computes exact results.
        seed: A seed as for `numpy.random.default_rng`; "global" draws one from NumPy's global
            generator, as PennyLane's own simulators do.
        precision: "double" (complex128) or "single" (complex64).

    Example:
        >>> @qml.qnode(BorromeanQubit(wires=2))
        ... def circuit(angle):
        ...     qml.RX(angle, wires=0)
        ...     qml.CNOT(wires=[0, 1])
        ...     return qml.expval(qml.Z(1))
        >>> round(float(circuit(np.pi / 3)), 6)
        0.5
    """

    name = "borromean.qubit"

    def __init__(
        self,
        wires: Any = None,
        shots: Any = None,
        seed: Any = "global",
        precision: Precision = "double",
    ) -> None:
        super().__init__(StateVector(precision), wires, shots, seed)


@simulator_tracking
@single_tape_support
class BorromeanMixed(_Simulator):
    """PennyLane device that simulates density matrices and channels.

    Args:
        wires: The number of wires, their labels, or None for those of each circuit.
        shots: The default number of shots; None computes exact results.
        seed: A seed as for `numpy.random.default_rng`; "global" draws one from NumPy's global
            generator, as PennyLane's own simulators do.
        precision: "double" (complex128) or "single" (complex64).

    Example:
        >>> @qml.qnode(BorromeanMixed(wires=1))
        ... def circuit(chance):
        ...     qml.BitFlip(chance, wires=0)
        ...     return qml.expval(qml.Z(0))
        >>> round(float(circuit(0.25)), 6)
        0.5
    """

    name = "borromean.mixed"

    def __init__(
        self,
        wires: Any = None,
        shots: Any = None,
        seed: Any = "global",
        precision: Precision = "double",
    ) -> None:
        super().__init__(DensityMatrix(precision), wires, shots, seed)


def _real_measurement(measurement: MeasurementProcess) -> bool:
    """Whether the adjoint method of these devices serves the measurement."""
    accepted = accepted_analytic_measurement(measurement)
    return bool(accepted) and not isinstance(measurement, StateMP)


@qml.transform
def _branches_apart(tape: QuantumScript) -> Any:
    """Circuits with mid-circuit measurements one row of a batch at a time."""
    return broadcast_expand(tape) if _has_branches(tape) else ((tape,), nested)


def _has_branches(tape: QuantumScript) -> bool:
    return any(isinstance(operator, MidMeasure) for operator in tape.operations)


def _several(circuits: Tapes) -> Sequence[QuantumScript]:
    return [circuits] if isinstance(circuits, QuantumScript) else circuits


def _as_autograd(found: Any) -> Any:
    if isinstance(found, tuple):
        return tuple(_as_autograd(entry) for entry in found)
    return qml.math.asarray(found, like="autograd")
