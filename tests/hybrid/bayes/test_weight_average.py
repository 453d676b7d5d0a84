"""SWAG: moments of the path, draws, batch norm statistics, resumed trainings, copies."""

import copy
import pickle

import pytest
import torch
from torch import nn

import hybrid
from causal import Graph
from causal.draws import divergence, fixed
from causal.scm import SCM
from hybrid.backbones import MLP
from hybrid.bayes import SWAG, Posterior, variational
from hybrid.heads import Empirical, Normal
from hybrid.objectives import ELBO
from hybrid.testing import check_law

X = torch.linspace(-1, 1, 96).double().reshape(32, 3)
Y = X.square().sum(-1)


def sgd(p):
    return torch.optim.SGD(p, 0.1)


def law():
    torch.manual_seed(0)
    return Normal(MLP(3, [4], 4)).double()


class Path:
    """Keeps the weights of every epoch."""

    def __init__(self, model):
        self.model, self.seen = model, []

    def on_epoch_end(self, state):
        self.seen.append(nn.utils.parameters_to_vector(self.model.parameters()).detach())


def trained(rank=5, model=None, **more):
    model = law() if model is None else model
    swag, path = SWAG(rank, after=2), Path(model)
    objective = ELBO(model, data_size=32)
    hybrid.fit(
        objective, (X, Y), optimizer=sgd, epochs=12, batch_size=8, seed=0,
        callbacks=[swag, path], progress=False, **more,
    )  # fmt: skip
    return model, swag, torch.stack(path.seen)


def test_moments_and_draws_are_those_of_the_path():
    model, swag, path = trained()
    seen = path[2:]
    random = swag.apply(model)
    assert torch.equal(nn.utils.parameters_to_vector(model.parameters()), path[-1])
    means = nn.utils.parameters_to_vector(random.parameters())
    torch.testing.assert_close(means, seen.mean(0))
    spread = random.body.spread
    torch.testing.assert_close(spread.variance, seen.var(0, correction=0))
    expected = [seen[k] - seen[: k + 1].mean(0) for k in range(5, 10)]
    torch.testing.assert_close(spread.deviations, torch.stack(expected))
    drawn = random.body.weights(40_000, torch.Generator().manual_seed(0))
    flat = torch.cat([value.flatten(1) for value in drawn.values()], 1)
    exact = spread.variance.diag() / 2 + spread.deviations.T @ spread.deviations / 8
    sizes = exact.diag().sqrt()
    errors = (torch.cov(flat.T) - exact) / torch.outer(sizes, sizes)
    assert errors.abs().max() < 0.04
    torch.testing.assert_close(flat.mean(0), means, rtol=0, atol=float(sizes.max()) / 30)


def test_diagonal_scale_and_steps():
    model, swag, path = trained(rank=0)
    drawn = swag.apply(model, scale=2.0).body.weights(40_000)
    flat = torch.cat([value.flatten(1) for value in drawn.values()], 1)
    torch.testing.assert_close(flat.std(0), 2 * path[2:].std(0, correction=0), rtol=0.03, atol=1e-8)
    still = swag.apply(model, scale=0.0)
    assert still(X, draws=3).mean.std(0).max() == 0
    by_steps = SWAG(after=1, every=2)
    objective = ELBO(model, data_size=32)
    hybrid.fit(objective, (X, Y), epochs=3, batch_size=8, callbacks=[by_steps], progress=False)
    assert by_steps.count == 4


def test_the_law_keeps_its_contract():
    model, swag, _ = trained()
    random = swag.apply(model)
    assert isinstance(random.body, Posterior)
    assert divergence(random) == 0
    check_law(random, 3)
    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(1)
    prediction = hybrid.predict(random, X, draws=20, generator=generator)
    assert torch.equal(before, torch.get_rng_state())
    assert prediction.epistemic.min() > 0
    other = swag.apply(law())
    for twin in (copy.deepcopy(random), pickle.loads(pickle.dumps(random)), other):
        with fixed(twin, 4, torch.Generator().manual_seed(3)):
            one = twin(X.unsqueeze(0)).mean
        with fixed(random, 4, torch.Generator().manual_seed(3)):
            assert torch.equal(one, random(X.unsqueeze(0)).mean)


