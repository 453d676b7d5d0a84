"""Every operation, observable, channel and template that PennyLane exports is tested or excused.

They are found by reflection. What `test_translation` holds an example of is tested there, what is
missing there has its example here; oracles are default.qubit and default.mixed in double precision.
"""

import importlib.util
import inspect
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane.operation import Operator

from quantum.layer import CircuitLayer
from quantum.simulators import DensityMatrix, StateVector

QUTRITS = "acts on qutrits, not on qubits: refused by name"
LIGHT = "acts on modes of light, not on qubits: refused by name"
ABSTRACT = "is a base class without a matrix, only its subclasses are operations"
EXCUSED = {
    **dict.fromkeys(
        """
        ControlledQutritUnitary GellMann QutritAmplitudeDamping QutritBasisState
        QutritBasisStatePreparation QutritChannel QutritDepolarizingChannel QutritUnitary TAdd
        TClock THadamard THermitian TRX TRY TRZ TSWAP TShift TritFlip
        """.split(),  # noqa: SIM905
        QUTRITS,
    ),
    **dict.fromkeys(
        """
        Beamsplitter CVNeuralNetLayers CVObservable CatState CoherentState
        ControlledAddition ControlledPhase CrossKerr CubicPhase DisplacedSqueezedState Displacement
        DisplacementEmbedding FockDensityMatrix FockState FockStateProjector FockStateVector
        GaussianState Interferometer InterferometerUnitary Kerr NumberOperator PolyXP QuadOperator
        QuadP QuadX QuadraticPhase Rotation SqueezedState Squeezing SqueezingEmbedding TensorN
        ThermalState TwoModeSqueezing
        """.split(),  # noqa: SIM905
        LIGHT,
    ),
    **dict.fromkeys(["CompositeOp", "Operation", "ScalarSymbolicOp", "SymbolicOp"], ABSTRACT),
    "FromBloq": "wraps circuits of the package qualtran, which is not among the dependencies",
    "PauliMeasure": "default.qubit has no oracle for it: no device of PennyLane's executes it",
    "SumOfSlatersPrep": "decomposes in PennyLane's graph mode only: default.qubit refuses it too",
    "SubroutineOp": "is what a function marked as a subroutine queues; its parts are operations",
}


