"""Backbone and network as one law: enumeration, partial labels, draws, training."""

import itertools

import pytest
import torch
from torch import Tensor, nn

import causal
import hybrid
from hybrid.heads import Bernoulli, Categorical, Normal
from hybrid.pgm import BayesianNetwork, Contextual, ImpossibleEvidence, Structured, Table

GRAPH = causal.Graph.parse("A -> B; A -> C")
SIZES = (3, 2, 2)


def made(width: int = 4) -> Structured:
    torch.manual_seed(0)
    nodes = {
        "A": Contextual(Categorical(nn.Linear(width, width), states=3)),
        "B": Contextual(Bernoulli(nn.Linear(3 + width, width))),
        "C": Table([[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]], trainable=True),
    }
    return Structured(nn.Sequential(nn.Linear(2, width), nn.GELU()), BayesianNetwork(GRAPH, nodes))


def joint(law: Structured, x: Tensor) -> Tensor:
    """All probabilities (rows, 3, 2, 2) by hand."""
    features, network = law.body(x), law.network
    a = network.node("A").law(features).probs.double()
    rows = [
        network.node("B").law(torch.cat([one.expand(len(x), 3), features], -1)).probs
        for one in torch.eye(3)
    ]
    b = torch.stack(rows, 1).double()
    c = network.node("C").probabilities()
    return a[..., None, None] * torch.stack([1 - b, b], -1)[..., None] * c[:, None, :]


def test_probabilities_are_those_of_enumeration() -> None:
    law, x = made(), torch.randn(5, 2)
    found, table = law(x), joint(law, x)
    assert found.batch_shape == (5,)
    assert found.event_shape == law.event_shape == (3,)
    for cell in itertools.product(*map(range, SIZES)):
        logs = found.log_prob(torch.tensor(cell).expand(5, 3))
        torch.testing.assert_close(logs.exp(), table[(slice(None), *cell)], atol=1e-7, rtol=0)
    partly = found.log_prob(torch.tensor([-1.0, 1.0, 0.0])).exp()
    torch.testing.assert_close(partly, table[:, :, 1, 0].sum(1), atol=1e-7, rtol=0)
    marginals = found.marginals()
    torch.testing.assert_close(marginals["B"], table.sum((1, 3)), atol=1e-7, rtol=0)
    best = table.flatten(1).argmax(1)
    wanted = torch.stack(torch.unravel_index(best, SIZES), -1)
    assert torch.equal(found.mode, wanted)


def test_given_labels_are_conditioned_on() -> None:
    law, x = made(), torch.randn(4, 2)
    table = joint(law, x)
    known = torch.tensor([[-1, 1, -1], [-1, -1, 0], [2, -1, -1], [-1, -1, -1]])
    found = law(x).given(known)
    wanted = table[0, :, 1].sum(-1) / table[0, :, 1].sum()
    torch.testing.assert_close(found.marginals()["A"][0], wanted, atol=1e-7, rtol=0)
    logs = found.log_prob(torch.tensor([[0, 1, -1], [0, -1, -1], [1, -1, -1], [0, 0, 0]]))
    ratio = table[1, 0, :, 0].sum() / table[1, :, :, 0].sum()
    assert float(logs[1].exp().detach()) == pytest.approx(float(ratio.detach()), abs=1e-7)
    assert float(logs[2].detach()) == -torch.inf  # A is known to be another
    both = found.given(torch.tensor([0, -1, 0])).log_prob(torch.tensor([-1, -1, -1]))
    torch.testing.assert_close(both, torch.zeros(4).double())
    draws = found.sample((50,), generator=torch.Generator().manual_seed(0))
    assert draws.shape == (50, 4, 3)
    assert bool((draws[:, 0, 1] == 1).all())
    assert bool(law.support.check(draws).all())


def test_labels_that_cannot_be() -> None:
    law = made()
    with pytest.raises(ImpossibleEvidence, match="row 1"):
        law(torch.zeros(2, 2)).given(torch.tensor([[2, -1, 1], [2, -1, 0]])).marginals()


def test_training_on_partial_labels_through_fit() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=generator)
    digit = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    labels = {"A": digit.where(torch.rand(400, generator=generator) < 0.1, -1), "B": digit % 2}
    law = made(8)
    objective = hybrid.objectives.ELBO(law, data_size=400)
    before = {name: value.detach().clone() for name, value in law.named_parameters()}
    hybrid.fit(
        objective,
        (x, law.labels(labels | {"C": torch.full((400,), -1)})),
        optimizer=lambda parameters: torch.optim.Adam(parameters, 0.02),
        epochs=12,
        batch_size=40,
        seed=0,
        progress=False,
    )
    assert float((law(x).mode[:, 0] == digit).double().mean()) > 0.9
    moved = {name for name, value in law.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "tables." not in name}


def test_random_backbone_and_images() -> None:
    law = hybrid.bayes.variational(made())
    x, y = torch.randn(5, 2), torch.tensor([-1, 0, 1]).expand(5, 3)
    found = law(x, draws=4)
    assert found.batch_shape == (4, 5)
    logs = found.log_prob(y)
    assert logs.shape == (4, 5)
    assert float(logs.std(0).detach().min()) > 0
    assert found.marginals()["C"].shape == (4, 5, 2)
    loss = hybrid.objectives.ELBO(law, data_size=5, draws=4)((x, y))
    loss.total.backward()
    assert all(value.grad is not None for value in law.parameters())
    image = Structured(hybrid.backbones.ConvNet(1, [4], 4), made().network)
    objective = hybrid.objectives.ELBO(image, data_size=6)
    assert bool(objective((torch.randn(6, 1, 8, 8), torch.zeros(6, 3))).total.isfinite())


def test_errors() -> None:
    law = made()
    with pytest.raises(ValueError, match=r"got a fraction or NaN"):
        law(torch.zeros(1, 2)).log_prob(torch.tensor([0.5, 0.0, 0.0]))
    with pytest.raises(ValueError, match=r"expected one for each of \['A', 'B', 'C'\]"):
        law(torch.zeros(1, 2)).log_prob(torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"'B' has the states 0 … 1, got 2 in row 1"):
        law(torch.zeros(2, 2)).log_prob(torch.tensor([[0, 1, 0], [0, 2, 0]]))
    with pytest.raises(ValueError, match=r"got \['D'\]"):
        law.labels({"D": torch.zeros(2)})
    plain = BayesianNetwork(causal.Graph(nodes=["A"]), {"A": [0.5, 0.5]})
    with pytest.raises(ValueError, match="wrap a law in Contextual"):
        Structured(nn.Identity(), plain)
    leafy = {"A": Contextual(Bernoulli(nn.Linear(2, 2))), "Y": Normal(nn.Linear(1, 2))}
    with pytest.raises(ValueError, match=r"\['Y'\] are continuous"):
        Structured(nn.Identity(), BayesianNetwork(causal.Graph.parse("A -> Y"), leafy))
    with pytest.raises(ValueError, match=r"variational\(Structured"):
        Structured(nn.Identity(), hybrid.bayes.variational(made().network))
