"""networkx and pgmpy: round trips, separation there, and what is refused."""

import itertools
import random
import subprocess
import sys

import networkx as nx
import pytest
from mixed_paths import random_mixed_graph
from pgmpy.base import ADMG, DAG, PDAG

from causal.graph import Graph
from causal.separation import separated


def graphs():
    for seed in range(30):
        rng = random.Random(seed)
        graph = Graph(*random_mixed_graph(rng, 5))
        yield graph, {name for name in graph.nodes if rng.random() < 0.3}


def test_round_trips():
    for graph, hidden in graphs():
        for write, read in (
            (Graph.to_networkx, Graph.from_networkx),
            (Graph.to_pgmpy, Graph.from_pgmpy),
        ):
            assert read(write(graph)) == graph
            assert read(write(graph, hidden=hidden), keep_hidden=True) == graph
            assert read(write(graph, hidden=hidden)) == graph.project(hidden)


def test_what_is_written_separates_alike():
    for graph, _ in graphs():
        network, model = graph.to_networkx(), graph.to_pgmpy()
        for first, second in itertools.combinations(graph.nodes, 2):
            for given in (set(), set(graph.nodes) - {first, second}):
                expected = separated(graph, first, second, given)
                assert nx.is_d_separator(network, {first}, {second}, given) == expected
                assert model.is_dconnected(first, second, observed=list(given)) != expected


def test_marks_of_others():
    network = nx.DiGraph([("U", "X"), ("U", "Y"), ("X", "Y")])
    network.nodes["U"]["observed"] = "no"
    bow = Graph.parse("X -> Y; X <-> Y")
    assert Graph.from_networkx(network) == bow
    model = DAG([("U", "X"), ("U", "Y"), ("X", "Y")], latents={"U"})
    assert Graph.from_pgmpy(model) == bow
    assert Graph.from_pgmpy(model, keep_hidden=True) == Graph.parse("U -> X; U -> Y; X -> Y")
    mixed = ADMG(directed_ebunch=[("X", "Y")], bidirected_ebunch=[("X", "Y")])
    assert Graph.from_pgmpy(mixed) == bow
    multiple = nx.MultiDiGraph([("X", "Y")])
    multiple.add_edge("Y", "X", bidirected=True)
    assert Graph.from_networkx(multiple) == bow
    taken = Graph.parse("U_X_Y -> X; X <-> Y")
    assert set(taken.to_networkx()) == {"U_X_Y", "U_X_Y_", "X", "Y"}
    assert Graph.from_networkx(taken.to_networkx()) == taken


def test_what_is_no_causal_graph_is_refused():
    with pytest.raises(TypeError, match="expected a graph of networkx or pgmpy, got dict"):
        Graph.from_networkx({})
    with pytest.raises(ValueError, match="the Graph has edges without a direction"):
        Graph.from_networkx(nx.Graph([("X", "Y")]))
    with pytest.raises(ValueError, match="the PDAG has edges without a direction"):
        Graph.from_pgmpy(PDAG(undirected_ebunch=[("X", "Y")]))
    with pytest.raises(ValueError, match="cycle: X -> Y -> X"):
        Graph.from_networkx(nx.DiGraph([("X", "Y"), ("Y", "X")]))
    with pytest.raises(TypeError, match="node names are strings, got 1"):
        Graph.from_networkx(nx.DiGraph([(1, 2)]))
    broken = nx.DiGraph([("U", "X")])
    broken.nodes["U"]["bidirected"] = True
    with pytest.raises(ValueError, match=r"'U' stands for a bidirected edge, but causes \['X'\]"):
        Graph.from_networkx(broken)
    with pytest.raises(ValueError, match=r"unknown node\(s\) \['Q'\]"):
        Graph.parse("X -> Y").to_networkx(hidden="Q")


def test_nothing_heavy_is_imported():
    files = (
        "causal.graph, causal.separation, causal.adjustment, causal.frontdoor, causal.instrument"
    )
    code = (
        f"import sys, {files}; "
        "print([m for m in ('torch', 'pyro', 'numpy', 'networkx', 'pgmpy') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
