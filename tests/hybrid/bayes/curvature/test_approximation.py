"""Laplace's approximation: exact where it should be, by structure, head, network and model."""

import copy
import pickle
import threading

import pennylane as qml
import pytest
import torch
import torch.distributions as td
from torch import nn
from torch.func import functional_call, jacrev

import hybrid
import quantum
from causal import Graph
from causal.draws import divergence, fixed
from causal.scm import SCM
from hybrid.backbones import MLP, RNN, ConvNet, Transformer
from hybrid.bayes import fit_prior, laplace, log_marginal_likelihood, variational
from hybrid.heads import Bernoulli, Categorical, Empirical, NegativeBinomial, Normal, Poisson
from hybrid.testing import check_law

torch.manual_seed(0)
X = torch.randn(30, 2).double()
DESIGN = torch.cat([X, torch.ones(30, 1).double()], 1)
Y = X @ torch.tensor([1.0, -0.5]).double() + 0.3 + 0.5 * torch.randn(30).double()


class Line(nn.Module):
    """A linear law with known noise: everything about it is exact."""

    event_shape, support = torch.Size(), td.constraints.real

    def __init__(self, body=None, noise=0.5):
        super().__init__()
        self.body, self.noise = body or nn.Linear(2, 1).double(), noise

    def link(self, raw):
        return td.Normal(raw.squeeze(-1), self.noise)

    def forward(self, context):
        return self.link(self.body(context))


def exact(delta=2.0, noise=0.5):
    precision = DESIGN.T @ DESIGN / noise**2 + delta * torch.eye(3).double()
    mean = torch.linalg.solve(precision, DESIGN.T @ Y / noise**2)
    prior = DESIGN @ DESIGN.T / delta + noise**2 * torch.eye(30).double()
    evidence = td.MultivariateNormal(torch.zeros(30).double(), prior).log_prob(Y)
    return mean, torch.linalg.inv(precision), evidence


def at_mode(delta=2.0, noise=0.5):
    law, (mean, _, _) = Line(noise=noise), exact(delta, noise)
    law.body.weight.data.copy_(mean[:2])
    law.body.bias.data.copy_(mean[2:])
    return law


def drawn(posterior, count=40_000):
    weights = posterior.weights(count, torch.Generator().manual_seed(0))
    return torch.cat([value.flatten(1) for value in weights.values()], 1)


@pytest.mark.parametrize("structure", ["full", "last_layer", "kronecker"])
def test_linear_regression_is_exact(structure):
    random = laplace(at_mode(), (X, Y), structure, prior_precision=2.0, batch_size=7)
    mean, covariance, evidence = exact()
    sampled = drawn(random.body)
    scale = covariance.diag().sqrt()
    assert ((sampled.mean(0) - mean) / scale).abs().max() < 0.03
    correlated = (torch.cov(sampled.T) - covariance) / torch.outer(scale, scale)
    assert correlated.abs().max() < 0.03
    torch.testing.assert_close(log_marginal_likelihood(random), evidence)


def test_the_free_noise_is_exact_too():
    law = at_mode()
    random = laplace(law, (X, Y), "full", prior_precision=2.0, noise=0.5)
    _, _, evidence = exact()
    torch.testing.assert_close(log_marginal_likelihood(random), evidence)
    assert torch.equal(random(X, draws=3).stddev, torch.full((3, 30), 0.5).double())
    other = Line(noise=9.0)
    other.load_state_dict(law.state_dict())
    same = laplace(other, (X, Y), "full", prior_precision=2.0, noise=0.5)
    torch.testing.assert_close(log_marginal_likelihood(same), evidence)


@pytest.mark.parametrize("structure", ["diagonal", "kronecker", "last_layer", "full"])
def test_gradients_of_the_evidence_by_finite_differences(structure):
    body = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    random = laplace(Line(body), (X, Y), structure, noise=0.7)
    numbers = [torch.tensor(value).double().requires_grad_() for value in (1.3, 0.6)]
    assert torch.autograd.gradcheck(lambda d, s: log_marginal_likelihood(random, d, s), numbers)


def test_the_best_prior_is_found():
    random = laplace(at_mode(), (X, Y), "full", prior_precision=7.0, noise=2.0)
    best = fit_prior(random)
    assert random.noise == 2.0
    value = log_marginal_likelihood(best)
    assert value > log_marginal_likelihood(random)
    spread = best.law.body.spread
    assert best.noise == spread.noise
    for delta, noise in ((1.1, 1.0), (0.9, 1.0), (1.0, 1.1), (1.0, 0.9)):
        near = log_marginal_likelihood(best, spread.prior_precision * delta, best.noise * noise)
        assert near < value
    assert 0.3 < best.noise < 0.8
    before, after = drawn(random.law.body).std(0), drawn(best.law.body).std(0)
    assert (after < before).all()


