"""Sums of exponentials at the ends of the range, and their gradients."""

import torch

from hybrid.pgm.exact.logarithms import collect_logs, log_sum, logarithm
from hybrid.pgm.trees.tree import junction_tree


def test_zeros_have_no_gradient() -> None:
    values = torch.tensor([0.0, 2.0], requires_grad=True)
    logarithm(values).nan_to_num(neginf=0.0).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 0.5]


def test_sums_of_what_is_tiny_or_nothing() -> None:
    values = torch.tensor([[-2000.0, -2000.0], [-torch.inf, -torch.inf]], dtype=torch.float64)
    values.requires_grad_()
    total = log_sum(values, (1,))
    torch.testing.assert_close(total, torch.logsumexp(values, 1), rtol=1e-14, atol=0)
    total[0].backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0.5, 0.5], [0.0, 0.0]]
    assert log_sum(values, ()) is values


def test_separate_trees_are_added_up() -> None:
    tree = junction_tree((2, 3), ((0,), (1,)))
    terms = [[torch.zeros(tree.sizes(clique)).unsqueeze(-1)] for clique in (0, 1)]
    log, values = collect_logs(tree, terms)
    torch.testing.assert_close(log.exp(), torch.tensor([6.0]))
    assert [value.shape for value in values] == [(*tree.sizes(c), 1) for c in (0, 1)]
