"""Pruned questions equal whole ones on random graphs; plans are kept; what is too large."""

import itertools

import pytest
import torch
from torch import Tensor

import causal
from hybrid.pgm import BayesianNetwork, TooLarge
from hybrid.pgm.networks.plans import plan_all, plan_sets
from hybrid.pgm.networks.relevance import relevant_tables


def random_network(seed: int, nodes: int = 9) -> BayesianNetwork:
    generator = torch.Generator().manual_seed(seed)
    names = [f"V{k}" for k in range(nodes)]
    edges = [
        pair
        for pair in itertools.combinations(names, 2)
        if torch.rand((), generator=generator) < 0.25
    ]
    graph = causal.Graph(directed=edges, nodes=names)
    sizes = dict(
        zip(names, torch.randint(1, 4, (nodes,), generator=generator).tolist(), strict=True)
    )
    tables = {}
    for name in names:
        shape = [sizes[n] for n in (*graph.parents(name), name)]
        table = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1
        tables[name] = table / table.sum(-1, keepdim=True)
    return BayesianNetwork(graph, tables)


def rows_of(network: BayesianNetwork, seed: int, whole: bool) -> dict[str, Tensor]:
    """Some columns; each seen in all rows or in some."""
    generator = torch.Generator().manual_seed(seed)
    rows = {}
    for name, size in network.cardinalities.items():
        if torch.rand((), generator=generator) < 0.5:
            states = torch.randint(size, (6,), generator=generator)
            seen = torch.rand(6, generator=generator) < (2 if whole else 0.6)
            rows[name] = torch.where(seen, states, -1)
    return rows


@pytest.mark.parametrize("seed", range(12))
def test_pruned_questions_equal_whole_ones(seed) -> None:
    network = random_network(seed)
    joint = network.factor()
    rows = rows_of(network, seed, whole=seed % 2 == 0)
    found = network.marginals(rows)
    structure = network.structure
    for name in network.variables:
        pruned = network.marginals(rows, names=name)[name]
        torch.testing.assert_close(pruned, found[name], rtol=0, atol=1e-13)
    pair = network.variables[1], network.variables[-2]
    (table,) = network.joint_marginals([pair], rows)
    torch.testing.assert_close(table.marginal(pair[0]).values, found[pair[0]], rtol=0, atol=1e-13)
    torch.testing.assert_close(table.marginal(pair[1]).values, found[pair[1]], rtol=0, atol=1e-13)
    logs = network.log_probability(rows)
    for k in range(6):
        seen = {name: column[k] for name, column in rows.items() if column[k] >= 0}
        expected = joint.log_probability(seen) if seen else torch.zeros(()).double()
        torch.testing.assert_close(logs[k] if rows else logs, expected, rtol=0, atol=1e-12)
        if not rows:
            break
    plan = plan_sets(structure, ((0,),), 0, 0, 0)
    assert set(plan.tables) == set(relevant_tables(structure, 1, 0, 0, 0))


def test_plans_are_kept_by_structure() -> None:
    one, two = random_network(3), random_network(3)
    assert one.structure == two.structure
    assert plan_all(one.structure, 0) is plan_all(two.structure, 0)


def test_barren_and_separated_tables_are_left_out() -> None:
    graph = causal.Graph.parse("A -> B -> C -> D; E -> B; C -> F")
    tables = {n: torch.full([2] * (1 + len(graph.parents(n))), 0.5) for n in graph.nodes}
    structure = BayesianNetwork(graph, tables).structure
    bit = {name: 1 << k for name, k in structure.index.items()}

    def kept(asked: str, some: str = "", known: str = "") -> str:
        masks = [sum(bit[name] for name in group) for group in (asked, some, known)]
        return "".join(structure.names[k] for k in relevant_tables(structure, *masks, 0))

    assert kept("B") == "ABE"
    assert kept("A") == "A"
    assert kept("A", "B", "B") == "ABE"
    assert kept("D", "C", "C") == "D"
    assert kept("D", "C", "") == "ABCDE"
    assert kept("F", "BC", "B") == "CF"
    assert kept("", "B", "B") == "ABE"


def test_too_large_trees_are_refused_but_rows_are_drawn_and_scored() -> None:
    roots = [f"R{k:02}" for k in range(42)]
    edges = [(root, f"{a}{b}") for a, b in itertools.combinations(roots, 2) for root in (a, b)]
    graph = causal.Graph(directed=edges)
    fair = torch.full((2, 2, 2), 0.5)
    nodes = {n: fair if graph.parents(n) else [0.5, 0.5] for n in graph.nodes}
    network = BayesianNetwork(graph, nodes)
    rows = network.sample(3)
    assert network.log_probability(rows).shape == (3,)
    children = {name: column for name, column in rows.items() if name not in roots}
    with pytest.raises(TooLarge, match="cells: one row needs"):
        network.marginals(children)
    assert network.marginals({"R00R01": 1}, names="R00")["R00"].tolist() == [0.5, 0.5]
