"""Runs of operations: the order, fused permutations and shared blocks do not change the state."""

import pytest
import torch

from quantum.circuits.program import Operation
from quantum.states import statevector
from quantum.states.evolution import apply, evolve

OPERATIONS = [
    Operation("RY", (0,), (0,)),
    Operation("PauliX", (1,), (), (0,), (True,)),
    Operation("PauliX", (2,), (), (1,), (True,)),
    Operation("SWAP", (0, 2)),
    Operation("QubitSum", (2, 0, 1), adjoint=True),
    Operation("Rot", (1,), (1, 2, 3), adjoint=True),
    Operation("IsingXY", (2, 0), (2,), (1,), (False,)),
    Operation("MultiRZ", (0, 1, 2), (1,)),
    Operation("PauliRot", (1, 0), (3,), setting="XY"),
    Operation("RX", (2,), (1,)),
    Operation("RX", (0,), (3,)),
    Operation("Hadamard", (1,)),
]


def ground():
    return statevector.ground(3, torch.complex128, torch.device("cpu"))


def angles(*lead, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(lead, generator=generator, dtype=torch.float64) for _ in range(4)]


def one_by_one(state, slots):
    for operation in OPERATIONS:
        state = apply(state, operation, slots)
    return state


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_shared_parameters_on_any_number_of_rows(rows):
    """With many rows the run is multiplied into one matrix first."""
    generator = torch.Generator().manual_seed(1)
    state = torch.randn(rows, 8, generator=generator, dtype=torch.complex128)
    slots = angles()
    torch.testing.assert_close(evolve(state, OPERATIONS, slots), one_by_one(state, slots))


def test_parameters_that_vary_over_draws_but_not_over_rows():
    state = torch.randn(20, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(2))
    slots = angles(5, 1)
    together = evolve(state, OPERATIONS, slots)
    assert together.shape == (5, 20, 8)
    for draw in range(5):
        alone = one_by_one(state, [slot[draw, 0] for slot in slots])
        torch.testing.assert_close(together[draw], alone)


def test_parameters_of_unlike_leading_dimensions_align():
    slots = angles(4)
    slots[1], slots[3] = (
        torch.rand(2, 1, dtype=torch.float64),
        torch.tensor(0.3, dtype=torch.float64),
    )
    together = evolve(ground(), OPERATIONS, slots)
    assert together.shape == (2, 4, 8)
    for i in range(2):
        for j in range(4):
            alone = [slots[0][j], slots[1][i, 0], slots[2][j], slots[3]]
            torch.testing.assert_close(together[i, j], one_by_one(ground(), alone))


def test_the_adjoint_undoes():
    slots = angles(3)
    back = [
        Operation(**{**vars(operation), "adjoint": not operation.adjoint})
        for operation in reversed(OPERATIONS)
    ]
    state = evolve(evolve(ground(), OPERATIONS, slots), back, slots)
    torch.testing.assert_close(state, ground().expand(3, 8))


def test_norms_are_kept():
    state = evolve(ground(), OPERATIONS, angles(7))
    torch.testing.assert_close(state.norm(dim=-1), torch.ones(7, dtype=torch.float64))
