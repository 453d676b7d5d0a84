"""Sums over all paths: against enumeration, in every way they are computed."""

import pytest
import torch
from chain_paths import log_partition_by_paths, random_chain, weights_of_paths
from torch import logsumexp

from hybrid.pgm.chains import Chain, filtered, log_partition
from hybrid.pgm.chains.log_space import backward_in_logs, forward_in_logs, taped_log_partition
from hybrid.pgm.chains.scaled import backward_scaled, forward_scaled, plan

SHAPES = [((3,), ()), ((3,), (3,)), ((2, 3), (2, 1)), ((2, 3), (1, 3)), ((2, 3), (2, 3)), ((), ())]


def with_gradients(chain):
    unary, pairwise = (x.clone().requires_grad_() for x in (chain.unary, chain.pairwise))
    return Chain(unary, pairwise, chain.lengths), (unary, pairwise)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("between", [1, 3])
@pytest.mark.parametrize(("batch", "lead"), SHAPES)
def test_values_and_gradients_are_those_of_enumeration(batch, lead, between, zeros, ragged):
    chain, leaves = with_gradients(
        random_chain(batch, lead=lead, between=between, zeros=zeros, ragged=ragged)
    )
    weight = torch.randn(batch, dtype=torch.float64)
    found, expected = log_partition(chain), log_partition_by_paths(chain)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    ours = torch.autograd.grad((found * weight).sum(), leaves)
    theirs = torch.autograd.grad((expected * weight).sum(), leaves, allow_unused=True)
    for own, other in zip(ours, theirs, strict=True):
        other = torch.zeros_like(own) if other is None else other.nan_to_num(0.0)
        assert torch.allclose(own, other, rtol=0, atol=1e-12)


def test_gradients_are_finite_differences_and_so_are_theirs():
    chain, (unary, pairwise) = with_gradients(
        random_chain((2,), 3, 2, between=2, lead=(2,), ragged=True)
    )

    def total(u, v):
        return log_partition(Chain(u, v, chain.lengths))

    assert torch.autograd.gradcheck(total, (unary, pairwise), atol=1e-6)
    assert torch.autograd.gradgradcheck(total, (unary, pairwise), atol=1e-6)


