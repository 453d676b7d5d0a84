"""Ensembles: members train as if alone, draws take them in turn, copies and files keep them."""

import copy
import pickle
import threading

import pennylane as qml
import pytest
import torch
from torch import nn

import hybrid
import quantum
from causal import Graph, Hidden
from causal.draws import divergence, fixed
from causal.scm import SCM
from hybrid.backbones import MLP, RNN, ConvNet, Transformer
from hybrid.bayes import ensemble, member, variational
from hybrid.heads import Bernoulli, Categorical, Empirical, Normal, Ordinal
from hybrid.objectives import ELBO, EachMember, Supervised
from hybrid.testing import check_law

X = torch.linspace(-1, 1, 36).double().reshape(12, 3)
Y = X.square().sum(-1)


def made(members=4, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ensemble(Normal(MLP(3, [8], 6)).double(), members)


def steps(objective, make, data, count=20):
    optimizer = make([p for p in objective.parameters() if p.requires_grad])
    for _ in range(count):
        optimizer.zero_grad()
        objective(data).total.backward()
        optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
        lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1),
    ],
)
def test_members_train_as_if_alone(make):
    together = made()
    alone = [member(together, m) for m in range(4)]
    steps(EachMember(ELBO(together, data_size=12, draws=4)), make, (X, Y))
    for m, law in enumerate(alone):
        steps(ELBO(law, data_size=12), make, (X, Y))
        for name, value in member(together, m).named_parameters():
            torch.testing.assert_close(value, law.get_parameter(name), rtol=0, atol=1e-6)


def test_any_loss_and_fit_train_all_members():
    together = made()
    alone = [member(together, m) for m in range(4)]
    data, sgd = (X, Y), lambda p: torch.optim.SGD(p, 0.1)

    def loss(predicted, y):
        return (predicted.mean - y).square()

    each = EachMember(Supervised(together, loss, data_size=12, draws=4))
    history = hybrid.fit(each, data, optimizer=sgd, epochs=5, batch_size=5, seed=3, progress=False)
    assert history.loss[-1] < history.loss[0]
    for m, law in enumerate(alone):
        objective = Supervised(law, loss)
        hybrid.fit(objective, data, optimizer=sgd, epochs=5, batch_size=5, seed=3, progress=False)
        torch.testing.assert_close(member(together, m)(X).mean, law(X).mean)


def test_draws_take_members_in_turn():
    law = made()
    own = torch.stack([member(law, m)(X).mean for m in range(4)])

    def chosen(draws, seed=0):
        with fixed(law, draws, torch.Generator().manual_seed(seed)):
            means = law(X.unsqueeze(0)).mean
        return [int((own - one).abs().amax(1).argmin()) for one in means]

    assert chosen(4) == [0, 1, 2, 3]
    assert chosen(8) == [0, 1, 2, 3] * 2
    assert len(set(chosen(3))) == 3
    assert {tuple(sorted(chosen(3, seed))) for seed in range(30)} == {
        (0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)
    }  # fmt: skip
    six = chosen(6)
    assert six[:4] == [0, 1, 2, 3]
    assert len(set(six[4:])) == 2
    assert {tuple(chosen(1, seed)) for seed in range(30)} == {(0,), (1,), (2,), (3,)}
    torch.testing.assert_close(law(X, draws=4).mean, own)
    prediction = hybrid.predict(law, X)
    torch.testing.assert_close(prediction.mean, own.mean(0))
    torch.testing.assert_close(prediction.epistemic, own.var(0, correction=0))
    assert divergence(law) == 0


def test_the_module_given_is_not_changed_and_starts_differ():
    law = Normal(MLP(3, [8], 6))
    before = copy.deepcopy(law.state_dict())
    state = torch.get_rng_state()
    one = ensemble(law, 3, generator=torch.Generator().manual_seed(1))
    two = ensemble(law, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.requires_grad for p in law.parameters())
    for name, value in law.state_dict().items():
        assert torch.equal(value, before[name])
    first = one.body.spread.get_parameter("members/0/0/weight")
    assert torch.equal(first, two.body.spread.get_parameter("members/0/0/weight"))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], before["body.0.0.weight"])


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2))
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(w)) for w in range(2)]


def circuit_body():
    return nn.Sequential(
        nn.Linear(3, 2), quantum.CircuitLayer(circuit, {"weights": (1, 2, 3)}, in_features=2)
    )


@pytest.mark.parametrize(
    "law",
    [
        lambda: Normal(MLP(3, [4], 4), event=2),
        lambda: Normal(MLP(3, [4], 4).double()),
        lambda: Categorical(nn.Linear(3, 4), states=3),
        lambda: Ordinal(nn.Linear(3, 4), states=4),
        lambda: Normal(circuit_body(), features=2),
    ],
)
def test_laws_keep_their_contract(law):
    check_law(ensemble(law(), 3), 3)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: RNN(3, 4, 2), (5, 3)),
        (lambda: Transformer(3, 4, width=8, heads=2, layers=1), (5, 3)),
        (lambda: ConvNet(1, [2], 3), (1, 6, 6)),
    ],
)
def test_sequences_and_images(layer, shape):
    together = ensemble(layer(), 3).eval()
    inputs = torch.randn(4, *shape)
    outputs = together(inputs, draws=3)
    for m in range(3):
        torch.testing.assert_close(outputs[m], member(together, m).eval()(inputs))


