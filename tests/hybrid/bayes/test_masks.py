"""Dropout in prediction: one mask per draw, moments, seeds, networks of all kinds, copies."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call

import hybrid
from causal import Graph
from causal.draws import divergence, fixed
from causal.scm import SCM
from hybrid.backbones import MLP, ConvNet, Transformer
from hybrid.bayes import batched, dropout, variational
from hybrid.bayes.masks import kept
from hybrid.heads import Empirical, Normal
from hybrid.objectives import ELBO
from hybrid.testing import check_law

X = torch.linspace(-1, 1, 36).double().reshape(12, 3)


def body():
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, 2))


def law():
    return Normal(body(), features=2).double()


def test_masks_have_their_probability_and_no_correlation():
    masks = kept(torch.randint(2**62, (4000,), generator=torch.manual_seed(0)), 16, 0.3).double()
    assert abs(masks.mean() - 0.7) < 0.006
    correlations = torch.corrcoef(masks.T) - torch.eye(16)
    assert correlations.abs().max() < 0.06
    neighbours = kept(torch.arange(4000), 16, 0.3).double()
    assert (torch.corrcoef(neighbours.T) - torch.eye(16)).abs().max() < 0.06


def test_masks_are_those_of_the_published_generator():
    def splitmix(seed, index):
        z = (seed + (index + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return (z ^ z >> 31) / 2**64

    for seed in (0, 7, 2**61 + 5):
        expected = [int(splitmix(seed, i) >= 0.3) for i in range(50)]
        assert kept(torch.tensor(seed), 50, 0.3).tolist() == expected


def test_a_linear_layer_behind_dropout_has_the_exact_moments():
    torch.manual_seed(0)
    linear = nn.Linear(8, 1).double()
    layer = dropout(nn.Sequential(nn.Dropout(0.25), linear)).eval()
    x = torch.randn(5, 8).double()
    with torch.no_grad():
        drawn = layer(x, draws=40_000).squeeze(-1)
        products = x * linear.weight
    torch.testing.assert_close(drawn.mean(0), linear(x).squeeze(-1), rtol=0, atol=0.02)
    exact = products @ products.T * 0.25 / 0.75  # one mask for all rows: they are correlated
    torch.testing.assert_close(torch.cov(drawn.T), exact, rtol=0.04, atol=0.01)


def test_one_mask_per_draw_in_all_calls_and_rows():
    random = dropout(law()).eval()
    row = X[:1].expand(6, 3)
    with fixed(random, 4, torch.Generator().manual_seed(0)):
        means = random(row.unsqueeze(0)).mean
        assert torch.equal(means, means[:, :1].expand(4, 6))
        assert torch.equal(random(row[:2].unsqueeze(0)).mean, means[:, :2])
        assert torch.equal(random(row.expand(4, 6, 3)).mean, means)
    with fixed(random):
        assert torch.equal(random(X).mean, random(X).mean)
    assert not torch.equal(random(X).mean, random(X).mean)
    before = torch.get_rng_state()
    with fixed(random, 4, torch.Generator().manual_seed(0)):
        assert torch.equal(random(row.unsqueeze(0)).mean, means)
    assert torch.equal(torch.get_rng_state(), before)
    assert divergence(random) == 0
    assert hybrid.predict(random, X, draws=20).epistemic.min() > 0


def test_training_mode_has_a_mask_per_row_and_respects_seeds():
    random = dropout(law(), p=0.5).train()
    objective = ELBO(random, data_size=12, draws=3, seed=1)
    before = torch.get_rng_state()
    one, two = objective((X, X[:, 0])).total, objective((X, X[:, 0])).total
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), before)
    with fixed(random, 2):
        means = random(X[:1].expand(1, 6, 3)).mean
    assert not torch.equal(means, means[:, :1].expand(2, 6))
    history = hybrid.fit(ELBO(random, data_size=12), (X, X[:, 0]), epochs=3, seed=0, progress=False)
    assert len(history.loss) == 3


def test_parameters_are_shared_and_the_module_is_left_alone():
    plain = law()
    random = dropout(plain)
    assert {id(p) for p in random.parameters()} == {id(p) for p in plain.parameters()}
    assert isinstance(plain.body[0][2], nn.Dropout)
    assert dropout(plain, p=0.9).body.mean[0][2].p == 0.9
    assert random.body.mean[0][2].p == 0.25
    wide = torch.zeros(2, 5).double()
    with pytest.raises(ValueError, match="takes 3 columns"):
        random(wide)


class Custom(nn.Module):
    """A module without a rule, whose one dropout layer is used twice."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.drop = nn.Linear(3, 8), nn.Linear(8, 2), nn.Dropout(0.5)

    def forward(self, inputs):
        return self.two(self.drop(self.one(self.drop(inputs)).relu()))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (Custom, (3,)),
        (lambda: MLP(3, [8, 8], 2, dropout=0.3), (3,)),
        (lambda: Transformer(3, 4, width=8, heads=2, layers=1, dropout=0.2), (5, 3)),
        (lambda: ConvNet(1, [2], 3, dropout=0.3), (1, 6, 6)),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Dropout2d(0.5), nn.Flatten()), (1, 6, 6)),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Dropout(0.5), nn.Flatten()), (1, 6, 6)),
    ],
)
def test_draws_are_the_single_runs_in_all_networks(make, shape):
    torch.manual_seed(1)
    layer = dropout(make()).eval()
    inputs = torch.randn(4, *shape)
    with fixed(layer, 3):
        outputs = layer(inputs.unsqueeze(0))
        assert torch.equal(layer(inputs.unsqueeze(0)), outputs)
        seeds = layer._seeds(3, torch.Generator().manual_seed(0))
    many = batched(layer.mean, seeds, inputs.unsqueeze(0))
    for s in range(3):
        one = functional_call(layer.mean, {k: v[s] for k, v in seeds.items()}, (inputs,))
        torch.testing.assert_close(many[s], one)
    assert outputs.std(0).max() > 0
    assert layer.train()(inputs, draws=2).shape == (2, *outputs.shape[1:])


