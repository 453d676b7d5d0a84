"""Parameter-shift rules and SPSA against automatic differentiation."""

from dataclasses import replace

import pytest
import torch
from programs import INPUTS, WEIGHTS, joined, plainly, random_program

from quantum.circuits.gates import TABLE, matrix
from quantum.circuits.program import Measurement, Operation, Program, Term
from quantum.shift import parameter_shift, rule, spsa
from quantum.states import statevector
from quantum.states.evolution import evolve
from quantum.states.measure import measure
from quantum.tracing.recorder import record

RULED = [n for n in TABLE if n not in ("QubitUnitary", "DiagonalQubitUnitary", "StatePrep")]
SETTINGS = {"PauliRot": "XZ", "PauliExponential": "YX", "PCPhase": 3}


def evaluate(program, values, front):
    state = statevector.ground(program.wires, torch.complex128, torch.device("cpu"))
    state = evolve(state, program.operations, values)
    return measure(state, program.measurements, values)


def shifted(program, arguments):
    slots = program.recording.replay(list(arguments))
    return parameter_shift(program, slots, evaluate)


def outcome(answers, arguments, lead):
    answer = joined(answers, lead)
    weights = torch.cos(torch.arange(answer.numel(), dtype=torch.float64)).reshape(answer.shape)
    gradients = torch.autograd.grad(
        (answer * weights).sum(), arguments, allow_unused=True, materialize_grads=True
    )
    return [answer.detach(), *gradients]


@pytest.mark.parametrize("lead", [((3,), ()), ((), ()), ((3,), (2, 1)), ((2,), (2,))])
@pytest.mark.parametrize("seed", range(8))
def test_gradients_are_exact(seed, lead):
    program = random_program(seed, wires=1 + seed % 3, depth=5, names=RULED)
    if any(o.gate == "StatePrep" for o in program.operations):
        program = replace(program, operations=program.operations[1:])
    generator = torch.Generator().manual_seed(seed)
    x, w = (
        torch.rand(*own, size, generator=generator, dtype=torch.float64).requires_grad_()
        for own, size in zip(lead, (INPUTS, WEIGHTS), strict=True)
    )
    shape = torch.broadcast_shapes(*lead)
    expected = outcome(plainly(program, [x, w]), (x, w), shape)
    ours = outcome(shifted(program, [x, w]), (x, w), shape)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


@pytest.mark.parametrize("controlled", [False, True])
@pytest.mark.parametrize("name", [n for n in RULED if TABLE[n].core])
def test_rules_give_the_derivative_of_any_expectation(name, controlled):
    gate, setting = TABLE[name], SETTINGS.get(name)
    size = gate.size or 2
    generator = torch.Generator().manual_seed(0)
    dim = 2 ** (size + controlled)
    state = torch.randn(dim, generator=generator, dtype=torch.complex128)
    observable = torch.randn(dim, dim, generator=generator, dtype=torch.complex128)
    angles = torch.rand(len(gate.core), generator=generator, dtype=torch.float64)

    def mean(angles):
        given = [1j * a if name == "PauliExponential" else a for a in angles]
        small = matrix(name, given, size, setting)
        whole = torch.eye(dim, dtype=torch.complex128)
        if controlled:
            whole = torch.block_diag(torch.eye(2**size, dtype=small.dtype), small)
        else:
            whole = small
        moved = whole @ state
        return (moved.conj() @ (observable + observable.mH) @ moved).real

    exact = torch.autograd.functional.jacobian(mean, angles)
    operation = Operation(
        name,
        tuple(range(size)),
        tuple(range(len(gate.core))),
        (size,) * controlled,
        (True,) * controlled,
        setting=setting,
    )
    for position in range(len(gate.core)):
        total = torch.zeros((), dtype=torch.float64)
        for factor, step in rule(operation, position):
            total = total + factor * mean(
                angles + step * torch.eye(len(angles), dtype=torch.float64)[position]
            )
        torch.testing.assert_close(total, exact[position], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    ("operation", "pairs"),
    [
        (Operation("RX", (0,), (0,)), 2),
        (Operation("PhaseShift", (0,), (0,), (1,), (True,)), 2),
        (Operation("RX", (0,), (0,), (1,), (True,)), 4),
        (Operation("SingleExcitation", (0, 1), (0,)), 4),
        (Operation("DoubleExcitation", (0, 1, 2, 3), (0,)), 4),
        (Operation("Rot", (0,), (0, 1, 2)), 2),
        (Operation("GlobalPhase", (), (0,)), 0),
    ],
)
def test_the_number_of_values_is_that_of_the_literature(operation, pairs):
    assert len(rule(operation, 0)) == pairs


