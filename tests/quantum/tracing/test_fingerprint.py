"""A fingerprint notices every change of what a circuit reads, and nothing else.

Oracle: the circuit itself, called anew by PennyLane's default.qubit.
"""

import copy
import functools
import importlib
import pickle
import types

import changing_circuits
import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum.circuits.reading import capture
from quantum.engine import run
from quantum.plan import plan
from quantum.simulators import StateVector
from quantum.tracing.fingerprint import Fingerprint


@pytest.fixture(autouse=True)
def _default_dtype():
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


class Cached:
    """A circuit traced once for each width of its inputs and each state of what it reads."""

    def __init__(self, circuit):
        self.circuit = circuit
        self.traces = []

    def __call__(self, x):
        known = [p for w, f, p in self.traces if w == x.shape[-1] and f.changed() is None]
        if not known:
            fingerprint = Fingerprint.of(self.circuit)
            known = [capture(self.circuit, {"x": tuple(x.shape)})]
            self.traces.append((x.shape[-1], fingerprint, known[0]))
        chosen = plan(known[0], StateVector(), "auto")
        return torch.cat(run(chosen, [x.double()], torch.complex128, x.device), -1)


def expected(circuit, x):
    node = qml.QNode(circuit, qml.device("default.qubit"), interface="torch")
    return torch.stack([torch.as_tensor(value) for value in node(x.double())])


STEP = st.tuples(
    st.sampled_from(sorted([*changing_circuits.CHANGES, *changing_circuits.make()[1]])),
    st.integers(0, 3),
    st.integers(1, 3),
    st.sampled_from([torch.float32, torch.float64]),
)


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(st.lists(STEP, min_size=1, max_size=6))
def test_no_answer_comes_from_a_stale_trace(steps):
    importlib.reload(changing_circuits)
    circuit, closures = changing_circuits.make()
    layer = Cached(circuit)
    for name, value, width, dtype in steps:
        {**changing_circuits.CHANGES, **closures}[name](value)
        x = torch.linspace(0.1, 0.8, width, dtype=dtype)
        answer = layer(x)
        torch.testing.assert_close(answer, expected(circuit, x), atol=1e-6, rtol=0)
        traces = len(layer.traces)
        torch.testing.assert_close(layer(x), answer, atol=0, rtol=0)
        assert len(layer.traces) == traces, f"traced again without a change, after {name}"


@pytest.mark.parametrize("name", sorted([*changing_circuits.CHANGES, *changing_circuits.make()[1]]))
def test_every_change_is_noticed(name):
    importlib.reload(changing_circuits)
    circuit, closures = changing_circuits.make()
    change = {**changing_circuits.CHANGES, **closures}[name]
    change(1)
    fingerprint = Fingerprint.of(circuit)
    assert fingerprint.changed() is None
    change(2)
    assert isinstance(fingerprint.changed(), str)


def test_a_change_that_is_taken_back_leaves_the_trace_valid():
    depth, table = 2, {"a": [0.1]}

    def circuit(x):
        return [x] * depth + table["a"]

    fingerprint = Fingerprint.of(circuit)
    depth, table["a"] = 3, [0.2]
    assert fingerprint.changed() == "the closure variable 'depth'"
    depth = 2
    assert fingerprint.changed() == "the closure variable 'table'"
    table = {"a": [0.1]}
    assert fingerprint.changed() is None


NUMBERS = [0, 1, True, 1.0, 0.0, -0.0, 1 + 0j, np.float64(1.0), np.int64(1), "1", None, (1,), [1]]


def test_numbers_that_are_equal_but_not_alike_are_told_apart():
    value = 0

    def circuit(x):
        return value

    for first in NUMBERS:
        value = first
        fingerprint = Fingerprint.of(circuit)
        for second in NUMBERS:
            value = second
            alike = type(first) is type(second) and repr(first) == repr(second)
            assert (fingerprint.changed() is None) == alike, (first, second)


def test_a_nan_is_not_a_change():
    values = [float("nan"), np.array([float("nan")]), torch.tensor([float("nan")])]
    fingerprint = Fingerprint.of(lambda x: values)
    values[0] = float("nan") * 1
    assert fingerprint.changed() is None


def test_bound_methods_callable_objects_and_partials():
    class Model:
        def __init__(self):
            self.depth, self.angles = 1, [0.1]

        def build(self, x):
            return self.part(x) * self.depth

        def part(self, x):
            return x + self.angles[0]

        __call__ = build

    for wrap in (lambda m: m.build, lambda m: m, lambda m: functools.partial(m.build)):
        for change in (
            lambda m: setattr(m, "depth", 2),
            lambda m: m.angles.append(0.2),
            lambda m: setattr(Model, "part", lambda self, x: x),
            lambda m: setattr(m, "part", lambda x: x),
        ):
            part = Model.part
            model = Model()
            fingerprint = Fingerprint.of(wrap(model))
            assert fingerprint.changed() is None
            change(model)
            assert fingerprint.changed() is not None
            Model.part = part


