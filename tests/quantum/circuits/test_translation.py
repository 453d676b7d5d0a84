"""Every operation and template of PennyLane that fits a pure state, one small circuit each.

Oracle: default.qubit in float64, values and gradients.
"""

import numpy as np
import pennylane as qml
import pytest
import torch

from quantum.layer import CircuitLayer

ANGLES = (
    "x[0]",
    "w[0]",
    "x[1] * w[1]",
    "w[2]",
    "x[2]",
    "w[3]",
    "x[3] + w[4]",
    "w[5]",
    "x[0]",
    "w[1]",
)


def spread(wires):
    """A state with all amplitudes different, so that no operation acts trivially."""
    for k in range(wires):
        qml.RY(0.4 + 0.3 * k, wires=k)
        qml.RZ(0.9 - 0.2 * k, wires=k)
    for k in range(wires - 1):
        qml.CNOT(wires=[k, k + 1])


def angles(x, w, count):
    values = [x[0], w[0], x[1] * w[1], w[2], torch.sin(x[2]), w[3], x[3] + w[4], w[5]]
    return [values[k % len(values)] * (1 + k // len(values)) for k in range(count)]


def vector(x, w, size):
    return torch.stack(angles(x, w, size))


def unitary(x, w, size):
    generator = torch.diag_embed(vector(x, w, size)) + torch.ones(size, size)
    return torch.linalg.matrix_exp(1j * generator)


def hermitian(x, w, size):
    v = torch.outer(vector(x, w, size), 1j * w[:size] + 1)
    return v + v.conj().T


def fixed_gate(name, wires):
    def circuit(x, w):
        spread(wires)
        getattr(qml, name)(wires=range(wires))
        qml.RX(x[0], wires=0)

    return circuit


def angle_gate(name, count, wires):
    def circuit(x, w):
        spread(wires)
        getattr(qml, name)(*angles(x, w, count), wires=range(wires))

    return circuit


FIXED = {
    "Identity": 1, "PauliX": 1, "PauliY": 1, "PauliZ": 1, "Hadamard": 1, "S": 1, "T": 1, "SX": 1,
    "SWAP": 2, "ISWAP": 2, "SISWAP": 2, "SQISW": 2, "ECR": 2, "CNOT": 2, "CZ": 2, "CY": 2, "CH": 2,
    "CSWAP": 3, "CCZ": 3, "Toffoli": 3, "QubitSum": 3, "QubitCarry": 4, "MultiControlledX": 4,
    "Barrier": 2, "WireCut": 2, "QFT": 3, "GroverOperator": 3,
}  # fmt: skip
TURNS = {
    "RX": (1, 1), "RY": (1, 1), "RZ": (1, 1), "Rot": (3, 1), "PhaseShift": (1, 1), "U1": (1, 1),
    "U2": (2, 1), "U3": (3, 1), "CRX": (1, 2), "CRY": (1, 2), "CRZ": (1, 2), "CRot": (3, 2),
    "ControlledPhaseShift": (1, 2), "CPhaseShift00": (1, 2), "CPhaseShift01": (1, 2),
    "CPhaseShift10": (1, 2), "IsingXX": (1, 2), "IsingYY": (1, 2), "IsingZZ": (1, 2),
    "IsingXY": (1, 2), "PSWAP": (1, 2), "FermionicSWAP": (1, 2), "SingleExcitation": (1, 2),
    "SingleExcitationPlus": (1, 2), "SingleExcitationMinus": (1, 2), "DoubleExcitation": (1, 4),
    "DoubleExcitationPlus": (1, 4), "DoubleExcitationMinus": (1, 4), "OrbitalRotation": (1, 4),
    "MultiRZ": (1, 3), "GlobalPhase": (1, 2),
}  # fmt: skip
HAMILTONIAN = qml.Hamiltonian([0.5, -0.3, 0.8], [qml.X(0), qml.Z(0) @ qml.Y(1), qml.Z(2)])

CASES = {
    "PauliRot": (3, lambda x, w: qml.PauliRot(x[0] * w[0], "XZY", wires=[0, 2, 1])),
    "PauliRot long": (5, lambda x, w: qml.PauliRot(x[0], "XZIYX", wires=range(5))),
    "PCPhase": (3, lambda x, w: qml.PCPhase(x[0] * w[0], dim=5, wires=range(3))),
    "QubitUnitary": (2, lambda x, w: qml.QubitUnitary(unitary(x, w, 4), wires=[1, 0])),
    "QubitUnitary constant": (1, lambda x, w: qml.QubitUnitary(np.array([[0, 1j], [1, 0]]), wires=0)),
    "ControlledQubitUnitary": (3, lambda x, w: qml.ControlledQubitUnitary(unitary(x, w, 2), wires=[2, 0, 1], control_values=[0, 1])),
    "DiagonalQubitUnitary": (2, lambda x, w: qml.DiagonalQubitUnitary(torch.exp(1j * vector(x, w, 4)), wires=[1, 0])),
    "SpecialUnitary": (2, lambda x, w: qml.SpecialUnitary(vector(x, w, 15), wires=[0, 1])),
    "BlockEncode": (2, lambda x, w: qml.BlockEncode(0.3 * torch.stack([torch.stack([x[0], w[0]]), torch.stack([w[1], x[1]])]), wires=[0, 1])),
    "IntegerComparator": (3, lambda x, w: qml.IntegerComparator(2, wires=[0, 1, 2])),
    "MultiControlledX values": (4, lambda x, w: qml.MultiControlledX(wires=[3, 0, 2, 1], control_values=[0, 1, 0])),
    "TemporaryAND": (3, lambda x, w: qml.TemporaryAND(wires=[0, 1, 2])),
    "ctrl": (3, lambda x, w: qml.ctrl(qml.Rot(x[0], w[0], w[1], wires=2), control=[0, 1], control_values=[1, 0])),
    "ctrl of a template": (3, lambda x, w: qml.ctrl(qml.AngleEmbedding(x[:2], wires=[0, 1]), control=2)),
    "ctrl of a function": (3, lambda x, w: qml.ctrl(lambda a: (qml.RX(a, 0), qml.CNOT([0, 1])), control=2)(w[0])),
    "ctrl of a phase": (2, lambda x, w: qml.ctrl(qml.GlobalPhase(x[0], wires=0), control=1)),
    "ctrl of ctrl": (3, lambda x, w: qml.ctrl(qml.ctrl(qml.RY(x[0], 0), 1, control_values=[0]), 2)),
    "ctrl of a matrix": (3, lambda x, w: qml.ctrl(qml.QubitUnitary(unitary(x, w, 4), wires=[0, 2]), control=1)),
    "adjoint": (2, lambda x, w: qml.adjoint(qml.Rot(x[0], w[0], w[1], wires=0))),
    "adjoint of a function": (2, lambda x, w: qml.adjoint(lambda a: (qml.S(0), qml.IsingXY(a, [0, 1])))(x[0])),
    "adjoint of QFT": (3, lambda x, w: qml.adjoint(qml.QFT(wires=range(3)))),
    "adjoint of a permutation": (4, lambda x, w: qml.adjoint(qml.QubitCarry(wires=range(4)))),
    "power": (2, lambda x, w: qml.pow(qml.IsingXX(x[0], [0, 1]), 3)),
    "negative power": (1, lambda x, w: qml.pow(qml.CRX(x[0], [1, 0]), -2)),
    "fractional power": (2, lambda x, w: (qml.pow(qml.RX(x[0], 0), 0.3), qml.pow(qml.X(1), 0.5))),
    "power of ctrl": (2, lambda x, w: qml.pow(qml.CRX(x[0], [0, 1]), 2)),
    "product": (2, lambda x, w: qml.prod(qml.RX(x[0], 0), qml.S(0), qml.RY(w[0], 1))),
    "exp": (2, lambda x, w: qml.exp(qml.X(0) @ qml.Z(1), 1j * x[0])),
    "exp of a sum": (2, lambda x, w: qml.exp(qml.X(0) @ qml.Z(1) + 0.3 * qml.Y(0), 1j * x[0])),
    "exp not unitary": (2, lambda x, w: qml.exp(qml.X(0) @ qml.Z(1), 0.1 * x[0])),
    "ctrl of exp": (3, lambda x, w: qml.ctrl(qml.exp(qml.Y(0) @ qml.Z(1), 1j * x[0]), 2, control_values=[0])),
    "evolve a sum": (2, lambda x, w: qml.evolve(qml.X(0) @ qml.Z(1) + 0.7 * qml.Y(0), x[0])),
    "ctrl of PauliRot": (3, lambda x, w: qml.ctrl(qml.PauliRot(x[0], "YZ", [2, 0]), 1)),
    "evolve": (1, lambda x, w: qml.evolve(qml.X(0), x[0])),
    "change of basis": (2, lambda x, w: qml.change_op_basis(qml.Hadamard(0), qml.RZ(x[0], 0), qml.Hadamard(0))),
    "StatePrep": (2, lambda x, w: qml.StatePrep(vector(x, w, 4), wires=[1, 0], normalize=True)),
    "StatePrep late": (3, lambda x, w: qml.StatePrep(vector(x, w, 4), wires=[3, 4], normalize=True)),
    "AngleEmbedding X": (4, lambda x, w: qml.AngleEmbedding(x, wires=range(4), rotation="X")),
    "AngleEmbedding Y": (4, lambda x, w: qml.AngleEmbedding(x, wires=range(4), rotation="Y")),
    "AngleEmbedding Z": (4, lambda x, w: qml.AngleEmbedding(x, wires=range(4), rotation="Z")),
    "AmplitudeEmbedding": (0, lambda x, w: qml.AmplitudeEmbedding(x, wires=range(2), normalize=True)),
    "AmplitudeEmbedding padded": (0, lambda x, w: qml.AmplitudeEmbedding(x, wires=range(3), normalize=True, pad_with=0.0)),
    "AmplitudeEmbedding by hand": (0, lambda x, w: qml.AmplitudeEmbedding(x / torch.linalg.norm(x), wires=range(2))),
    "AmplitudeEmbedding complex": (0, lambda x, w: qml.AmplitudeEmbedding(x * torch.exp(1j * w[0]), wires=range(2), normalize=True)),
    "BasisEmbedding": (0, lambda x, w: (qml.BasisEmbedding([1, 0, 1], wires=range(3)), qml.RX(x[0], 0))),
    "BasisEmbedding number": (0, lambda x, w: (qml.BasisEmbedding(features=2, wires=range(2)), qml.RX(x[0], 0))),
    "BasisState late": (2, lambda x, w: qml.BasisState(np.array([1, 0]), wires=[2, 3])),
    "IQPEmbedding": (3, lambda x, w: qml.IQPEmbedding(x, wires=range(4), n_repeats=2)),
    "QAOAEmbedding": (0, lambda x, w: qml.QAOAEmbedding(x[:3], w[:12].reshape(2, 6), wires=range(3))),
    "StronglyEntanglingLayers": (2, lambda x, w: qml.StronglyEntanglingLayers(w[:12].reshape(2, 2, 3), wires=range(2), imprimitive=qml.CZ)),
    "BasicEntanglerLayers": (2, lambda x, w: qml.BasicEntanglerLayers(w[:6].reshape(2, 3), wires=range(3), rotation=qml.RZ)),
    "SimplifiedTwoDesign": (0, lambda x, w: qml.SimplifiedTwoDesign(w[:3], w[3:11].reshape(2, 2, 2), wires=range(3))),
    "RandomLayers": (3, lambda x, w: qml.RandomLayers(w[:8].reshape(2, 4), wires=range(3), seed=7)),
    "ParticleConservingU1": (0, lambda x, w: qml.ParticleConservingU1(w[:4].reshape(1, 2, 2), wires=range(3), init_state=np.array([1, 1, 0]))),
    "ParticleConservingU2": (0, lambda x, w: qml.ParticleConservingU2(w[:5].reshape(1, 5), wires=range(3), init_state=np.array([1, 1, 0]))),
    "GateFabric": (0, lambda x, w: qml.GateFabric(w[:2].reshape(1, 1, 2), wires=range(4), init_state=np.array([1, 1, 0, 0]), include_pi=True)),
    "ArbitraryUnitary": (2, lambda x, w: qml.ArbitraryUnitary(vector(x, w, 15), wires=range(2))),
    "ArbitraryStatePreparation": (0, lambda x, w: qml.ArbitraryStatePreparation(vector(x, w, 6), wires=range(2))),
    "MottonenStatePreparation": (0, lambda x, w: qml.MottonenStatePreparation(np.array([0.5, 0.5j, -0.5, 0.5]), wires=range(2))),
    "TrotterProduct": (3, lambda x, w: qml.TrotterProduct(HAMILTONIAN, time=x[0], n=2, order=2)),
    "TrotterProduct coefficients": (3, lambda x, w: qml.TrotterProduct(qml.dot([x[0], w[0]], [qml.X(0), qml.Z(0) @ qml.Y(1)]), time=0.7, n=2)),
    "ApproxTimeEvolution": (3, lambda x, w: qml.ApproxTimeEvolution(HAMILTONIAN, x[0], 2)),
    "ApproxTimeEvolution coefficients": (3, lambda x, w: qml.ApproxTimeEvolution(qml.Hamiltonian([w[0], x[1]], [qml.X(0), qml.Z(0) @ qml.Y(1)]), x[0], 2)),
    "CommutingEvolution": (2, lambda x, w: qml.CommutingEvolution(qml.Hamiltonian([1.0, 1.0], [qml.X(0) @ qml.Y(1), qml.Y(0) @ qml.X(1)]), x[0], (2,))),
    "QDrift": (3, lambda x, w: qml.QDrift(HAMILTONIAN, time=0.4, n=3, seed=10)),
    "TrotterizedQfunc": (2, lambda x, w: qml.trotterize(lambda t, a, wires: (qml.RX(t * a, wires[0]), qml.RZ(t, wires[1])), n=2, order=2)(x[0], w[0], wires=[0, 1])),
    "Permute": (3, lambda x, w: qml.Permute([2, 0, 1], wires=range(3))),
    "TwoLocalSwapNetwork": (0, lambda x, w: qml.TwoLocalSwapNetwork(wires=range(3), acquaintances=lambda index, wires, param=None: qml.CRX(param, wires=index), weights=w[:3], fermionic=False)),
    "AQFT": (3, lambda x, w: qml.AQFT(order=1, wires=range(3))),
    "Select": (4, lambda x, w: qml.Select([qml.RX(x[0], 2), qml.Y(3), qml.SWAP([2, 3]), qml.RZ(w[0], 2)], control=[0, 1])),
    "SelectPauliRot": (3, lambda x, w: qml.SelectPauliRot(vector(x, w, 4), control_wires=[0, 1], target_wire=2)),
    "Reflection": (2, lambda x, w: qml.Reflection(qml.RX(x[0], 0), alpha=w[0])),
    "FlipSign": (2, lambda x, w: qml.FlipSign([1, 0], wires=range(2))),
    "AmplitudeAmplification": (0, lambda x, w: (qml.RY(x[0], 0), qml.RY(x[1], 1), qml.AmplitudeAmplification(qml.prod(qml.RY(x[1], 1), qml.RY(x[0], 0)), qml.FlipSign(1, wires=[0, 1]), iters=2))),
    "Qubitization": (0, lambda x, w: (qml.RX(x[0], 0), qml.Qubitization(qml.dot([0.3, 0.6], [qml.X(0), qml.Z(0)]), control=[1]))),
    "PrepSelPrep": (0, lambda x, w: (qml.RX(x[0], 0), qml.PrepSelPrep(qml.dot([0.3, 0.6], [qml.X(0), qml.Z(0)]), control=[1]))),
    "QuantumPhaseEstimation": (0, lambda x, w: qml.QuantumPhaseEstimation(qml.RX(x[0], 0), estimation_wires=[1, 2])),
    "ControlledSequence": (3, lambda x, w: qml.ControlledSequence(qml.RX(x[0], 2), control=[0, 1])),
    "HilbertSchmidt": (0, lambda x, w: (qml.HilbertSchmidt(qml.RY(0.3, 0), qml.RX(0.4, 1)), qml.RX(x[0], 0))),
    "QSVT": (0, lambda x, w: qml.QSVT(qml.BlockEncode(np.array([[0.1, 0.2], [0.3, 0.4]]), wires=[0, 1]), [qml.PCPhase(a, dim=2, wires=[0, 1]) for a in (x[0], w[0], w[1])])),
    "GQSP": (0, lambda x, w: qml.GQSP(qml.RX(x[0], 0), vector(x, w, 6).reshape(3, 2), control=1)),
    "MERA": (0, lambda x, w: qml.MERA(range(4), 2, lambda weights, wires: (qml.RX(weights[0], wires[0]), qml.CNOT(wires)), 1, template_weights=w[:5].reshape(5, 1))),
    "MPS": (0, lambda x, w: qml.MPS(range(3), 2, lambda weights, wires: (qml.RX(weights[0], wires[0]), qml.CNOT(wires)), 1, template_weights=w[:2].reshape(2, 1))),
    "TTN": (0, lambda x, w: qml.TTN(range(4), 2, lambda weights, wires: (qml.RX(weights[0], wires[0]), qml.CNOT(wires)), 1, template_weights=w[:3].reshape(3, 1))),
    "FermionicSingleExcitation": (3, lambda x, w: qml.FermionicSingleExcitation(x[0], wires=range(3))),
    "FermionicDoubleExcitation": (4, lambda x, w: qml.FermionicDoubleExcitation(x[0], wires1=[0, 1], wires2=[2, 3])),
    "AllSinglesDoubles": (0, lambda x, w: qml.AllSinglesDoubles(w[:3], wires=range(4), hf_state=np.array([1, 1, 0, 0]), singles=[[0, 2], [1, 3]], doubles=[[0, 1, 2, 3]])),
    "UCCSD": (0, lambda x, w: qml.UCCSD(w[:3], wires=range(4), s_wires=[[0, 1, 2], [1, 2, 3]], d_wires=[[[0, 1], [2, 3]]], init_state=np.array([1, 1, 0, 0]))),
    "BasisRotation": (3, lambda x, w: qml.BasisRotation(wires=range(3), unitary_matrix=np.linalg.qr(np.arange(9).reshape(3, 3) + np.diag([3, 1j, 2]))[0])),
    "CosineWindow": (0, lambda x, w: (qml.CosineWindow(wires=range(3)), qml.RX(x[0], 0))),
    "Superposition": (0, lambda x, w: qml.Superposition(np.array([0.6, 0.8]), [[0, 1, 1], [1, 0, 0]], wires=range(3), work_wire=3)),
    "MPSPrep": (0, lambda x, w: qml.MPSPrep([np.array([[0.6, 0.0], [0.0, 0.8]]), np.array([[1.0, 0.0], [0.0, 1.0]])], wires=[0, 1], work_wires=[2])),
    "QROM": (2, lambda x, w: qml.QROM(["01", "11", "10", "00"], control_wires=[0, 1], target_wires=[2, 3], work_wires=None)),
    "QROMStatePreparation": (0, lambda x, w: qml.QROMStatePreparation(np.array([0.5, 0.5, 0.5, 0.5]), wires=[0, 1], precision_wires=[2, 3], work_wires=[4, 5])),
    "FABLE": (0, lambda x, w: qml.FABLE(np.array([[0.1, 0.2], [0.3, 0.4]]), wires=range(3))),
    "Adder": (3, lambda x, w: qml.Adder(3, x_wires=[0, 1, 2])),
    "PhaseAdder": (3, lambda x, w: qml.PhaseAdder(3, x_wires=[0, 1, 2])),
    "OutAdder": (2, lambda x, w: qml.OutAdder([0], [1], [2, 3])),
    "Multiplier": (2, lambda x, w: qml.Multiplier(3, x_wires=[0, 1], work_wires=[2, 3])),
    "OutMultiplier": (2, lambda x, w: qml.OutMultiplier([0], [1], [2, 3])),
    "ModExp": (1, lambda x, w: qml.ModExp(x_wires=[0], output_wires=[1, 2], base=3, mod=4, work_wires=[3, 4])),
    "SemiAdder": (3, lambda x, w: qml.SemiAdder([0], [1, 2], [3])),
    "OutPoly": (2, lambda x, w: qml.OutPoly(lambda a, b: a + b, [[0], [1]], [2, 3])),
    "Elbow": (3, lambda x, w: qml.Elbow(wires=[0, 1, 2])),
}  # fmt: skip
for name, count in FIXED.items():
    CASES[name] = (0, fixed_gate(name, count))
for name, (number, count) in TURNS.items():
    CASES[name] = (0, angle_gate(name, number, count))


FIXED_HERMITIAN = np.array([[0.3, 0.5 - 0.2j], [0.5 + 0.2j, -0.7]])
OBSERVABLES = {
    "Identity": lambda x, w: qml.Identity(1),
    "scaled Identity": lambda x, w: 2.5 * qml.Identity(1),
    "word": lambda x, w: qml.X(0) @ qml.Y(2) @ qml.Z(1),
    "word with repetition": lambda x, w: qml.X(0) @ qml.Y(1) @ qml.X(0),
    "sum": lambda x, w: qml.X(0) + 0.4 * qml.Y(1) @ qml.Z(0) - qml.Z(2),
    "trainable sum": lambda x, w: qml.dot([x[0], w[0], w[1]], [qml.X(0), qml.Y(1), qml.Z(0)]),
    "Hamiltonian": lambda x, w: HAMILTONIAN,
    "trainable Hamiltonian": lambda x, w: qml.Hamiltonian([x[0], w[1]], [qml.X(0), qml.Z(1)]),
    "Hadamard": lambda x, w: qml.Hadamard(2),
    "Hadamard product": lambda x, w: qml.Hadamard(0) @ qml.Y(1),
    "Hermitian": lambda x, w: qml.Hermitian(hermitian(x, w, 4), wires=[2, 0]),
    "Hermitian product": lambda x, w: qml.Hermitian(FIXED_HERMITIAN, wires=1) @ qml.X(2),
    "Hermitian sum": lambda x, w: w[3] * qml.Hermitian(FIXED_HERMITIAN, wires=1) + qml.X(2),
    "fixed Hermitian": lambda x, w: qml.Hermitian(FIXED_HERMITIAN, wires=1),
    "basis Projector": lambda x, w: qml.Projector([1, 0], wires=[2, 1]),
    "state Projector": lambda x, w: qml.Projector(np.array([0.6, 0.8j]), wires=[1]),
    "Projector product": lambda x, w: qml.Projector([1], wires=[2]) @ qml.Z(0),
    "nested": lambda x, w: qml.s_prod(0.5, qml.sum(qml.X(0), qml.prod(qml.Hadamard(1), qml.Z(2)))),
}
SPREADS = ("word", "sum", "Hadamard", "fixed Hermitian", "basis Projector", "Hadamard product")
READINGS = {
    **{name: lambda x, w, o=o: qml.expval(o(x, w)) for name, o in OBSERVABLES.items()},
    **{f"var {n}": lambda x, w, n=n: qml.var(OBSERVABLES[n](x, w)) for n in SPREADS},
    "probs": lambda x, w: qml.probs(),
    "probs of wires": lambda x, w: qml.probs(wires=[2, 0]),
    "probs of a word": lambda x, w: qml.probs(op=qml.X(1) @ qml.Y(0)),
    "probs of Hadamard": lambda x, w: qml.probs(op=qml.Hadamard(2)),
    "state": lambda x, w: qml.state(),
    "density_matrix": lambda x, w: qml.density_matrix(wires=[2, 0]),
}


def closing(x, w):
    """Makes phases visible and every argument matter."""
    for k in range(3):
        qml.RX(0.3 + 0.2 * k, wires=k)
    return [qml.expval(qml.Z(0)), qml.var(qml.X(1)), qml.probs(wires=[1, 0, 2])]


def outcome(function, arguments):
    """Values and gradients of a fixed combination of all outputs."""
    arguments = [a.detach().clone().requires_grad_() for a in arguments]
    value = function(*arguments)
    value = torch.cat([v.reshape(-1) for v in value]) if isinstance(value, list | tuple) else value
    value = value.reshape(-1)
    weights = torch.cos(torch.arange(len(value), dtype=torch.float64) + 1)
    real = torch.view_as_real(value).sum(-1) if value.is_complex() else value
    total = (real * weights.to(real.dtype)).sum()
    gradients = (
        torch.autograd.grad(total, arguments, allow_unused=True)
        if total.requires_grad
        else [None, None]
    )
    return value.detach(), [
        torch.zeros_like(a) if g is None else g for a, g in zip(arguments, gradients, strict=True)
    ]


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True:UserWarning")
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # BlockEncode
@pytest.mark.parametrize("name", sorted(CASES))
def test_agrees_with_default_qubit(name):
    wires, operation = CASES[name]

    def circuit(x, w):
        spread(wires)
        operation(x, w)
        return closing(x, w)

    check(circuit)


@pytest.mark.parametrize("name", READINGS)
def test_measurements_agree_with_default_qubit(name):
    def circuit(x, w):
        qml.AngleEmbedding(x[:3], wires=range(3))
        spread(3)
        qml.Rot(w[0], w[1], w[2], wires=1)
        return READINGS[name](x, w)

    check(circuit)


def test_trainable_matrices_in_products_and_variances_have_true_gradients():
    """Finite differences: default.qubit drops this part of the gradient."""

    def circuit(x, w):
        qml.AngleEmbedding(x[:3], wires=range(3))
        spread(3)
        matrix = qml.Hermitian(hermitian(x, w, 2), wires=1)
        return qml.expval(matrix @ qml.X(2)), qml.var(matrix), qml.expval(w[2] * matrix + qml.Z(0))

    layer = CircuitLayer(circuit, {"w": 6}, in_features=4)
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.rand(k, generator=generator, dtype=torch.float64) for k in (4, 6))

    def call(x, w):
        return torch.func.functional_call(layer, {"w": w}, (x,))

    assert torch.autograd.gradcheck(call, (x.requires_grad_(), w.requires_grad_()))


def test_a_sparse_hamiltonian_is_its_terms():
    sparse = qml.SparseHamiltonian(HAMILTONIAN.sparse_matrix(), wires=range(3))

    def reading(observable):
        def circuit(x):
            qml.AngleEmbedding(x, wires=range(3))
            return qml.expval(observable)

        return CircuitLayer(circuit, {}, in_features=3)(torch.tensor([0.1, 0.5, 0.9]))

    torch.testing.assert_close(reading(sparse), reading(HAMILTONIAN))


def check(circuit):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(4, generator=generator, dtype=torch.float64) + 0.1
    w = torch.rand(12, generator=generator, dtype=torch.float64) + 0.1
    layer = CircuitLayer(circuit, {"w": 12}, in_features=4, dtype=torch.float64)
    reference = qml.QNode(
        circuit, qml.device("default.qubit"), interface="torch", diff_method="backprop"
    )

    def call(x, w):
        return torch.func.functional_call(layer, {"w": w}, (x,))

    value, gradients = outcome(call, [x, w])
    expected, slopes = outcome(reference, [x, w])
    torch.testing.assert_close(value, expected, atol=1e-10, rtol=0, check_dtype=False)
    for gradient, slope in zip(gradients, slopes, strict=True):
        torch.testing.assert_close(gradient, slope, atol=1e-10, rtol=0)
