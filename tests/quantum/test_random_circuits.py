"""Random circuits against default.qubit in float64: values and all gradients, both precisions."""

import random

import numpy as np
import pennylane as qml
import pytest
import torch

from quantum.layer import CircuitLayer

INPUTS, WEIGHTS = 4, 12
ONE = {
    "PauliX": 0, "PauliY": 0, "PauliZ": 0, "Hadamard": 0, "S": 0, "T": 0, "SX": 0, "RX": 1, "RY": 1,
    "RZ": 1, "PhaseShift": 1, "U1": 1, "U2": 2, "U3": 3, "Rot": 3, "GlobalPhase": 1,
}  # fmt: skip
TWO = {
    "CNOT": 0, "CZ": 0, "CY": 0, "CH": 0, "SWAP": 0, "ISWAP": 0, "SISWAP": 0, "ECR": 0, "CRX": 1,
    "CRY": 1, "CRZ": 1, "CRot": 3, "ControlledPhaseShift": 1, "CPhaseShift00": 1,
    "CPhaseShift01": 1, "CPhaseShift10": 1, "IsingXX": 1, "IsingYY": 1, "IsingZZ": 1, "IsingXY": 1,
    "PSWAP": 1, "FermionicSWAP": 1, "SingleExcitation": 1, "SingleExcitationPlus": 1,
    "SingleExcitationMinus": 1,
}  # fmt: skip
MORE = {
    (3, "Toffoli"): 0, (3, "CSWAP"): 0, (3, "CCZ"): 0, (3, "QubitSum"): 0, (4, "QubitCarry"): 0,
    (4, "DoubleExcitation"): 1, (4, "DoubleExcitationPlus"): 1, (4, "DoubleExcitationMinus"): 1,
    (4, "OrbitalRotation"): 1,
}  # fmt: skip


