"""From a quantum function to a program: what is accepted, what is refused and how it is said."""

import functools

import numpy as np
import pennylane as qml
import pytest
import torch

from quantum.circuits.gates import UnsupportedOperation
from quantum.circuits.reading import capture, quantum_function, weight_names
from quantum.circuits.wiring import decomposed_order
from quantum.layer import CircuitLayer
from quantum.simulators import DensityMatrix


def states(circuit, x, device=None):
    node = qml.QNode(circuit, device or qml.device("default.qubit"), interface="torch")
    return node(x)


ORDERS = {
    "integers out of order": lambda x: (qml.X(1), qml.RY(x[0], 0), qml.state())[-1],
    "letters": lambda x: (qml.X("b"), qml.RY(x[0], "a"), qml.CNOT(["a", "b"]), qml.state())[-1],
    "gap": lambda x: (qml.X(2), qml.RY(x[0], 0), qml.state())[-1],
    "mixed": lambda x: (qml.X("b"), qml.RY(x[0], 3), qml.probs())[-1],
    "negative": lambda x: (qml.X(-1), qml.RY(x[0], 0), qml.probs())[-1],
}


@pytest.mark.parametrize("name", ORDERS)
def test_wires_are_ordered_as_by_default_qubit(name):
    x = torch.tensor([0.4], dtype=torch.float64)
    layer = CircuitLayer(ORDERS[name], {}, in_features=1)
    torch.testing.assert_close(layer(x), states(ORDERS[name], x), check_dtype=False)


def _undone(x):
    qml.adjoint(qml.AngleEmbedding)(x, wires=["a", "b", "c"])
    qml.CRY(0.3, wires=["a", "c"])


def _sums():
    return [qml.probs(), qml.expval(qml.Z("b")), qml.probs(wires=["d", "a"])]


@pytest.mark.parametrize(
    ("read", "simulator"),
    [(qml.state, None), (qml.probs, None), (_sums, None), (qml.probs, DensityMatrix())],
)
def test_parts_of_templates_order_the_wires(read, simulator):
    def circuit(x):
        _undone(x)
        return read()

    x = torch.tensor([0.4, 1.1, 2.3], dtype=torch.float64)
    device = qml.device("default.qubit" if simulator is None else "default.mixed")
    theirs = states(circuit, x, device)
    if isinstance(theirs, tuple | list):
        theirs = torch.cat([part.reshape(-1) for part in theirs])
    ours = CircuitLayer(circuit, {}, in_features=3, simulator=simulator)(x)
    torch.testing.assert_close(ours, theirs, check_dtype=False)


@pytest.mark.parametrize("read", [qml.sample, qml.counts])
def test_parts_of_templates_order_what_is_drawn(read):
    def circuit(x):
        qml.adjoint(qml.AngleEmbedding)(x, wires=["a", "b"])
        return read()

    x = torch.tensor([torch.pi, 0.0], dtype=torch.float64)  # turns "a", the later one
    drawn = CircuitLayer(circuit, {}, in_features=2, shots=3)(x)
    assert drawn == {"01": 3} if read is qml.counts else drawn.tolist() == [[0, 1]] * 3


def test_where_pennylane_cannot_decompose_wires_count_as_they_appear():
    def circuit(x):
        qml.RY(x[0], wires="b")
        qml.AmplitudeDamping(0.1, wires="a")
        return qml.probs()

    assert decomposed_order(circuit, {"x": (1,)}) is None  # default.qubit has no channels
    assert decomposed_order(circuit, {"x": (1,)}, channels=True) == ["b", "a"]


@pytest.mark.parametrize("wires", [2, [1, 0], 3, ["b", 0, 1]])
def test_a_qnode_s_device_orders_its_wires(wires):
    def circuit(x):
        qml.X(1)
        qml.RY(x[0], wires=0)
        return qml.state()

    x = torch.tensor([0.4], dtype=torch.float64)
    device = qml.device("default.qubit", wires=wires)
    layer = CircuitLayer(qml.QNode(circuit, device), {}, in_features=1)
    torch.testing.assert_close(layer(x), states(circuit, x, device), check_dtype=False)


