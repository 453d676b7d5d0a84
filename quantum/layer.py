"""The circuit as a torch module (floor 5)."""

import importlib
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from quantum.circuit import capture, quantum_function, weight_names
from quantum.engine import run
from quantum.plan import plan
from quantum.program import Program
from quantum.simulators import StateVector

__all__ = ["CircuitLayer"]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_TRACING = threading.RLock()  # PennyLane's queue is one for the whole process

Initializer = Callable[[Tensor], Any]


class CircuitLayer(nn.Module):
    r"""A quantum circuit, simulated exactly, as a layer ``(*batch, in) → (*batch, out)``.

    The function is traced once: its Python code runs on example values, and each call then only
    computes gate parameters and amplitudes. So its structure must be a pure function of shapes;
    values of closures and globals are those at tracing time (`retrace` reads them anew).

    Leading dimensions of inputs and weights broadcast. Weights with leading dimensions come in
    through `torch.func.functional_call`. Several measurements are concatenated on the last axis in
    the order returned; ``state`` ``(*batch, 2^n)`` and ``density_matrix`` ``(*batch, d, d)`` are
    complex and stand alone. Wires are ordered as by PennyLane's default.qubit, or by the QNode's
    device where it names wires.

    Precision is that of the promoted inputs and weights: float32 is computed in complex64, float64
    in complex128, half and bfloat16 inputs in complex64 and returned as they came. Autocast is off
    inside. A state prepared from inputs without ``normalize=True`` is taken as it is.

    Args:
        circuit: A PennyLane quantum function or QNode. Its first argument is the inputs, a tensor
            whose last axis has ``in_features`` entries; the others are weights.
        weight_shapes: Name → shape of each weight.
        in_features: The number of inputs; None reads it from the first call.
        init: None draws weights uniformly from :math:`[0, 2\pi)`; a function of a tensor fills each
            in place; a mapping gives a function or a value for each name.
        device: Where the weights are made.
        dtype: The weights' dtype.

    Attributes:
        in_features: The size of the last axis of the inputs, None before it is known.
        out_features: The size of the last axis of the answer, None before it is known.
        engine: What runs the circuit.
        broadcasts_parameters: Weights may have leading dimensions: True.
        prior_scales: Weight name → scale of a wide prior for it, in radians.

    Raises:
        ValueError: Weights do not fit the function's signature, nothing measurable is returned, or
            the structure depends on values.
        UnsupportedOperation: The circuit contains noise, shots or mid-circuit measurements.

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

    engine: str = "torch"
    broadcasts_parameters = True

    def __init__(
        self,
        circuit: Callable[..., Any],
        weight_shapes: Mapping[str, int | Sequence[int]],
        *,
        in_features: int | None = None,
        init: Initializer | Mapping[str, Initializer | Tensor] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        function, self._wires = quantum_function(circuit)
        self._function = _Function(function)
        self._shapes = _checked_shapes(function, weight_shapes)
        self._program: Program | None = None
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
        """The size of the last axis of the answer; None before the number of inputs is known."""
        return None if self._program is None else self._program.out_features

    def retrace(self) -> None:
        """Trace the function again, with what its closure and globals hold now.

        Raises:
            ValueError: The number of inputs is not known yet.
            RuntimeError: The layer was unpickled and its function cannot be imported.
        """
        if self.in_features is None:
            raise ValueError("in_features is not known yet: give it, or call the layer once first")
        self._program = self._traced(self.in_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """The measurements for each row of ``inputs``, ``(*batch, in) → (*batch, out)``.

        Raises:
            TypeError: Inputs or weights are not of a floating point type.
            ValueError: Inputs or weights have the wrong shape.
        """
        program = self._checked_program(inputs)
        weights = [self._checked_weight(name) for name in self._shapes]
        arguments = [inputs, *weights]
        lead = _broadcast([a.shape[: a.dim() - len(s)] for a, s in self._cored(arguments)], self)
        dtype, working = _dtypes(inputs, weights)
        with torch.autocast(inputs.device.type, enabled=False):
            chosen = plan(program, StateVector(), "auto")
            answers = run(
                chosen, [a.to(working) for a in arguments], working.to_complex(), inputs.device
            )
        events = 2 if program.measurements[0].kind == "density_matrix" else 1
        answers = [a.expand(*lead, *a.shape[a.dim() - events :]) for a in answers]
        answer = answers[0] if len(answers) == 1 else torch.cat(answers, -1)
        return answer if answer.is_complex() else answer.to(dtype)

    def extra_repr(self) -> str:
        """What ``print(layer)`` shows between the brackets."""
        weights = ", ".join(f"{name}: {shape}" for name, shape in self._shapes.items())
        wires = None if self._program is None else self._program.wires
        return (
            f"{self._function.name}, in_features={self.in_features}, "
            f"out_features={self.out_features}, wires={wires}, weights={{{weights}}}, "
            f"engine={self.engine!r}"
        )

    def _traced(self, in_features: int) -> Program:
        shapes = {"the inputs": (in_features,), **self._shapes}
        with _TRACING:
            return capture(self._function.resolve(), shapes, self._wires)

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
                        raise ValueError(
                            f"init[{name!r}] has shape {tuple(values.shape)}, expected "
                            f"{tuple(parameter.shape)}"
                        )
                    parameter.copy_(values)

    def _checked_program(self, inputs: Tensor) -> Program:
        if inputs.dtype not in _FLOATS:
            raise TypeError(
                f"inputs of CircuitLayer must be floating point, got {inputs.dtype}: convert them, "
                "as in inputs.float()"
            )
        if inputs.dim() == 0:
            raise ValueError("inputs of CircuitLayer need a last axis of features, got a scalar")
        width = inputs.shape[-1]
        program = self._program
        if program is None:
            program = self._traced(width)
            self._program, self.in_features = program, width
        if width != self.in_features:
            raise ValueError(
                f"CircuitLayer expects inputs (*batch, {self.in_features}), got "
                f"{tuple(inputs.shape)}: the last axis must have {self.in_features} entries"
            )
        return program

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


class _Function:
    """The circuit's function, pickled by name: loading needs no import until it is called again."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function: Callable[..., Any] | None = function
        self.module = getattr(function, "__module__", None)
        self.name = getattr(function, "__qualname__", type(function).__name__)

    def resolve(self) -> Callable[..., Any]:
        """The function itself, imported by its name where only that is known."""
        if self.function is not None:
            return self.function
        found: Any = None
        if self.module is not None and "<" not in self.name:
            found = importlib.import_module(self.module)
            for part in self.name.split("."):
                found = getattr(found, part, None)
        if found is None:
            raise RuntimeError(
                f"this CircuitLayer was unpickled and its function {self.name!r} of module "
                f"{self.module!r} cannot be imported by name, so it cannot be traced again: define "
                "it at the top of a module, or build the layer anew (calls still work)"
            )
        return quantum_function(found)[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Function":
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"function": None, "module": self.module, "name": self.name}


