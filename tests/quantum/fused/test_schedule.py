"""Schedules: the same unitary as the operations, in few steps; steps undo themselves."""

import pytest
import torch
from programs import INPUTS, WEIGHTS, random_program

from quantum.circuits.program import Operation
from quantum.fused.ingredients import Parameters, made, product
from quantum.fused.schedule import schedule
from quantum.fused.steps import Dense, Gather, Phases, Rows, Single
from quantum.fused.sweep import sweep
from quantum.states import statevector
from quantum.states.evolution import evolve


def varying(program, on):
    """The slots that depend on the inputs, where those differ from row to row."""
    recording = program.recording
    found = {slot for slot, argument, _ in recording.gathers if argument == 0}
    found |= {slot for group in recording.groups if 0 in group.depends for slot in group.slots}
    return frozenset(found) if on else frozenset()


@pytest.mark.parametrize("widest", [1, 2, 4, 6])
@pytest.mark.parametrize("seed", range(10))
def test_the_state_is_that_of_the_operations(seed, widest):
    program = random_program(seed, wires=1 + seed % 6, depth=8)
    rows = [1, 3][seed % 2]
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, INPUTS, generator=generator, dtype=torch.float64)
    w = torch.rand(WEIGHTS, generator=generator, dtype=torch.float64)
    chosen = schedule(program.wires, program.operations, varying(program, rows > 1), widest)
    parameters = Parameters(program.recording, [x, w], torch.complex128, (rows,), 0)
    tensors = made([*chosen.start, *chosen.tensors], parameters)
    start = product(tensors[: len(chosen.start)])
    start = start.expand(*start.shape[:-1], rows)
    ours = sweep(chosen.steps, start, tensors[len(chosen.start) :]).mT
    ground = statevector.ground(program.wires, torch.complex128, torch.device("cpu"))
    expected = evolve(ground, program.operations, program.recording.replay([x, w]))
    torch.testing.assert_close(*torch.broadcast_tensors(ours, expected), atol=1e-12, rtol=0)
    assert all(step.size <= widest for step in chosen.steps if isinstance(step, Dense))


def kinds(wires, operations, rows=()):
    return [type(s).__name__ for s in schedule(wires, operations, frozenset(rows)).steps]


def ring(wires):
    return [Operation("PauliX", ((w + 1) % wires,), (), (w,), (True,)) for w in range(wires)]


def turns(gate, wires, slot=0):
    return [Operation(gate, (w,), (slot,)) for w in range(wires)]


def test_the_first_rotations_are_a_product_state():
    assert kinds(5, turns("RX", 5) + turns("RY", 5)) == []


def test_a_ring_of_permutations_is_one_gather():
    assert kinds(6, ring(6) + ring(6)) == ["Gather"]


def test_rotations_are_packed_evenly():
    steps = schedule(10, ring(10) + turns("RX", 10), frozenset()).steps
    assert [step.size for step in steps[1:]] == [4, 3, 3]


def test_diagonals_are_multiplied_together_through_permutations():
    phases = [Operation("IsingZZ", (w, w + 1), (0,)) for w in range(5)]
    between = [ring(6)[0], Operation("RZ", (1,), (1,)), ring(6)[0]]
    assert kinds(6, turns("RX", 6) + phases + between + phases) == ["Phases"]


def test_parameters_of_rows_are_applied_by_row():
    operations = ring(3) + turns("RX", 3) + turns("Rot", 1, 1)
    assert kinds(3, operations, rows=[0]) == ["Gather", "Rows", "Rows", "Rows"]


def test_what_fits_nowhere_is_a_step_of_its_own():
    wide = Operation("PauliRot", (0, 1, 2, 3, 4), (0,), setting="XYZXY")
    assert kinds(6, [*ring(6), wide]) == ["Gather", "Single"]


def state(*lead, wires=4, rows=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*lead, 2**wires, rows, generator=generator, dtype=torch.complex128)


def unitary(*lead, size, seed=1):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*lead, size, size, generator=generator, dtype=torch.complex128)
    return torch.linalg.qr(values).Q


def phase(*shape, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.exp(1j * torch.randn(*shape, generator=generator, dtype=torch.float64))


SOURCE = torch.tensor([3, 0, 2, 1, *range(4, 16)])
ANGLE = torch.tensor([[0.3], [1.1]], dtype=torch.float64)
CASES = [
    (Gather(SOURCE, torch.argsort(SOURCE)), []),
    (Dense(0, 2), [unitary(size=4)]),
    (Dense(1, 2), [unitary(size=4)]),
    (Dense(2, 2), [unitary(2, size=4)]),
    (Dense(1, 3), [unitary(2, size=8)]),
    (Rows(1), [unitary(3, size=2).movedim(0, -1)]),
    (Rows(3), [unitary(2, 3, size=2).movedim(1, -1)]),
    (Phases((torch.arange(16) % 4,), phase(16, 1), (2,)), [phase(2, 4, 1)]),
    (Phases((torch.arange(16) // 8, torch.arange(16) % 2), None, (2, 2)), [phase(2, 3), phase(2, 1)]),
    (Single(Operation("RX", (1,), (0,), (3,), (False,)), (1,)), [ANGLE]),
    (Single(Operation("PauliExponential", (0, 2), (0,), setting="XY"), (1,)), [ANGLE * (0.3 + 1j)]),
]  # fmt: skip


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_steps_undo_themselves_and_give_the_gradients_of_autograd(case, rows):
    step, tensors = CASES[case]
    tensors = [
        t[..., :rows] if t.shape[-1] == 3 and not isinstance(step, Dense) else t for t in tensors
    ]
    tensors = [t.clone().requires_grad_() for t in tensors]
    begin = state(2, rows=rows).requires_grad_()
    after = step.forward(begin, tensors)
    cotangent = state(2, rows=rows, seed=5)
    expected = torch.autograd.grad(after, [begin, *tensors], cotangent)
    undone, dual, found = step.backward(
        after.detach(), cotangent.conj(), [t.detach() for t in tensors]
    )
    torch.testing.assert_close(undone, begin.detach(), atol=1e-12, rtol=0)
    torch.testing.assert_close(dual.conj(), expected[0], atol=1e-12, rtol=0)
    for one, other, tensor in zip(found, expected[1:], tensors, strict=True):
        torch.testing.assert_close(one.sum_to_size(tensor.shape), other, atol=1e-11, rtol=0)
