"""Laws as tables: columns, context, continuous leaves, random weights; circuits and formulas."""

import copy
import pickle

import pennylane as qml
import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor, nn
from torch.distributions import constraints

import causal
import hybrid
import quantum
from hybrid.heads import Bernoulli, Categorical, Normal
from hybrid.pgm import BayesianNetwork, Contextual, Table
from hybrid.testing import check_joint

GRAPH = causal.Graph.parse("A -> C <- B; C -> Y")


def mlp(width: int, out: int = 4) -> nn.Module:
    return hybrid.backbones.MLP(width, [6], out)


class Seen(nn.Module):
    """A law that remembers its contexts."""

    event_shape, support, states = torch.Size(), constraints.integer_interval(0, 2), 3

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, 3))
        self.contexts: list[Tensor] = []

    def forward(self, context: Tensor) -> torch.distributions.Categorical:
        self.contexts.append(context)
        return torch.distributions.Categorical(logits=context @ self.weight)


def test_law_runs_once_on_all_configurations_encoded_as_in_the_scm() -> None:
    laws = {
        "A": Bernoulli(None),
        "B": Categorical(None, states=3),
        "C": Seen(4),
        "Y": Bernoulli(mlp(3)),
    }
    network, scm = BayesianNetwork(GRAPH, laws), causal.SCM(GRAPH, laws)
    assert network.columns("C") == scm.columns("C") == ("A", "B[0]", "B[1]", "B[2]")
    laws["C"].contexts.clear()
    found = network.factor()
    (context,) = laws["C"].contexts
    assert context.tolist() == [
        [float(a), *(float(b == k) for k in range(3))] for a in range(2) for b in range(3)
    ]
    wanted = scm.factor()
    torch.testing.assert_close(found.values, wanted.values.double(), atol=1e-7, rtol=1e-5)
    check_joint(network, n=300)


def test_own_order_of_parents() -> None:
    nodes = {"A": [0.4, 0.6], "B": [0.2, 0.3, 0.5], "Y": [[0.5, 0.5]] * 3}
    law = Seen(4)
    network = BayesianNetwork(GRAPH, {**nodes, "C": causal.Mechanism(law, parents=("B", "A"))})
    assert network.columns("C") == ("B[0]", "B[1]", "B[2]", "A")
    table = next(f for f in network.factors() if f.names[-1] == "C")
    one = law(torch.tensor([0.0, 1.0, 0.0, 1.0])).probs  # B = 1, A = 1
    torch.testing.assert_close(table.values[1, 1], one.double(), atol=1e-7, rtol=0)
    acted = network.do({"Y": 0})
    assert acted.columns("C") == network.columns("C")
    with pytest.raises(ValueError, match="states the parents"):
        BayesianNetwork(GRAPH, {**nodes, "C": causal.Mechanism(law, parents=("B",))})


def contextual() -> BayesianNetwork:
    torch.manual_seed(0)
    return BayesianNetwork(
        GRAPH,
        {
            "A": Contextual(Bernoulli(mlp(2))),
            "B": [0.2, 0.3, 0.5],
            "C": Contextual(Categorical(mlp(4 + 2), states=3)),
            "Y": Contextual(Normal(mlp(3 + 2))),
        },
    ).double()


def test_context_gives_each_row_its_own_tables() -> None:
    network, x = contextual(), torch.randn(5, 2).double()
    rows = {"C": torch.tensor([0, 1, -1, 2, 1]), "Y": torch.randn(5).double()}
    logs, found = network.log_probability(rows, context=x), network.marginals(rows, x)
    for k in range(5):
        one = {name: column[k] for name, column in rows.items()}
        a = network.node("A").law(x[k : k + 1]).probs[0]
        total, first = 0.0, 0.0
        for i in range(2):
            for j in range(3):
                parents = torch.tensor([i, *(j == m for m in range(3))]).double()
                c = network.node("C").law(torch.cat([parents, x[k]])[None]).probs[0]
                for state in range(3):
                    if one["C"] in (-1, state):
                        column = torch.eye(3).double()[state]
                        y = network.node("Y").law(torch.cat([column, x[k]])[None])
                        density = y.log_prob(one["Y"][None]).exp()[0]
                        b = (0.2, 0.3, 0.5)[j]
                        cell = (a if i else 1 - a) * b * c[state] * density
                        total, first = total + cell, first + i * cell
        assert float(logs[k].detach()) == pytest.approx(float(total.log().detach()), abs=1e-12)
        wanted = float((first / total).detach())
        assert float(found["A"][k, 1].detach()) == pytest.approx(wanted, abs=1e-12)
    grads = torch.autograd.grad(logs.sum(), list(network.parameters()))
    assert all(bool(g.isfinite().all()) and bool((g != 0).any()) for g in grads)
    each = network.marginals(rows, dict.fromkeys("ACY", x))["A"]
    torch.testing.assert_close(each, found["A"])
    column = network.log_probability({**rows, "context": x})
    torch.testing.assert_close(column, logs)
    assert network.factors(x)[0].batch_shape == (5,)
    assert network.sample(7, context=x)["Y"].shape == (7, 5)
    assert network.sample(7, {"C": 1}, context=x)["Y"].shape == (7, 5)
    grid = {name: column.reshape(5, 1) for name, column in rows.items()}
    torch.testing.assert_close(network.log_probability(grid, context=x[:, None])[:, 0], logs)