def test_members_have_batch_norms_of_their_own():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    together = ensemble(Normal(body).double(), 3)
    alone = [member(together, m) for m in range(3)]
    sgd = lambda p: torch.optim.SGD(p, 0.1)  # noqa: E731
    steps(EachMember(ELBO(together, data_size=12, draws=3)), sgd, (X, Y), 5)
    with pytest.raises(ValueError, match="draws=3, got 2"):
        together(X, draws=2)
    together.eval()
    for m, law in enumerate(alone):
        steps(ELBO(law, data_size=12), sgd, (X, Y), 5)
        torch.testing.assert_close(member(together, m)(X).mean, law.eval()(X).mean)
        torch.testing.assert_close(together(X, draws=3).mean[m], law(X).mean)
    twin = ensemble(Normal(copy.deepcopy(body)).double(), 3)
    twin.load_state_dict(together.state_dict())
    assert torch.equal(twin.eval()(X, draws=3).mean, together(X, draws=3).mean)


def test_frozen_parameters_are_shared():
    body = MLP(3, [8], 6)
    frozen = body[0].weight.requires_grad_(False)
    law = ensemble(Normal(body), 3)
    assert "body.spread.members/0/0/weight" not in dict(law.named_parameters())
    kept = member(law, 1).body[0][0]
    assert torch.equal(kept.weight, frozen)
    assert not kept.weight.requires_grad
    assert kept.bias.requires_grad


def test_a_model_with_several_laws():
    torch.manual_seed(0)
    scm = SCM(
        Graph.parse("X -> T; X -> Y; T -> Y"),
        {
            "X": Empirical(torch.randn(30)),
            "T": Bernoulli(MLP(1, [4], 4)),
            "Y": Normal(MLP(2, [4], 4)),
        },
    )
    together = ensemble(scm, 3)
    data = {"X": torch.randn(20), "T": torch.ones(20), "Y": torch.randn(20)}
    objective = EachMember(ELBO(together, data_size=20, draws=3))
    steps(objective, lambda p: torch.optim.Adam(p, 0.01), data, 3)
    plain = torch.stack([member(together, m).log_probability(data) for m in range(3)])
    with fixed(together, 3):
        torch.testing.assert_close(together.log_probability(data), plain)
    effect = together.effect("Y", do={"T": 1.0}, against={"T": 0.0}, evidence=data, draws=3)
    assert effect.draws.shape[0] == 3


def test_hidden_causes_keep_their_guide():
    laws = {"X": Normal(MLP(1, [4], 4)), "Y": Normal(MLP(2, [4], 4))}
    guide = Normal(MLP(2, [4], 4), event=1)
    graph = Graph.parse("X -> Y; X <-> Y")
    scm = SCM(graph, laws, hidden={("X", "Y"): Hidden(size=1)}, guide=guide)
    together = ensemble(scm, 3)
    kept = [p for name, p in together.named_parameters() if "guide" in name]
    for one, other in zip(kept, guide.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.requires_grad
    data = {"X": torch.randn(20), "Y": torch.randn(20)}
    steps(EachMember(ELBO(together, data_size=20, draws=3)), torch.optim.Adam, data, 2)


def test_copies_files_and_threads_answer_alike(tmp_path):
    law = made()
    expected = law(X, draws=4).mean
    loaded = made(seed=5)
    assert not torch.equal(loaded(X, draws=4).mean, expected)
    hybrid.save(law, tmp_path / "law")
    hybrid.load(tmp_path / "law", into=loaded)
    for twin in (copy.deepcopy(law), pickle.loads(pickle.dumps(law)), loaded):
        assert torch.equal(twin(X, draws=4).mean, expected)
    answers = {}

    def work(seed):
        with fixed(law, 2, torch.Generator().manual_seed(seed)):
            answers[seed] = law(X.unsqueeze(0)).mean

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        with fixed(law, 2, torch.Generator().manual_seed(seed)):
            assert torch.equal(law(X.unsqueeze(0)).mean, answers[seed])


def test_a_factory_makes_the_members():
    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.by = nn.Parameter(torch.randn(3))

        def forward(self, inputs):
            return inputs + self.by

    with pytest.raises(ValueError, match=r"Shift '' has parameters but no reset_parameters"):
        ensemble(Shift(), 3)
    together = ensemble(Shift(), 3, factory=Shift)
    assert together(torch.zeros(2, 3), draws=3).std(0).min() > 0
    with pytest.raises(ValueError, match=r"factory made a Linear .* differ .* in \['bias', 'by'"):
        ensemble(Shift(), 3, factory=lambda: nn.Linear(3, 3))
    one = Shift()
    with pytest.raises(ValueError, match="same module twice"):
        ensemble(one, 3, factory=lambda: one)


def test_mistakes_are_named():
    law = Normal(MLP(3, [8], 6))
    with pytest.raises(ValueError, match="at least 2 members: 1"):
        ensemble(law, 1)
    with pytest.raises(ValueError, match="already random"):
        ensemble(variational(law), 3)
    with pytest.raises(ValueError, match="already random"):
        ensemble(ensemble(law, 2), 3)
    with pytest.raises(ValueError, match=r"no shape yet: run the module once"):
        ensemble(nn.LazyLinear(3), 3)
    with pytest.raises(ValueError, match="is no ensemble"):
        member(law, 0)
    with pytest.raises(IndexError, match="members 0 … 2, got 3"):
        member(ensemble(law, 3), 3)
    with pytest.raises(ValueError, match="contains no ensemble"):
        EachMember(ELBO(law, data_size=3))
    with pytest.raises(ValueError, match="3 members, the objective 1 draws: make it with draws=3"):
        EachMember(ELBO(ensemble(law, 3), data_size=3))
