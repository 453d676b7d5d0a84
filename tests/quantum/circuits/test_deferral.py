"""Measurements in mid-circuit, conditionals and postselection against default.qubit."""

import pennylane as qml
import pytest
import torch

from quantum.layer import CircuitLayer
from quantum.simulators import DensityMatrix

DOUBLE = torch.float64


def conditionals(x, w):
    qml.RY(x[0], 0)
    qml.RX(w, 1)
    qml.CNOT([0, 1])
    first = qml.measure(0, reset=True)
    qml.cond(first, qml.RX, qml.RZ)(w * x[0], 1)
    qml.Hadamard(0)
    second, third = qml.measure(0), qml.measure(1)
    qml.cond((first + 2 * second) > 1, lambda: qml.RY(x[1], 2))()
    qml.cond(first & third, qml.CRot)(x[0], x[1], w, [2, 1])
    qml.cond(~second, qml.Hadamard)(1)
    return [qml.expval(qml.Z(2)), qml.probs([1, 2]), qml.expval(qml.X(1)), qml.purity([2])]


def statistics(x, w):
    qml.RY(x[0], 0)
    first = qml.measure(0)
    qml.RX(w, 0)
    qml.cond(first, qml.RY)(x[1], 0)
    second = qml.measure(0, reset=True)
    qml.RX(x[1], 0)
    return [
        qml.expval(first),
        qml.expval(first * 2 + second),
        qml.var(first + second),
        qml.probs(op=second),
        qml.probs(op=[second, first]),
        qml.expval(qml.Z(0)),
    ]


def postselected(x, w):
    qml.RY(x[0], 0)
    qml.RX(w, 1)
    qml.CNOT([0, 1])
    qml.measure(0, postselect=1, reset=True)
    qml.RX(x[1], 0)
    second = qml.measure(1)
    qml.cond(second, qml.RY)(w, 0)
    qml.measure(0, postselect=0)
    qml.Hadamard(0)
    qml.CRY(x[1], [0, 1])
    return [
        qml.expval(qml.Z(0) @ qml.X(1)),
        qml.probs([1, 0]),
        qml.expval(second),
        qml.var(qml.X(0)),
    ]


def teleported(x, w):
    qml.Rot(x[0], w, x[1], "a")
    qml.Hadamard("b")
    qml.CNOT(["b", "c"])
    qml.CNOT(["a", "b"])
    qml.Hadamard("a")
    for wire, gate in (("b", qml.X), ("a", qml.Z)):
        qml.cond(qml.measure(wire), gate)("c")
    return [qml.expval(qml.X("c")), qml.expval(qml.Y("c")), qml.expval(qml.Z("c"))]


def projected(x, w):
    qml.RY(x[0], 0)
    qml.CRX(w, [0, 1])
    qml.Projector([0, 1], [1, 0])
    qml.RX(x[1], 0)
    return [qml.expval(qml.Y(0)), qml.probs([0, 1])]


CIRCUITS = [conditionals, statistics, postselected, teleported]


def layer(circuit, **options):
    start = {"w": torch.tensor(0.4, dtype=DOUBLE)}
    return CircuitLayer(circuit, {"w": ()}, in_features=2, init=start, dtype=DOUBLE, **options)


def rows(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) + 0.3


def scored(value, *sources):
    weights = torch.cos(1 + torch.arange(value.shape[-1], dtype=DOUBLE))
    return [value, *torch.autograd.grad((value * weights).sum(), sources)]


