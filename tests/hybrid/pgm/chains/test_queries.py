"""Marginals, scores, entropy, clamped chains: against enumeration."""

import pytest
import torch
from chain_paths import (
    log_partition_by_paths,
    marginals_by_paths,
    random_chain,
    weights_of_paths,
)

from hybrid.pgm.chains import (
    Chain,
    clamped,
    entropy,
    log_partition,
    marginals,
    pair_marginals,
    score,
)

KINDS = [
    {},
    {"between": 3, "lead": (1, 3)},
    {"zeros": True},
    {"ragged": True, "lead": (2, 1)},
    {"zeros": True, "ragged": True, "between": 3, "lead": (2, 3)},
]


def close(one, other, atol=1e-12):
    return torch.allclose(one, other, rtol=0, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
def test_marginals_are_those_of_enumeration(kind):
    chain = random_chain((2, 3), **kind)
    single, pairs = marginals_by_paths(chain)
    assert close(marginals(chain), single)
    assert close(pair_marginals(chain), pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_entropy_is_that_of_enumeration(kind):
    chain = random_chain((2, 3), **kind)
    expected = [torch.special.entr(logs.softmax(0)).sum() for _, logs in weights_of_paths(chain)]
    assert close(entropy(chain), torch.stack(expected).reshape(2, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_paths_weights(kind):
    chain = random_chain((2, 3), **kind)
    states = torch.full((6, 4), 77)
    expected = []
    for row, (paths, logs) in enumerate(weights_of_paths(chain)):
        best = int(logs.argmax())
        states[row, : paths.shape[1]] = paths[best]
        expected.append(logs[best])
    assert close(score(chain, states.reshape(2, 3, 4)), torch.stack(expected).reshape(2, 3))


def test_a_shared_matrix_has_a_small_gradient_of_scores():
    chain = random_chain((5,), between=1)
    pairwise = chain.pairwise.clone().requires_grad_()
    states = torch.randint(3, (5, 4))
    score(Chain(chain.unary, pairwise), states).sum().backward()
    counts = torch.zeros(9).index_add_(
        0, (states[:, :-1] * 3 + states[:, 1:]).flatten(), torch.ones(15)
    )
    assert close(pairwise.grad.flatten(), counts.double())


def test_marginals_can_be_differentiated():
    chain = random_chain((2,), 3, 2, lead=(2,), between=2, ragged=True)
    leaves = [x.clone().requires_grad_() for x in (chain.unary, chain.pairwise)]

    def answers(unary, pairwise):
        own = Chain(unary, pairwise, chain.lengths)
        return marginals(own), pair_marginals(own), entropy(own)

    assert torch.autograd.gradcheck(answers, leaves, atol=1e-6)


def test_marginals_without_gradients_record_none():
    chain = random_chain()
    leaf = chain.unary.clone().requires_grad_()
    with torch.no_grad():
        assert not marginals(Chain(leaf, chain.pairwise)).requires_grad
    assert marginals(Chain(leaf, chain.pairwise)).requires_grad
    assert not marginals(chain).requires_grad


@pytest.mark.parametrize("ragged", [False, True])
def test_clamped_chains_sum_over_what_is_free(ragged):
    chain = random_chain((3,), ragged=ragged)
    states = torch.tensor([[0, -1, 2, -1], [-1, -1, -1, -1], [1, 2, 0, 1]])
    found = log_partition(clamped(chain, states))
    expected = []
    for row, (paths, logs) in enumerate(weights_of_paths(chain)):
        own = states[row, : paths.shape[1]]
        agrees = ((own < 0) | (paths == own)).all(-1)
        expected.append(logs[agrees].logsumexp(0))
    assert close(found, torch.stack(expected))
    known = marginals(clamped(chain, states))
    assert close(known[0, 0], torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))


def test_the_whole_is_the_sum_over_one_clamped_step():
    """A law: marginals are ratios of sums."""
    chain = random_chain((3,), 5, 4)
    total = log_partition_by_paths(chain)
    for state in range(4):
        states = torch.full((3, 5), -1)
        states[:, 2] = state
        share = (log_partition(clamped(chain, states)) - total).exp()
        assert close(share, marginals(chain)[:, 2, state])


def test_states_that_are_not_there():
    chain = random_chain((2,))
    with pytest.raises(ValueError, match="row 1, step 2: the state is 3, expected a number from 0"):
        score(chain, torch.tensor([[0, 0, 0, 0], [0, 0, 3, 0]]))
    with pytest.raises(ValueError, match=r"the state is -2, .* or -1 where it is not known"):
        clamped(chain, torch.tensor([[0, 0, 0, 0], [0, 0, -2, 0]]))
    with pytest.raises(ValueError, match="expected one per row and step"):
        clamped(chain, torch.zeros(2, 3).long())