class Draw:
    """Draws a circuit: a list of steps, each a function of inputs and weights, and measurements."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.wires = 1 + seed % 8
        labels = [list(range(self.wires)), [f"q{k}" for k in range(self.wires)]]
        self.labels = labels[self.random.random() < 0.2]
        depth = self.random.randint(3, 8 if self.wires < 6 else 6)
        kinds = [self.gate, self.gate, self.template, self.matrix, self.wrapped]
        self.steps = [self.preparation()] + [self.random.choice(kinds)() for _ in range(depth)]
        self.read = self.measurements()

    def __call__(self, x, w):
        qml.AngleEmbedding(x[: min(INPUTS, self.wires)], wires=self.labels[:INPUTS], rotation="Y")
        for step in self.steps:
            step(x, w)
        return self.read(x, w)

    def subset(self, count):
        return self.random.sample(self.labels, count)

    def angle(self):
        i, j, c = (
            self.random.randrange(INPUTS),
            self.random.randrange(WEIGHTS),
            self.random.random(),
        )
        kinds = [
            lambda x, w: x[i],
            lambda x, w: w[j],
            lambda x, w: w[j],
            lambda x, w: x[i] * w[j],
            lambda x, w: torch.tanh(x[i]) + c * w[j],
            lambda x, w: 3 * c,
        ]
        return self.random.choice(kinds)

    def angles(self, count):
        made = [self.angle() for _ in range(count)]
        return lambda x, w: [torch.as_tensor(a(x, w), dtype=torch.float64) for a in made]

    def stacked(self, *shape):
        made = self.angles(int(np.prod(shape)))
        return lambda x, w: torch.stack(made(x, w)).reshape(shape)

    def named_gate(self, most):
        sizes = [(1, name, count) for name, count in ONE.items()]
        if most >= 2:
            sizes += [(2, name, count) for name, count in TWO.items()]
        sizes += [(size, name, count) for (size, name), count in MORE.items() if size <= most]
        size, name, count = self.random.choice(sizes)
        wires, values = self.subset(size), self.angles(count)
        return lambda x, w: getattr(qml, name)(*values(x, w), wires=wires)

    def gate(self):
        return self.named_gate(self.wires)

    # torch's matrix exponential, through which default.qubit computes exponentials, is only good to
    # 1e-10 for small norms: times below are kept away from 0.
    def matrix(self):
        count = self.random.randint(1, min(3, self.wires))
        wires, values = self.subset(count), self.stacked(2**count)
        word = "".join(self.random.choice("XYZI") for _ in wires)
        kinds = [
            lambda x, w: qml.DiagonalQubitUnitary(torch.exp(1j * values(x, w)), wires=wires),
            lambda x, w: qml.QubitUnitary(_unitary(values(x, w)), wires=wires),
            lambda x, w: qml.PauliRot(values(x, w)[0], word, wires=wires),
            lambda x, w: qml.MultiRZ(values(x, w)[0], wires=wires),
            lambda x, w: qml.exp(qml.pauli.string_to_pauli_word("X" * count, dict(zip(wires, range(count), strict=True))), 1j * (values(x, w)[0] + 0.2)),
            lambda x, w: qml.PCPhase(values(x, w)[0], dim=2**count - 1, wires=wires),
        ]  # fmt: skip
        return self.random.choice(kinds)

    def wrapped(self):
        if self.wires == 1:
            inner = self.named_gate(1)
            return lambda x, w: qml.adjoint(inner)(x, w)
        spare = self.random.randint(1, min(3, self.wires - 1))
        controls, rest = self.labels[:spare], self.labels[spare:]
        kept, self.labels, self.wires = self.labels, rest, len(rest)
        inner = self.random.choice([self.gate, self.matrix])()
        self.labels, self.wires = kept, len(kept)
        values = [self.random.random() < 0.6 for _ in controls]
        power = self.random.choice([2, 3])
        turn, target = self.angle(), rest[0]
        kinds = [
            lambda x, w: qml.ctrl(inner, control=controls, control_values=values)(x, w),
            lambda x, w: qml.adjoint(inner)(x, w),
            lambda x, w: qml.ctrl(qml.adjoint(inner), control=controls)(x, w),
            lambda x, w: qml.pow(qml.RX(turn(x, w), target), power),
            lambda x, w: qml.ctrl(qml.pow(qml.Hadamard(target), 3), control=controls),
            lambda x, w: qml.MultiControlledX(wires=[*controls, target], control_values=values),
            lambda x, w: qml.ctrl(qml.QFT(wires=rest[:2]), control=controls),
        ]
        return self.random.choice(kinds)

    def preparation(self):
        if self.wires < 2 or self.random.random() < 0.75:
            return lambda x, w: qml.Hadamard(self.labels[-1])
        values, wires = self.stacked(2), self.labels[-1]
        return lambda x, w: qml.StatePrep(values(x, w) + 1.1, wires=[wires], normalize=True)

    def template(self):
        n, draw = self.wires, self.random
        all_wires = list(self.labels)
        some = self.subset(min(n, 3))
        features = min(n, INPUTS)
        layers, shape = draw.randint(1, 2), (1, n, 3) if n > 4 else (2, n, 3)
        strong, basic = self.stacked(*shape), self.stacked(layers, n)
        axis = draw.choice("XYZ")
        seed, turn = draw.randrange(100), self.angle()
        kinds = [
            lambda x, w: qml.AngleEmbedding(
                x[:features], wires=all_wires[:features], rotation=axis
            ),
            lambda x, w: qml.IQPEmbedding(
                x[:features], wires=all_wires[:features], n_repeats=layers
            ),
            lambda x, w: qml.StronglyEntanglingLayers(strong(x, w), wires=all_wires),
            lambda x, w: qml.BasicEntanglerLayers(basic(x, w), wires=all_wires, rotation=qml.RX),
            lambda x, w: qml.RandomLayers(basic(x, w), wires=all_wires, seed=seed),
            lambda x, w: qml.QFT(wires=some),
            lambda x, w: qml.adjoint(qml.QFT(wires=some)),
        ]
        if n >= 2:
            design = [self.stacked(n), self.stacked(layers, n - 1, 2)]
            ring = self.stacked(1, 2 * features if features > 2 else 3)
            pair = self.subset(2)
            arbitrary, conserving = self.stacked(15), self.stacked(1, n - 1, 2)
            other = self.stacked(1, 2 * n - 1)
            generator = qml.Hamiltonian(
                [1.4, -1.7], [qml.X(pair[0]) @ qml.Y(pair[1]), qml.Z(pair[0])]
            )
            kinds += [
                lambda x, w: qml.Permute(all_wires[::-1], wires=all_wires),
                lambda x, w: qml.SimplifiedTwoDesign(
                    design[0](x, w), design[1](x, w), wires=all_wires
                ),
                lambda x, w: qml.QAOAEmbedding(
                    x[:features], ring(x, w), wires=all_wires[:features]
                ),
                lambda x, w: qml.ArbitraryUnitary(arbitrary(x, w), wires=pair),
                lambda x, w: qml.ParticleConservingU1(conserving(x, w), wires=all_wires),
                lambda x, w: qml.ParticleConservingU2(other(x, w), wires=all_wires),
                lambda x, w: qml.GroverOperator(wires=all_wires),
                lambda x, w: qml.TrotterProduct(generator, turn(x, w) + 0.2, n=1, order=2),
                lambda x, w: qml.ApproxTimeEvolution(generator, turn(x, w), 2),
                lambda x, w: qml.ControlledSequence(qml.RX(turn(x, w), pair[0]), control=pair[1]),
            ]
        return draw.choice(kinds)

    def observable(self):
        wires = self.subset(min(self.wires, 2))
        letters = [self.random.choice([qml.X, qml.Y, qml.Z]) for _ in range(3)]
        word = qml.prod(*(letter(wire) for letter, wire in zip(letters, wires, strict=False)))
        vector, scale = self.stacked(2), self.angle()
        bits = [self.random.randint(0, 1) for _ in wires]
        kinds = [
            lambda x, w: letters[0](wires[0]),
            lambda x, w: word,
            lambda x, w: qml.Hermitian(_hermitian(vector(x, w)), wires[0]),
            lambda x, w: qml.Hamiltonian([0.3, -0.8], [word, letters[2](wires[0])]),
            lambda x, w: 0.5 * word + qml.Hadamard(wires[-1]),
            lambda x, w: qml.Hadamard(wires[0]),
            lambda x, w: qml.Projector(bits, wires),
            lambda x, w: qml.s_prod(0.7, word),
            lambda x, w: qml.dot([scale(x, w), 0.4], [word, letters[1](wires[0])]),
        ]
        return self.random.choice(kinds)

    def measurement(self):
        made, wires = self.observable(), self.subset(self.random.randint(1, self.wires))
        letter = self.random.choice([qml.X, qml.Y, qml.Hadamard])
        kinds = [
            lambda x, w: qml.expval(made(x, w)),
            lambda x, w: qml.expval(made(x, w)),
            lambda x, w: qml.var(qml.Y(wires[0])),
            lambda x, w: qml.var(qml.prod(*map(qml.Z, wires))),
            lambda x, w: qml.probs(wires=wires),
            lambda x, w: qml.probs(op=letter(wires[0])),
        ]
        return self.random.choice(kinds)

    def measurements(self):
        if self.random.random() < 0.1:
            wires = self.subset(1)
            alone = [lambda: qml.state(), lambda: qml.density_matrix(wires=wires)]
            chosen = self.random.choice(alone)
            return lambda x, w: chosen()
        made = [self.measurement() for _ in range(self.random.randint(1, 3))]
        return lambda x, w: [m(x, w) for m in made]


def _unitary(values):
    return torch.linalg.matrix_exp(1j * (torch.diag(values) + torch.ones(len(values), len(values))))


def _hermitian(values):
    return torch.outer(values, values) + torch.diag(values)


def flat(value):
    """All measurements of one row as one real vector."""
    parts = value if isinstance(value, list | tuple) else [value]
    joined = torch.cat([part.reshape(-1) for part in parts])
    return torch.view_as_real(joined).reshape(-1) if joined.is_complex() else joined


def score(value):
    weights = torch.cos(1 + torch.arange(value.shape[-1], dtype=torch.float64))
    return (value * weights.to(value.dtype)).sum()


def outcome(rows, x, w):
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    value = rows(x, w)
    gradients = torch.autograd.grad(score(value), (x, w), materialize_grads=True)
    return [value.detach(), *gradients]


@pytest.mark.filterwarnings("ignore:The decomposition operator .* is not:UserWarning")
@pytest.mark.parametrize("seed", range(200))
def test_values_and_gradients_agree_with_default_qubit(seed):
    circuit = Draw(seed)
    layer = CircuitLayer(circuit, {"w": WEIGHTS}, in_features=INPUTS)
    device = qml.device("default.qubit")
    node = qml.QNode(circuit.__call__, device, interface="torch", diff_method="backprop")
    generator = torch.Generator().manual_seed(seed)
    rows = 2 if circuit.wires <= 4 else 1
    x = torch.rand(rows, INPUTS, generator=generator, dtype=torch.float64) + 0.1
    w = torch.rand(WEIGHTS, generator=generator, dtype=torch.float64) * 2 + 0.1

    def ours(x, w):
        answer = torch.func.functional_call(layer, {"w": w}, (x,))
        return torch.stack([flat(row) for row in answer])

    expected = outcome(lambda x, w: torch.stack([flat(node(row, w)) for row in x]), x, w)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        got = outcome(ours, x.to(dtype), w.to(dtype))
        for one, other in zip(got, expected, strict=True):
            torch.testing.assert_close(one.double(), other, atol=tolerance, rtol=0)
            assert one.dtype == dtype


@pytest.mark.parametrize("seed", range(200, 216))
def test_batched_weights_agree_with_a_loop_over_draws(seed):
    circuit = Draw(seed)
    layer = CircuitLayer(circuit, {"w": WEIGHTS}, in_features=INPUTS)
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(3, INPUTS, generator=generator, dtype=torch.float64)
    w = torch.rand(2, 1, WEIGHTS, generator=generator, dtype=torch.float64)

    def together(x, w):
        return torch.func.functional_call(layer, {"w": w}, (x,))

    def looped(x, w):
        draws = [[together(row, weights) for row in x] for weights in w.squeeze(1)]
        return torch.stack([torch.stack(rows) for rows in draws])

    def real(function):
        def rows(x, w):
            value = function(x, w)
            value = torch.view_as_real(value) if value.is_complex() else value
            return value.reshape(6, -1)

        return rows

    for one, other in zip(outcome(real(together), x, w), outcome(real(looped), x, w), strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
