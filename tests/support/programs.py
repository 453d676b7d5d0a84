"""Random programs in the terms of the gate table, and a plain simulation to compare with."""

import random

import torch

from quantum.circuits.gates import TABLE
from quantum.circuits.program import Measurement, Operation, Program, Term
from quantum.states import statevector
from quantum.states.evolution import evolve
from quantum.states.measure import measure
from quantum.tracing.recorder import record

INPUTS, WEIGHTS = 4, 10
SETTINGS = {"PauliRot": "XZY", "PauliExponential": "YIX", "PCPhase": 3}


class Slots:
    """Collects expressions; each becomes a slot."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.made = []

    def add(self, expression):
        self.made.append(expression)
        return len(self.made) - 1

    def angle(self):
        i, j = self.random.randrange(INPUTS), self.random.randrange(WEIGHTS)
        c = self.random.uniform(0.2, 2.0)
        kinds = [
            lambda x, w: x[i],
            lambda x, w: w[j],
            lambda x, w: w[j],
            lambda x, w: x[i] * w[j] + c,
            lambda x, w: torch.tensor(c, dtype=torch.float64),
        ]
        return self.add(self.random.choice(kinds))


def unitary(w, size):
    values = torch.arange(4.0**size, dtype=torch.float64).reshape(2**size, 2**size)
    matrix = torch.cos(values + w) + 1j * torch.sin(values * w)
    return torch.linalg.matrix_exp(0.3 * (matrix - matrix.mH))


def operation(slots, wires, name=None):
    """A random gate, the one of this name where it fits."""
    draw = slots.random
    names = [n for n, g in TABLE.items() if (g.size or 1) <= wires]
    if name is None or (TABLE[name].size or 1) > wires:
        name = draw.choice(names)
    gate = TABLE[name]
    setting = None
    if name in ("PauliRot", "PauliExponential"):
        size = draw.randint(1, min(3, wires))
        setting = "".join(draw.choice("XYZ") for _ in range(size))
    elif name in ("MultiRZ", "PCPhase", "QubitUnitary", "DiagonalQubitUnitary"):
        size = draw.randint(1, min(3, wires))
        setting = 1 if name == "PCPhase" else None
    else:
        size = 0 if name == "GlobalPhase" else gate.size
    targets = draw.sample(range(wires), size)
    spare = [w for w in range(wires) if w not in targets]
    controls = (
        draw.sample(spare, draw.randint(0, min(2, len(spare)))) if draw.random() < 0.3 else []
    )
    j, c = draw.randrange(WEIGHTS), draw.random()
    if name == "QubitUnitary":
        own = [slots.add(lambda x, w: unitary(w[j], size))]
    elif name == "DiagonalQubitUnitary":
        phases = torch.arange(2.0**size, dtype=torch.float64)
        own = [slots.add(lambda x, w: torch.exp(1j * (phases * w[j] + c)))]
    elif name == "PauliExponential":
        own = [slots.add(lambda x, w: 1j * w[j] + 0.0)]
    else:
        own = [slots.angle() for _ in gate.core]
    values = tuple(draw.random() < 0.6 for _ in controls)
    return Operation(
        name, tuple(targets), tuple(own), tuple(controls), values, draw.random() < 0.3, setting
    )


def word(slots, wires):
    draw = slots.random
    chosen = draw.sample(range(wires), draw.randint(1, min(3, wires)))
    factors = tuple(Operation(draw.choice(["PauliX", "PauliY", "PauliZ"]), (w,)) for w in chosen)
    coefficient = draw.choice(
        [lambda x, w: torch.tensor(0.7), lambda x, w: torch.tensor(1.0), lambda x, w: w[0]]
    )
    return Term(slots.add(coefficient), factors)


def measurement(slots, wires, kinds=("expval", "expval", "var", "probs", "z")):
    draw = slots.random
    kind = draw.choice(kinds)
    if kind == "probs":
        read = tuple(draw.sample(range(wires), draw.randint(1, wires)))
        rotations = (Operation("Hadamard", (read[0],)),) if draw.random() < 0.4 else ()
        return Measurement("probs", read, rotations=rotations)
    if kind == "z":
        one = slots.add(lambda x, w: torch.tensor(1.0))
        return Measurement(
            "expval", terms=(Term(one, (Operation("PauliZ", (draw.randrange(wires),)),)),)
        )
    terms = tuple(word(slots, wires) for _ in range(draw.randint(1, 3)))
    if draw.random() < 0.2:
        one = slots.add(lambda x, w: torch.tensor(0.4))
        terms = (*terms, Term(one, (Operation("Hadamard", (0,)),)))
    return Measurement(kind, terms=terms)


def layers(slots, wires):
    """Structured pieces: embeddings, rings of CNOT, phases, rotations."""
    draw = slots.random
    ring = (
        [Operation("PauliX", ((w + 1) % wires,), (), (w,), (True,)) for w in range(wires)]
        if wires > 1
        else []
    )
    phases = [Operation("IsingZZ", (w, w + 1), (slots.angle(),)) for w in range(wires - 1)]
    rotations = [
        Operation("Rot", (w,), tuple(slots.angle() for _ in range(3))) for w in range(wires)
    ]
    embedding = [
        Operation(
            draw.choice(["RX", "RY", "RZ"]), (w,), (slots.add(lambda x, _, w=w: x[w % INPUTS]),)
        )
        for w in range(wires)
    ]
    return draw.choice([ring, phases, rotations, embedding, ring + rotations])


def random_program(
    seed, wires=None, depth=10, names=None, kinds=("expval", "expval", "var", "probs", "z")
):
    slots = Slots(seed)
    draw = slots.random
    wires = wires or 1 + seed % 7
    operations = []
    if wires > 1 and draw.random() < 0.2:
        places = tuple(draw.sample(range(wires), 1))
        amplitudes = lambda x, w: torch.stack([torch.cos(x[0]), torch.sin(x[0])])  # noqa: E731
        operations.append(Operation("StatePrep", places, (slots.add(amplitudes),)))
    for _ in range(depth):
        if draw.random() < 0.4:
            operations += layers(slots, wires)
        else:
            operations.append(operation(slots, wires, draw.choice(names) if names else None))
    measurements = tuple(measurement(slots, wires, kinds) for _ in range(draw.randint(1, 3)))
    recording = record(lambda x, w: [e(x, w) for e in slots.made], [(INPUTS,), (WEIGHTS,)])
    return Program(wires, tuple(operations), measurements, recording)


def plainly(program, arguments, precision=torch.complex128):
    """Answers gate after gate, by automatic differentiation."""
    slots = program.recording.replay(list(arguments))
    values = [s.to(precision if s.is_complex() else precision.to_real()) for s in slots]
    state = statevector.ground(program.wires, precision, torch.device("cpu"))
    state = evolve(state, program.operations, values)
    return measure(state, program.measurements, values)


def joined(answers, lead):
    return torch.cat([a.expand(*lead, a.shape[-1]) for a in answers], -1)
