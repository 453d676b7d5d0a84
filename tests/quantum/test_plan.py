"""The published table: every cell decides, and names what to use instead where it refuses."""

import pytest
import torch
from programs import random_program

from quantum.circuits.program import Measurement, Operation, Program
from quantum.plan import (
    GRADIENTS,
    MEASUREMENTS,
    SIMULATORS,
    TABLE,
    checked_gradient,
    plan,
    repeats,
    reversible,
)
from quantum.simulators import DensityMatrix, Device, StateVector
from quantum.tracing.recorder import record

SIMULATOR = {"StateVector": StateVector(), "DensityMatrix": DensityMatrix(), "Device": Device(None)}
KINDS = [kind for kind in MEASUREMENTS if kind != "vn_entanglement_entropy"]


def program(*kinds, operations=(), values=lambda x: []):
    measurements = tuple(Measurement(kind, (0, 1)) for kind in kinds)
    return Program(2, tuple(operations), measurements, record(values, [(2,)]))


def test_the_table_is_complete():
    assert len(TABLE) == len(SIMULATORS) * len(GRADIENTS) * len(MEASUREMENTS)
    for cell in TABLE.values():
        assert (cell.exact and cell.sampled) or cell.instead


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shots", [None, 100])
def test_plans_follow_the_table(simulator, gradient, kind, shots):
    cell = TABLE[simulator, gradient, kind]
    if cell.exact if shots is None else cell.sampled:
        assert plan(program(kind), SIMULATOR[simulator], gradient, shots).gradient == gradient
        return
    with pytest.raises(
        ValueError, match=f"gradient='{gradient}' of {kind}.*{simulator}.*use"
    ) as raised:
        plan(program(kind), SIMULATOR[simulator], gradient, shots)
    assert cell.instead in str(raised.value)


@pytest.mark.parametrize(
    ("kinds", "simulator", "shots", "expected"),
    [
        (("expval", "probs"), "StateVector", None, "adjoint"),
        (("var",), "StateVector", None, "adjoint"),
        (("expval", "purity"), "StateVector", None, "backprop"),
        (("state",), "StateVector", None, "backprop"),
        (("expval",), "DensityMatrix", None, "backprop"),
        (("expval",), "StateVector", 10, "parameter-shift"),
        (("sample",), "StateVector", 10, "none"),
        (("expval",), "Device", None, "best"),
    ],
)
def test_left_to_the_plan(kinds, simulator, shots, expected):
    decided = plan(program(*kinds), SIMULATOR[simulator], "auto", shots)
    assert (decided.gradient, decided.automatic, decided.shots) == (expected, True, shots)


def test_unknown_gradients():
    with pytest.raises(ValueError, match=r"must be 'auto' or one of .*got 'adjiont'"):
        plan(program("expval"), StateVector(), "adjiont")
    with pytest.raises(ValueError, match=r"must be 'auto' or one of .*got 'adjiont'"):
        checked_gradient("adjiont")  # of a layer whose number of inputs is not known yet


MATRICES = [
    (lambda x: [torch.eye(2)], "QubitUnitary", True, None),
    (
        lambda x: [torch.diag(torch.tensor([1.0, 0.0]))],
        "QubitUnitary",
        False,
        "QubitUnitary on wires",
    ),
    (lambda x: [torch.ones(2)], "DiagonalQubitUnitary", True, None),
    (
        lambda x: [torch.tensor([1.0, 0.5])],
        "DiagonalQubitUnitary",
        False,
        "DiagonalQubitUnitary on",
    ),
    (lambda x: [torch.diag(torch.exp(1j * x))], "QubitUnitary", False, None),
    (lambda x: [torch.tensor(0.4j)], "PauliExponential", True, None),
    (lambda x: [torch.tensor(0.4)], "PauliExponential", False, "PauliExponential on"),
    (lambda x: [x[0] * 1j], "PauliExponential", False, None),
]


@pytest.mark.parametrize(("values", "gate", "known", "refused"), MATRICES)
def test_circuits_that_cannot_be_undone(values, gate, known, refused):
    operation = Operation(gate, (0,), (0,), setting="X")
    made = program("expval", operations=[operation], values=values)
    assert reversible(made) is known
    assert plan(made, StateVector(), "auto").gradient == ("adjoint" if known else "backprop")
    if refused is None:
        assert plan(made, StateVector(), "adjoint").gradient == "adjoint"
    else:
        with pytest.raises(ValueError, match=f"{refused}.*gradient='backprop'"):
            plan(made, StateVector(), "adjoint")


def test_channels_cannot_be_undone():
    channel = Operation("AmplitudeDamping", (0,), (0,), unitary=False)
    assert not reversible(program("expval", operations=[channel], values=lambda x: [x[0]]))
    assert reversible(random_program(3, names=["RX", "Rot", "IsingXX"]))


def gate(name, *wires, slots=(), controls=()):
    return Operation(name, wires, slots, controls, (True,) * len(controls))


REPEATS = [
    ([], 0),
    ([gate("RX", 0, slots=(0,))] * 3, 3),
    ([gate("RX", 0, slots=(0,)), gate("RX", 1, slots=(0,))], 1),
    ([gate("RX", 0, slots=(2,))] * 5, 0),  # a constant angle
    ([gate("RX", 0, slots=(0,)), gate("RX", 0, slots=(1,))] * 4, 4),
    ([gate("IsingZZ", 0, 1, slots=(0,)), gate("RZ", 0, slots=(0,))] * 4, 8),
    ([gate("RX", 0, slots=(0,), controls=(1,)), gate("RX", 1, slots=(0,), controls=(0,))] * 4, 4),
    ([gate("Rot", 0, slots=(0, 1, 0))] * 4, 4),
]


@pytest.mark.parametrize(("operations", "expected"), REPEATS)
def test_repeats_of_a_parameter_on_a_wire(operations, expected):
    made = program("expval", operations=operations, values=lambda x: [x[0], x[1], 0.3])
    assert repeats(made) == expected


def test_the_same_angle_computed_again_is_the_same():
    operations = [gate("RX", 0, slots=(slot,)) for slot in range(6)]

    def values(x):
        return [2 * x[0] + 1, 2 * x[0] + 1, 2 * x[1] + 1, 3 * x[0] + 1, x[0], x[0]]

    assert repeats(program("expval", operations=operations, values=values)) == 2


@pytest.mark.parametrize(
    ("count", "shots", "simulator", "delicate"),
    [
        (8, None, StateVector(), False),
        (9, None, StateVector(), True),
        (9, None, DensityMatrix(), True),
        (9, 100, StateVector(), False),
        (9, None, Device(None), False),
    ],
)
def test_many_repeats_need_double_precision(count, shots, simulator, delicate):
    operations = [gate("RX", 0, slots=(0,))] * count
    made = program("expval", operations=operations, values=lambda x: [x[0]])
    assert plan(made, simulator, "auto", shots).delicate is delicate
