"""Inference against enumeration, by every path."""

import math

import pytest
import torch
from factor_problems import PATHS, chain, random_problem, use

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.inference import best, draw, log_partition, marginals
from hybrid.pgm.trees.tree import TooLarge, junction_tree


@pytest.fixture(autouse=True, params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use(request.param, monkeypatch)
    return request.param


@pytest.mark.parametrize("seed", range(30))
def test_marginals_and_partition_functions(seed: int) -> None:
    problem = random_problem(seed)
    joint = problem.joint()
    sets = (*problem.singles, *problem.scopes)
    logs, found = marginals(problem.tree, problem.tables, problem.evidence, sets)
    torch.testing.assert_close(logs, joint.flatten(1).sum(1).log(), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        log_partition(problem.tree, problem.tables, problem.evidence), logs, rtol=0, atol=1e-12
    )
    for variables, values in zip(sets, found, strict=True):
        expected = problem.marginal(joint, variables)
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("seed", range(12))
def test_best_assignments(seed: int, count: int) -> None:
    problem = random_problem(seed)
    joint = problem.joint()
    rows = problem.evidence.rows
    states, logs = best(problem.tree, problem.tables, problem.evidence, count)
    assert states.shape == (rows, count, len(problem.cardinalities))
    there = min(count, joint[0].numel())
    expected = joint.flatten(1).topk(there, 1).values.log()
    torch.testing.assert_close(logs[:, :there], expected, rtol=0, atol=1e-12)
    assert bool((logs[:, there:] == -math.inf).all())
    reached = joint[(torch.arange(rows).unsqueeze(1), *states.unbind(-1))].log()
    possible = logs > -math.inf
    torch.testing.assert_close(reached[possible], logs[possible], rtol=0, atol=1e-12)
    for row in range(rows):
        kept = [tuple(state.tolist()) for state in states[row][possible[row]]]
        assert len(set(kept)) == len(kept)


@pytest.mark.parametrize("seed", range(5))
def test_draws_have_the_posterior_as_frequencies(seed: int) -> None:
    problem = random_problem(seed, most=4)
    joint, n = problem.joint().flatten(1), 20_000
    generator = torch.Generator().manual_seed(seed)
    states = draw(problem.tree, problem.tables, problem.evidence, n, generator)
    for row, weights in enumerate(joint):
        if weights.sum() == 0:
            continue
        number = torch.zeros(n, dtype=torch.int64)
        for variable, card in enumerate(problem.cardinalities):
            number = number * card + states[row, :, variable]
        seen = torch.bincount(number, minlength=len(weights)).double()
        expected = n * weights / weights.sum()
        assert bool((seen[expected == 0] == 0).all())
        likely = expected > 0
        squares = (seen - expected)[likely].square() / expected[likely]
        freedom = int(likely.sum()) - 1
        assert squares.sum() <= freedom + 5 * math.sqrt(2 * freedom) + 10  # beyond 1 in 10,000


def test_draws_follow_the_generator_and_leave_the_global_one_alone() -> None:
    problem = chain((3, 4, 2))
    before = torch.get_rng_state()
    first, second = (draw(*given(problem), 50, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
    draw(*given(problem), 50)
    assert not torch.equal(before, torch.get_rng_state())


def given(problem):
    return problem.tree, problem.tables, problem.evidence


def test_impossible_rows_have_no_probability_and_no_nan() -> None:
    tree = junction_tree((2, 2), ((0,), (0, 1)))
    tables = (torch.tensor([1.0, 0.0]).double(), torch.eye(2).double())
    evidence = Evidence(3, {1: torch.tensor([0, 1, -1])})
    logs, found = marginals(tree, tables, evidence, ((0,), (0, 1)))
    assert logs.tolist() == [0.0, -math.inf, 0.0]
    assert found[0].tolist() == [[1, 0], [0, 0], [1, 0]]
    assert not any(values.isnan().any() for values in found)
    states, values = best(tree, tables, evidence)
    assert values[:, 0].tolist() == [0.0, -math.inf, 0.0]
    assert states[0, 0].tolist() == [0, 0]
    drawn = draw(tree, tables, evidence, 4)
    assert bool(((drawn >= 0) & (drawn < 2)).all())


def test_impossible_rows_leave_the_others_gradients_alone() -> None:
    tree = junction_tree((2, 2), ((0,), (0, 1)))
    tables = [torch.tensor([1.0, 0.0]).double(), torch.eye(2).double()]
    tables = [table.requires_grad_() for table in tables]
    evidence = Evidence(2, {1: torch.tensor([0, 1])})
    logs = log_partition(tree, tables, evidence)
    assert logs.tolist() == [0.0, -math.inf]
    grads = torch.autograd.grad(logs[0], tables)
    assert grads[0].tolist() == [1.0, 0.0]
    assert grads[1].tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_products_that_floating_point_cannot_hold() -> None:
    """Eighty tables of 1e-30 meet in one clique; states differ by their last parts alone."""
    scopes = (*(((0, 1),) * 80), (1,))
    tiny = 1e-30 * torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double()
    tables = (*((tiny,) * 80), torch.tensor([0.5, 0.5]).double())
    tree = junction_tree((2, 2), scopes)
    evidence = Evidence(2, {0: torch.tensor([0, -1])})
    logs, (values,) = marginals(tree, tables, evidence, ((1,),))
    powers = 80 * torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double().log()
    exact = torch.stack([powers[0].logsumexp(0), powers.flatten().logsumexp(0)])
    exact = exact + math.log(0.5) - 80 * 30 * math.log(10)
    torch.testing.assert_close(logs, exact, rtol=1e-14, atol=1e-10)
    torch.testing.assert_close(values[0], powers[0].softmax(0), rtol=0, atol=1e-12)
    states, found = best(tree, tables, evidence)
    assert states[:, 0].tolist() == [[0, 1], [1, 1]]
    assert bool(found.isfinite().all())
    assert bool((draw(tree, tables, evidence, 5)[1] == 1).all())


def test_evidence_that_revives_what_was_almost_lost() -> None:
    """A state of 1e-200 wins since the likelihood of the other one is 1e-300."""
    tree = junction_tree((3, 3, 3), ((0, 1), (1, 2), (2,)))  # two cliques
    double = torch.float64
    tables = (
        torch.tensor([[1.0, 1e-200, 0.0]] * 3, dtype=double),
        torch.eye(3, dtype=double),
        torch.tensor([1e-300, 1.0, 1.0], dtype=double),
    )
    logs, (values,) = marginals(tree, tables, Evidence(1), ((0,),))
    exact = torch.tensor([3e-200], dtype=double).log()
    torch.testing.assert_close(logs, exact, rtol=1e-14, atol=0)
    torch.testing.assert_close(values, torch.full((1, 3), 1 / 3, dtype=double), rtol=0, atol=1e-14)


def test_a_hub_with_many_observed_children() -> None:
    """Their messages, multiplied without scaling, would be zero."""
    n = 400
    tree = junction_tree((2,) * (n + 1), ((0,), *((0, v) for v in range(1, n + 1))))
    table = torch.tensor([[0.99, 0.01], [0.01, 0.99]], dtype=torch.float64)
    states = (torch.arange(n) % 2).unsqueeze(1)
    evidence = Evidence(1, {v + 1: states[v] for v in range(n)})
    tables = (torch.tensor([0.25, 0.75]).double(), *((table,) * n))
    logs, (hub,) = marginals(tree, tables, evidence, ((0,),))
    torch.testing.assert_close(logs, torch.tensor([n / 2 * math.log(0.99 * 0.01)]).double())
    torch.testing.assert_close(hub, torch.tensor([[0.25, 0.75]]).double(), rtol=0, atol=1e-12)


def test_single_precision() -> None:
    problem = random_problem(7)
    tables = [table.float() for table in problem.tables]
    evidence = Evidence(
        problem.evidence.rows,
        problem.evidence.hard,
        {v: values.float() for v, values in problem.evidence.soft.items()},
    )
    logs, found = marginals(problem.tree, tables, evidence, problem.singles)
    exact, expected = marginals(*given(problem), problem.singles)
    assert logs.dtype == torch.float32
    torch.testing.assert_close(logs.double(), exact, rtol=1e-5, atol=1e-5)
    for values, right in zip(found, expected, strict=True):
        torch.testing.assert_close(values.double(), right, rtol=1e-5, atol=1e-5)


def test_what_does_not_fit_is_refused_before_it_is_allocated() -> None:
    # A ring of many states has a tree far larger than its tables.
    tree = junction_tree((4000,) * 4, ((0,), (1,), (2,), (3,)), together=((0, 1, 2, 3),))
    tables = [torch.ones(4000).double() for _ in range(4)]
    for ask in (
        lambda: log_partition(tree, tables, Evidence(1)),
        lambda: marginals(tree, tables, Evidence(1), ((0,),)),
        lambda: best(tree, tables, Evidence(1)),
        lambda: draw(tree, tables, Evidence(1), 1),
    ):
        with pytest.raises(TooLarge, match="256,000,000,000,000 cells"):
            ask()


def test_numbers_that_make_no_sense() -> None:
    problem = chain((3, 3, 3))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        best(*given(problem), 0)
    with pytest.raises(ValueError, match="got -1"):
        draw(*given(problem), -1)
    with pytest.raises(ValueError, match="clique"):
        marginals(*given(problem), ((0, 2),))
    assert draw(*given(problem), 0).shape == (1, 0, 3)