def test_context_errors() -> None:
    network, x = contextual(), torch.zeros(5, 2).double()
    with pytest.raises(ValueError, match=r"'A' reads the row's context: give context="):
        network.marginals({"B": torch.zeros(5).long()})
    with pytest.raises(ValueError, match="the context"):
        network.marginals({"B": torch.zeros(4).long()}, x)
    with pytest.raises(ValueError, match=r"\['B'\], whose laws do not read one"):
        network.marginals({}, {"B": x})
    with pytest.raises(ValueError, match="context of width 3"):
        network.marginals({}, torch.zeros(5, 3).double())
    bad = torch.zeros(5, 2).double()
    bad[3, 1] = torch.nan
    with pytest.raises(
        ValueError, match="'A' gives its 2 states probabilities that sum to NaN in row 3"
    ):
        network.marginals({}, bad, names="A")
    with pytest.raises(ValueError, match="'Y' gives its value in row 3 a density that is NaN"):
        network.log_probability({"Y": torch.zeros(5)}, context={"A": x, "C": x, "Y": bad})
    plain = BayesianNetwork(causal.Graph.parse("B"), {"B": [0.5, 0.5]})
    with pytest.raises(ValueError, match="no law of this network reads one"):
        plain.marginals({}, x)
    assert network.marginals({"C": 1}, x, names=["B"])["B"].shape == (5, 3)