def _checked_shapes(
    function: Callable[..., Any], weight_shapes: Mapping[str, int | Sequence[int]]
) -> dict[str, tuple[int, ...]]:
    """Shapes in the order of ``weight_shapes``, checked against the function's signature."""
    if not isinstance(weight_shapes, Mapping):
        raise TypeError(
            f"weight_shapes must map names to shapes, got {type(weight_shapes).__name__}"
        )
    names, optional, open_ended = weight_names(function)
    missing = [name for name in names if name not in weight_shapes and name not in optional]
    if missing:
        raise ValueError(
            f"weight_shapes lacks {missing}: the circuit takes the weights {list(names)} after its "
            f"inputs and weight_shapes names {list(weight_shapes)}"
        )
    unknown = [name for name in weight_shapes if name not in names]
    if unknown and not open_ended:
        raise ValueError(
            f"weight_shapes names {unknown}, which the circuit does not take: its weights are "
            f"{list(names)} (the first argument is the inputs)"
        )
    return {name: _shape(name, shape) for name, shape in weight_shapes.items()}


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int) else shape
    whole = isinstance(sizes, Sequence) and all(isinstance(size, int) for size in sizes)
    if not whole or any(isinstance(size, bool) or size < 0 for size in sizes):
        raise ValueError(f"the shape of weight {name!r} must be an int or ints, got {shape!r}")
    return tuple(sizes)


def _broadcast(leads: Sequence[torch.Size], layer: CircuitLayer) -> torch.Size:
    try:
        return torch.broadcast_shapes(*leads)
    except RuntimeError:
        named = zip(["inputs", *layer._shapes], leads, strict=True)
        shown = ", ".join(f"{name} {tuple(lead)}" for name, lead in named)
        raise ValueError(
            f"leading dimensions of inputs and weights do not broadcast: {shown}; give weights "
            "that vary apart from the rows an extra axis of 1, such as (draws, 1, ...)"
        ) from None


def _dtypes(inputs: Tensor, weights: Sequence[Tensor]) -> tuple[torch.dtype, torch.dtype]:
    """The dtype of the answer and the real dtype to compute in."""
    promoted = torch.float32
    for tensor in (inputs, *weights):
        promoted = torch.promote_types(promoted, tensor.dtype)
    half = inputs.dtype in (torch.float16, torch.bfloat16)
    return (inputs.dtype if half else promoted), promoted
