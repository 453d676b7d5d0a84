"""What a layer is made of, checked: function, weights, simulator, shots (floor 4 of circuits)."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from quantum.circuits.reading import quantum_function, weight_names
from quantum.shapes import broadcast_shapes
from quantum.simulators import DensityMatrix, Device, Simulator, StateVector

__all__ = ["Reference", "checked_lead", "checked_shapes", "checked_shots", "checked_simulator"]


class Reference:
    """A circuit's function, pickled by name: loading needs no import until it is called again.

    Args:
        function: The function.

    Example:
        >>> Reference(checked_shapes).name
        'checked_shapes'
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function: Callable[..., Any] | None = function
        self.module = getattr(function, "__module__", None)
        self.name = getattr(function, "__qualname__", type(function).__name__)

    def resolve(self) -> Callable[..., Any]:
        """The function itself, imported by its name where only that is known.

        Raises:
            RuntimeError: It cannot be imported.
        """
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
        return quantum_function(found).function

    def __deepcopy__(self, memo: dict[int, Any]) -> "Reference":
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"function": None, "module": self.module, "name": self.name}


def checked_shapes(
    function: Callable[..., Any], weight_shapes: Mapping[str, int | Sequence[int]]
) -> dict[str, tuple[int, ...]]:
    """Shapes in the order of ``weight_shapes``, checked against the function's signature.

    Raises:
        TypeError: ``weight_shapes`` is not a mapping.
        ValueError: Its names are not the function's, or a shape is not one.

    Example:
        >>> checked_shapes(lambda inputs, weights: None, {"weights": 3})
        {'weights': (3,)}
    """
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


def checked_simulator(simulator: Any) -> Simulator:
    """The simulator asked for, a state vector where none was.

    Raises:
        TypeError: It is none of ours.

    Example:
        >>> checked_simulator(None)
        StateVector(precision=None)
    """
    if simulator is None:
        return StateVector()
    if not isinstance(simulator, StateVector | DensityMatrix | Device):
        raise TypeError(
            "simulator must be a quantum.StateVector, DensityMatrix or Device, got "
            f"{simulator!r}: wrap a PennyLane device as quantum.Device(device)"
        )
    return simulator


def checked_shots(shots: Any) -> int | None:
    """The number of shots asked for.

    Raises:
        ValueError: It is not a whole number of at least 1.

    Example:
        >>> checked_shots(100)
        100
    """
    if shots is not None and (isinstance(shots, bool) or not isinstance(shots, int) or shots < 1):
        raise ValueError(f"shots must be a number of draws, 1 or more, or None, got {shots!r}")
    return shots


def checked_lead(names: Sequence[str], leads: Sequence[torch.Size]) -> torch.Size:
    """The leading dimensions that those of all arguments broadcast to.

    Args:
        names: What the arguments are called.
        leads: Their leading dimensions.

    Raises:
        ValueError: They do not broadcast.

    Example:
        >>> checked_lead(["inputs", "weights"], [torch.Size([7]), torch.Size([4, 1])])
        torch.Size([4, 7])
    """
    try:
        return broadcast_shapes(*leads)
    except (RuntimeError, ValueError):
        named = zip(names, leads, strict=True)
        shown = ", ".join(f"{name} {tuple(lead)}" for name, lead in named)
        raise ValueError(
            f"leading dimensions of inputs and weights do not broadcast: {shown}; give weights "
            "that vary apart from the rows an extra axis of 1, such as (draws, 1, ...)"
        ) from None
