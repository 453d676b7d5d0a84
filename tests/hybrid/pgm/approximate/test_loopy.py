"""Belief propagation: exact on trees, reported on loops."""

import pytest
import torch
from network_files import shipped
from torch import Tensor

import causal
import hybrid
from hybrid.heads import Categorical, Normal
from hybrid.pgm import (
    BayesianNetwork,
    Contextual,
    Deterministic,
    ImpossibleEvidence,
    Table,
    belief_propagation,
)
from hybrid.pgm.networks.conversion import parts_of_description


def random_table(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(shape, generator=generator, dtype=torch.float64)
    return values / values.sum(-1, keepdim=True)


def polytree() -> BayesianNetwork:
    graph = causal.Graph.parse("A -> C <- B; C -> D; C -> E; E -> F <- G")
    shapes = {"A": (2,), "B": (3,), "C": (2, 3, 4), "D": (4, 2), "E": (4, 3), "G": (2,)}
    tables = {name: random_table(*shape, seed=k) for k, (name, shape) in enumerate(shapes.items())}
    return BayesianNetwork(graph, {**tables, "F": random_table(3, 2, 2, seed=9)})


def holed(network: BayesianNetwork, n: int, share: float) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows = network.sample(n, generator=generator)
    return {
        name: column.where(torch.rand(n, generator=generator) < share, -1)
        for name, column in rows.items()
    }


def named(name: str) -> BayesianNetwork:
    graph, tables, states = parts_of_description(shipped(name))
    return BayesianNetwork(graph, tables, states=states)


def test_exact_on_a_tree_with_any_damping() -> None:
    network = polytree()
    evidence = {**holed(network, 40, 0.3), "D": random_table(40, 2)}
    exact, logs = network.marginals(evidence), network.log_probability(evidence)
    for damping in (0.0, 0.3):
        found = belief_propagation(network, evidence, tolerance=1e-12, damping=damping)
        assert bool(found.converged.all())
        assert set(found) == set(exact)
        for name in exact:
            torch.testing.assert_close(found[name], exact[name], atol=1e-11, rtol=0)
        torch.testing.assert_close(found.log_probability, logs, atol=1e-10, rtol=0)
    undamped = belief_propagation(network, evidence, damping=0.0)
    assert int(undamped.iterations.max()) <= 12  # the diameter of the tree of tables


def test_no_row_depends_on_the_others() -> None:
    network = named("asia")
    evidence = holed(network, 12, 0.2)
    together = belief_propagation(network, evidence)
    for row in (0, 7):
        alone = belief_propagation(network, {name: c[row] for name, c in evidence.items()})
        assert int(alone.iterations) == int(together.iterations[row])
        for name in alone:
            torch.testing.assert_close(alone[name], together[name][row], atol=1e-12, rtol=0)


def test_within_error_on_loops_and_honest_about_convergence() -> None:
    network = named("alarm")
    evidence = holed(network, 12, 0.1)
    exact, found = network.marginals(evidence), belief_propagation(network, evidence, iterations=50)
    errors = torch.stack([(found[name] - exact[name]).abs().amax(-1) for name in exact])
    sure = found.converged
    assert int(sure.sum()) >= 6
    assert float(errors[:, sure].mean()) < 0.02
    few = belief_propagation(network, evidence, iterations=3)
    assert not bool(few.converged.any())
    assert few.iterations.tolist() == [3] * 12
    assert float(few.change.min()) > 1e-8
    assert "0 converged, 3 sweeps at most" in str(few)


def test_gradients_on_a_tree_are_the_exact_ones() -> None:
    tables = {
        name: Table(random_table(*shape), trainable=True)
        for name, shape in {"A": (3,), "B": (3, 2), "C": (3, 4)}.items()
    }
    network = BayesianNetwork(causal.Graph.parse("B <- A -> C"), tables)
    evidence = {"B": torch.tensor([0, 1, -1]), "C": torch.tensor([3, -1, 2])}
    weights = random_table(3, 3, seed=5)
    found = belief_propagation(network, evidence, damping=0.2, tolerance=1e-14)
    parameters = list(network.parameters())
    for mine, exact in (
        ((found["A"] * weights).sum(), (network.marginals(evidence)["A"] * weights).sum()),
        (found.log_probability.sum(), network.log_probability(evidence).sum()),
    ):
        wanted = torch.autograd.grad(exact, parameters)
        for a, b in zip(
            torch.autograd.grad(mine, parameters, retain_graph=True), wanted, strict=True
        ):
            torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def test_context_leaves_draws_and_grids() -> None:
    torch.manual_seed(0)
    graph = causal.Graph.parse("A -> C; C -> Y")
    law = hybrid.bayes.variational(Categorical(torch.nn.Linear(1 + 2, 6), states=3))
    network = BayesianNetwork(
        graph,
        {
            "A": Contextual(Categorical(torch.nn.Linear(2, 6), states=2)),
            "C": Contextual(law),
            "Y": Normal(torch.nn.Linear(3, 4)),
        },
    )
    x, rows = torch.randn(2, 5, 2), {"Y": torch.randn(2, 5)}
    with hybrid.bayes.fixed(network, draws=3):
        found = belief_propagation(network, rows, x, tolerance=1e-12)
        exact, logs = network.marginals(rows, x), network.log_probability(rows, context=x)
    assert found["C"].shape == (3, 2, 5, 3)
    assert found.converged.shape == (3, 2, 5)
    for name in exact:
        torch.testing.assert_close(found[name], exact[name], atol=1e-9, rtol=0)
    torch.testing.assert_close(found.log_probability, logs, atol=1e-9, rtol=0)
    assert belief_propagation(network, {"Y": torch.zeros(0)}, torch.zeros(0, 2))["A"].shape == (
        0,
        2,
    )


def test_only_what_is_asked_and_observed_takes_part() -> None:
    network = polytree()
    found = belief_propagation(network, {"A": 1}, names=["C", "B"])
    assert list(found) == ["C", "B"]
    assert found["C"].shape == (4,)
    exact = network.marginals({"A": 1})
    torch.testing.assert_close(found["C"], exact["C"], atol=1e-8, rtol=0)


def test_impossible_rows_name_node_and_row() -> None:
    graph = causal.Graph.parse("A -> B; A -> C")
    labels = {"B": ("no", "yes"), "C": ("no", "yes")}
    same = Deterministic(lambda a: a, states=("no", "yes"))
    network = BayesianNetwork(graph, {"A": [0.5, 0.5], "B": same, "C": same}, states=labels)
    with pytest.raises(ImpossibleEvidence) as raised:
        belief_propagation(network, {"B": torch.tensor([0, 1, 0]), "C": torch.tensor([0, 1, 1])})
    assert (raised.value.node, raised.value.state, raised.value.row) == ("C", "yes", 2)


@pytest.mark.parametrize("wrong", [{"iterations": 0}, {"damping": 1.0}, {"tolerance": -1.0}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        belief_propagation(polytree(), **wrong)


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="expected different finite variables"):
        belief_propagation(polytree(), names=["Z"])


def test_where_no_tree_fits() -> None:
    size = 9
    names = [[f"X{i:02}{j:02}" for j in range(size)] for i in range(size)]
    arrows, tables = [], {}
    for i in range(size):
        for j in range(size):
            above = [names[a][b] for a, b in ((i - 1, j), (i, j - 1)) if min(a, b) >= 0]
            arrows += [(parent, names[i][j]) for parent in above]
            tables[names[i][j]] = random_table(*[13] * (1 + len(above)), seed=size * i + j)
    network = BayesianNetwork(causal.Graph(directed=arrows), tables)
    evidence = {names[-1][-1]: torch.tensor([0, 5, -1])}
    with pytest.raises(hybrid.pgm.TooLarge, match=r"hybrid\.pgm\.belief_propagation"):
        network.marginals(evidence)
    found = belief_propagation(network, evidence)
    assert bool(found.converged.all())
    assert len(found) == size**2
    # A part of the network that is a tree once cut off: what lies above the first row.
    first = network.marginals({}, names=names[0][:3])
    for name, values in first.items():
        torch.testing.assert_close(found[name][2], values, atol=1e-6, rtol=0)
