"""Sums over rows are the rows' marginals, summed."""

import pytest
import torch
from factor_problems import PATHS, random_problem, use

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.inference import marginals, summed
from hybrid.pgm.trees.tree import junction_tree


@pytest.fixture(autouse=True, params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use(request.param, monkeypatch)
    return request.param


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_sums_of_marginals(seed: int, weighted: bool) -> None:
    problem = random_problem(seed)
    sets = (*problem.tree.scopes, *problem.singles)
    weights = torch.linspace(-1, 2, problem.evidence.rows).double() if weighted else None
    logs, found = summed(problem.tree, problem.tables, problem.evidence, sets, weights)
    wanted, each = marginals(problem.tree, problem.tables, problem.evidence, sets)
    torch.testing.assert_close(logs, wanted, atol=1e-12, rtol=1e-12)
    factor = torch.ones(problem.evidence.rows).double() if weights is None else weights
    for sums, rows in zip(found, each, strict=True):
        torch.testing.assert_close(sums, torch.tensordot(factor, rows, 1), atol=1e-12, rtol=0)


def test_rows_that_need_logarithms_count_too() -> None:
    """Their products are below what doubles can hold."""
    tables = [torch.tensor([1e-200, 1.0], dtype=torch.float64)] * 3
    rows = {v: torch.tensor([0, -1]) for v in range(2)}
    tree = junction_tree((2, 2, 2), ((0,), (1,), (2,)))
    logs, (first, last) = summed(tree, tables, Evidence(2, rows), ((0,), (2,)))
    assert logs.isfinite().all()
    assert first.tolist() == pytest.approx([1.0, 1.0])
    assert last.tolist() == pytest.approx([0.0, 2.0])