def ggn(law, x, names, fisher):
    """All of it by brute force."""
    values = {name: law.body.get_parameter(name).detach() for name in names}
    jacobian = jacrev(lambda w: functional_call(law.body, w, (x,)))(values)
    flat = torch.cat([jacobian[name].flatten(2) for name in names], 2)
    return torch.einsum("nkp,nkl,nlq->pq", flat, fisher, flat)


def softmax_fisher(raw):
    p = raw.softmax(-1)
    return p.diag_embed() - p.unsqueeze(-1) * p.unsqueeze(-2)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.PReLU])
def test_full_and_diagonal_are_the_brute_force_matrix(activation):
    torch.manual_seed(1)
    law = Categorical(MLP(2, [4], 3, activation=activation), states=3).double()
    names = [name for name, _ in law.body.named_parameters()]
    truth = ggn(law, X, names, softmax_fisher(law.body(X).detach()))
    data = (X, torch.randint(3, (30,)))
    full = laplace(law, data, "full", batch_size=11, linearised=False).body.spread
    torch.testing.assert_close(full.blocks[0].curvature, truth)
    diagonal = laplace(law, data, "diagonal", batch_size=11, linearised=False).body.spread
    found = {}
    sizes = {name: law.body.get_parameter(name).numel() for name in names}
    for own, block in diagonal._named():
        parts = block.curvature.split([sizes[name] for name in own])
        found |= dict(zip(own, parts, strict=True))
    torch.testing.assert_close(torch.cat([found[name] for name in names]), truth.diag())
    last = laplace(law, data, "last_layer", linearised=False).body.spread
    size = sum(p.numel() for p in law.body[-1].parameters())
    torch.testing.assert_close(last.blocks[0].curvature, truth[-size:, -size:])


def test_convolutions_and_sequences_have_the_right_diagonal():
    torch.manual_seed(2)
    cases = [
        (ConvNet(1, [2, 2], 3, nn.Tanh), torch.randn(5, 1, 6, 6)),
        (nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(18, 3)),
         torch.randn(5, 1, 6, 6)),
        (Transformer(3, 3, width=4, heads=2, layers=1), torch.randn(5, 4, 3)),
        (RNN(3, 4, 3), torch.randn(5, 4, 3)),
    ]  # fmt: skip
    for net, x in cases:
        law = Categorical(net, features=3, states=3).double()
        names = [name for name, _ in law.body.named_parameters()]
        raw = law.body(x.double())
        fisher = softmax_fisher(raw.detach())
        rows = []
        for n in range(5):
            one = torch.zeros(0)
            for k in range(3):
                grads = torch.autograd.grad(raw[n, k], list(law.body.parameters()),
                                            retain_graph=True)  # fmt: skip
                flat = torch.cat([g.flatten() for g in grads]).unsqueeze(0)
                one = flat if not k else torch.cat([one, flat])
            rows.append((one * (fisher[n] @ one)).sum(0))
        truth = dict(zip(names, torch.stack(rows).sum(0).split(
            [p.numel() for p in law.body.parameters()]), strict=True))  # fmt: skip
        random = laplace(law, (x.double(), torch.zeros(5)), "diagonal", linearised=False)
        for own, block in random.body.spread._named():
            torch.testing.assert_close(block.curvature, torch.cat([truth[name] for name in own]))
        kron = laplace(law, (x.double(), torch.zeros(5)), "kronecker", linearised=False)
        assert kron(x.double(), draws=3).batch_shape == (3, 5)


def test_a_convolution_over_the_whole_image_has_exact_factors():
    torch.manual_seed(3)
    law = Line(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten()).double())
    law.event_dims = 3
    x, y = torch.randn(20, 1, 3, 3).double(), torch.randn(20).double()
    kron, full = (
        laplace(law, (x, y), structure, linearised=False) for structure in ("kronecker", "full")
    )
    torch.testing.assert_close(log_marginal_likelihood(kron), log_marginal_likelihood(full))