def test_the_fused_path_of_torchs_encoder_does_not_lose_the_masks():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
    random, x = dropout(nn.Sequential(layer, nn.Flatten())).eval(), torch.randn(4, 5, 8)
    with torch.no_grad():
        assert random(x, draws=3).std(0).max() > 0
    assert layer.activation_relu_or_gelu == 1


def test_channels_are_dropped_whole():
    layer = dropout(nn.Sequential(nn.Conv2d(1, 6, 1), nn.Dropout2d(0.5))).eval()
    nn.init.ones_(layer.mean[0].weight)
    nn.init.zeros_(layer.mean[0].bias)
    outputs = layer(torch.ones(3, 1, 4, 4), draws=5)
    assert torch.equal(outputs, outputs[:, :1, :, :1, :1].expand_as(outputs))
    assert set(outputs.unique().tolist()) == {0.0, 2.0}


def test_contract_copies_and_files(tmp_path):
    random = dropout(law()).eval()
    check_law(random, 3)
    check_law(dropout(Normal(MLP(3, [4], 4, dropout=0.5), event=2)), 3)

    def answer(module):
        with fixed(module, 4, torch.Generator().manual_seed(3)):
            return module(X.unsqueeze(0)).mean

    expected, loaded = answer(random), dropout(law()).eval()
    hybrid.save(random, tmp_path / "law")
    hybrid.load(tmp_path / "law", into=loaded)
    for twin in (copy.deepcopy(random), pickle.loads(pickle.dumps(random)), loaded):
        assert torch.equal(answer(twin), expected)


def test_a_model_with_several_laws():
    graph = Graph.parse("X -> Y")
    scm = SCM(graph, {"X": Empirical(torch.randn(9)), "Y": Normal(MLP(1, [4], 4, dropout=0.5))})
    random = dropout(scm).eval()
    rows = {"X": torch.randn(6), "Y": torch.randn(6)}
    effect = random.effect("Y", do={"X": 1.0}, against={"X": 0.0}, evidence=rows, draws=5)
    assert effect.draws.std() > 0


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="has no dropout layer"):
        dropout(Normal(nn.Linear(3, 2)))
    with pytest.raises(ValueError, match="has no dropout layer"):
        dropout(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.0)))
    with pytest.raises(ValueError, match=r"probability between 0 and 1: 1\.5"):
        dropout(law(), p=1.5)
    with pytest.raises(ValueError, match="AlphaDropout has no mask"):
        dropout(nn.Sequential(nn.Linear(3, 2), nn.AlphaDropout(0.2)))
    with pytest.raises(ValueError, match="already random"):
        dropout(variational(law()))
    random = dropout(law()).eval()
    with fixed(random, 4), pytest.raises(ValueError, match="leading axis of 1 or 4"):
        random(X)