def test_files_restore_it(tmp_path):
    model, swag, _ = trained()
    random = swag.apply(model)
    blank = swag.apply(law(), scale=0.0)
    hybrid.save(random, tmp_path / "law")
    hybrid.load(tmp_path / "law", into=blank)
    assert torch.equal(blank.body.spread.variance, random.body.spread.variance)


def test_a_resumed_training_collects_the_same(tmp_path):
    _, whole, _ = trained()
    model, swag = law(), SWAG(5, after=2)
    for epochs in (6, 12):
        runtime = hybrid.Runtime(checkpoint=tmp_path / "run", resume=epochs > 6)
        model, swag = law(), SWAG(5, after=2)
        hybrid.fit(
            ELBO(model, data_size=32), (X, Y), optimizer=sgd, epochs=epochs, batch_size=8, seed=0,
            callbacks=[swag], progress=False, runtime=runtime,
        )  # fmt: skip
    assert swag.count == whole.count
    for one, other in zip(swag.state_dict()["squares"], whole.state_dict()["squares"], strict=True):
        assert torch.equal(one, other)


def test_batch_norms_get_statistics_of_each_draw():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())
    model, swag, _ = trained(model=Normal(body, features=4).double())
    with pytest.raises(ValueError, match=r"has batch norms, .*: give data="):
        swag.apply(model)
    before = torch.get_rng_state()
    random = swag.apply(model, (X, Y), draws=3, generator=torch.Generator().manual_seed(0)).eval()
    assert torch.equal(before, torch.get_rng_state())
    batches = [X[:16], X[16:]]
    halves = swag.apply(model, batches, draws=3, generator=torch.Generator().manual_seed(0)).eval()
    assert not any(p.requires_grad for p in random.parameters())
    for m in range(3):
        alone = hybrid.bayes.member(random, m).eval()
        first, norm = alone.body[0][0], alone.body[0][1]
        with torch.no_grad():
            hidden = first(X)
        torch.testing.assert_close(norm.running_mean, hidden.mean(0))
        torch.testing.assert_close(norm.running_var, hidden.var(0))
        torch.testing.assert_close(random(X, draws=3).mean[m], alone(X).mean)
        split = hybrid.bayes.member(halves, m).body[0][1].running_mean
        torch.testing.assert_close(split, norm.running_mean)


def test_a_model_with_several_laws():
    torch.manual_seed(0)
    laws = {"X": Empirical(torch.randn(9)), "Y": Normal(MLP(1, [4], 4))}
    scm = SCM(Graph.parse("X -> Y"), laws)
    rows = {"X": torch.randn(16), "Y": torch.randn(16)}
    swag = SWAG(rank=3)
    objective = ELBO(scm, data_size=16)
    hybrid.fit(
        objective, rows, optimizer=sgd, epochs=6, batch_size=4, callbacks=[swag], progress=False
    )
    random = swag.apply(scm)
    effect = random.effect("Y", do={"X": 1.0}, against={"X": 0.0}, evidence=rows, draws=5)
    assert effect.draws.std() > 0


def test_mistakes_are_named():
    model, swag, _ = trained()
    with pytest.raises(ValueError, match="collected 0 weight sets of at least 2"):
        SWAG().apply(model)
    with pytest.raises(ValueError, match=r"0\.bias' belongs to nothing in PReLU"):
        swag.apply(nn.PReLU())
    with pytest.raises(ValueError, match="already random"):
        swag.apply(variational(model))
    with pytest.raises(ValueError, match="at least 2: 1"):
        SWAG(rank=1)
    with pytest.raises(ValueError, match="positive number of steps: 0"):
        SWAG(every=0)


def test_a_law_of_another_width_is_refused_even_where_its_shapes_broadcast():
    narrow = Normal(nn.Linear(1, 4)).double()
    swag = SWAG(after=0)
    objective = ELBO(narrow, data_size=32)
    hybrid.fit(objective, (X[:, :1], Y), optimizer=sgd, epochs=3, callbacks=[swag], progress=False)
    with pytest.raises(ValueError, match=r"0\.weight' has shape \(4, 1\), the law's .* \(4, 3\)"):
        swag.apply(Normal(nn.Linear(3, 4)).double())
