"""Derivatives taken by `torch.func` and forwards equal those of autograd."""

import pytest
import torch
from factor_problems import random_problem
from torch import Tensor
from torch.autograd import forward_ad

from hybrid.pgm.exact.inference import log_partition, marginals

SEEDS = (1, 4, 8)


def logs(seed: int, place: int, table: Tensor) -> Tensor:
    problem = random_problem(seed, zeros=False)
    tables = [*problem.tables[:place], table, *problem.tables[place + 1 :]]
    return log_partition(problem.tree, tables, problem.evidence)


def beliefs(seed: int, table: Tensor) -> Tensor:
    problem = random_problem(seed, zeros=False)
    tables = [table, *problem.tables[1:]]
    found = marginals(problem.tree, tables, problem.evidence, problem.singles)[1]
    return torch.cat(found, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_reverse_and_second_derivatives(seed: int) -> None:
    table = random_problem(seed, zeros=False).tables[0]

    def first(values: Tensor) -> Tensor:
        return logs(seed, 0, values).sum()

    wanted = torch.autograd.functional.jacobian(first, table)
    torch.testing.assert_close(torch.func.grad(first)(table), wanted)
    wanted = torch.autograd.functional.hessian(first, table)
    torch.testing.assert_close(torch.func.jacrev(torch.func.jacrev(first))(table), wanted)
    wanted = torch.autograd.functional.jacobian(lambda values: beliefs(seed, values), table)
    found = torch.func.jacrev(lambda values: beliefs(seed, values))(table)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_forward_derivatives(seed: int) -> None:
    """The compiled kernel, which does not know of them, stands aside."""
    table = random_problem(seed, zeros=False).tables[0]
    direction = torch.rand(table.shape, generator=torch.Generator().manual_seed(0)).double()
    jacobian = torch.autograd.functional.jacobian(lambda values: logs(seed, 0, values), table)
    wanted = (jacobian * direction).flatten(1).sum(1)
    found = torch.func.jvp(lambda values: logs(seed, 0, values), (table,), (direction,))[1]
    torch.testing.assert_close(found, wanted)
    with forward_ad.dual_level():
        dual = logs(seed, 0, forward_ad.make_dual(table, direction))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, wanted)
