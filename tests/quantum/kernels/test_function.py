"""The compiled kernel against the PyTorch state vector on random circuits of everything it runs."""

import numpy as np
import pytest
import torch

from quantum.circuits.gates import TABLE
from quantum.circuits.program import Measurement, Operation, Program, Term
from quantum.fused import adjoint
from quantum.kernels.executor import executor
from quantum.kernels.library import load
from quantum.kernels.rotations import primitives
from quantum.states import statevector
from quantum.states.evolution import evolve
from quantum.states.measure import measure
from quantum.tracing.recorder import record

FIXED = ["PauliX", "PauliY", "PauliZ", "Hadamard", "S", "T", "SX", "SWAP", "ISWAP", "SISWAP"]
ONE = [
    "RX",
    "RY",
    "RZ",
    "PhaseShift",
    "U1",
    "IsingXX",
    "IsingYY",
    "IsingZZ",
    "IsingXY",
    "PSWAP",
    "GlobalPhase",
]
ONE += ["CPhaseShift00", "CPhaseShift01", "CPhaseShift10", "MultiRZ", "PauliRot", "PCPhase"]
ONE += [f"{kind}Excitation{end}" for kind in ("Single", "Double") for end in ("", "Plus", "Minus")]
SEVERAL = {"Rot": 3, "U2": 2, "U3": 3}
pytestmark = pytest.mark.skipif(load() is None, reason="no compiled kernel in this installation")


def random_program(
    seed: int, wires: int, depth: int, inputs: int, *, states: bool = False
) -> Program:
    """Gates of every kind on random wires; parameter k reads input, weight, a function of both, or a number."""
    rng = np.random.default_rng(seed)
    operations, values = [], []

    def slot() -> int:
        k = int(rng.integers(4))
        values.append((k, int(rng.integers(inputs)), int(rng.integers(5)), float(rng.normal())))
        return len(values) - 1

    names = [*FIXED, *ONE, *SEVERAL]
    while len(operations) < depth:
        gate = str(rng.choice(names))
        size = TABLE[gate].size
        setting = None
        if size is None:
            size = 0 if gate == "GlobalPhase" else int(rng.integers(1, min(wires, 4) + 1))
        if gate == "PauliRot":
            setting = "".join(rng.choice(list("IXYZ"), size))
        if gate == "PCPhase":
            setting = int(rng.integers(0, 2**size + 1))
        if size > wires:
            continue
        order = [int(w) for w in rng.permutation(wires)]
        free = wires - size
        controls = order[size : size + int(rng.choice([0, 0, 1, 2, 3]))] if free else []
        count = 0 if gate in FIXED else SEVERAL.get(gate, 1)
        operations.append(
            Operation(
                gate,
                tuple(order[:size]),
                tuple(slot() for _ in range(count)),
                tuple(controls),
                tuple(bool(b) for b in rng.integers(0, 2, len(controls))),
                bool(rng.integers(2)),
                setting,
            )
        )
    measurements = []
    for _ in range(4):
        terms = []
        for _ in range(int(rng.integers(1, 4))):
            letters = rng.choice(["", "PauliX", "PauliY", "PauliZ"], wires)
            factors = tuple(Operation(str(g), (w,)) for w, g in enumerate(letters) if g)
            values.append((3, 0, 0, float(rng.normal())))
            terms.append(Term(len(values) - 1, factors))
        measurements.append(Measurement("expval", terms=tuple(terms)))
    if states:
        order = tuple(int(w) for w in rng.permutation(wires)[: max(1, wires - 1)])
        measurements = [
            Measurement("probs", order),
            Measurement("var", terms=measurements[0].terms),
        ]

    def function(x, w):
        made = [
            lambda i, _j, _c: x[i],
            lambda _i, j, _c: w[j],
            lambda i, j, _c: x[i] * w[j],
            lambda _i, _j, c: c,
        ]
        return [made[k](i, j, c) for k, i, j, c in values]

    return Program(
        wires, tuple(operations), tuple(measurements), record(function, [(inputs,), (5,)])
    )


