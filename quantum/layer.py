"""The circuit as a torch module (floor 7)."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from quantum import foreign
from quantum.circuits.reading import capture, quantum_function
from quantum.circuits.signature import (
    Reference,
    checked_lead,
    checked_shapes,
    checked_shots,
    checked_simulator,
)
from quantum.evaluation import Evaluator
from quantum.kernels.function import Executable
from quantum.kernels.rows import Layout
from quantum.plan import Gradient, checked_gradient, plan
from quantum.resources import Resources, resources
from quantum.simulators import DensityMatrix, Device, Simulator
from quantum.tracing.fingerprint import Fingerprint

__all__ = ["CircuitLayer"]

_compiling = torch.compiler.is_compiling
_transforming = torch._C._are_functorch_transforms_active
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_TRACING = threading.RLock()  # PennyLane's queue is one for the whole process

Initializer = Callable[[Tensor], Any]


class _Known(NamedTuple):
    """How a call of a known signature goes to the kernel."""

    executable: Executable
    order: tuple[int, ...]
    layout: Layout
    automatic: bool
    mixing: Tensor | None


class CircuitLayer(nn.Module):
    r"""A quantum circuit as a layer ``(*batch, in) → (*batch, out)``.

    The function is traced once: its Python code runs on example values, and each call then only
    computes gate parameters and amplitudes. So its structure must be a pure function of shapes and
    of what can be seen from the function: its closure, globals, defaults and attributes. Where one
    of these has changed, the next call traces anew; `retrace` does so for what cannot be seen, such
    as files or random numbers.

    Leading dimensions of inputs and weights broadcast. Weights with leading dimensions come in
    through `torch.func.functional_call`. Several measurements are concatenated on the last axis in
    the order returned; ``state`` ``(*batch, 2^n)`` and ``density_matrix`` ``(*batch, d, d)`` are
    complex and stand alone (of a `DensityMatrix`, ``state`` is ``(*batch, 2^n, 2^n)``). Wires are
    ordered by the QNode's device, else as default.qubit does after decomposing; idle ones count.

    Precision is that of the promoted inputs and weights: float32 is computed in complex64, float64
    in complex128, half and bfloat16 inputs in complex64 and returned as they came. Where a
    parameter turns a wire more than 8 times, which multiplies rounding errors, all are computed in
    complex128 unless the simulator names a precision. Autocast is off inside. A state prepared from
    inputs without ``normalize=True`` is taken as it is.

    Args:
        circuit: A PennyLane quantum function or QNode. Its first argument is the inputs, a tensor
            whose last axis has ``in_features`` entries; the others are weights.
        weight_shapes: Name → shape of each weight.
        in_features: The number of inputs; None reads it from the first call.
        simulator: A `StateVector`, `DensityMatrix` or `Device`; None: a `StateVector`.
        shots: The number of shots from which each measurement is estimated; None computes them
            exactly (or is the QNode's own number).
        gradient: "auto", or one of "adjoint", "backprop", "parameter-shift" and "spsa".
        init: None draws weights uniformly from :math:`[0, 2\pi)`; a function of a tensor fills each
            in place; a mapping gives a function or a value for each name.
        device: Where the weights are made.
        dtype: The weights' dtype.

    Attributes:
        in_features: The size of the last axis of the inputs, None before it is known.
        simulator: What simulates the circuit.
        shots: The number of shots, None: exact.
        gradient: How it is differentiated, as asked for.
        out_features: The size of the last axis of the answer, None before it is known.
        engine: What runs the circuit: "kernel" on the CPU where the compiled kernel runs it,
            "torch" everywhere else, or the name of a PennyLane device.
        broadcasts_parameters: Weights may have leading dimensions: True.
        prior_scales: Weight name → scale of a wide prior for it, in radians.

    Raises:
        ValueError: Weights do not fit the function's signature, nothing measurable is returned, or
            the structure depends on values.
        UnsupportedOperation: The circuit contains what the simulator cannot hold, such as noise in
            a state vector; the message names one that can.

    Example:
        >>> import pennylane as qml
        >>> def circuit(inputs, weights):
        ...     qml.AngleEmbedding(inputs, wires=range(2))
        ...     qml.StronglyEntanglingLayers(weights, wires=range(2))
        ...     return [qml.expval(qml.Z(w)) for w in range(2)]
        >>> layer = CircuitLayer(circuit, {"weights": (1, 2, 3)}, in_features=2)
        >>> layer(torch.zeros(5, 7, 2)).shape
        torch.Size([5, 7, 2])
        >>> weights = torch.zeros(4, 1, 1, 2, 3)
        >>> torch.func.functional_call(layer, {"weights": weights}, (torch.zeros(7, 2),)).shape
        torch.Size([4, 7, 2])
    """

    broadcasts_parameters = True

    def __init__(
        self,
        circuit: Callable[..., Any],
        weight_shapes: Mapping[str, int | Sequence[int]],
        *,
        in_features: int | None = None,
        simulator: Simulator | None = None,
        shots: int | None = None,
        gradient: Gradient = "auto",
        init: Initializer | Mapping[str, Initializer | Tensor] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        source = quantum_function(circuit)
        self._wires = source.wires
        self._function = Reference(source.function)
        self._shapes = checked_shapes(source.function, weight_shapes)
        self._evaluator: Evaluator | None = None
        self._fingerprint = Fingerprint()
        self._seen: dict[Any, _Known] = {}  # by signature: calls that need no further check
        self.simulator = checked_simulator(simulator)
        self.shots = checked_shots(source.shots if shots is None else shots)
        self.gradient = checked_gradient(gradient)
        self.in_features = in_features
        self.prior_scales = dict.fromkeys(self._shapes, math.pi)
        if dtype is not None and dtype not in _FLOATS:
            raise TypeError(f"the weights' dtype must be a floating point type, got {dtype}")
        for name, shape in self._shapes.items():
            if hasattr(self, name):
                raise ValueError(
                    f"a weight cannot be called {name!r}: a torch module has an attribute of that "
                    "name; rename the argument of the circuit"
                )
            values = torch.empty(shape, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(values))
        self._initialize(init)
        if in_features is not None:
            if isinstance(in_features, bool) or not isinstance(in_features, int) or in_features < 0:
                raise ValueError(f"in_features must be a number of inputs, got {in_features!r}")
            self.retrace()

    @property
    def out_features(self) -> int | None:
        """The size of the last axis of the answer; None before it is known, and for counts."""
        if self._evaluator is None:
            return None
        program = self._evaluator.plan.program
        first = program.measurements[0]
        if first.draws and (first.terms or first.kind == "counts"):
            return None if first.kind == "counts" else self.shots
        return program.out_features

    @property
    def engine(self) -> str | None:
        """What runs the circuit; None before the number of inputs is known."""
        if self._evaluator is None:
            return None
        if isinstance(self.simulator, Device):
            return str(self.simulator.device.name)
        return "torch" if self._evaluator.kernel is None else "kernel"

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniformly from [0, 2π), whatever ``init`` was."""
        self._initialize(None)

    def resources(self, rows: int = 1) -> Resources:
        """Wires, gates, depth and bytes of the circuit.

        Args:
            rows: The number of rows that the bytes are for.

        Raises:
            ValueError: The number of inputs is not known yet.
        """
        if self._evaluator is None:
            raise ValueError("in_features is not known yet: give it, or call the layer once first")
        return resources(self._evaluator.plan.program, self.simulator, rows)

    def retrace(self) -> None:
        """Trace the function again, with what its closure and globals hold now.

        Raises:
            ValueError: The number of inputs is not known yet.
            RuntimeError: The layer was unpickled and its function cannot be imported.
        """
        if self.in_features is None:
            raise ValueError("in_features is not known yet: give it, or call the layer once first")
        self._trace(self.in_features)

    def forward(self, inputs: Tensor, *, generator: torch.Generator | None = None) -> Any:
        """The measurements for each row of ``inputs``, ``(*batch, in) → (*batch, out)``.

        Samples are integers ``(*batch, shots, wires)``, or eigenvalues ``(*batch, shots)`` of an
        observable; counts are dictionaries in nested lists along ``batch``.

        Args:
            inputs: ``(*batch, in)``.
            generator: Where the random numbers of shots come from; None: torch's global generator.

        Raises:
            TypeError: Inputs or weights are not of a floating point type.
            ValueError: Inputs or weights have the wrong shape.
        """
        if _compiling():
            arguments, _ = self._checked(inputs, generator)
            return torch.ops.borromean.circuit(arguments, self._checked_evaluator(inputs).number)
        if self._fingerprint.changed() is not None:
            self.retrace()
        signature = None
        if generator is None and not _transforming():
            own, signature = self._signed(inputs)
            known = self._seen.get(signature)
            if known is not None:
                arrays = [own[k] for k in known.order]
                answer = known.executable.eager(arrays, known.layout, known.automatic)
                if known.mixing is None:
                    return answer
                with torch.autocast("cpu", enabled=False):
                    return answer @ known.mixing
        arguments, lead = self._checked(inputs, generator)
        evaluator = self._checked_evaluator(inputs)
        answer = evaluator(arguments, lead, generator)
        if signature is not None:
            self._remember(signature, evaluator, arguments, lead)
        return answer

    def _checked(self, inputs: Tensor, generator: Any) -> tuple[list[Tensor], torch.Size]:
        """Inputs and weights, and their broadcast leading dimensions."""
        self._checked_evaluator(inputs)
        arguments = [inputs, *(self._checked_weight(name) for name in self._shapes)]
        leads = [a.shape[: a.dim() - len(s)] for a, s in self._cored(arguments)]
        lead = checked_lead(["inputs", *self._shapes], leads)
        self._check_sampling(generator)
        return arguments, lead

    def _signed(self, inputs: Any) -> tuple[list[Any], Any]:
        """Inputs and weights, and what decides all checks of a call; None where that is unknown."""
        held, own = self._parameters, [inputs]
        for name in self._shapes:
            weight = held.get(name)  # quicker than the attribute, which a parametrisation replaces
            own.append(getattr(self, name) if weight is None else weight)
        try:
            return own, tuple([(a.shape, a.dtype, a.is_cpu) for a in own])
        except AttributeError:
            return own, None

    def _remember(
        self, signature: Any, evaluator: Evaluator, arguments: Sequence[Tensor], lead: torch.Size
    ) -> None:
        """Calls of this kind go to the kernel as they are, if nothing is left to be done."""
        kernel = evaluator.kernel
        if kernel is None or not (kernel.direct and kernel.simple):
            return
        dtype, working = evaluator.dtypes(arguments)
        if not all(a.dtype == dtype == working and a.is_cpu for a in arguments):
            return
        order = kernel.made.arrays
        layout = kernel.executable.layout([arguments[k] for k in order], working)
        if tuple(layout.lead) != tuple(lead):
            return
        if len(self._seen) > 256:
            self._seen.clear()
        automatic = evaluator.plan.automatic
        mixing = None if kernel.mixing is None else kernel.mixing.to(dtype)
        self._seen[signature] = _Known(kernel.executable, order, layout, automatic, mixing)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_seen": {}}

    def extra_repr(self) -> str:
        """What ``print(layer)`` shows between the brackets."""
        weights = ", ".join(f"{name}: {shape}" for name, shape in self._shapes.items())
        wires = None if self._evaluator is None else self._evaluator.plan.program.wires
        drawn = "" if self.shots is None else f"shots={self.shots}, "
        return (
            f"{self._function.name}, in_features={self.in_features}, "
            f"out_features={self.out_features}, wires={wires}, weights={{{weights}}}, "
            f"{drawn}simulator={type(self.simulator).__name__}, engine={self.engine!r}"
        )

    def _trace(self, in_features: int) -> Evaluator:
        """Read the function and forget what was known of an earlier trace."""
        shapes = {"the inputs": (in_features,), **self._shapes}
        function, wires = self._function.resolve(), self._wires
        fingerprint, script = Fingerprint.of(function), None
        with _TRACING:
            if isinstance(self.simulator, Device):
                own = self.simulator.device.wires
                script = foreign.script(function, shapes, wires if own is None else list(own))
                program = script.program
            else:
                mixed = isinstance(self.simulator, DensityMatrix)
                program = capture(function, shapes, wires, channels=mixed)
        if self.shots is None and program.measurements[0].draws:
            kind = program.measurements[0].kind
            raise ValueError(f"the circuit returns {kind}, which needs shots: give shots=1000, say")
        chosen = plan(program, self.simulator, self.gradient, self.shots)
        if fingerprint.changed() is not None:  # by tracing itself: two traces agreed all the same
            fingerprint = Fingerprint.of(function)
        evaluator = Evaluator(chosen, script)
        self._evaluator, self._fingerprint, self._seen = evaluator, fingerprint, {}
        return evaluator

    def _check_sampling(self, generator: torch.Generator | None) -> None:
        if self.shots is None:
            if generator is not None:
                raise ValueError(
                    "a generator was given, but without shots the layer draws nothing: give the "
                    "layer shots, or leave the generator out"
                )
            return
        if generator is not None and isinstance(self.simulator, Device):
            raise ValueError(
                "a PennyLane device draws from a generator of its own: leave the generator out and "
                "give the device a seed"
            )
        if torch.compiler.is_compiling():
            raise RuntimeError(
                f"a layer with shots={self.shots} draws random numbers and cannot be compiled: "
                "leave shots out, or put torch.compiler.disable around it"
            )
        if torch._C._functorch.peek_interpreter_stack() is not None:
            raise RuntimeError(
                f"a layer with shots={self.shots} draws random numbers and cannot be used inside "
                "torch.func transforms such as vmap: leading dimensions of inputs and weights "
                "broadcast, so give them as a batch"
            )

    def _initialize(self, init: Initializer | Mapping[str, Initializer | Tensor] | None) -> None:
        if isinstance(init, Mapping) and set(init) != set(self._shapes):
            raise ValueError(
                f"init names {sorted(init)}, but the weights are {sorted(self._shapes)}: give one "
                "entry for each"
            )
        for name, parameter in self.named_parameters():
            chosen = init[name] if isinstance(init, Mapping) else init
            with torch.no_grad():
                if chosen is None:
                    parameter.uniform_(0.0, 2.0 * math.pi)
                elif callable(chosen) and not isinstance(chosen, Tensor):
                    chosen(parameter)
                else:
                    values = torch.as_tensor(chosen)
                    if values.shape != parameter.shape:
                        got, here = tuple(values.shape), tuple(parameter.shape)
                        raise ValueError(f"init[{name!r}] has shape {got}, expected {here}")
                    parameter.copy_(values)

    def _checked_evaluator(self, inputs: Tensor) -> Evaluator:
        if inputs.dtype not in _FLOATS:
            raise TypeError(
                f"inputs of CircuitLayer must be floating point, got {inputs.dtype}: convert them, "
                "as in inputs.float()"
            )
        if inputs.dim() == 0:
            raise ValueError("inputs of CircuitLayer need a last axis of features, got a scalar")
        width, chosen = inputs.shape[-1], self._evaluator
        if chosen is None:
            chosen = self._trace(width)
            self.in_features = width
        if width != self.in_features:
            raise ValueError(
                f"CircuitLayer expects inputs (*batch, {self.in_features}), got "
                f"{tuple(inputs.shape)}: the last axis must have {self.in_features} entries"
            )
        return chosen

    def _checked_weight(self, name: str) -> Tensor:
        weight: Tensor = getattr(self, name)
        shape = self._shapes[name]
        if not isinstance(weight, Tensor) or weight.dtype not in _FLOATS:
            got = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
            raise TypeError(f"the weight {name!r} must be a floating point tensor, got {got}")
        if weight.dim() < len(shape) or weight.shape[weight.dim() - len(shape) :] != shape:
            axes = ", ".join(["*batch", *map(str, shape)])
            raise ValueError(
                f"the weight {name!r} has shape {tuple(weight.shape)}, expected ({axes}): its last "
                f"{len(shape)} axes must be those of weight_shapes"
            )
        return weight

    def _cored(self, arguments: Sequence[Tensor]) -> list[tuple[Tensor, tuple[int, ...]]]:
        cores = [(arguments[0].shape[-1],), *self._shapes.values()]
        return list(zip(arguments, cores, strict=True))