def test_a_wire_that_the_device_lacks_is_named():
    node = qml.QNode(
        lambda x: (qml.RX(x[0], 5), qml.probs(wires=5))[-1], qml.device("default.qubit", wires=2)
    )
    with pytest.raises(ValueError, match=r"wires \[5\]"):
        CircuitLayer(node, {}, in_features=1)


def test_measured_wires_without_operations_count():
    def circuit(x):
        qml.RY(x[0], wires=0)
        return qml.expval(qml.Z(0)), qml.probs(wires=[1])

    assert CircuitLayer(circuit, {}, in_features=1)(torch.zeros(1)).tolist() == [1, 1, 0]


def test_measurements_come_in_the_order_returned():
    def circuit(x):
        qml.RY(x[0], wires=0)
        first, second = qml.expval(qml.Z(0)), qml.expval(qml.X(0))
        return [second, (first,)]

    x = torch.tensor([0.4], dtype=torch.float64)
    answer = CircuitLayer(circuit, {}, in_features=1)(x)
    torch.testing.assert_close(answer, torch.stack([torch.sin(x[0]), torch.cos(x[0])]))


def nothing(x):
    qml.RX(x[0], wires=0)


def a_number(x):
    qml.RX(x[0], wires=0)
    return x.sum()


def an_operator(x):
    qml.RX(x[0], wires=0)
    return qml.Z(0)


@pytest.mark.parametrize("circuit", [nothing, a_number, an_operator, lambda x: []])
def test_nothing_measurable(circuit):
    with pytest.raises(ValueError, match="returns nothing measurable"):
        CircuitLayer(circuit, {}, in_features=1)


@pytest.mark.parametrize("alone", [qml.state, lambda: qml.density_matrix(wires=0)])
def test_states_stand_alone(alone):
    def circuit(x):
        qml.RX(x[0], wires=0)
        return alone(), qml.expval(qml.Z(0))

    with pytest.raises(ValueError, match="must be returned alone"):
        CircuitLayer(circuit, {}, in_features=1)


def noisy(x):
    qml.RX(x[0], wires=0)
    qml.AmplitudeDamping(0.1, wires=0)
    return qml.expval(qml.Z(0))


def mixed_start(x):
    qml.QubitDensityMatrix(np.eye(2) / 2, wires=0)
    return qml.expval(qml.Z(0))


def qutrit(x):
    qml.TRX(x[0], wires=0)
    return qml.expval(qml.GellMann(0, 3))


def qutrits(x):
    qml.QutritBasisState([1, 2], wires=[0, 1])
    return qml.expval(qml.Z(0))


def optical(x):
    qml.Displacement(x[0], 0.0, wires=0)
    return qml.expval(qml.X(0))


@pytest.mark.parametrize(
    ("circuit", "named"),
    [
        (noisy, "AmplitudeDamping"),
        (mixed_start, "QubitDensityMatrix"),
        (qutrit, "TRX"),
        (qutrits, "QutritBasisState"),
        (optical, "Displacement"),
        (lambda x: (qml.RX(x[0], 0), qml.classical_shadow(wires=0))[-1], "ClassicalShadowMP"),
    ],
)
def test_what_cannot_be_simulated_is_named(circuit, named):
    with pytest.raises(UnsupportedOperation, match=named):
        CircuitLayer(circuit, {}, in_features=1)


@pytest.mark.parametrize("measurement", [qml.sample, qml.counts])
def test_samples_and_counts_need_shots(measurement):
    with pytest.raises(ValueError, match="needs shots"):
        CircuitLayer(lambda x: (qml.RX(x[0], 0), measurement(wires=0))[-1], {}, in_features=1)


def test_qnodes_with_several_shots_or_transforms_are_refused():
    def circuit(x):
        qml.RX(x[0], wires=0)
        return qml.expval(qml.Z(0))

    node = qml.QNode(circuit, qml.device("default.qubit"))
    assert quantum_function(node) == (circuit, None, None)
    assert quantum_function(qml.set_shots(node, 10)).shots == 10
    with pytest.raises(ValueError, match="several numbers of shots"):
        quantum_function(qml.set_shots(node, [10, 20]))
    with pytest.raises(ValueError, match="merge_rotations"):
        quantum_function(qml.transforms.merge_rotations(node))
    with pytest.raises(TypeError, match="got int"):
        quantum_function(3)