def test_inputs_without_gradients_need_no_rule():
    recording = record(lambda x, w: [x / x.norm(), w[0], 1.0], [(2,), (1,)])
    operations = (Operation("StatePrep", (0,), (0,)), Operation("RX", (0,), (1,)))
    z = Measurement("expval", terms=(Term(2, (Operation("PauliZ", (0,)),)),))
    program = Program(1, operations, (z,), recording)
    x, w = torch.tensor([[0.6, 0.8]], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    shifted(program, [x, w.requires_grad_()])[0].sum().backward()
    assert w.grad.abs() > 0.1
    with pytest.raises(
        ValueError, match=r"StatePrep.* no parameter-shift rule.*gradient='backprop'"
    ):
        shifted(program, [x.requires_grad_(), w])[0].sum().backward()


def test_observables_with_trained_coefficients():
    recording = record(lambda w: [w[0], w[1], w[0] * w[1]], [(2,)])
    words = (Operation("PauliZ", (0,)),), (Operation("PauliX", (0,)),)
    terms = tuple(Term(1 + k, word) for k, word in enumerate(words))
    asked = tuple(Measurement(kind, terms=terms) for kind in ("expval", "var"))
    program = Program(1, (Operation("RY", (0,), (0,)),), asked, recording)
    w = torch.tensor([0.4, 1.3], dtype=torch.float64, requires_grad=True)
    for one, other in zip(
        outcome(shifted(program, [w]), (w,), ()),
        outcome(plainly(program, [w]), (w,), ()),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


class TestSPSA:
    def values(self, arguments):
        x, w = arguments
        return [torch.sin(x * w).sum(-1, keepdim=True), (x[..., :1] * w[..., 1:]).square()]

    def test_right_on_average(self):
        x = torch.tensor([[0.3, 0.9], [1.1, -0.4]], dtype=torch.float64, requires_grad=True)
        w = torch.tensor([0.7, -1.2], dtype=torch.float64, requires_grad=True)
        exact = torch.autograd.grad(torch.cat(self.values([x, w]), -1).sum(), (x, w))
        generator = torch.Generator().manual_seed(0)
        draws = [[], []]
        for _ in range(800):
            answer = torch.cat(
                spsa([x, w], [(2,), (2,)], self.values, step=1e-3, generator=generator), -1
            )
            for kept, found in zip(draws, torch.autograd.grad(answer.sum(), (x, w)), strict=True):
                kept.append(found)
        for found, expected in zip(draws, exact, strict=True):
            stacked = torch.stack(found)
            error = stacked.std(0) / len(stacked) ** 0.5
            assert ((stacked.mean(0) - expected).abs() < 4 * error + 1e-5).all()

    def test_rows_do_not_disturb_each_other_and_seeds_repeat(self):
        x = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
        first, second = (
            torch.autograd.grad(
                spsa(
                    [x],
                    [(1,)],
                    lambda a: [a[0] ** 2 * torch.tensor([[1.0], [0.0]])],
                    step=0.1,
                    generator=torch.Generator().manual_seed(1),
                )[0].sum(),
                x,
            )[0]
            for _ in range(2)
        )
        assert torch.equal(first, second)
        torch.testing.assert_close(first, torch.tensor([[2.0], [0.0]], dtype=torch.float64))

    def test_a_given_generator_leaves_the_global_one_alone(self):
        state, x = torch.get_rng_state(), torch.ones(1, requires_grad=True)
        spsa([x], [(1,)], lambda a: [a[0]], step=0.1, generator=torch.Generator())[
            0
        ].sum().backward()
        assert torch.equal(state, torch.get_rng_state())