def by_kernel(program: Program, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    made = executor(program)
    assert made is not None
    return joined(made.run([x, w], x.dtype.to_complex(), False))


def joined(answers: list[torch.Tensor]) -> torch.Tensor:
    lead = torch.broadcast_shapes(*(a.shape[:-1] for a in answers))
    return torch.cat([a.expand(*lead, a.shape[-1]) for a in answers], -1)


def by_adjoint(program: Program, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return joined(adjoint.run(program, [x, w], x.dtype.to_complex()))


def by_torch(program: Program, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    precision = x.dtype.to_complex()
    slots = [
        s.to(precision if s.is_complex() else x.dtype) for s in program.recording.replay([x, w])
    ]
    state = evolve(
        statevector.ground(program.wires, precision, x.device), program.operations, slots
    )
    return joined(measure(state, program.measurements, slots))


def arguments(seed: int, lead_x: tuple, lead_w: tuple, inputs: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*lead_x, inputs, generator=generator, dtype=torch.float64).to(dtype)
    w = torch.randn(*lead_w, 5, generator=generator, dtype=torch.float64).to(dtype)
    return x.requires_grad_(), w.requires_grad_()


def agree(program: Program, x, w, tolerance: float) -> None:
    expected, got = by_torch(program, x, w), by_kernel(program, x, w)
    expected = expected.expand(got.shape)
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)
    cotangent = torch.randn(got.shape, dtype=got.dtype, generator=torch.Generator().manual_seed(1))
    first = torch.autograd.grad(
        (expected * cotangent.conj()).real.sum(), [x, w], materialize_grads=True
    )
    second = torch.autograd.grad(
        (got * cotangent.conj()).real.sum(), [x, w], materialize_grads=True
    )
    scale = max(1, got[..., 0].numel()) ** 0.5
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("rows", [(), (1,), (3,), (16,), (17,), (257,), (2, 9)])
@pytest.mark.parametrize("wires", [1, 2, 3, 5, 6])
def test_random_circuits(wires, rows) -> None:
    for seed in range(2):
        program = random_program(seed, wires, 24, 6)
        agree(program, *arguments(seed, rows, (), 6), 1e-11)


@pytest.mark.parametrize("seed", range(14))
def test_deep_circuits(seed) -> None:
    wires = 1 + seed % 9
    program = random_program(100 + seed, wires, 120, 6)
    agree(program, *arguments(seed, (1 + seed % 5,), (), 6), 1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_states(seed) -> None:
    program = random_program(200 + seed, 1 + seed % 6, 30, 6, states=True)
    agree(program, *arguments(seed, ([(), (3,), (17,)][seed % 3]), (), 6), 1e-11)


@pytest.mark.parametrize(
    ("lead_x", "lead_w"),
    [
        ((8,), (3, 1)),
        ((3, 8), (3, 1)),
        ((8,), (8,)),
        ((2, 1, 8), (3, 1)),
        ((), (5,)),
        ((4, 1), (4, 9)),
        ((0,), ()),
    ],
)
def test_leading_dimensions(lead_x, lead_w) -> None:
    for seed in range(4):
        program = random_program(300 + seed, 2 + seed, 20, 6)
        agree(program, *arguments(seed, lead_x, lead_w, 6), 1e-11)


@pytest.mark.parametrize("seed", range(6))
def test_single_precision(seed) -> None:
    program = random_program(400 + seed, 2 + seed, 40, 6)
    x, w = arguments(seed, (9,), (), 6, torch.float32)
    y, v = (t.detach().double().requires_grad_() for t in (x, w))
    got, expected = by_kernel(program, x, w), by_torch(program, y, v)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-5)
    first = torch.autograd.grad(expected.sum(), [y, v], materialize_grads=True)
    second = torch.autograd.grad(got.sum(), [x, w], materialize_grads=True)
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(b.double(), a, rtol=0, atol=2e-5)


@pytest.mark.parametrize("wires", [11, 12, 13])
def test_states_larger_than_the_cache(wires) -> None:
    for rows in ((), (2,), (5,)):
        program = random_program(wires, wires, 40, 6)
        agree(program, *arguments(wires, rows, (), 6), 1e-10)


def test_every_gate_of_the_table_is_run_or_left_to_torch() -> None:
    left = {name for name in TABLE if name not in {*FIXED, *ONE, *SEVERAL, "Identity"}}
    for name in left:
        assert primitives(Operation(name, (0, 1), (0,))) is None
    assert left == {
        "ECR",
        "QubitSum",
        "QubitCarry",
        "FermionicSWAP",
        "PauliExponential",
        "DiagonalQubitUnitary",
        "QubitUnitary",
    }


@pytest.mark.parametrize("engine", [by_kernel, by_adjoint])
@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 40])
def test_what_rounding_takes_off_the_norm_is_given_back(engine, words, rows) -> None:
    turns = [Operation(name, (w,)) for _ in range(60) for name in ("Hadamard", "T") for w in (0, 1)]
    start = [Operation("RY", (0,), (0,)), Operation("PauliX", (1,), (), (0,), (True,))]
    one = Measurement("expval", terms=(Term(1, ()),))
    asked = one if words else Measurement("probs", (0, 1))
    made = record(lambda x, w: [x[0], 1.0], [(1,), (1,)])
    program = Program(2, (*start, *turns), (asked,), made)
    norms = engine(program, torch.full((rows, 1), 0.7), torch.zeros(1)).double().sum(-1)
    torch.testing.assert_close(norms, torch.ones_like(norms), atol=4e-7, rtol=0)


def test_a_tensor_that_outlived_its_transform_is_read() -> None:
    kept = []
    torch.func.grad(lambda x: kept.append(x * 1.0) or x.sum())(torch.rand(3, 6))
    program = random_program(7, 3, 12, 6)
    weights = torch.rand(5)
    (outlived,) = kept
    answers = by_kernel(program, outlived, weights), by_kernel(program, outlived * 1.0, weights)
    torch.testing.assert_close(*answers, rtol=0, atol=0)