def test_decorators_are_looked_through():
    depth = [1]

    def decorate(function):
        @functools.wraps(function)
        def wrapper(*arguments):
            return function(*arguments)

        return wrapper

    @decorate
    @functools.lru_cache
    def inner(x):
        return x * depth[0]

    adjoint = qml.adjoint(lambda x: qml.RX(x * depth[0], 0))
    for circuit in (lambda x: inner(x), lambda x: adjoint(x)):
        fingerprint = Fingerprint.of(circuit)
        assert fingerprint.changed() is None
        depth[0] += 1
        assert fingerprint.changed() is not None


def test_names_that_turn_up_later_shadow_builtins():
    space = {"__name__": "user"}
    exec("def circuit(x):\n    return max(x), unknown\n", space)
    fingerprint = Fingerprint.of(space["circuit"])
    assert fingerprint.changed() is None
    space["max"] = min
    assert "'max'" in fingerprint.changed()
    del space["max"]
    space["unknown"] = 1
    assert fingerprint.changed() is not None


def test_a_global_that_is_deleted_is_a_change():
    space = {"__name__": "user", "depth": 2, "other": 3}
    exec("def circuit(x):\n    return x * depth * other\n", space)
    fingerprint = Fingerprint.of(space["circuit"])
    del space["depth"]
    assert fingerprint.changed() == "the global 'depth'"


def test_modules_are_followed():
    outer, inner = types.ModuleType("outer"), types.ModuleType("outer.inner")
    outer.inner, inner.depth, inner.unread = inner, 1, 1
    alias = outer
    fingerprint = Fingerprint.of(lambda x: [alias.inner][0].depth)
    inner.unread = 2
    assert fingerprint.changed() is None
    inner.depth = 2
    assert fingerprint.changed() == "'depth' of the module 'outer.inner'"


def test_loops_among_objects_end():
    first, second = {}, []
    first["second"], first["self"] = second, first
    second.append(first)
    fingerprint = Fingerprint.of(lambda x: first)
    assert fingerprint.changed() is None
    second.append(1)
    assert fingerprint.changed() is not None


def test_an_operator_of_pennylane_is_watched_for_the_arrays_it_holds():
    coefficients = torch.tensor([0.3, 0.4])
    hamiltonian = qml.dot(coefficients, [qml.X(0), qml.Z(1)])
    fingerprint = Fingerprint.of(lambda x: qml.expval(hamiltonian))
    assert hamiltonian.pauli_rep is not None  # computed on demand and kept
    assert fingerprint.changed() is None
    coefficients[0] = 1.0
    assert fingerprint.changed() is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64, torch.int64, torch.bool])
def test_tensors_of_every_type(dtype):
    tensor = torch.ones(3).to(dtype)
    fingerprint = Fingerprint.of(lambda x: tensor)
    assert fingerprint.changed() is None
    tensor.data[0] = 0
    assert fingerprint.changed() is not None
    with torch.inference_mode():
        tensor = torch.ones(5000).to(dtype)
        fingerprint = Fingerprint.of(lambda x: tensor)
        assert fingerprint.changed() is None
        tensor[7] = 0
        assert fingerprint.changed() is not None


def test_the_check_works_inside_transforms():
    constant = torch.tensor([0.5], requires_grad=True)
    table = {"a": torch.tensor([1.0])}

    def circuit(x):
        return x * constant * table["a"]

    fingerprint = Fingerprint.of(circuit)
    seen = []

    def watched(x):
        seen.append(fingerprint.changed())
        return (x * 2).sum()

    torch.func.vmap(torch.func.grad(watched))(torch.ones(3, 2))
    torch.func.jacrev(watched)(torch.ones(3))
    with torch.no_grad(), torch.inference_mode():
        watched(torch.ones(1))
    assert seen == [None, None, None]


def test_an_unpickled_fingerprint_watches_nothing_and_a_copy_is_itself():
    depth = 1
    fingerprint = Fingerprint.of(lambda x: depth)
    loaded = pickle.loads(pickle.dumps(fingerprint))
    assert copy.deepcopy(fingerprint) is fingerprint
    depth = 2
    assert fingerprint.changed() is not None
    assert loaded.changed() is None


class Settings:
    def __init__(self):
        self.depth = 2
        self.gates = [("RX", [0]), ("RY", [1])]


class Others(Settings):
    pass


@pytest.mark.parametrize(
    "change",
    [
        lambda held: setattr(held, "depth", 3),
        lambda held: setattr(held, "width", 3),
        lambda held: delattr(held, "depth"),
        lambda held: held.gates.append(("RZ", [2])),
        lambda held: held.gates[1][1].__setitem__(0, 2),
        lambda held: setattr(held, "__class__", Others),
    ],
)
def test_what_a_plain_object_holds(change):
    held = Settings()
    fingerprint = Fingerprint.of(lambda x: [x] * held.depth)
    assert fingerprint.changed() is None
    held.gates = [("RX", [0]), ("RY", [1])]  # another object of the same content
    assert fingerprint.changed() is None
    fingerprint = Fingerprint.of(lambda x: [x] * held.depth)
    change(held)
    assert fingerprint.changed() is not None
