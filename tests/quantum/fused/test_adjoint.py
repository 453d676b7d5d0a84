"""The adjoint engine against gate-after-gate automatic differentiation."""

import pytest
import torch
from programs import INPUTS, WEIGHTS, joined, plainly, random_program
from torch.func import grad, jacrev, vmap

from quantum.circuits.gates import TABLE
from quantum.circuits.program import Measurement, Operation, Program, Term
from quantum.fused import adjoint
from quantum.tracing.recorder import record

LEADS = [
    ((5,), ()),
    ((4,), (3, 1)),
    ((3,), (3,)),
    ((), ()),
    ((2, 3), (3,)),
    ((), (4,)),
    ((1,), (2, 1)),
]


def drawn(lead, size, seed, dtype=torch.float64):
    values = torch.rand(
        *lead, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return values.to(dtype).requires_grad_()


def outcome(answer, arguments):
    weights = torch.cos(torch.arange(answer.numel(), dtype=torch.float64)).reshape(answer.shape)
    score = (answer * weights.to(answer.dtype)).sum()
    if not score.requires_grad:
        return [answer.detach(), *(torch.zeros_like(a) for a in arguments)]
    found = torch.autograd.grad(score, arguments, allow_unused=True, materialize_grads=True)
    return [answer.detach(), *found]


def compared(program, x, w, tolerance=1e-10):
    lead = torch.broadcast_shapes(x.shape[:-1], w.shape[:-1])
    expected = outcome(joined(plainly(program, [x.double(), w.double()]), lead), (x, w))
    precision = torch.complex128 if x.dtype == torch.float64 else torch.complex64
    ours = outcome(joined(adjoint.run(program, [x, w], precision), lead), (x, w))
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one.double(), other.double(), atol=tolerance, rtol=0)


@pytest.mark.parametrize("seed", range(28))
def test_random_programs(seed):
    x, w = LEADS[seed % len(LEADS)]
    program = random_program(seed)
    compared(program, drawn(x, INPUTS, seed), drawn(w, WEIGHTS, seed + 1))
    single = drawn(x, INPUTS, seed, torch.float32), drawn(w, WEIGHTS, seed + 1, torch.float32)
    compared(program, *single, tolerance=3e-5)


@pytest.mark.parametrize("name", [name for name in TABLE if name != "StatePrep"])
def test_every_gate(name):
    names = ["RY", "Hadamard", "PauliX", "RZ", name, name]
    program = random_program(7, wires=max(3, TABLE[name].size or 1), depth=12, names=names)
    compared(program, drawn((3,), INPUTS, 1), drawn((), WEIGHTS, 2))
    compared(program, drawn((3,), INPUTS, 1), drawn((3,), WEIGHTS, 2))


@pytest.mark.parametrize("rows", [0, 1, 3, 16, 17, 257])
@pytest.mark.parametrize("seed", [13, 27, 37])
def test_any_number_of_rows(rows, seed):
    program = random_program(seed, wires=1 + seed % 5)
    compared(program, drawn((rows,), INPUTS, seed), drawn((), WEIGHTS, seed))
    compared(program, drawn((rows,), INPUTS, seed), drawn((rows,), WEIGHTS, seed))


def layered(wires, depth, read="expval"):
    """Rotations and rings of CNOT, weights shared, one embedding."""
    operations = [Operation("RY", (w,), (w % INPUTS,)) for w in range(wires)]
    for layer in range(depth):
        for w in range(wires):
            slots = tuple(INPUTS + (layer + w + k) % WEIGHTS for k in range(3))
            operations.append(Operation("Rot", (w,), slots))
        ring = range(wires if wires > 1 else 0)
        operations += [Operation("PauliX", ((w + 1) % wires,), (), (w,), (True,)) for w in ring]
    one = INPUTS + WEIGHTS
    asked = [
        Measurement("expval", terms=(Term(one, (Operation("PauliZ", (w,)),)),))
        for w in range(wires)
    ]
    if read != "expval":
        asked = [Measurement(read, tuple(range(wires)))]
    recording = record(lambda x, w: [*x, *w, torch.ones(())], [(INPUTS,), (WEIGHTS,)])
    return Program(wires, tuple(operations), tuple(asked), recording)


@pytest.mark.parametrize("wires", [1, 2, 3, 4, 5, 8, 9, 11, 12])
def test_layered_circuits(wires):
    compared(layered(wires, 2), drawn((3,), INPUTS, 0), drawn((), WEIGHTS, 1))


@pytest.mark.parametrize("rows", [3, 40])
def test_undoing_a_hundred_layers_drifts_little(rows):
    program = layered(3, 100)
    x, w = drawn((rows,), INPUTS, 0), drawn((), WEIGHTS, 1)
    compared(program, x, w)
    exact = outcome(joined(adjoint.run(program, [x, w], torch.complex128), (rows,)), (x, w))
    low = x.float().detach().requires_grad_(), w.float().detach().requires_grad_()
    single = outcome(joined(adjoint.run(program, low, torch.complex64), (rows,)), low)
    for one, other in zip(single, exact, strict=True):
        assert (one.double() - other).abs().max() / max(1.0, other.abs().max()) <= 1e-4