@pytest.mark.parametrize(
    ("law", "y"),
    [
        (lambda: Normal(MLP(2, [4], 4)), torch.zeros(30)),
        (lambda: Normal(MLP(2, [4], 4), event=2), torch.zeros(30, 2)),
        (lambda: Poisson(MLP(2, [4], 4)), torch.ones(30)),
        (lambda: Bernoulli(MLP(2, [4], 4)), torch.ones(30)),
        (lambda: NegativeBinomial(MLP(2, [4], 4)), torch.ones(30)),
    ],
)
@pytest.mark.parametrize("linearised", [False, True])
def test_laws_keep_their_contract(law, y, linearised):
    torch.manual_seed(0)
    plain = law().double()
    before = copy.deepcopy(plain.state_dict())
    state = torch.get_rng_state()
    random = laplace(
        plain, (X, y), "kronecker", prior_precision=30.0, linearised=linearised, samples=5,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    assert plain.training
    assert divergence(random) == 0
    check_law(random, 2)
    assert log_marginal_likelihood(fit_prior(random)) >= log_marginal_likelihood(random)


def test_the_linearised_prediction_is_gaussian_in_function_space():
    torch.manual_seed(0)
    law = Line(nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double())
    random = laplace(law, (X, Y), "full", linearised=True)
    names = [name for name, _ in law.body.named_parameters()]
    jacobian = jacrev(lambda w: functional_call(law.body, w, (X[:4],)))(
        {name: law.body.get_parameter(name).detach() for name in names}
    )
    flat = torch.cat([jacobian[name].flatten(2) for name in names], 2)[:, 0]
    truth = ggn(law, X, names, torch.full((30, 1, 1), 4.0).double())
    covariance = flat @ torch.linalg.inv(truth + torch.eye(len(truth)).double()) @ flat.T
    with fixed(random, 20_000, torch.Generator().manual_seed(0)):
        means = random(X[:4].unsqueeze(0)).mean.detach()
    scale = covariance.diag().sqrt()
    assert ((torch.cov(means.T) - covariance) / torch.outer(scale, scale)).abs().max() < 0.04
    assert ((means.mean(0) - law(X[:4]).mean) / scale).abs().max() < 0.04


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2))
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(w)) for w in range(2)]


def test_a_circuit_gets_a_full_block_and_its_own_prior():
    layer = quantum.CircuitLayer(circuit, {"weights": (1, 2, 3)}, in_features=2)
    law = Normal(layer, features=2).double()
    tangent = laplace(law, (X, Y), "kronecker", prior_precision=5.0)
    assert tangent.body.spread._scales == {"body.0.weights": torch.pi}
    random = laplace(law, (X, Y), "kronecker", prior_precision=5.0, linearised=False)
    kinds = {names: type(block).__name__ for names, block in random.body.spread._named()}
    assert kinds == {("1.weight", "1.bias"): "Kronecker", ("0.weights",): "Dense"}
    assert random.body.spread._scales == {"0.weights": torch.pi}
    check_law(random, 2)
    full = laplace(law, (X, Y), "full", linearised=False)
    names = [name for name, _ in law.body.named_parameters()]
    scale = law(X).stddev.detach()
    raw = law.body(X).detach()
    slope = raw[:, 1].sigmoid()
    fisher = torch.stack([scale**-2, 2 * (slope / scale) ** 2], 1).diag_embed()
    rows = []
    for row in X:
        outputs = law.body(row.unsqueeze(0))[0]
        rows.append(torch.stack([
            torch.cat([g.flatten() for g in torch.autograd.grad(
                out, [law.body.get_parameter(n) for n in names], retain_graph=True)])
            for out in outputs
        ]))  # fmt: skip
    flat = torch.stack(rows)
    truth = torch.einsum("nkp,nkl,nlq->pq", flat, fisher, flat)
    torch.testing.assert_close(full.body.spread.blocks[0].curvature, truth)


def test_a_model_with_several_laws():
    torch.manual_seed(0)
    laws = {"X": Empirical(torch.randn(9)), "T": Bernoulli(MLP(1, [4], 4)),
            "Y": Normal(MLP(2, [4], 4))}  # fmt: skip
    scm = SCM(Graph.parse("X -> T; X -> Y; T -> Y"), laws)
    rows = {"X": torch.randn(16), "T": torch.ones(16), "Y": torch.randn(16)}
    random = laplace(scm, rows, "kronecker", batch_size=5)
    effect = random.effect("Y", do={"T": 1.0}, against={"T": 0.0}, evidence=rows, draws=5)
    assert effect.draws.std() > 0
    context = torch.stack([rows["T"], rows["X"]], 1)
    alone = laplace(laws["Y"], (context, rows["Y"]), "kronecker")
    first = torch.cat([block.scale.flatten() for block in alone.body.spread.blocks])
    same = [m for m in random.modules() if isinstance(m, Normal)][0].body.spread  # noqa: RUF015
    torch.testing.assert_close(torch.cat([b.scale.flatten() for b in same.blocks]), first)
    better = fit_prior(random)
    assert log_marginal_likelihood(better) > log_marginal_likelihood(random)


