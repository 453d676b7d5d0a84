"""Compiler passes: the same answers, and less to do where that is known."""

from dataclasses import replace

import pytest
import torch
from programs import INPUTS, WEIGHTS, joined, plainly, random_program

from quantum.circuits.compiler import cancelled, cone, merged, optimized, pulled
from quantum.circuits.program import Measurement, Operation, Program, Term
from quantum.tracing.recorder import record

PASSES = [cancelled, merged, cone, pulled, optimized]
CLIFFORD = ["PauliX", "SWAP", "PauliZ", "S", "RZ", "Hadamard", "RX", "MultiRZ", "ECR", "QubitSum"]
PAIRS = [
    "RX",
    "RX",
    "PauliX",
    "Hadamard",
    "RZ",
    "PhaseShift",
    "IsingXX",
    "SingleExcitation",
    "GlobalPhase",
]


def arguments(seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = (2, INPUTS), (WEIGHTS,)
    return [torch.rand(*size, generator=generator, dtype=torch.float64) for size in sizes]


def same(program, changed, seed):
    given = arguments(seed)
    before, after = (joined(plainly(p, given), (2,)) for p in (program, changed))
    torch.testing.assert_close(after, before, atol=1e-12, rtol=0)


@pytest.mark.parametrize("change", PASSES)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("names", [None, CLIFFORD, PAIRS], ids=["all", "clifford", "pairs"])
def test_the_answers_stay(change, seed, names):
    program = random_program(seed, wires=1 + seed % 4, depth=14, names=names)
    same(program, change(program), seed)


@pytest.mark.parametrize("change", [cancelled, merged])
@pytest.mark.parametrize("seed", range(8))
def test_the_unitary_stays(change, seed):
    """Not only what is measured: the whole state, phase included, from a general state."""
    program = random_program(seed, wires=3, depth=14, names=PAIRS, kinds=("z",))
    mixing = tuple(Operation("U3", (w,), (0, 1, 2)) for w in range(3))
    recording = record(lambda x, w: [*w[:3], *_slots(program, x, w)], [(INPUTS,), (WEIGHTS,)])
    moved = tuple(replace(o, slots=tuple(s + 3 for s in o.slots)) for o in program.operations)
    whole = Program(3, (*mixing, *moved), (Measurement("state", (0, 1, 2)),), recording)
    given = arguments(seed)
    before, after = (plainly(p, given)[0] for p in (whole, change(whole)))
    torch.testing.assert_close(*torch.broadcast_tensors(after, before), atol=1e-12, rtol=0)


def _slots(program, x, w):
    return program.recording.replay([x, w])


def made(operations, measurements, constants=()):
    recording = record(lambda x: [*x, *constants], [(3,)])
    return Program(3, tuple(operations), tuple(measurements), recording)


def z(*wires):
    return Measurement("expval", terms=(Term(3, tuple(Operation("PauliZ", (w,)) for w in wires)),))


def flip(target, control):
    return Operation("PauliX", (target,), (), (control,), (True,))


def test_inverse_neighbours_go_however_deep():
    turn = Operation("RX", (0,), (0,), (1,), (True,))
    back = replace(turn, adjoint=True)
    hadamard = Operation("Hadamard", (0,))
    program = made([hadamard, turn, flip(2, 1), flip(2, 1), back, hadamard], [z(0)], (1.0,))
    assert cancelled(program).operations == ()


def test_what_stands_between_keeps_a_pair():
    turn, back = Operation("RX", (0,), (0,)), Operation("RX", (0,), (0,), adjoint=True)
    program = made([turn, flip(1, 0), back], [z(0)], (1.0,))
    assert cancelled(program).operations == program.operations


def test_constants_add_up_and_parameters_do_not():
    constant, other = Operation("RZ", (0,), (4,)), Operation("RZ", (0,), (5,), adjoint=True)
    program = merged(made([constant, other, Operation("RZ", (0,), (0,))], [z(0)], (1.0, 0.75, 0.5)))
    assert [operation.slots for operation in program.operations] == [(6,), (0,)]
    assert program.recording.replay([torch.zeros(3)])[6].item() == 0.25


def test_the_light_cone():
    rotations = [Operation("RX", (w,), (w,)) for w in range(3)]
    program = cone(made([*rotations, flip(1, 0), *rotations], [z(0)], (1.0,)))
    assert [operation.wires for operation in program.operations] == [(0,), (1,), (1,), (0,)]


def test_a_final_ring_of_cnots_is_read_as_longer_words():
    rotations = [Operation("RX", (w,), (w,)) for w in range(3)]
    phases = [Operation("RZ", (w,), (w,)) for w in range(3)]
    ring = [flip(1, 0), flip(2, 1), flip(0, 2)]
    program = made([*rotations, *ring, *phases], [z(0), z(1), z(2)], (1.0,))
    changed = pulled(program)
    assert changed.operations == tuple(rotations)
    words = [[f.wires[0] for f in m.terms[0].factors] for m in changed.measurements]
    assert words == [[1, 2], [0, 1], [0, 1, 2]]


def test_probabilities_and_states_keep_what_they_see():
    program = made([flip(1, 0), Operation("RZ", (0,), (0,))], [Measurement("probs", (0, 1))])
    assert [o.gate for o in pulled(program).operations] == ["PauliX"]
    state = replace(program, measurements=(Measurement("state", (0, 1, 2)),))
    assert pulled(cone(state)).operations == program.operations