def angles(x, w, *shape):
    count = int(np.prod(shape))
    values = [x[0], w[0], x[1] * w[1], w[2], qml.math.sin(x[2]), w[3], x[3] + w[4], w[5]]
    made = [values[k % 8] * (1 + k // 8) for k in range(count)]
    return qml.math.reshape(qml.math.stack(made), shape)


def conditional(x, w):
    qml.RY(x[0], 0)
    qml.cond(qml.measure(0), qml.RX)(w[0], 1)


BITS = [[0, 1], [1, 1], [1, 0], [0, 0]]
PURE = {
    "Snapshot": lambda x, w: (qml.RX(x[0], 0), qml.Snapshot("here")),
    "MidMeasure and Conditional": conditional,
    "MultiplexerStatePreparation": lambda x, w: qml.MultiplexerStatePreparation(np.array([0.5, 0.5, 0.5, 0.5]), wires=[0, 1]),
    "LocalHilbertSchmidt": lambda x, w: (qml.LocalHilbertSchmidt([qml.RZ(0.3, 2), qml.CNOT([2, 3])], qml.CZ([0, 1])), qml.RX(x[0], 0)),
    "IQP": lambda x, w: qml.IQP(angles(x, w, 2), num_wires=2, pattern=[[[0]], [[0, 1]]]),
    "kUpCCGSD": lambda x, w: qml.kUpCCGSD(angles(x, w, 1, 6), wires=range(4), k=1, delta_sz=0, init_state=np.array([1, 1, 0, 0])),
    "QuantumMonteCarlo": lambda x, w: qml.QuantumMonteCarlo(np.array([0.3, 0.7]), lambda i: np.sin(0.4 + i) ** 2, target_wires=[0, 1], estimation_wires=[2, 3]),
    "BBQRAM": lambda x, w: (qml.RY(x[0], 0), qml.BBQRAM(BITS[:2], control_wires=[0], target_wires=[1, 2], work_wires=range(3, 7))),
    "HybridQRAM": lambda x, w: (qml.RY(x[0], 0), qml.HybridQRAM(BITS, control_wires=[0, 1], target_wires=[2, 3], work_wires=range(4, 9), k=1)),
    "SelectOnlyQRAM": lambda x, w: (qml.RY(x[0], 0), qml.SelectOnlyQRAM(BITS, control_wires=[0, 1], target_wires=[2, 3])),
    "Projector": lambda x, w: qml.exp(qml.Projector([1], 0), 1j * x[0]),
    "SparseHamiltonian": lambda x, w: qml.exp(qml.SparseHamiltonian(qml.Hamiltonian([0.5, 0.3], [qml.X(0), qml.Z(1)]).sparse_matrix(), wires=[0, 1]), 0.4j),
}  # fmt: skip


def kraus(x, w):
    flip, stay = np.array([[0, 1], [1, 0]]), np.eye(2)
    if torch.is_tensor(x):
        flip, stay = torch.as_tensor(flip), torch.as_tensor(stay)
    qml.QubitChannel([x[0] ** 0.5 * flip, (1 - x[0]) ** 0.5 * stay], wires=0)


MIXED = {
    "AmplitudeDamping": lambda x, w: qml.AmplitudeDamping(x[0] * w[0], wires=0),
    "BitFlip": lambda x, w: qml.BitFlip(x[0], wires=1),
    "DepolarizingChannel": lambda x, w: qml.DepolarizingChannel(w[0], wires=0),
    "GeneralizedAmplitudeDamping": lambda x, w: qml.GeneralizedAmplitudeDamping(x[0], w[0], wires=1),
    "PauliError": lambda x, w: qml.PauliError("XY", x[0], wires=[0, 1]),
    "PhaseDamping": lambda x, w: qml.PhaseDamping(x[0], wires=0),
    "PhaseFlip": lambda x, w: qml.PhaseFlip(w[1], wires=1),
    "QubitChannel": kraus,
    "ResetError": lambda x, w: qml.ResetError(0.4 * x[0], 0.5 * w[0], wires=0),
    "ThermalRelaxationError": lambda x, w: qml.ThermalRelaxationError(0.3 * x[0], 1.2 + w[0], 1.1, 0.4 + x[1], wires=0),
    "ThermalRelaxationError slow dephasing": lambda x, w: qml.ThermalRelaxationError(0.3 * x[0], 1.1, 1.5, 0.4 + x[1], wires=1),
    "QubitDensityMatrix": lambda x, w: qml.QubitDensityMatrix(np.diag([0.5, 0.25, 0.125, 0.125]), wires=[0, 1]),
}  # fmt: skip


def pure(operation):
    def circuit(x, w):
        operation(x, w)
        qml.Rot(w[0], w[1], x[0], wires=0)
        qml.CNOT(wires=[0, 1])
        return [qml.expval(qml.X(0) @ qml.Z(1)), qml.probs(wires=[1, 0])]

    return circuit


def mixed(operation):
    def circuit(x, w):
        first = operation is MIXED["QubitDensityMatrix"]
        if first:
            operation(x, w)
        qml.RY(x[0], 0)
        qml.Rot(w[0], w[1], w[2], wires=1)
        qml.CNOT(wires=[0, 1])
        if not first:
            operation(x, w)
        qml.RX(x[1], 0)
        return [qml.expval(qml.X(0) @ qml.Z(1)), qml.probs(wires=[1, 0]), qml.var(qml.Y(1))]

    return circuit


def outcome(function, x, w):
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    value = function(x, w)
    parts = value if isinstance(value, list | tuple) else [value]
    value = torch.cat([torch.as_tensor(part).reshape(-1) for part in parts])
    score = (value * torch.cos(1 + torch.arange(len(value)))).sum()
    slopes = torch.autograd.grad(score, (x, w), allow_unused=True, materialize_grads=True)
    return [value.detach(), *slopes]


# PennyLane takes these parameters as numbers: the oracle's gradients are differences.
NOT_DIFFERENTIATED = ("IQP", "QubitChannel", "ThermalRelaxationError")


def differences(node, x, w, step=1e-4):
    """The outcome of a node of numbers, gradients to fourth order in the step."""

    def moved(k, by):
        joined = torch.cat([x, w])
        joined[k] += by
        parts = node(joined[: len(x)].numpy(), joined[len(x) :].numpy())
        return torch.cat([torch.as_tensor(part).reshape(-1) for part in parts])

    value = moved(0, 0.0)
    weights = torch.cos(1 + torch.arange(len(value)))
    slopes = []
    for k in range(len(x) + len(w)):
        near, far = (moved(k, h) - moved(k, -h) for h in (step, 2 * step))
        slopes.append((((8 * near - far) / (12 * step)) * weights).sum())
    return [value, torch.stack(slopes[: len(x)]), torch.stack(slopes[len(x) :])]


def agree(name, circuit, simulator, device):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(4, generator=generator, dtype=torch.float64) / 2 + 0.1
    w = torch.rand(6, generator=generator, dtype=torch.float64) / 2 + 0.1
    layer = CircuitLayer(circuit, {"w": 6}, in_features=4, simulator=simulator)
    node = qml.QNode(circuit, qml.device(device), interface="torch", diff_method="backprop")
    ours = outcome(lambda x, w: torch.func.functional_call(layer, {"w": w}, (x,)), x, w)
    plain = name.startswith(NOT_DIFFERENTIATED)
    expected = differences(node, x, w) if plain else outcome(node, x, w)
    for k, (one, other) in enumerate(zip(ours, expected, strict=True)):
        tolerance = 1e-9 if plain and k else 1e-10
        torch.testing.assert_close(one, other, atol=tolerance, rtol=0, check_dtype=False)


@pytest.mark.parametrize("name", PURE)
def test_agrees_with_default_qubit(name):
    agree(name, pure(PURE[name]), StateVector(), "default.qubit")


@pytest.mark.parametrize("name", MIXED)
def test_agrees_with_default_mixed(name):
    agree(name, mixed(MIXED[name]), DensityMatrix(), "default.mixed")


def exported():
    """The names of all exported operator classes, each class by its own name."""
    found = {}
    for space in (qml, qml.ops, qml.templates):
        for name in dir(space):
            value = getattr(space, name)
            if inspect.isclass(value) and issubclass(value, Operator):
                found[value.__name__] = value
    return found


def used(operator, names):
    """Add the names of an operator's class, of what it wraps, and of the wrappers it belongs to."""
    wrappers = (qml.ops.SymbolicOp, qml.ops.CompositeOp, qml.Projector)
    for kind in type(operator).__mro__:
        if kind is type(operator) or issubclass(kind, wrappers):
            names.add(kind.__name__)
    for part in (getattr(operator, "base", None), *getattr(operator, "operands", ())):
        if isinstance(part, Operator):
            used(part, names)


def covered():
    """The names of all operator classes that some example, here or in test_translation, uses."""
    place = Path(__file__).parent / "circuits" / "test_translation.py"
    spec = importlib.util.spec_from_file_location("examples_of_translation", place)
    examples = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(examples)
    steps = [*PURE.values(), *MIXED.values(), *(step for _, step in examples.CASES.values())]
    x, w = torch.linspace(0.1, 0.4, 4).double(), torch.linspace(0.1, 0.8, 12).double()
    names = set()
    for step in [*steps, *examples.READINGS.values()]:
        with qml.queuing.AnnotatedQueue() as queue:
            answer = step(x, w)
        script = qml.tape.QuantumScript.from_queue(queue)
        for operator in script.operations:
            used(operator, names)
        if getattr(answer, "obs", None) is not None:
            used(answer.obs, names)
    return names


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_everything_exported_is_tested_or_excused():
    missing = sorted(set(exported()) - covered() - set(EXCUSED))
    assert not missing, f"neither tested nor excused: {missing}"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_excuse_is_stale():
    gone = sorted(set(EXCUSED) - set(exported()))
    assert not gone, f"excused, but not exported: {gone}"
    needless = sorted(set(EXCUSED) & covered() - {"CompositeOp", "ScalarSymbolicOp", "SymbolicOp"})
    assert not needless, f"excused, but tested: {needless}"


def test_excuses_for_other_systems_are_true():
    for name, reason in EXCUSED.items():
        kind = exported()[name]
        if reason in (QUTRITS, LIGHT):
            source = Path(inspect.getsourcefile(kind)).read_text().lower()
            words = (
                "qutrit",
                "cvoperation",
                "cvobservable",
                "displacement",
                "squeezing",
                "beamsplitter",
            )
            assert any(word in source for word in words), name
        if reason is ABSTRACT:
            assert kind.__subclasses__(), name
