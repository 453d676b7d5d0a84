"""Variables that all rows observe, cut out: the same answers."""

import pytest
import torch
from factor_problems import PATHS, Problem, random_problem, use

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact import conditioning
from hybrid.pgm.exact.conditioning import conditioned, worth_cutting
from hybrid.pgm.exact.inference import log_partition, marginals
from hybrid.pgm.trees.tree import junction_tree


@pytest.fixture(params=PATHS)
def always(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut whatever can be cut."""
    use(request.param, monkeypatch)
    monkeypatch.setattr(conditioning, "_WORTH", 0.0)
    monkeypatch.setattr(conditioning, "_SHARE", 0.0)


def observed(seed: int) -> Problem:
    """Some variables observed in all rows, one of them with a likelihood as well."""
    problem = random_problem(seed)
    rows, cards = problem.evidence.rows, problem.cardinalities
    generator = torch.Generator().manual_seed(seed)
    hard, soft = dict(problem.evidence.hard), dict(problem.evidence.soft)
    for variable in range(0, len(cards), 2):
        hard[variable] = torch.randint(cards[variable], (rows,), generator=generator)
    soft[0] = torch.rand(rows, cards[0], generator=generator, dtype=torch.float64)
    return Problem(cards, problem.scopes, problem.tables, Evidence(rows, hard, soft))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("seed", range(20))
def test_answers_of_enumeration(seed: int) -> None:
    problem = observed(seed)
    joint, tree = problem.joint(), problem.tree
    sets = (*problem.singles, *problem.scopes)
    logs, found = marginals(tree, problem.tables, problem.evidence, sets)
    torch.testing.assert_close(logs, joint.flatten(1).sum(1).log(), rtol=0, atol=1e-12)
    for variables, values in zip(sets, found, strict=True):
        expected = problem.marginal(joint, variables)
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("seed", range(10))
def test_gradients_of_enumeration(seed: int) -> None:
    problem = observed(seed)
    rows = problem.joint().flatten(1).sum(1) > 0
    tables = [table.clone().requires_grad_() for table in problem.tables]
    ours = log_partition(problem.tree, tables, problem.evidence)[rows].sum()
    theirs = problem.joint(tables).flatten(1).sum(1)[rows].log().sum()
    if rows.any():
        grads = [torch.autograd.grad(each, tables) for each in (ours, theirs)]
        torch.testing.assert_close(grads[0], grads[1], rtol=1e-9, atol=1e-9)


def test_a_smaller_tree_has_the_other_variables_alone() -> None:
    tree = junction_tree((3, 3, 3, 3), ((0, 1), (1, 2), (2, 3)))
    rows = Evidence(2, {1: torch.tensor([0, 2]), 3: torch.tensor([1, -1])})
    tables = [torch.rand(3, 3) for _ in range(3)]
    less = conditioned(tree, tables, rows, (1,))
    assert less.left == (0, 2, 3)
    assert less.tree.scopes == ((0,), (1,), (1, 2))
    assert [table.shape for table in less.tables] == [(2, 3), (2, 3), (3, 3)]
    assert list(less.evidence.hard) == [2]
    assert torch.equal(less.tables[1], tables[1][torch.tensor([0, 2])])


def test_small_problems_and_single_rows_are_left_alone() -> None:
    tree = junction_tree((9,) * 6, ((0, 1, 2, 3, 4, 5),))
    states = torch.zeros(100, dtype=torch.int64)
    assert worth_cutting(tree, Evidence(100, {0: states, 1: states})) == (0, 1)
    assert worth_cutting(tree, Evidence(1, {0: states[:1]})) == ()
    assert worth_cutting(tree, Evidence(100)) == ()
    sometimes = states.clone()
    sometimes[3] = -1
    assert worth_cutting(tree, Evidence(100, {0: sometimes, 1: states})) == (1,)
    every = dict.fromkeys(range(6), states)
    assert len(worth_cutting(tree, Evidence(100, every))) == 5
