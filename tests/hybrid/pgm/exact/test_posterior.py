"""All ways to compute a row agree, however rows are put together."""

from collections.abc import Callable

import pytest
import torch
from factor_problems import Problem, random_problem, use

from hybrid.pgm.exact import blocks, posterior
from hybrid.pgm.exact.inference import best, marginals
from hybrid.pgm.exact.posterior import chosen, derived, plain

Way = Callable[[Problem, pytest.MonkeyPatch], tuple[torch.Tensor, list[torch.Tensor]]]


def sets(problem: Problem) -> tuple[tuple[int, ...], ...]:
    return (*problem.singles, *problem.scopes)


def by_torch(problem: Problem, patch: pytest.MonkeyPatch):
    use("torch", patch)
    return plain(problem.tree, problem.tables, problem.evidence, sets(problem))


def by_single_rows(problem: Problem, patch: pytest.MonkeyPatch):
    patch.setattr(blocks, "_BLOCK", {"cpu": 1, "cuda": 1})
    patch.setattr(blocks, "_ROWS", 1)
    return by_torch(problem, patch)


def by_gradients(problem: Problem, patch: pytest.MonkeyPatch):
    return derived(problem.tree, problem.tables, problem.evidence, sets(problem))


def by_logarithms(problem: Problem, patch: pytest.MonkeyPatch):
    tables = problem.tables, problem.evidence
    return posterior._by_gradient(problem.tree, *tables, sets(problem), logs=True, recorded=False)


@pytest.mark.parametrize("way", [by_torch, by_single_rows, by_gradients, by_logarithms])
@pytest.mark.parametrize("seed", range(12))
def test_they_agree(seed: int, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = random_problem(seed)
    expected = marginals(problem.tree, problem.tables, problem.evidence, sets(problem))
    logs, found = way(problem, monkeypatch)
    torch.testing.assert_close(logs.detach(), expected[0], rtol=0, atol=1e-12)
    for ours, theirs in zip(found, expected[1], strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_best_of_single_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = random_problem(seed)
    given = problem.tree, problem.tables, problem.evidence
    together = best(*given, 3)
    by_single_rows(problem, monkeypatch)
    apart = best(*given, 3)
    assert torch.equal(together[0], apart[0])
    assert torch.equal(together[1], apart[1])


def test_chosen_rows() -> None:
    problem = random_problem(8)
    rows = torch.arange(problem.evidence.rows).flip(0)
    tables, evidence = chosen(problem.tree, problem.tables, problem.evidence, rows)
    turned = plain(problem.tree, tables, evidence, ())[0]
    straight = plain(problem.tree, problem.tables, problem.evidence, ())[0]
    torch.testing.assert_close(turned.flip(0), straight, rtol=0, atol=1e-13)
