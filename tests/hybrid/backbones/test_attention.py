"""Attention and the encoder against torch's own modules; derivatives that those do not have."""

import pytest
import torch
from torch import nn
from torch.func import jvp, vmap

from hybrid.backbones import Positions, SelfAttention, Transformer
from hybrid.backbones.attention import Pool, sinusoids
from hybrid.bayes import variational
from hybrid.heads import Bernoulli
from hybrid.objectives import ELBO
from hybrid.training.trainer import fit

X = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torchs(causal):
    ours, theirs = SelfAttention(8, 2, causal), nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.in_proj_weight, theirs.in_proj_bias = ours.project.weight, ours.project.bias
    theirs.out_proj = ours.output
    mask = nn.Transformer.generate_square_subsequent_mask(6) if causal else None
    torch.testing.assert_close(ours(X), theirs(X, X, X, attn_mask=mask, need_weights=False)[0])


def test_a_layer_is_torchs_encoder_layer():
    ours = Transformer(8, 8, width=8, heads=2, layers=1, hidden=16, positions=None, pooling=None)
    theirs = nn.TransformerEncoderLayer(
        8, 2, 16, 0.0, nn.functional.gelu, batch_first=True, norm_first=True
    )
    start, looking, thinking, norm, readout = ours.body
    parts = looking.body[1], thinking.body
    theirs.norm1, theirs.norm2 = looking.body[0], parts[1][0]
    theirs.self_attn.in_proj_weight = parts[0].project.weight
    theirs.self_attn.in_proj_bias = parts[0].project.bias
    theirs.self_attn.out_proj = parts[0].output
    theirs.linear1, theirs.linear2 = parts[1][1], parts[1][3]
    torch.testing.assert_close(ours(X), readout(norm(theirs(start(X)))))


def test_causal_outputs_do_not_look_ahead():
    net = Transformer(8, 2, width=8, heads=2, causal=True, pooling=None)
    later = X.clone()
    later[:, 4:] += 1
    torch.testing.assert_close(net(X)[:, :4], net(later)[:, :4])
    assert not torch.allclose(net(X)[:, 4:], net(later)[:, 4:])


def test_without_positions_the_order_does_not_matter():
    order = torch.tensor([3, 1, 0, 2, 5, 4])
    plain = Transformer(8, 2, width=8, heads=2, positions=None)
    torch.testing.assert_close(plain(X), plain(X[:, order]))
    for positions in ("sinusoidal", "learned"):
        net = Transformer(8, 2, width=8, heads=2, positions=positions)
        assert not torch.allclose(net(X), net(X[:, order]), atol=1e-5)


def test_positions():
    table = sinusoids(7, 5)
    assert table.shape == (7, 5)
    time = torch.arange(7)
    torch.testing.assert_close(table[:, 2], torch.sin(time * 10_000 ** (-2 / 5)))
    with pytest.raises(ValueError, match="length 6"):
        Positions(8, length=5)(X)
    assert not list(Positions(8, 5).parameters())
    assert "table" not in Positions(8, 5).state_dict()


def test_pooling():
    torch.testing.assert_close(Pool("mean")(X), X.mean(1))
    assert torch.equal(Pool("first")(X), X[:, 0])
    assert torch.equal(Pool("ends")(X), torch.cat([X[:, -1, :4], X[:, 0, 4:]], -1))
    with pytest.raises((ValueError, TypeError), match=r"pooling|how"):
        Pool("sum")


def test_forward_mode_and_second_derivatives():
    net = Transformer(8, 1, width=8, heads=2, layers=1).double()
    x = X[:1].double()
    _, slope = jvp(net, (x,), (torch.ones_like(x),))
    step = (net(x + 1e-6) - net(x - 1e-6)) / 2e-6
    torch.testing.assert_close(slope, step, atol=1e-6, rtol=1e-5)
    curvature = torch.func.hessian(lambda row: net(row).sum())(x)
    assert curvature.isfinite().all()
    torch.testing.assert_close(vmap(net)(X.double()), net(X.double()))


def test_bad_arguments():
    for wrong in (
        {"in_features": None},
        {"in_features": 3, "tokens": 3},
        {"in_features": 3, "heads": 5},
        {"in_features": 3, "dropout": 1.0},
    ):
        with pytest.raises(ValueError, match=r"in_features|heads|dropout"):
            Transformer(out_features=2, **wrong)


@pytest.mark.parametrize("random", [False, True])
def test_learns_which_sequences_hold_a_pair_of_tokens(random):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 6, (400, 6), generator=generator)
    y = (x == 0).sum(-1).ge(2).float()
    law = Bernoulli(Transformer(None, 8, tokens=6, width=16, heads=2, layers=1, max_length=6))
    law = variational(law) if random else law
    fit(
        ELBO(law, data_size=100_000),
        (x, y),
        optimizer=lambda p: torch.optim.Adam(p, 0.01),
        epochs=12,
        batch_size=50,
        seed=0,
        progress=False,
    )
    with torch.no_grad():
        assert ((law(x).probs > 0.5).float() == y).float().mean() > 0.9