def test_a_transformed_quantum_function_is_a_quantum_function():
    @qml.transforms.merge_rotations
    def circuit(x):
        qml.RX(x[0], wires=0)
        qml.RX(x[1], wires=0)
        return qml.expval(qml.Z(0))

    layer = CircuitLayer(circuit, {}, in_features=2)
    x = torch.tensor([0.1, 0.4], dtype=torch.float64)
    torch.testing.assert_close(layer(x), torch.cos(x.sum()).reshape(1))


def branching(x):
    if x[0] > 0.5:
        qml.RX(x[0], wires=0)
    return qml.expval(qml.Z(0))


def conditional(x):
    qml.cond(x[0] > 0.5, qml.RX)(x[0], wires=0)
    return qml.expval(qml.Z(0))


def rounded(x):
    qml.RX(float(x[0]), wires=0)
    return qml.expval(qml.Z(0))


def close(x):
    if qml.math.allclose(x, 0.3):
        qml.RX(x[0], wires=0)
    return qml.expval(qml.Z(0))


def repeated(x):
    @qml.while_loop(lambda i: i < x[0])
    def loop(i):
        qml.RX(0.1, wires=0)
        return i + 0.1

    loop(0.0)
    return qml.expval(qml.Z(0))


@pytest.mark.parametrize("circuit", [branching, conditional, rounded, close, repeated])
def test_structure_that_depends_on_values_is_refused(circuit):
    with pytest.raises(ValueError, match="traced once") as caught:
        CircuitLayer(circuit, {}, in_features=1)
    assert any("example values" in note for note in caught.value.__notes__)


def test_random_structure_is_refused():
    generator = np.random.default_rng(0)

    def circuit(x):
        qml.RX(x[0] * generator.random(), wires=0)
        return qml.expval(qml.Z(0))

    with pytest.raises(ValueError, match="not the same for different values"):
        CircuitLayer(circuit, {}, in_features=1)


@pytest.mark.parametrize("turn", [lambda p: p, lambda p: 2 * p])
def test_trainable_tensors_of_a_closure_are_refused(turn):
    angle = torch.nn.Parameter(torch.tensor(0.3))

    def circuit(x):
        qml.RX(turn(angle), wires=0)
        return qml.expval(qml.Z(0))

    with pytest.raises(ValueError, match="pass it as a weight"):
        CircuitLayer(circuit, {}, in_features=1)


def test_basis_states_of_inputs_are_refused():
    def circuit(x):
        qml.BasisEmbedding(x, wires=range(2))
        return qml.probs(wires=range(2))

    with pytest.raises(ValueError, match="0s and 1s"):
        CircuitLayer(circuit, {}, in_features=2)


def test_a_batched_gate_inside_the_function_is_refused():
    def circuit(x):
        qml.RX(x, wires=0)
        return qml.expval(qml.Z(0))

    with pytest.raises(ValueError, match="index the last axis"):
        CircuitLayer(circuit, {}, in_features=3)


def test_signatures():
    assert weight_names(lambda x, w, *args, turn=1, **rest: None) == (
        ("w", "turn"),
        frozenset({"turn"}),
        True,
    )
    assert weight_names(functools.partial(lambda x, w, k: None, k=2)) == (
        ("w", "k"),
        frozenset({"k"}),
        False,
    )
    with pytest.raises(ValueError, match="takes no inputs"):
        weight_names(lambda: None)
    with pytest.raises(ValueError, match="takes no inputs"):
        weight_names(lambda *, inputs: None)


def test_programs_hold_no_function_and_no_pennylane_object():
    def circuit(x, w):
        qml.RX(x[0] * w[0], wires="a")
        return qml.expval(qml.Z("a"))

    program = capture(circuit, {"x": (1,), "w": (1,)})
    assert program.out_features == 1
    assert program.operations[0].wires == (0,)
    assert not any("pennylane" in type(part).__module__ for part in vars(program).values())


def test_tracing_leaves_an_outer_queue_alone():
    def circuit(x):
        qml.RX(x[0], wires=0)
        return qml.expval(qml.Z(0))

    with qml.queuing.AnnotatedQueue() as queue:
        CircuitLayer(circuit, {}, in_features=1)
    assert not queue.queue