def test_copies_and_files(tmp_path):
    law = Normal(MLP(2, [4], 4)).double()
    for structure in ("diagonal", "kronecker", "last_layer", "full"):
        random = fit_prior(laplace(law, (X, Y), structure, noise=0.4))
        loaded = laplace(copy.deepcopy(law), (X[:3], Y[:3]), structure, noise=1.0)
        hybrid.save(random, tmp_path / structure)
        hybrid.load(tmp_path / structure, into=loaded)
        answers = []
        for twin in (random, copy.deepcopy(random), pickle.loads(pickle.dumps(random)), loaded):
            with fixed(twin, 4, torch.Generator().manual_seed(3)):
                distribution = twin(X.unsqueeze(0))
            answers.append((distribution.mean, distribution.stddev.expand(4, 30)))
        for mean, scale in answers:
            assert torch.equal(mean, answers[0][0])
            assert torch.equal(scale, answers[0][1])


def test_unconditional_laws_and_roots():
    law, y = Normal(None, event=2).double(), torch.randn(20, 2).double()
    law.body.values.data = torch.cat([y.mean(0), torch.full((2,), 0.54).double()])
    random = laplace(law, (torch.zeros(20, 0), y), "full", prior_precision=1e-6)
    scale = law(torch.zeros(1, 0)).stddev[0]
    found = drawn(random.body)[:, :2].std(0)
    torch.testing.assert_close(found, scale / 20**0.5, rtol=0.02, atol=0)


def test_linearised_predictions_of_threads_do_not_mix():
    random = laplace(Normal(MLP(2, [4], 4)).double(), (X, Y), linearised=True)
    answers = {}

    def work(seed):
        generator = torch.Generator().manual_seed(seed)
        answers[seed] = hybrid.predict(random, X, draws=3, generator=generator).mean

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, mean in answers.items():
        generator = torch.Generator().manual_seed(seed)
        assert torch.equal(hybrid.predict(random, X, draws=3, generator=generator).mean, mean)
    assert len(answers) == 4


def test_a_law_that_says_how_many_axes_its_rows_have():
    net = nn.Sequential(nn.Flatten(), nn.Linear(15, 2))
    law, x = Categorical(net, features=2, states=2), torch.randn(8, 5, 3)
    law.event_dims = 2
    flat = Categorical(net, features=2, states=2)
    flat.load_state_dict(law.state_dict())
    y = torch.zeros(8)
    one, two = laplace(law, (x, y), "full"), laplace(flat, (x.flatten(1), y), "full")
    torch.testing.assert_close(log_marginal_likelihood(one), log_marginal_likelihood(two))


def test_a_data_loader_gives_the_same():
    law = Normal(MLP(2, [4], 4)).double()
    dataset = torch.utils.data.TensorDataset(X, Y)
    loader = torch.utils.data.DataLoader(dataset, batch_size=7)
    one, two = laplace(law, loader, "full"), laplace(law, (X, Y), "full")
    torch.testing.assert_close(log_marginal_likelihood(one), log_marginal_likelihood(two))


def test_frozen_parameters_stay_and_singles_work():
    law = Normal(MLP(2, [4], 4))
    law.body[0][0].weight.requires_grad_(False)
    for structure in ("diagonal", "kronecker", "full"):
        random = laplace(law, (X.float(), Y.float()), structure, linearised=False)
        weights = random.body.weights(3)
        assert "0.0.weight" not in weights
        assert "0.0.bias" in weights
        assert random(X[0].float(), draws=3).batch_shape == (3,)
    assert laplace(law, (X[:1], Y[:1]))(X[0]).batch_shape == ()


def test_mistakes_are_named():
    law = Normal(MLP(2, [4], 4))
    data = (X, Y)
    with pytest.raises(ValueError, match=r"prior_precision must be a positive number: 0\.0"):
        laplace(law, data, prior_precision=0.0)
    with pytest.raises(ValueError, match="already random"):
        laplace(variational(law), data)
    with pytest.raises(ValueError, match="has no law with trainable parameters"):
        laplace(nn.Linear(2, 1), data)
    with pytest.raises(ValueError, match="noise= is for laws that return a normal"):
        laplace(Bernoulli(MLP(2, [4], 4)), (X, (Y > 0).double()), noise=1.0)
    with pytest.raises(TypeError, match="data is a tuple"):
        laplace(law, X)
    with pytest.raises(ValueError, match=r"of 17.* weights needs .* GiB, more than 2"):
        laplace(Normal(MLP(2, [130, 130], 4)), data, "full")
    with pytest.raises(ValueError, match="does not come from"):
        log_marginal_likelihood(law)
    with pytest.raises(ValueError, match="noise is its own"):
        log_marginal_likelihood(laplace(law, data), noise=1.0)
