"""Draws in torch."""

import torch
from factor_problems import chain

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.sampling import draw_block
from hybrid.pgm.trees.tree import junction_tree


def test_states_of_probability_zero_are_never_drawn() -> None:
    """At the first, a middle and the last place; in many cells of the separator."""
    cards = (60, 50)
    tree = junction_tree((*cards, 2), ((0, 1), (1, 2)))
    table = torch.rand(cards, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table[:, [0, 20, 49]] = 0
    table[[0, 30, 59]] = 0
    last = torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(50, 2)
    states = draw_block(tree, [table, last], Evidence(1), 20_000, None)[0]
    assert not torch.isin(states[:, 1], torch.tensor([0, 20, 49])).any()
    assert not torch.isin(states[:, 0], torch.tensor([0, 30, 59])).any()
    assert bool((states[:, 2] == 1).all())


def test_rows_share_a_distribution_but_not_their_draws() -> None:
    problem = chain((4, 4))
    states = draw_block(problem.tree, problem.tables, Evidence(3), 4000, None)
    assert not torch.equal(states[0], states[1])
    expected = problem.tables[0]
    for row in states:
        frequency = torch.bincount(row[:, 0], minlength=4) / 4000
        assert float((frequency - expected).abs().max()) < 0.05


def test_rows_that_need_logarithms() -> None:
    tree = junction_tree((2, 2), ((0, 1),) * 12)
    table = torch.tensor([[1e-80, 1e-60], [1e-80, 3e-60]], dtype=torch.float64)
    states = draw_block(tree, [table] * 12, Evidence(1), 200, None)
    assert bool((states[..., 1] == 1).all())
    assert bool((states[..., 0] == 1).all())