def test_training_on_context_reaches_every_parameter() -> None:
    network = contextual().float()
    data = {
        "context": torch.randn(40, 2),
        "A": torch.randint(2, (40,)),
        "B": torch.randint(3, (40,)),
    }
    data |= {"C": torch.randint(-1, 3, (40,)), "Y": torch.randn(40)}
    objective = hybrid.objectives.ELBO(network, data_size=40)
    before = [p.detach().clone() for p in network.parameters()]
    adam = lambda p: torch.optim.Adam(p, 0.01)  # noqa: E731
    hybrid.fit(objective, data, optimizer=adam, epochs=2, batch_size=20, seed=0, progress=False)
    assert all(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def leafy(law: nn.Module, parents: str = "A -> Y") -> BayesianNetwork:
    return BayesianNetwork(causal.Graph.parse(parents), {"A": [0.4, 0.6], "Y": law})


def test_continuous_leaf_is_a_likelihood_of_its_parents() -> None:
    law = Normal(nn.Linear(1, 3)).double()
    network, y = leafy(law), torch.tensor([0.3, -40.0, 2000.0]).double()
    check_joint(network)
    densities = [law(torch.full((3, 1), float(k)).double()).log_prob(y) for k in range(2)]
    scores = torch.stack(densities, -1) + torch.tensor([0.4, 0.6]).double().log()
    torch.testing.assert_close(network.marginals({"Y": y})["A"], scores.softmax(-1))
    torch.testing.assert_close(network.log_probability({"Y": y}), scores.logsumexp(-1))
    joint = network.log_probability({"Y": y, "A": torch.tensor([1, 0, -1])})
    wanted = torch.stack([scores[0, 1], scores[1, 0], scores[2].logsumexp(-1)])
    torch.testing.assert_close(joint, wanted)
    torch.testing.assert_close(network.log_probability({"Y": y}, {"A": 1}), densities[1])
    posterior = network.log_probability({"A": torch.ones(3).long(), "Y": y}, given="Y")
    torch.testing.assert_close(posterior, scores.log_softmax(-1)[:, 1])
    best = network.most_probable({"Y": y})
    torch.testing.assert_close(best.log_joint, scores.max(-1).values)
    entropy = network.entropy(None, {"Y": y[:1]})
    p = scores[0].softmax(-1)
    torch.testing.assert_close(entropy, -(p * p.log()).sum()[None])
    with pytest.raises(ValueError, match=r"\['Y'\] are continuous"):
        network.factor()
    with pytest.raises(ValueError, match=r"\['Y'\] are continuous"):
        network.marginals(names="Y")
    with pytest.raises(ValueError, match="'Y' has NaN values in row 1"):
        network.marginals({"Y": torch.tensor([0.0, torch.nan])})


def test_leaves_are_sampled_from_their_parents() -> None:
    law = Normal(nn.Linear(1, 3)).double()
    network = leafy(law)
    rows = network.sample(4000, generator=torch.Generator().manual_seed(0))
    for k in range(2):
        with torch.no_grad():
            normal = law(torch.full((1, 1), float(k)).double())
        found = rows["Y"][rows["A"] == k]
        slack = 5 * float(normal.stddev) / len(found) ** 0.5
        assert float(found.mean()) == pytest.approx(float(normal.mean), abs=slack)
    given = network.sample(3, {"Y": torch.tensor([0.0, 1.0, 2.0]).double()})
    assert given["Y"].tolist() == [0.0, 1.0, 2.0]
    root = BayesianNetwork(causal.Graph.parse("A; Y"), {"A": [0.5, 0.5], "Y": Normal(None)})
    check_joint(root)
    vector = leafy(Normal(nn.Linear(1, 3), event=2))
    assert vector.sample(5)["Y"].shape == (5, 2)
    assert vector.log_probability({"Y": torch.zeros(4, 2)}).shape == (4,)
    with pytest.raises(ValueError, match="event_shape"):
        vector.log_probability({"Y": torch.zeros(4)})


def test_flow_leaf() -> None:
    law = hybrid.flows.NeuralSpline(hybrid.backbones.MLP(1, [4], 3), features=3, transforms=1)
    network, y = leafy(law), torch.randn(6)
    wanted = [law(torch.full((6, 1), float(k))).log_prob(y).double() for k in range(2)]
    scores = torch.stack(wanted, -1) + torch.tensor([0.4, 0.6]).double().log()
    torch.testing.assert_close(network.log_probability({"Y": y}), scores.logsumexp(-1))
    assert network.sample(5)["Y"].shape == (5,)


def test_leaf_errors() -> None:
    with pytest.raises(ValueError, match=r"'Y' is continuous and has the children \['Z'\]"):
        BayesianNetwork(causal.Graph.parse("Y -> Z"), {"Y": Normal(None), "Z": [[0.5, 0.5]] * 2})
    with pytest.raises(ValueError, match="'Y' does not take its context of width 1"):
        leafy(Normal(nn.Linear(2, 3)))
    with pytest.raises(ValueError, match=r"do\('Y'\): a continuous"):
        leafy(Normal(nn.Linear(1, 3))).do({"Y": 1.0})


def random_network() -> BayesianNetwork:
    torch.manual_seed(1)
    network = BayesianNetwork(
        GRAPH,
        {
            "A": Contextual(Bernoulli(mlp(2))),
            "B": [0.2, 0.3, 0.5],
            "C": Categorical(mlp(4), states=3),
            "Y": Normal(mlp(3)),
        },
    )
    return hybrid.bayes.variational(network)


def test_draws_of_weights_are_the_leading_axis() -> None:
    network, x = random_network(), torch.randn(4, 2)
    rows = {"C": torch.tensor([0, 1, -1, 2])}
    seeded = lambda: torch.Generator().manual_seed(2)  # noqa: E731
    found = network.marginals(rows, x, draws=3, generator=seeded())
    assert found["A"].shape == (3, 4, 2)
    assert found["B"].shape == (3, 4, 3)
    assert not torch.equal(found["A"][0], found["A"][1])
    again = network.marginals(rows, x, draws=3, generator=seeded())
    assert torch.equal(found["A"], again["A"])
    with causal.draws.fixed(network, 3, seeded()):
        held = network.log_probability(rows, context=x)
        parts = network.marginals({}, x)
        values = network.log_probability({"A": 1}, context=x)
    assert held.shape == (3, 4)
    torch.testing.assert_close(parts["A"][..., 1].log(), values)
    assert network.log_probability(rows, context=x).shape == (4,)
    assert network.sample(6, evidence=rows, context=x, draws=3)["Y"].shape == (3, 6, 4)
    assert network.sample(6, context=x, draws=3)["A"].shape == (3, 6, 4)
    assert network.most_probable(rows, x, draws=3)["A"].shape == (3, 4)
    assert network.most_probable(rows, x, draws=3, count=2)["A"].shape == (3, 2, 4)
    assert network.expected_statistics(rows, x, draws=3)["C"].values.shape == (3, 2, 3, 3)
    assert network.factors(x, draws=3)[0].batch_shape == (3, 4)
    fixed = BayesianNetwork(causal.Graph.parse("B"), {"B": [0.2, 0.8]})
    assert fixed.marginals(draws=5)["B"].shape == (5, 2)
    assert fixed.sample(4, draws=5)["B"].shape == (5, 4)
    assert fixed.log_probability({"B": torch.tensor([0, 1])}, draws=5).shape == (5, 2)


def test_random_network_is_a_joint_and_trains() -> None:
    graph = causal.Graph.parse("A -> C")
    laws = {"A": Bernoulli(None), "C": Categorical(mlp(1), states=3)}
    network = hybrid.bayes.variational(BayesianNetwork(graph, laws))
    check_joint(network, n=200)
    check_joint(copy.deepcopy(pickle.loads(pickle.dumps(network))), n=200)
    table = network.factor(draws=4)
    assert table.batch_shape == (4,)
    loss = hybrid.objectives.ELBO(network, data_size=8, draws=2)(
        {"A": torch.tensor([0, 1]), "C": torch.tensor([2, -1])}
    )
    loss.total.backward()
    assert all(p.grad is not None for p in network.parameters())


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(wire)) for wire in range(2)]