def test_a_third_derivative():
    u = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def unary(x):
        return torch.stack([x, -x]).expand(1, 2, 2)

    pairwise = torch.zeros(1, 2, 2, dtype=torch.float64)
    value = log_partition(Chain(unary(u), pairwise)).sum()
    expected = 2 * logsumexp(torch.stack([u, -u]), 0)
    for _ in range(3):
        (value,) = torch.autograd.grad(value, u, create_graph=True)
        (expected,) = torch.autograd.grad(expected, u, create_graph=True)
    assert torch.allclose(value, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("between", [1, 39])
def test_logs_and_scaled_numbers_agree(zeros, ragged, between):
    """The same law by three recursions."""
    chain = random_chain((2, 3), 40, 4, lead=(2, 1), between=between, zeros=zeros, ragged=ragged)
    grouped = chain.grouped
    how = plan(grouped)
    assert how is not None
    assert how.checked == zeros
    scaled, forward = forward_scaled(grouped, how)
    logs, alpha = forward_in_logs(grouped)
    assert torch.allclose(scaled, logs, rtol=1e-13)
    assert torch.allclose(taped_log_partition(grouped), logs, rtol=1e-13)
    weight = torch.randn(logs.shape, dtype=torch.float64)
    for one, other in zip(
        backward_scaled(grouped, forward, weight),
        backward_in_logs(grouped, logs, alpha, weight),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_weights_that_no_float_holds():
    """The only way leads through states e^-2000 times less likely than others at each step."""
    unary = torch.zeros(1, 6, 3, dtype=torch.float64)
    unary[..., 1:] = -2000.0
    unary[0, 5, 0] = -torch.inf
    stay = torch.full((3, 3), -torch.inf, dtype=torch.float64).fill_diagonal_(0.0)[None]
    chain, leaves = with_gradients(Chain(unary, stay))
    total = log_partition(chain)
    expected = -12000 + torch.tensor([2.0], dtype=torch.float64).log()
    assert torch.allclose(total, expected, rtol=1e-14)
    gradient = torch.autograd.grad(total.sum(), leaves)[0]
    wanted = torch.tensor([0.0, 0.5, 0.5], dtype=torch.float64).expand(1, 6, 3)
    assert torch.allclose(gradient, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("decoupled", [False, True])
def test_what_slowly_becomes_unlikely_may_be_all_that_is_left(dtype, decoupled):
    """A state loses a factor at each step; the last observation rules out all others."""
    unary = torch.zeros(1, 1000, 2, dtype=dtype)
    unary[..., 1] = -1.5
    unary[0, -1, 0] = -torch.inf
    off = -torch.inf if decoupled else -12.0
    pairwise = torch.tensor([[[0.0, off], [off, 0.0]]], dtype=dtype)
    chain = Chain(unary, pairwise)
    exact = forward_in_logs(Chain(unary.double(), pairwise.double()).grouped)[0]
    assert torch.allclose(log_partition(chain).double(), exact[0], rtol=1e-6)


def test_ten_thousand_steps():
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        chain = random_chain((2,), 10_000, 3)
        if dtype == torch.float64:
            exact = forward_in_logs(chain.grouped)[0][0]
        unary = chain.unary.to(dtype).requires_grad_()
        total = log_partition(Chain(unary, chain.pairwise.to(dtype)))
        assert total.dtype == dtype
        assert torch.allclose(total.double(), exact, rtol=bound)
        (gradient,) = torch.autograd.grad(total.sum(), unary)
        assert torch.allclose(gradient.sum(-1), torch.ones((), dtype=dtype), rtol=0, atol=1e-4)


def test_tiny_probabilities_and_half_precision():
    chain = Chain(torch.full((1, 50, 2), -1e5), torch.full((1, 2, 2), -1e5))
    assert torch.allclose(log_partition(chain), torch.tensor(-9.9e6), rtol=1e-4)
    halves = Chain(torch.zeros(1, 5, 2).half(), torch.zeros(1, 2, 2).half())
    assert log_partition(halves).dtype == torch.float16
    assert torch.allclose(log_partition(halves).exp().float(), torch.tensor(32.0), rtol=0.01)


@pytest.mark.parametrize("lowest", [-1.0, -1000.0])
def test_an_impossible_row_is_minus_infinity_without_gradient(lowest):
    chain = random_chain((3,), 5, 2)
    unary = chain.unary.clone()
    unary[1, 2] = -torch.inf
    pairwise = chain.pairwise.clone()
    pairwise[..., 0, 1] = lowest
    chain, leaves = with_gradients(Chain(unary, pairwise))
    total = log_partition(chain)
    assert (total == -torch.inf).tolist() == [False, True, False]
    gradient = torch.autograd.grad(total.sum(), leaves)
    assert all(part.isfinite().all() for part in gradient)
    assert not gradient[0][1].any()
    first = torch.autograd.grad(log_partition(chain).sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(part.square().sum() for part in first), leaves)
    assert all(part.isfinite().all() for part in (*first, *second))


def test_one_step_and_one_state():
    chain, leaves = with_gradients(random_chain((3,), 1))
    assert torch.allclose(log_partition(chain), chain.unary.squeeze(-2).logsumexp(-1))
    assert not torch.autograd.grad(log_partition(chain).sum(), leaves)[1].any()
    single = random_chain((3,), 4, 1)
    assert torch.allclose(log_partition(single), log_partition_by_paths(single))


def test_filtered_states_are_those_of_shorter_chains():
    chain = random_chain((2, 3), 5, lead=(2, 1), between=4, zeros=True, ragged=True)
    found = filtered(chain)
    for t in range(1, 6):
        cut = Chain(chain.unary[..., :t, :], chain.pairwise[..., : max(t - 1, 1), :, :])
        last = [
            torch.stack([logs[paths[:, -1] == k].logsumexp(0) for k in range(3)]).softmax(0)
            for paths, logs in weights_of_paths(cut)
        ]
        expected = torch.stack(last).reshape(2, 3, 3)
        over = (chain.lengths < t).unsqueeze(-1)
        assert torch.allclose(found[..., t - 1, :].exp(), expected.masked_fill(over, 0.0))


def test_what_follows_the_end_is_not_read():
    chain = random_chain((4,), 6, ragged=True)
    over = torch.arange(6) >= chain.lengths.unsqueeze(-1)
    for other in (-torch.inf, 1e300, -1e300):
        changed = Chain(
            chain.unary.masked_fill(over.unsqueeze(-1), other), chain.pairwise, chain.lengths
        )
        assert torch.allclose(log_partition(changed), log_partition(chain), rtol=1e-14)
