"""Blocks of a curvature: covariances of their draws and log determinants, against dense algebra."""

import pytest
import torch

from hybrid.bayes.curvature.blocks import Dense, Diagonal, Kronecker


def positive(size, seed):
    root = torch.randn(size, size, generator=torch.Generator().manual_seed(seed)).double()
    return root @ root.T / size


def permuted(outer, inner, bias):
    """The Kronecker product in the order weights row by row, then biases."""
    whole = torch.kron(outer, inner)
    if not bias:
        return whole
    places = torch.arange(len(whole)).reshape(len(outer), len(inner))
    order = torch.cat([places[:, :-1].flatten(), places[:, -1]])
    return whole[order][:, order]


OUTER, INNER = positive(2, 1), positive(3, 2)
CASES = [
    (
        Diagonal(torch.tensor([0.5, 2.0, 0.0]).double()),
        torch.tensor([0.5, 2.0, 0.0]).double().diag(),
    ),
    (Dense(positive(4, 3)), positive(4, 3)),
    (Kronecker(OUTER, INNER, bias=False), permuted(OUTER, INNER, bias=False)),
    (Kronecker(OUTER, INNER, bias=True), permuted(OUTER, INNER, bias=True)),
]


@pytest.mark.parametrize(("block", "curvature"), CASES)
def test_draws_have_the_inverse_precision_as_covariance(block, curvature):
    factor, prior = torch.tensor(1.7).double(), torch.full((len(curvature),), 0.6).double()
    precision = 1.7 * curvature + prior.diag()
    block.settle(factor, prior)
    columns = block.draw(torch.eye(len(prior)).double())  # row i is what noise i gives
    torch.testing.assert_close(columns.T @ columns, torch.linalg.inv(precision))
    torch.testing.assert_close(block.log_determinant(factor, prior), torch.logdet(precision))
    again = block.draw(torch.ones(2, 3, len(prior)).double())
    torch.testing.assert_close(again[1, 2], columns.sum(0))


@pytest.mark.parametrize(("block", "curvature"), CASES)
def test_log_determinants_have_their_gradient(block, curvature):
    numbers = [torch.tensor(value).double().requires_grad_() for value in (1.3, 0.4)]
    assert torch.autograd.gradcheck(
        lambda c, d: block.log_determinant(c, d.expand(len(curvature))), numbers
    )


def test_a_weak_prior_beside_a_large_curvature_in_single_precision():
    x = 1e4 * torch.randn(50, 1, generator=torch.Generator().manual_seed(0))
    design = torch.cat([x, x], 1)  # one direction is the prior's alone
    block = Dense(design.T @ design)
    block.settle(torch.tensor(1.0), torch.full((2,), 1e-2))
    assert bool(block.draw(torch.ones(2)).isfinite().all())