def front_door() -> BayesianNetwork:
    """U -> X -> M -> Y <- U, with a circuit table for M and a backbone's for Y."""
    torch.manual_seed(3)
    layer = quantum.CircuitLayer(circuit, {"weights": (2, 2, 3)}, in_features=1 + 1)
    widen = hybrid.layers.Skip(nn.Linear(1, 1))
    graph = causal.Graph.parse("U -> X -> M -> Y <- U")
    nodes = {
        "U": Table([0.4, 0.6], trainable=True),
        "X": Table([[0.7, 0.3], [0.2, 0.8]], trainable=True),
        "M": Categorical(nn.Sequential(widen, layer), features=2, states=3),
        "Y": Bernoulli(mlp(1 + 3)),
    }
    return BayesianNetwork(graph, nodes).double()


QUERY = causal.identify(causal.Graph.parse("X -> M -> Y; X <-> Y"), outcomes="Y", treatments="X")


def enumerated(network: BayesianNetwork) -> Tensor:
    """P(y | do(x)) by the truncated product."""
    tables = {factor.names[-1]: factor.values for factor in network.factors()}
    return torch.einsum("u,xm,muy->xy", tables["U"], tables["M"], tables["Y"])


def test_front_door_query_with_a_circuit_and_a_backbone() -> None:
    network = front_door()
    check_joint(network, n=300)
    found = QUERY.evaluate(network).permute(("X", "Y")).values
    torch.testing.assert_close(found, enumerated(network), rtol=0, atol=1e-10)
    lean = QUERY.evaluate(network.factors()).permute(("X", "Y")).values
    torch.testing.assert_close(lean, found, rtol=0, atol=1e-12)
    acted = torch.stack([network.do({"X": k}).marginals()["Y"] for k in range(2)])
    torch.testing.assert_close(acted, found, rtol=0, atol=1e-10)
    effect = found[1, 1] - found[0, 1]
    parameters = {n: p for n, p in network.named_parameters() if "of_X" not in n}
    grads = torch.autograd.grad(effect, list(parameters.values()), allow_unused=True)
    for name, grad in zip(parameters, grads, strict=True):
        assert grad is not None, name
        assert bool(grad.isfinite().all()), name
    circuits = [g for n, g in zip(parameters, grads, strict=True) if "of_M" in n]
    backbones = [g for n, g in zip(parameters, grads, strict=True) if "of_Y" in n]
    assert any(bool((g != 0).any()) for g in circuits)
    assert any(bool((g != 0).any()) for g in backbones)


def test_pyro_model_and_query_train_together() -> None:
    network, rows = (
        front_door(),
        front_door().sample(60, generator=torch.Generator().manual_seed(0)),
    )
    rows["U"] = torch.full((60,), -1)
    model = network.pyro_model()
    objective = hybrid.objectives.Pyro(model, lambda *_: None, (rows,))
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    losses, target = [], 0.3
    for _ in range(25):
        table = QUERY.evaluate(network.factors()).permute(("X", "Y")).values
        gap = (table[1, 1] - table[0, 1] - target).square()
        loss = objective((rows,)).total / 60 + 10 * gap
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert all(not torch.equal(before[n], p) for n, p in network.named_parameters())
    plain = Trace_ELBO().loss(model, lambda *_: None, rows)
    wanted = -float(network.log_probability(rows).sum().detach())
    assert plain == pytest.approx(wanted)
    pyro.clear_param_store()


def test_one_value_of_a_leaf_and_no_rows_of_a_context() -> None:
    network = contextual()
    context = torch.zeros(2).double()
    one = network.marginals({"Y": 0.5}, context)["A"]
    rows = network.marginals({"Y": torch.tensor([0.5]).double()}, context[None])["A"]
    torch.testing.assert_close(one, rows[0])
    assert network.marginals(context=torch.zeros(0, 2).double())["C"].shape == (0, 3)