def test_finite_differences():
    program = random_program(4, wires=4)
    x, w = drawn((2,), INPUTS, 0), drawn((), WEIGHTS, 1)
    assert torch.autograd.gradcheck(
        lambda x, w: joined(adjoint.run(program, [x, w], torch.complex128), (2,)), (x, w), atol=1e-6
    )


class TestTransforms:
    program = layered(3, 2)

    def call(self, x, w, automatic=False):
        answers = adjoint.run(self.program, [x, w], torch.complex128, automatic=automatic)
        return torch.cat(answers, -1)

    def test_vmap_grad_and_jacrev(self):
        x, w = drawn((4,), INPUTS, 0).detach(), drawn((), WEIGHTS, 1).detach()
        torch.testing.assert_close(vmap(lambda row: self.call(row, w))(x), self.call(x, w))
        torch.testing.assert_close(
            vmap(vmap(lambda row: self.call(row, w)))(x.view(2, 2, -1)),
            self.call(x.view(2, 2, -1), w),
        )
        expected = torch.autograd.functional.jacobian(lambda v: self.call(x, v), w)
        torch.testing.assert_close(jacrev(self.call, argnums=1)(x, w), expected)
        per_row = vmap(grad(lambda v, row: self.call(row, v).sum()), (None, 0))(w, x)
        torch.testing.assert_close(per_row, expected.sum(1))
        draws = drawn((5,), WEIGHTS, 2).detach()
        torch.testing.assert_close(
            vmap(self.call, (None, 0))(x, draws), self.call(x, draws.unsqueeze(1))
        )
        each = vmap(grad(lambda v: self.call(x, v).sum()))(draws)
        torch.testing.assert_close(
            each, torch.stack([grad(lambda v: self.call(x, v).sum())(d) for d in draws])
        )

    @pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
    def test_second_derivatives_raise_and_name_backprop(self):
        x, w = drawn((2,), INPUTS, 0), drawn((), WEIGHTS, 1)
        (first,) = torch.autograd.grad(self.call(x, w).sum(), w, create_graph=True)
        with pytest.raises(RuntimeError, match="gradient='backprop'"):
            torch.autograd.grad(first.square().sum(), w)
        with pytest.raises(RuntimeError, match="gradient='backprop'"):
            torch.func.hessian(lambda w: self.call(x.detach(), w).sum())(w.detach())

    def test_left_to_the_plan_they_are_automatic(self):
        x, w = drawn((2,), INPUTS, 0), drawn((), WEIGHTS, 1)

        def call(x, w):
            return self.call(x, w, automatic=True)

        assert torch.autograd.gradgradcheck(call, (x, w), atol=1e-6)
        plain = lambda w: torch.cat(plainly(self.program, [x.detach(), w]), -1).square().sum()  # noqa: E731
        expected = torch.autograd.functional.hessian(plain, w)
        ours = jacrev(jacrev(lambda w: call(x.detach(), w).square().sum()))(w.detach())
        torch.testing.assert_close(ours, expected)

    @pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
    def test_forward_mode(self):
        x, w = drawn((2,), INPUTS, 0).detach(), drawn((), WEIGHTS, 1).detach()
        ours = torch.func.jacfwd(lambda w: self.call(x, w, automatic=True))(w)
        torch.testing.assert_close(ours, jacrev(lambda w: self.call(x, w))(w))


def test_one_backward_pass_frees_and_two_agree():
    program = layered(4, 3)
    x, w = drawn((3,), INPUTS, 0), drawn((), WEIGHTS, 1)
    answer = torch.cat(adjoint.run(program, [x, w], torch.complex128), -1)
    first = torch.autograd.grad(answer.sum(), w, retain_graph=True)[0]
    second = torch.autograd.grad(answer.sum(), w)[0]
    assert torch.equal(first, second)


def test_what_no_measurement_sees_has_gradient_zero():
    recording = record(lambda x, w: [x[0], w[0], torch.ones(())], [(1,), (1,)])
    z = Measurement("expval", terms=(Term(2, (Operation("PauliZ", (0,)),)),))
    turns = (Operation("RX", (0,), (0,)), Operation("RX", (1,), (1,)))
    x, w = torch.zeros(3, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    answer = adjoint.run(Program(2, turns, (z,), recording), [x, w], torch.complex64)[0]
    answer.sum().backward()
    assert w.grad.tolist() == [0.0]


def saved_bytes(program, x, w):
    """Bytes that wait for the backward pass."""
    seen = {}

    def pack(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        answer = torch.cat(adjoint.run(program, [x, w], torch.complex64), -1)
    answer.sum().backward()
    return sum(seen.values())


def test_memory_does_not_grow_with_depth():
    x, w = drawn((64,), INPUTS, 0, torch.float32), drawn((), WEIGHTS, 1, torch.float32)
    state = 64 * 2**8 * 8
    short, long = (saved_bytes(layered(8, depth), x, w) for depth in (2, 22))
    assert long - short < state
    assert long < 6 * state