@pytest.mark.parametrize("simulator", [None, DensityMatrix()])
@pytest.mark.parametrize("circuit", CIRCUITS)
def test_values_and_gradients_agree_with_default_qubit(circuit, simulator):
    device = qml.device("default.qubit")
    options = {"interface": "torch", "diff_method": "backprop", "mcm_method": "deferred"}
    node = qml.QNode(circuit, device, **options)
    x, w = rows(3, 2).requires_grad_(), torch.tensor(0.4, dtype=DOUBLE, requires_grad=True)
    expected = torch.stack([torch.cat([part.reshape(-1) for part in node(row, w)]) for row in x])
    made = layer(circuit, simulator=simulator)
    got = scored(made(x), x, made.w)
    for one, other in zip(got, scored(expected, x, w), strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


@pytest.mark.parametrize("circuit", [*CIRCUITS, projected])
def test_batched_weights_are_a_loop(circuit):
    made, x, w = layer(circuit), rows(3, 2), rows(2, 1)
    together = torch.func.functional_call(made, {"w": w}, (x,))
    for k in range(2):
        alone = torch.func.functional_call(made, {"w": w[k, 0]}, (x,))
        torch.testing.assert_close(together[k], alone, atol=1e-12, rtol=0)


def test_projectors_project_and_normalise():
    made, x = layer(projected), rows(2, 2)
    mixed = layer(projected, simulator=DensityMatrix())
    node = qml.QNode(projected, qml.device("default.qubit"), interface="torch")
    for row in x:
        expected = torch.cat([part.reshape(-1) for part in node(row, torch.tensor(0.4))])
        torch.testing.assert_close(made(row), expected.double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(made(x), mixed(x), atol=1e-12, rtol=0)


def test_adjoint_gradients_are_refused_after_postselection():
    with pytest.raises(ValueError, match="not unitary"):
        layer(postselected, gradient="adjoint")


def reweighted(x, w):
    """A circuit in which the probability of the outcome that is kept depends on everything."""
    qml.RX(x[0], 0)
    qml.CRX(w, [0, 1])
    qml.CRY(x[1], [1, 0])
    qml.CNOT([0, 1])
    qml.RX(x[0] * w, 1)
    qml.measure(0, postselect=1)
    return qml.expval(qml.Z(1))


def test_parameter_shifts_are_refused_after_postselection():
    with pytest.raises(ValueError, match="does not hold"):
        layer(reweighted, gradient="parameter-shift")(rows(2))
    drawn = layer(reweighted, shots=10)
    assert drawn(rows(2)).shape == (1,)
    with pytest.raises(NotImplementedError, match="postselection"):
        drawn(rows(2)).sum().backward()


def test_outcomes_can_be_sampled_and_counted():
    def circuit(read):
        def run(x, w):
            qml.RY(x[0], 0)
            first = qml.measure(0)
            qml.RX(x[1], 0)
            second = qml.measure(0)
            return read(first, second)

        return run

    x, generator = rows(2, 2), torch.Generator().manual_seed(0)
    single = layer(circuit(lambda a, b: qml.sample(a)), shots=5000)(x, generator=generator)
    assert single.shape == (2, 5000)
    chance = (x[:, 0] / 2).sin() ** 2
    assert (single.mean(-1) - chance).abs().max() < 0.04
    both = layer(circuit(lambda a, b: qml.sample([a, b])), shots=50)(x)
    assert both.shape == (2, 50, 2)
    total = layer(circuit(lambda a, b: qml.counts(a + 2 * b)), shots=50)(x)
    assert all(sum(row.values()) == 50 and set(row) <= {0, 1, 2, 3} for row in total)
    named = layer(circuit(lambda a, b: qml.counts([b, a])), shots=50)(x[0])
    assert set(named) <= {"00", "01", "10", "11"}


def test_shots_are_all_kept_after_postselection():
    def circuit(x, w):
        qml.RY(x[0], 0)
        qml.CNOT([0, 1])
        qml.measure(0, postselect=1)
        return qml.sample(wires=1)

    assert layer(circuit, shots=20)(rows(2)).flatten().tolist() == [1] * 20


def test_the_same_circuit_gives_the_same_program_each_time():
    first, second = layer(statistics), layer(statistics)
    assert first._evaluator.plan.program.operations == second._evaluator.plan.program.operations
    assert first._evaluator.plan.program.measurements == second._evaluator.plan.program.measurements


def test_states_are_refused_beside_measurements_in_mid_circuit():
    def circuit(x, w):
        qml.cond(qml.measure(0), qml.X)(1)
        return qml.state()

    with pytest.raises(ValueError, match="StateMP"):
        layer(circuit)
