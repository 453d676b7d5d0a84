"""A circuit that reads from everywhere a function can, and ways to change each of these places.

The changes stay: import the module anew (`importlib.reload`) for a fresh start.
"""

import functools
import sys
from collections import deque
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import numpy as np
import pennylane as qml
import torch

DEPTH = 1
ANGLE = 0.3
LISTED = [0.1, 0.2]
TABLE = {"first": 0.1, "second": {"inner": [0.3]}}
ARRAY = np.array([0.4, 0.5])
TENSOR = torch.tensor([0.6, 0.7], dtype=torch.float64)
LARGE = torch.zeros(5000, dtype=torch.float64)
QUEUE = deque([0.2])
NAMES = {"a"}
ROTATION = qml.RX
SETTINGS = ModuleType("changing_settings")
SETTINGS.depth = 1
sys.modules["changing_settings"] = SETTINGS


class Config:
    """Attributes of the class, of an object, a property and a method."""

    scale = 0.5
    shared = [0.1]

    def __init__(self):
        self.own = 0.2
        self.parts = {"k": [0.3]}

    @property
    def doubled(self):
        return 2 * self.own + OFFSET["property"]

    def method(self):
        return self.scale + sum(self.shared) + self.parts["k"][0]


class Slotted:
    __slots__ = ("angle",)

    def __init__(self):
        self.angle = 0.1


@dataclass
class Record:
    depth: int = 1
    angle: float = 0.25


OFFSET = {"property": 0.0, "helper": 0.0}
CONFIG, SLOTTED, RECORD, SPACE = Config(), Slotted(), Record(), SimpleNamespace(angle=0.1)
LINEAR = torch.nn.Linear(1, 1, dtype=torch.float64).requires_grad_(False)
OPERATORS = [qml.S, qml.T]


def helper(angle, turn=0.1):
    return deeper(angle) + turn + OFFSET["helper"] + getattr(helper, "extra", 0.0)


def deeper(angle):
    return angle + ANGLE + getattr(SETTINGS, "missing", 0.0)


def layered(angle, *, wires):
    qml.RY(angle + LISTED[-1], wires=wires)


PARTIAL = functools.partial(layered, 0.3, wires=0)


def make():
    """A fresh circuit, and functions that change its closure variables."""
    closed, count, inner = [0.2, 0.3], 1, np.array(0.5)

    def circuit(x, bias=0.1, biases=[0.1]):  # noqa: B006 - the list is changed on purpose
        import changing_settings as local

        turns = [closed[0], len(closed) * 0.2, float(inner), bias, biases[0], ARRAY[0], ARRAY.sum()]
        turns += [CONFIG.doubled, CONFIG.method(), Config.scale, SLOTTED.angle, RECORD.angle]
        turns += [SPACE.angle, LINEAR.bias[0], LARGE[17], TENSOR[1], QUEUE[-1], len(NAMES) * 0.3]
        turns += [TABLE["second"]["inner"][0], len(TABLE) * 0.1, local.depth, SETTINGS.depth]
        turns += [getattr(SETTINGS, "extra", 0.05), torch.zeros(1).element_size() * 0.05]
        total = sum(torch.as_tensor(turn * (1 + 0.1 * k)) for k, turn in enumerate(turns))
        qml.RY(total + x[0], wires=0)
        qml.IsingXY(0.4 + x[-1], wires=[0, 1])
        for _ in range(DEPTH + count + RECORD.depth):
            qml.RX(helper(x[0]), wires=1)
        if count > 1 and SETTINGS.depth < 3:
            qml.Hadamard(0)
        PARTIAL()
        ROTATION(0.3, wires=0)
        [operator(0) for operator in OPERATORS]
        return [qml.expval(qml.Z(w)) for w in range(2)]

    def change(value):
        nonlocal count
        count = 1 + value

    def replace(value):
        nonlocal closed
        closed = [0.2 + value]

    return circuit, {
        "closure number": change,
        "closure list replaced": replace,
        "closure list": lambda v: closed.__setitem__(0, 0.2 * v),
        "closure list longer": lambda v: closed.append(0.1 * v),
        "closure array": lambda v: inner.__setitem__((), 0.5 * v),
        "default": lambda v: setattr(circuit, "__defaults__", (0.1 * v, circuit.__defaults__[1])),
        "mutable default": lambda v: circuit.__defaults__[1].__setitem__(0, 0.1 * v),
    }


