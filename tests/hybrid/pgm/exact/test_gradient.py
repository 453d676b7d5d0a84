"""Gradients: laws, finite differences, zeros, second derivatives."""

from collections.abc import Sequence

import pytest
import torch
from factor_problems import PATHS, Problem, random_problem, use
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact import gradient
from hybrid.pgm.exact.inference import log_partition, marginals


@pytest.fixture(autouse=True, params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use(request.param, monkeypatch)
    return request.param


def inputs(problem: Problem) -> list[Tensor]:
    return [*problem.tables, *problem.evidence.soft.values()]


def split(problem: Problem, values: Sequence[Tensor]) -> tuple[Sequence[Tensor], Evidence]:
    n, seen = len(problem.tables), problem.evidence
    soft = dict(zip(seen.soft, values[n:], strict=True))
    return values[:n], Evidence(seen.rows, seen.hard, soft)


def log_of(problem: Problem, values: Sequence[Tensor]) -> Tensor:
    tables, evidence = split(problem, values)
    return log_partition(problem.tree, tables, evidence)


def enumerated_log(problem: Problem, values: Sequence[Tensor]) -> Tensor:
    n = len(problem.tables)
    total = problem.joint(values[:n], values[n:]).flatten(1).sum(1)
    return torch.where(total > 0, torch.where(total > 0, total, 1).log(), -torch.inf)


def possible_rows(problem: Problem) -> Tensor:
    return problem.joint().flatten(1).sum(1) > 0


@pytest.mark.parametrize("kept", [2**24, 0])
@pytest.mark.parametrize("seed", range(0, 18, 3))
def test_finite_differences(seed: int, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient, "_KEPT", kept)
    problem = random_problem(seed, zeros=False, most=4)
    values = [value.clone().requires_grad_() for value in inputs(problem)]
    torch.autograd.gradcheck(lambda *x: log_of(problem, x), values, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("seed", range(14))
def test_gradients_and_second_derivatives_of_enumeration(seed: int, zeros: bool) -> None:
    """At zeros too, where finite differences would need negative tables."""
    problem = random_problem(seed, zeros, most=5)
    rows = possible_rows(problem)
    if not rows.any():
        return
    values = [value.clone().requires_grad_() for value in inputs(problem)]
    weights = torch.rand(problem.evidence.rows).double()
    directions = [torch.rand_like(value) for value in values]
    firsts, seconds = [], []
    for ask in (log_of, enumerated_log):
        total = (ask(problem, values)[rows] * weights[rows]).sum()
        first = torch.autograd.grad(total, values, create_graph=True)
        slope = sum((a * b).sum() for a, b in zip(first, directions, strict=True))
        firsts.append(first)
        seconds.append(torch.autograd.grad(slope, values, materialize_grads=True))
    torch.testing.assert_close(firsts[0], firsts[1], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(seconds[0], seconds[1], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("seed", range(12))
def test_law_gradient_by_a_logarithm_is_a_marginal(seed: int) -> None:
    problem = random_problem(seed, zeros=False)
    logs = [value.log().requires_grad_() for value in inputs(problem)]
    total = log_of(problem, [log.exp() for log in logs]).sum()
    scopes = (*problem.scopes, *((variable,) for variable in problem.evidence.soft))
    _, expected = marginals(problem.tree, problem.tables, problem.evidence, scopes)
    for log, grad, scope, marginal in zip(
        logs, torch.autograd.grad(total, logs), scopes, expected, strict=True
    ):
        whole = marginal if log.dim() > len(scope) else marginal.sum(0)
        torch.testing.assert_close(grad, whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_gradients_of_marginals(seed: int, zeros: bool) -> None:
    problem = random_problem(seed, zeros, most=5)
    rows = possible_rows(problem)
    if not rows.any():
        return
    values = [value.clone().requires_grad_() for value in inputs(problem)]
    tables, evidence = split(problem, values)
    sets = (*problem.singles, *problem.scopes)
    _, found = marginals(problem.tree, tables, evidence, sets)
    joint = problem.joint(tables, list(evidence.soft.values()))[rows]
    ours, theirs = torch.zeros(()).double(), torch.zeros(()).double()
    for variables, marginal in zip(sets, found, strict=True):
        right = problem.marginal(joint, variables)
        torch.testing.assert_close(marginal[rows], right, rtol=0, atol=1e-12)
        direction = torch.rand_like(right)
        ours = ours + (marginal[rows] * direction).sum()
        theirs = theirs + (right * direction).sum()
    grads = [torch.autograd.grad(each, values, materialize_grads=True) for each in (ours, theirs)]
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-8, atol=1e-8)


def test_second_derivatives_of_marginals_by_finite_differences() -> None:
    problem = random_problem(12, zeros=False, most=4)
    values = [value.clone().requires_grad_() for value in inputs(problem)]

    def ask(*given: Tensor) -> tuple[Tensor, ...]:
        tables, evidence = split(problem, given)
        return tuple(marginals(problem.tree, tables, evidence, problem.singles)[1])

    torch.autograd.gradgradcheck(ask, values, atol=1e-6, rtol=1e-6)


def test_inputs_that_need_no_gradient_get_none() -> None:
    problem = random_problem(3, zeros=False)
    first = problem.tables[0].clone().requires_grad_()
    log = log_of(problem, [first, *inputs(problem)[1:]])
    (grad,) = torch.autograd.grad(log.sum(), first)
    assert grad.shape == first.shape
    with torch.no_grad():
        assert not log_of(problem, [first, *inputs(problem)[1:]]).requires_grad


def test_gradients_where_floating_point_ends() -> None:
    """With logarithms: each of two hundred tables has its marginal over itself as gradient."""
    scopes, tiny = ((0, 1),) * 200, 1e-3 * torch.tensor([[1.0, 1.01], [1.02, 1.03]]).double()
    problem = Problem((2, 2), scopes, (tiny,) * 200, Evidence(2, {0: torch.tensor([1, -1])}))
    shared = tiny.clone().requires_grad_()
    logs = log_of(problem, [shared] * 200)
    (grad,) = torch.autograd.grad(logs.sum(), shared)
    powers = 200 * tiny.log()
    belief = powers.flatten().softmax(0).reshape(2, 2)
    belief[1] += powers[1].softmax(0)
    torch.testing.assert_close(grad, 200 * belief / tiny, rtol=1e-9, atol=0)
