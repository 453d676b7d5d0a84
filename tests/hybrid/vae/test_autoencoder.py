"""The module: contracts, parts of all kinds, training, storage, errors."""

import copy
import math
import pickle
import threading

import pennylane as qml
import pytest
import torch
import torch.distributions as td
from linear_gaussian import FullNormal, decoder_with, evidence, exact_posterior
from torch import nn

import causal
import hybrid
import quantum
from hybrid.vae.autoencoder import VAE

heads, MLP = hybrid.heads, hybrid.backbones.MLP


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(w)) for w in range(2)]


def circuit_layer():
    return quantum.CircuitLayer(circuit, {"weights": (1, 2, 3)}, in_features=2)


def flow(body, event=2):
    return hybrid.flows.NeuralSpline(body, event=event, transforms=1, hidden=(8,))


def mixture():
    def component(body):
        return heads.Normal(body, event=2)

    return heads.MixtureDensity(None, components=3, component=component)


KINDS = {
    "layer": lambda: VAE(MLP(3, [8], 4), heads.Normal(MLP(2, [8], 4), event=3), latent=2),
    "laplace": lambda: VAE(
        heads.Laplace(MLP(3, [8], 4), event=2), heads.Student(MLP(2, [8], 4), event=3)
    ),
    "pixels": lambda: VAE(MLP(6, [8], 4), heads.Bernoulli(MLP(2, [8], 4), event=6), latent=2),
    "classes": lambda: VAE(MLP(4, [8], 4), heads.Categorical(MLP(2, [8], 4), states=4), latent=2),
    "count": lambda: VAE(MLP(1, [8], 4), heads.Poisson(MLP(2, [8], 4)), latent=2),
    "flow posterior": lambda: VAE(
        flow(MLP(3, [8], 4)), heads.Normal(MLP(2, [8], 4), event=3), samples=3
    ),
    "flow prior": lambda: VAE(
        MLP(3, [8], 4), heads.Normal(MLP(2, [8], 4), event=3), latent=2, prior=flow(None)
    ),
    "flow decoder": lambda: VAE(MLP(3, [8], 4), flow(MLP(2, [8], 4), event=3), latent=2),
    "mixture prior": lambda: VAE(
        MLP(3, [8], 4), heads.Normal(MLP(2, [8], 4), event=3), latent=2, prior=mixture()
    ),
    "circuits": lambda: VAE(
        nn.Sequential(nn.Linear(3, 2), circuit_layer()),
        heads.Normal(nn.Sequential(circuit_layer(), nn.Linear(2, 4)), event=3),
        latent=2,
    ),
    "random decoder": lambda: VAE(
        MLP(3, [8], 4),
        hybrid.bayes.variational(heads.Normal(MLP(2, [8], 4), event=3)),
        latent=2,
    ),
    "images": lambda: VAE(
        nn.Sequential(nn.Unflatten(-1, (1, 4, 4)), hybrid.backbones.ConvNet(1, [4], 4)),
        heads.Bernoulli(MLP(2, [8], 4), event=16),
        latent=2,
    ),
}