def _set(name, make_value):
    return lambda v: globals().__setitem__(name, make_value(v))


def _attribute(owner, name, make_value):
    return lambda v: setattr(owner, name, make_value(v))


def _tensor_value(v):
    TENSOR[1] = 0.3 * v


def _tensor_data(v):
    TENSOR.data[1] = 0.3 * v


def _view(v):
    TENSOR.numpy()[1] = 0.3 * v


def _code(v):
    body = f"angle * {1 + v} + ANGLE + getattr(SETTINGS, 'missing', 0.0)"
    source = f"def deeper(angle):\n    return {body}"
    namespace = {}
    exec(source, namespace)
    deeper.__code__ = namespace["deeper"].__code__


CHANGES = {
    "global number": _set("DEPTH", lambda v: v),
    "global read by a helper": _set("ANGLE", lambda v: 0.3 * v),
    "list": lambda v: LISTED.__setitem__(-1, 0.2 * v),
    "list replaced": _set("LISTED", lambda v: [0.1, 0.2 * v]),
    "dict": lambda v: TABLE["second"]["inner"].__setitem__(0, 0.3 * v),
    "dict grows": lambda v: TABLE.__setitem__(f"key {v}", 0),
    "array": lambda v: ARRAY.__setitem__(0, 0.4 * v),
    "array replaced": _set("ARRAY", lambda v: np.array([0.1 * v, 0.2, 0.3])),
    "array of another type": _set("ARRAY", lambda v: np.array([v, 1])),
    "tensor": _tensor_value,
    "tensor through data": _tensor_data,
    "tensor through numpy": _view,
    "tensor replaced": _set("TENSOR", lambda v: torch.full((2,), 0.2 * v, dtype=torch.float64)),
    "large tensor": lambda v: LARGE.fill_(0.1 * v),
    "deque": lambda v: QUEUE.append(0.1 * v),
    "set": lambda v: NAMES.add(str(v)),
    "gate": _set("ROTATION", lambda v: [qml.RX, qml.RY, qml.RZ, qml.PhaseShift][v]),
    "gates in a list": lambda v: OPERATORS.__setitem__(0, [qml.S, qml.X, qml.Z, qml.Hadamard][v]),
    "module attribute": _attribute(SETTINGS, "depth", lambda v: v),
    "module attribute that was missing": _attribute(SETTINGS, "extra", lambda v: 0.2 * v),
    "missing attribute of a helper's module": _attribute(SETTINGS, "missing", lambda v: 0.2 * v),
    "class attribute": _attribute(Config, "scale", lambda v: 0.2 * v),
    "mutable class attribute": lambda v: Config.shared.__setitem__(0, 0.3 * v),
    "object attribute": _attribute(CONFIG, "own", lambda v: 0.2 * v),
    "object attribute over the class's": _attribute(CONFIG, "scale", lambda v: 0.2 * v),
    "nested in an object": lambda v: CONFIG.parts["k"].__setitem__(0, 0.2 * v),
    "object replaced": lambda v: globals().__setitem__("CONFIG", _config(v)),
    "global read by a property": lambda v: OFFSET.__setitem__("property", 0.2 * v),
    "global read by a function": lambda v: OFFSET.__setitem__("helper", 0.2 * v),
    "method": lambda v: setattr(Config, "method", lambda self: self.scale * v),
    "slot": _attribute(SLOTTED, "angle", lambda v: 0.2 * v),
    "data class": _attribute(RECORD, "depth", lambda v: v),
    "data class replaced": lambda v: globals().__setitem__("RECORD", Record(angle=0.2 * v)),
    "name space": _attribute(SPACE, "angle", lambda v: 0.2 * v),
    "module's parameter": lambda v: LINEAR.bias.data.fill_(0.2 * v),
    "default of a helper": lambda v: setattr(helper, "__defaults__", (0.2 * v,)),
    "attribute of a helper": lambda v: setattr(helper, "extra", 0.2 * v),
    "code of a helper": _code,
    "partial": lambda v: globals().__setitem__(
        "PARTIAL", functools.partial(layered, 0.2 * v, wires=1)
    ),
    "partial's keyword": lambda v: PARTIAL.keywords.__setitem__("wires", v % 2),
    "default dtype": lambda v: torch.set_default_dtype([torch.float32, torch.float64][v % 2]),
}


def _config(v):
    made = Config()
    made.own = 0.3 * v
    return made
