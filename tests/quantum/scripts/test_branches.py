"""Mid-circuit measurements on the PennyLane devices, by every method, against deferral."""

import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp
from pennylane.exceptions import DeviceError
from pennylane_results import check, flat

from quantum.device import BorromeanMixed, BorromeanQubit


def dynamic(x, y, z, postselect=None, reset=False):
    qml.RX(x, wires=0)
    first = qml.measure(0, reset=reset, postselect=postselect)
    qml.cond(first, qml.RY)(y, wires=1)
    qml.Hadamard(0)
    second = qml.measure(0)
    qml.cond(first + 2 * second == 3, qml.RX, qml.RZ)(z, wires=1)
    qml.RX(0.4, wires=0)
    return first, second


BRANCHING = {
    "expval": lambda first, second: qml.expval(qml.Y(1)),
    "outcome": lambda first, second: qml.expval(first + 2 * second),
    "variances": lambda first, second: (qml.var(first), qml.var(qml.X(1) @ qml.Z(0))),
    "outcomes": lambda first, second: qml.probs(op=[first, second]),
    "several": lambda first, second: (
        qml.probs(op=second),
        qml.probs(wires=[1, 0]),
        qml.expval(qml.X(0) + 0.5 * qml.Z(1) @ qml.Z(0)),
    ),
}
VALUES = (0.8, 0.7, 1.1)


class TestMidCircuitMeasurements:
    @pytest.mark.parametrize(
        ("postselect", "reset"), [(None, False), (1, False), (None, True), (0, True)]
    )
    @pytest.mark.parametrize("kind", BRANCHING)
    def test_every_method(self, postselect, reset, kind):
        def circuit(x, y, z):
            return BRANCHING[kind](*dynamic(x, y, z, postselect, reset))

        exact = qml.QNode(circuit, qml.device("default.qubit"), mcm_method="deferred")(*VALUES)
        for method in ("deferred", "tree-traversal", "device"):
            check(qml.QNode(circuit, BorromeanQubit(), mcm_method=method)(*VALUES), exact)
        check(qml.QNode(circuit, BorromeanMixed())(*VALUES), exact)
        for method in ("deferred", "tree-traversal", "one-shot"):
            node = qml.QNode(circuit, BorromeanQubit(seed=2), mcm_method=method)
            drawn = qml.set_shots(node, 10_000)(*VALUES)
            np.testing.assert_allclose(flat(drawn), flat(exact), atol=0.08)

    @pytest.mark.parametrize("method", ["deferred", "tree-traversal"])
    def test_gradients(self, method):
        def circuit(v):
            first, _ = dynamic(*v, postselect=1)
            return qml.expval(qml.Z(1)), qml.var(qml.X(1)), qml.expval(first)

        own = qml.QNode(circuit, BorromeanQubit(), mcm_method=method)
        other = qml.QNode(circuit, qml.device("default.qubit"), mcm_method="deferred")
        given = pnp.array(VALUES, requires_grad=True)
        found, expected = (qml.jacobian(lambda v, n=n: flat(n(v)))(given) for n in (own, other))
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_correlated_samples_and_counts(self):
        def circuit():
            qml.Hadamard(0)
            outcome = qml.measure(0)
            qml.cond(outcome, qml.X)(1)
            return (
                qml.sample(outcome),
                qml.sample(wires=1),
                qml.counts([outcome]),
                qml.counts(qml.Z(1)),
            )

        for method in ("one-shot", "tree-traversal", "deferred"):
            node = qml.QNode(circuit, BorromeanQubit(seed=0), mcm_method=method)
            outcomes, wires, counts, signs = qml.set_shots(node, 60)()
            np.testing.assert_array_equal(outcomes.ravel(), wires.ravel())
            assert counts == {"0": int((outcomes == 0).sum()), "1": int(outcomes.sum())}
            assert signs[1.0] == counts["0"]

    @pytest.mark.parametrize("method", ["one-shot", "deferred"])
    def test_shot_vectors_lose_shots_to_postselection(self, method):
        def circuit():
            qml.Hadamard(0)
            qml.measure(0, postselect=1)
            return qml.sample(wires=0)

        node = qml.QNode(circuit, BorromeanQubit(seed=0), mcm_method=method)
        found = qml.set_shots(node, (100, 200))()
        assert [30 < len(found[0]) < 70, 60 < len(found[1]) < 140] == [True, True]
        assert all((part == 1).all() for part in found)

    def test_filled_shots(self):
        def circuit(angle):
            qml.RX(angle, wires=0)
            qml.measure(0, postselect=1)
            return qml.sample(wires=0)

        given = {"mcm_method": "deferred", "postselect_mode": "fill-shots"}
        node = qml.set_shots(qml.QNode(circuit, BorromeanQubit(seed=0), **given), 100)
        assert len(node(0.3)) == 100
        with pytest.raises(RuntimeError, match="probability 0"):
            node(0.0)

    def test_everything_is_lost(self):
        def circuit():
            outcome = qml.measure(0, postselect=1)
            return qml.expval(qml.Z(1)), qml.probs(wires=[0, 1]), qml.expval(outcome)

        lost = [np.nan] * 6
        found = qml.QNode(circuit, BorromeanQubit(), mcm_method="tree-traversal")()
        np.testing.assert_array_equal(flat(found), lost)
        for method in ("one-shot", "tree-traversal", "deferred"):
            node = qml.QNode(circuit, BorromeanQubit(), mcm_method=method)
            np.testing.assert_array_equal(flat(qml.set_shots(node, 5)()), lost)

    def test_batches(self):
        def circuit(x):
            return BRANCHING["several"](*dynamic(x, 0.7, 1.1))

        nodes = [
            qml.QNode(circuit, BorromeanQubit(), mcm_method="tree-traversal"),
            qml.QNode(circuit, qml.device("default.qubit"), mcm_method="deferred"),
        ]
        check(*[node(np.array([0.3, 0.8])) for node in nodes])

    def test_refusals(self):
        def circuit():
            qml.measure(0)
            return qml.purity(0)

        with pytest.raises(DeviceError, match="does not know mcm_method='tree-traversal'"):
            qml.QNode(circuit, BorromeanMixed(), mcm_method="tree-traversal")()
        with pytest.raises(NotImplementedError, match="mcm_method='deferred'"):
            qml.QNode(circuit, BorromeanQubit(), mcm_method="tree-traversal")()
        given = {"mcm_method": "one-shot", "postselect_mode": "fill-shots"}
        with pytest.raises(DeviceError, match="needs mcm_method='deferred'"):
            qml.set_shots(qml.QNode(circuit, BorromeanQubit(), **given), 10)()