def rows(vae, n=8):
    with torch.no_grad():
        return vae.sample(n)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_law_and_makes_an_objective(kind, dtype):
    vae = KINDS[kind]().to(dtype)
    x = rows(vae)
    size = {"data_size": 100, "draws": 2} if kind == "random decoder" else {}
    hybrid.testing.check_objective(vae.objective(**size), x)
    if dtype == torch.float64 and kind not in ("laplace", "classes"):  # as `forward` says
        hybrid.testing.check_law(vae, context=torch.zeros(4, 0))
    assert vae.log_probability(x, samples=3).shape == (8,)
    assert vae.log_probability(x[0]).shape == ()
    assert vae.encode(x).batch_shape == (8,)
    assert vae.reconstruct(x, samples=5).batch_shape == (5, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_and_survives_copies_and_storage(kind, tmp_path):
    vae = KINDS[kind]()
    x = rows(vae, 32)
    size = {"data_size": 32} if kind == "random decoder" else {}
    hybrid.fit(vae.objective(**size), x, epochs=2, batch_size=16, progress=False)
    vae.eval()
    hybrid.save(vae, tmp_path / "vae")
    other = KINDS[kind]().eval()
    hybrid.load(tmp_path / "vae", into=other)
    copies = [copy.deepcopy(vae), other]
    if kind != "mixture prior":  # its component is made by a local function
        copies.append(pickle.loads(pickle.dumps(vae)))
    generator = torch.Generator()
    expected = vae.log_probability(x, generator=generator.manual_seed(0))
    for each in copies:
        found = each.log_probability(x, generator=generator.manual_seed(0))
        assert torch.equal(found, expected)


def test_training_lowers_the_loss_and_learns_the_data():
    x = torch.randn(500, 1) @ torch.tensor([[1.0, -1.0, 0.5]]) + 0.1 * torch.randn(500, 3)
    vae = VAE(MLP(3, [16], 8), heads.Normal(MLP(1, [16], 8), event=3), latent=1)
    history = hybrid.fit(
        vae.objective(),
        x,
        optimizer=lambda p: torch.optim.Adam(p, 0.03),
        epochs=40,
        batch_size=100,
        progress=False,
    )
    assert history.loss[-1] < history.loss[0] - 1.0
    error = (vae.reconstruct(x).mean - x).square().mean().sqrt()
    assert float(error.detach()) < 0.3
    torch.testing.assert_close(vae.sample(4000).mT.cov(), x.mT.cov(), atol=0.25, rtol=0.1)


def test_conditional_with_learnt_prior():
    vae = VAE(
        heads.Normal(MLP(3 + 2, [8], 4), event=2),
        heads.Normal(MLP(2 + 2, [8], 4), event=3),
        prior=heads.Normal(MLP(2, [8], 4), event=2),
    )
    x, context = torch.randn(10, 3), torch.randn(10, 2)
    hybrid.testing.check_law(vae, 2)
    hybrid.testing.check_objective(vae.objective(), (context, x))
    assert vae.log_probability(x, context, samples=4).shape == (10,)
    assert vae.sample(6, context).shape == (6, 10, 3)
    assert vae.reconstruct(x, context).mean.shape == (10, 3)
    hybrid.fit(vae.objective(), (context, x), epochs=1, progress=False)
    prediction = hybrid.predict(vae, context, generator=torch.Generator().manual_seed(0))
    assert prediction.mean.shape == (10, 3)


def test_predictions_have_the_decoders_moments():
    decoder = decoder_with(torch.randn(4, 2).double())
    vae = VAE(FullNormal(*exact_posterior(decoder)), decoder)
    prediction = hybrid.predict(vae, torch.zeros(1, 0), samples=20_000)
    exact = evidence(decoder)
    torch.testing.assert_close(prediction.mean[0], exact.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(prediction.variance[0], exact.variance, atol=0.1, rtol=0.05)


def test_conversion_leaves_the_encoder():
    vae = hybrid.bayes.variational(KINDS["layer"]())
    random = [name for name, _ in vae.named_parameters() if "raw_scale" in name]
    assert random
    assert all(name.startswith("decoder") for name in random)
    assert vae.log_probability(torch.zeros(4, 3)).shape == (4,)
    with hybrid.bayes.fixed(vae, 5):
        assert vae.log_probability(torch.zeros(1, 4, 3), samples=3).shape == (5, 4)


def test_it_is_a_mechanism():
    graph = causal.Graph.parse("C -> X; X -> Y")
    vae = VAE(heads.Normal(MLP(3 + 1, [8], 4), event=2), heads.Normal(MLP(2 + 1, [8], 4), event=3))
    scm = causal.SCM(graph, {"C": heads.Normal(None), "X": vae, "Y": heads.Normal(nn.Linear(3, 4))})
    data = scm.sample(20)
    assert data["X"].shape == (20, 3)
    objective = hybrid.objectives.ELBO(scm, data_size=20)
    hybrid.testing.check_objective(objective, data)
    moved = scm.sample(10, do={"C": 1.0})
    assert moved["Y"].shape == (10,)
    random = hybrid.bayes.variational(scm)
    hybrid.testing.check_objective(hybrid.objectives.ELBO(random, data_size=20, draws=2), data)


def test_a_generator_is_the_only_source():
    vae = KINDS["random decoder"]()
    x = torch.randn(4, 3)
    calls = {
        "sample": lambda g: vae.sample(5, generator=g),
        "log_probability": lambda g: vae.log_probability(x, samples=2, generator=g),
    }
    for name, call in calls.items():
        before = torch.get_rng_state()
        first, second = (call(torch.Generator().manual_seed(7)) for _ in range(2))
        assert torch.equal(first, second), name
        assert torch.equal(before, torch.get_rng_state()), name
    plain = KINDS["layer"]()
    before = torch.get_rng_state()
    first, second = (
        plain.reconstruct(x, samples=2, generator=torch.Generator().manual_seed(7)).mean
        for _ in range(2)
    )
    assert torch.equal(first, second)
    plain.sample(3, generator=torch.Generator())
    plain.reconstruct(x)
    assert torch.equal(before, torch.get_rng_state())


def test_frozen_parts_stay():
    vae = KINDS["layer"]()
    vae.decoder.requires_grad_(False)
    before = copy.deepcopy(vae.decoder.state_dict())
    hybrid.fit(vae.objective(), torch.randn(32, 3), epochs=2, progress=False)
    for name, value in vae.decoder.state_dict().items():
        assert torch.equal(value, before[name])


def test_threads_do_not_mix():
    vae = KINDS["flow prior"]().eval()
    x = torch.randn(6, 3)
    generator = torch.Generator
    expected = [vae.log_probability(x, generator=generator().manual_seed(k)) for k in range(4)]
    found = [None] * 4

    def work(k):
        for _ in range(5):
            found[k] = vae.log_probability(x, generator=generator().manual_seed(k))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, second in zip(expected, found, strict=True):
        assert torch.equal(first, second)


def test_codes_of_rows_in_any_batch_shape():
    vae = KINDS["layer"]()
    x = torch.randn(2, 5, 3)
    assert vae.encode(x).mean.shape == (2, 5, 2)
    assert vae.decode(vae.encode(x).mean).mean.shape == (2, 5, 3)
    assert vae.log_probability(x, samples=7).shape == (2, 5)
    assert vae.sample(0).shape == (0, 3)


def test_a_law_of_images_as_they_are():
    class Image(nn.Module):
        event_shape = torch.Size((1, 4, 4))
        support = td.constraints.independent(td.constraints.real, 3)

        def __init__(self):
            super().__init__()
            self.body = nn.Linear(2, 16)

        def forward(self, context):
            mean = self.body(context).unflatten(-1, (1, 4, 4))
            return td.Independent(td.Normal(mean, 1.0), 3)

    vae = VAE(MLP(16, [8], 4), Image(), latent=2)
    x = torch.randn(5, 1, 4, 4)
    assert vae.log_probability(x, samples=3).shape == (5,)
    assert vae.sample(3).shape == (3, 1, 4, 4)
    hybrid.testing.check_law(vae, context=torch.zeros(3, 0))


def test_integers_become_numbers_and_classes_stay():
    assert KINDS["layer"]().log_probability(torch.ones(4, 3, dtype=torch.long)).isfinite().all()
    vae = KINDS["classes"]()
    assert vae.states == 4
    assert vae.log_probability(torch.tensor([0, 1, 3])).isfinite().all()
    with pytest.raises(ValueError, match="class number"):
        vae.log_probability(torch.tensor([0, 4]))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: VAE(MLP(3, [4], 4), heads.Normal(nn.Linear(2, 4))), ValueError, "latent="),
        (
            lambda: VAE(nn.GELU(), heads.Normal(nn.Linear(2, 4)), latent=2),
            ValueError,
            "width of what GELU returns",
        ),
        (
            lambda: VAE(heads.Normal(MLP(3, [4], 4)), heads.Normal(nn.Linear(2, 4))),
            ValueError,
            "law of vectors",
        ),
        (
            lambda: VAE(
                heads.Normal(MLP(3, [4], 4), event=2), heads.Normal(nn.Linear(2, 4)), latent=3
            ),
            ValueError,
            "law of 2 entries",
        ),
        (lambda: VAE(MLP(3, [4], 4), nn.Linear(2, 4), latent=2), TypeError, "decoder is a Law"),
        (
            lambda: VAE(
                MLP(3, [4], 4),
                heads.Normal(nn.Linear(2, 4)),
                latent=2,
                prior=heads.Normal(None, event=3),
            ),
            ValueError,
            "same code",
        ),
        (
            lambda: VAE(
                heads.Bernoulli(MLP(3, [4], 4), event=2), heads.Normal(nn.Linear(2, 4), event=3)
            ),
            ValueError,
            "continuous",
        ),
        (
            lambda: VAE(
                hybrid.bayes.variational(heads.Normal(MLP(3, [4], 4), event=2)),
                heads.Normal(nn.Linear(2, 4), event=3),
            ),
            ValueError,
            "encoder has random weights",
        ),
    ],
)
def test_parts_that_do_not_fit(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_rows_that_do_not_fit():
    vae = KINDS["layer"]()
    x = torch.randn(4, 3)
    with pytest.raises(ValueError, match=r"missing value \(NaN\) at \(2, 1\)"):
        vae.log_probability(torch.where(torch.arange(12).reshape(4, 3) == 7, math.nan, x))
    pixels = torch.tensor([[0.0] * 6, [1.0] * 5 + [0.5]])
    with pytest.raises(ValueError, match="Bernoulli is defined: the first in row 1"):
        KINDS["pixels"]().log_probability(pixels)
    with pytest.raises(ValueError, match=r"outside of the support"):
        KINDS["pixels"]()(torch.zeros(2, 0)).log_prob(pixels)
    with pytest.raises(ValueError, match=r"rows have shape \(3,\)"):
        vae.encode(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="flatten"):
        vae.encode(torch.zeros(4, 1, 3, 1))
    with pytest.raises(ValueError, match="expected one each"):
        vae.encode(x, torch.zeros(3, 1))
    with pytest.raises(ValueError, match="codes have 2 entries"):
        vae.decode(x)
    with pytest.raises(ValueError, match="give samples="):
        KINDS["flow posterior"]().reconstruct(x)
