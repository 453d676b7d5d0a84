"""Messages in torch: what is shared, scaled, reached, and flagged."""

import torch
from factor_problems import chain, random_problem

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.layout import terms
from hybrid.pgm.exact.propagation import collect, distribute


def test_what_no_row_changes_is_computed_once() -> None:
    problem = chain((3, 4, 3, 4, 3))
    rows = Evidence(7, {4: torch.tensor([0, 1, 2, -1, 0, 1, 2])})
    with torch.no_grad():
        collected = collect(problem.tree, terms(problem.tree, problem.tables, rows))
    widths = [value.shape[-1] for value in collected.values]
    assert set(widths) == {1, 7}
    assert collected.log_partition.shape == (7,)


def test_beliefs_are_made_on_the_way_to_those_wanted() -> None:
    problem = chain((3, 4, 3, 4, 3))
    tree = problem.tree
    with torch.no_grad():
        collected = collect(tree, terms(tree, problem.tables, problem.evidence))
        leaf = tree.order[-1]
        beliefs = distribute(tree, collected, {leaf})
    way = {leaf}
    while tree.parents[leaf] >= 0:
        leaf = tree.parents[leaf]
        way.add(leaf)
    assert set(beliefs) == way
    for belief in beliefs.values():
        torch.testing.assert_close(belief.sum(), torch.tensor(1.0).double())


def test_many_small_factors_are_scaled_on_the_way() -> None:
    """Their product is zero in floating point; no single step is."""
    tree = chain((2, 2)).tree
    factor = torch.tensor([1e-8, 2e-8], dtype=torch.float64).reshape(2, 1, 1)
    with torch.no_grad():
        collected = collect(tree, [[factor] * 90 + [torch.ones(2, 2, 1).double()]])
    exact = torch.tensor([1e-8, 2e-8], dtype=torch.float64).log() * 90
    expected = exact.logsumexp(0) + torch.tensor(2.0).log()
    torch.testing.assert_close(collected.log_partition[0], expected, check_dtype=False)
    assert bool(collected.reliable.all())
    assert exact[1].exp() == 0


def test_doubtful_rows_are_flagged() -> None:
    tree = chain((2, 2)).tree
    sizes = torch.tensor([1.0, 1e-200, 0.0, 1e200], dtype=torch.float64)
    with torch.no_grad():
        collected = collect(tree, [[sizes.expand(2, 2, 4)]])
    assert collected.reliable.tolist() == [True, False, False, False]
    assert collected.log_partition[2] == -torch.inf


def test_nothing_that_is_given_is_changed() -> None:
    problem = random_problem(5)
    before = [table.clone() for table in problem.tables]
    with torch.no_grad():
        collect(problem.tree, terms(problem.tree, problem.tables, problem.evidence))
    assert all(torch.equal(a, b) for a, b in zip(before, problem.tables, strict=True))
