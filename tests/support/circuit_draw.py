"""Circuits drawn at random: gates and templates under nested controls, adjoints and powers."""

import random

import numpy as np
import pennylane as qml
import torch

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

    def __init__(self, seed, mixed=False):
        self.random = random.Random(f"{seed} {mixed}")
        self.mixed = mixed
        self.wires = 1 + self.random.randrange(4 if mixed else 10)
        labels = [list(range(self.wires)), [f"q{k}" for k in range(self.wires)]]
        self.labels = labels[self.random.random() < 0.2]
        depth = self.random.randint(3, 8 if self.wires < 6 else 6)
        kinds = [self.gate, self.gate, self.template, self.matrix, self.wrapped, self.nested]
        kinds += [self.channel] * 4 * mixed
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
            lambda x, w: qml.exp(qml.prod(*map(qml.X, wires)), 1j * (values(x, w)[0] + 0.2)),
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

    def nested(self):
        """A gate or template under up to three controls, adjoints and powers, in any order."""
        layers = self.random.randint(1, 3)
        free = self.random.sample(self.labels, len(self.labels))
        inside = free[: self.random.randint(1, min(2, len(free)))]
        spare = free[len(inside) :]
        kept = self.labels, self.wires
        self.labels, self.wires = inside, len(inside)
        kind = self.random.choice([self.gate, self.gate, self.block])
        made = kind()
        self.labels, self.wires = kept
        # PennyLane has no negative powers of what it only knows the decomposition of.
        exponents = [2, 3] if kind == self.block else [-2, -1, 2, 3]
        for _ in range(layers):
            made, spare = self.around(made, spare, exponents)
        return made

    def block(self):
        """An operator that decomposes."""
        wires = list(self.labels)
        strong, turn = self.stacked(1, len(wires), 3), self.angle()
        kinds = [
            lambda x, w: qml.QFT(wires=wires),
            lambda x, w: qml.StronglyEntanglingLayers(strong(x, w), wires=wires),
            lambda x, w: qml.AngleEmbedding(x[: len(wires)], wires=wires, rotation="Y"),
            lambda x, w: qml.prod(qml.RX(turn(x, w), wires[0]), qml.Hadamard(wires[-1])),
            lambda x, w: qml.MultiRZ(turn(x, w), wires=wires),
        ]
        return self.random.choice(kinds)

    def around(self, inner, spare, exponents):
        """``inner`` under one more control, adjoint or power, and the wires that are left."""
        kind = self.random.choice(["control", "control", "adjoint", "power"])
        if kind == "control" and spare:
            count = self.random.randint(1, min(2, len(spare)))
            controls, rest = spare[:count], spare[count:]
            values = [self.random.random() < 0.5 for _ in controls]
            return lambda x, w: qml.ctrl(inner(x, w), control=controls, control_values=values), rest
        if kind == "power":
            exponent = self.random.choice(exponents)
            return lambda x, w: qml.pow(inner(x, w), exponent), spare
        return lambda x, w: qml.adjoint(inner(x, w)), spare

    def channel(self):
        """Noise whose strengths depend on inputs and weights and stay within bounds."""
        (wire,) = self.subset(1)
        made = self.stacked(4)

        def strengths(x, w):
            return 0.3 * torch.sin(made(x, w)) ** 2 + 0.05

        pair = self.subset(min(2, self.wires))
        word = "".join(self.random.choice("XYZ") for _ in pair)
        kinds = [
            lambda x, w: qml.AmplitudeDamping(strengths(x, w)[0], wires=wire),
            lambda x, w: qml.GeneralizedAmplitudeDamping(*strengths(x, w)[:2], wires=wire),
            lambda x, w: qml.PhaseDamping(strengths(x, w)[1], wires=wire),
            lambda x, w: qml.DepolarizingChannel(strengths(x, w)[0], wires=wire),
            lambda x, w: qml.BitFlip(strengths(x, w)[0], wires=wire),
            lambda x, w: qml.PhaseFlip(strengths(x, w)[3], wires=wire),
            lambda x, w: qml.ResetError(*strengths(x, w)[:2], wires=wire),
            lambda x, w: qml.PauliError(word, strengths(x, w)[0], wires=pair),
            lambda x, w: qml.ThermalRelaxationError(0.2, 1.1, 0.9, 0.4, wires=wire),
            lambda x, w: qml.QubitChannel(_damping(0.2), wires=wire),
        ]
        return self.random.choice(kinds)

    def preparation(self):
        if self.wires < 2 or self.mixed or self.random.random() < 0.75:
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
            self.hamiltonian(),
        ]
        return self.random.choice(kinds)

    def hamiltonian(self):
        """A sum of several Pauli words, two coefficients of which depend on inputs and weights."""
        words = [self.subset(self.random.randint(1, min(3, self.wires))) for _ in range(5)]
        made = [
            qml.prod(*(self.random.choice([qml.X, qml.Y, qml.Z])(wire) for wire in word))
            for word in words
        ]
        scales = self.angles(2)
        rest = [self.random.uniform(-1, 1) for _ in range(3)]
        return lambda x, w: qml.dot([*scales(x, w), *rest], made)

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
            alone = alone[self.mixed :]
            chosen = self.random.choice(alone)
            return lambda x, w: chosen()
        made = [self.measurement() for _ in range(self.random.randint(1, 3))]
        return lambda x, w: [m(x, w) for m in made]


def _unitary(values):
    return torch.linalg.matrix_exp(1j * (torch.diag(values) + torch.ones(len(values), len(values))))


def _hermitian(values):
    return torch.outer(values, values) + torch.diag(values)


def _damping(gamma):
    return [np.diag([1.0, (1 - gamma) ** 0.5]), np.array([[0.0, gamma**0.5], [0.0, 0.0]])]
