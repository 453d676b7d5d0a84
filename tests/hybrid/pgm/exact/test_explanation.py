"""Lists of the best assignments."""

import math

import torch
from factor_problems import random_problem

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.explanation import best_of_block
from hybrid.pgm.trees.tree import junction_tree


def test_all_assignments_in_order() -> None:
    """As many as there are: each of them once."""
    problem = random_problem(11, zeros=False, most=5)
    joint = problem.joint().flatten(1)
    count = joint.shape[1]
    states, logs = best_of_block(problem.tree, problem.tables, problem.evidence, count)
    expected = joint.sort(dim=1, descending=True).values.log()
    torch.testing.assert_close(logs, expected, rtol=0, atol=1e-12)
    assert all(len({tuple(s.tolist()) for s in row}) == count for row in states[:, :, :])


def test_ties_are_different_assignments() -> None:
    tree = junction_tree((3, 3, 3), ((0,), (1,), (2,)))
    tables = [torch.ones(3, dtype=torch.float64)] * 3
    states, logs = best_of_block(tree, tables, Evidence(1), 27)
    assert len({tuple(state.tolist()) for state in states[0]}) == 27
    assert bool((logs == 0).all())


def test_beyond_the_last_assignment() -> None:
    tree = junction_tree((2, 2), ((0,), (1,)))
    tables = [torch.tensor([1.0, 0.0]).double(), torch.tensor([0.5, 0.25]).double()]
    states, logs = best_of_block(tree, tables, Evidence(1), 6)
    assert states.shape == (1, 6, 2)
    assert states[0, :2].tolist() == [[0, 0], [0, 1]]
    assert logs[0].exp().tolist() == [0.5, 0.25, 0, 0, 0, 0]
    assert logs[0, 2] == -math.inf
