"""The best path and drawn paths: against enumeration."""

import pytest
import torch
from chain_paths import marginals_by_paths, random_chain, weights_of_paths

from hybrid.pgm.chains import Chain, best_path, draw_paths, score

KINDS = [
    {},
    {"between": 3, "lead": (1, 3)},
    {"zeros": True},
    {"ragged": True, "lead": (2, 1)},
    {"zeros": True, "ragged": True, "between": 3, "lead": (2, 3)},
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_path_is_that_of_enumeration(kind):
    chain = random_chain((2, 3), **kind)
    states, logs = best_path(chain)
    for own, found, (paths, weights) in zip(
        states.reshape(6, 4), logs.flatten(), weights_of_paths(chain), strict=True
    ):
        length = paths.shape[1]
        assert torch.allclose(found, weights.max(), rtol=0, atol=1e-12)
        assert own[:length].tolist() == paths[weights.argmax()].tolist()
        assert (own[length:] == -1).all()


def test_the_best_weight_has_the_paths_gradient():
    chain = random_chain((2,))
    unary = chain.unary.clone().requires_grad_()
    path = best_path(Chain(unary, chain.pairwise))
    path.log_probability.sum().backward()
    assert torch.equal(unary.grad, torch.nn.functional.one_hot(path.states, 3).double())


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_paths_are_as_frequent_as_they_should_be(kind):
    chain = random_chain((2, 3), **kind)
    n = 4000
    drawn = draw_paths(chain, n, torch.Generator().manual_seed(1))
    assert drawn.shape == (n, 2, 3, 4)
    for own, (paths, logs) in zip(
        drawn.reshape(n, 6, 4).unbind(1), weights_of_paths(chain), strict=True
    ):
        length = paths.shape[1]
        assert (own[:, length:] == -1).all()
        code = 3 ** torch.arange(length - 1, -1, -1)
        counts = torch.bincount((own[:, :length] * code).sum(-1), minlength=3**length)
        expected = logs.softmax(0)
        assert not counts[expected == 0].any()
        error = (counts / n - expected).abs()
        assert (error < 5 * (expected * (1 - expected) / n).sqrt() + 1e-3).all()


def test_draws_of_a_long_chain_have_its_marginals():
    chain = random_chain((2,), 5, 3, zeros=True)
    single, pairs = marginals_by_paths(chain)
    drawn = draw_paths(chain, 20_000, torch.Generator().manual_seed(2))
    found = torch.nn.functional.one_hot(drawn, 3).double().mean(0)
    assert (found - single).abs().max() < 0.02
    both = torch.nn.functional.one_hot(drawn[..., :-1] * 3 + drawn[..., 1:], 9).double().mean(0)
    assert (both.unflatten(-1, (3, 3)) - pairs).abs().max() < 0.02


def test_a_generator_decides_and_the_global_state_stays():
    chain = random_chain()
    before = torch.get_rng_state()
    one, two = (draw_paths(chain, 5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(4)
    one = draw_paths(chain, 5)
    torch.manual_seed(4)
    assert torch.equal(one, draw_paths(chain, 5))


def test_paths_through_what_is_far_less_likely():
    unary = torch.zeros(1, 6, 3, dtype=torch.float64)
    unary[..., 1:] = -2000.0
    unary[0, 5, 0] = -torch.inf
    stay = torch.full((3, 3), -torch.inf, dtype=torch.float64).fill_diagonal_(0.0)[None]
    drawn = draw_paths(Chain(unary, stay), 200, torch.Generator().manual_seed(0))
    assert set(drawn.flatten().tolist()) == {1, 2}
    assert (drawn == drawn[..., :1]).all()


def test_scores_of_drawn_paths_are_finite_and_n_is_checked():
    chain = random_chain((2,), zeros=True, ragged=True)
    drawn = draw_paths(chain, 50)
    wide = chain.expand((50, 2))
    assert score(wide, drawn).isfinite().all()
    with pytest.raises(ValueError, match="at least 1: got 0"):
        draw_paths(chain, 0)
