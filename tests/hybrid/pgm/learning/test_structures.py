import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from pgm_cases import normalised, sampled
from sklearn.metrics import mutual_info_score

from causal.graph import Graph
from hybrid.pgm import BayesianNetwork
from hybrid.pgm.learning.structures import chow_liu, learn_structure


def frame_of(name, rows):
    network = normalised(name)
    states = sampled(network, rows, np.random.default_rng(0))
    return pd.DataFrame(
        {
            name: np.array(labels)[states[:, i]]
            for i, (name, labels) in enumerate(network.states.items())
        }
    )


def test_the_tree_is_the_heaviest_by_mutual_information():
    frame = frame_of("asia", 400)
    full = nx.Graph()
    for a in frame:
        for b in frame:
            if a < b:
                full.add_edge(a, b, weight=mutual_info_score(frame[a], frame[b]))
    wanted = nx.maximum_spanning_tree(full).size("weight")
    found = chow_liu(frame)
    total = sum(full.edges[edge]["weight"] for edge in found.directed)
    assert len(found.directed) == len(frame.columns) - 1
    assert total == pytest.approx(wanted)


def test_the_root_has_no_parents():
    frame = frame_of("asia", 200)
    graph = learn_structure(frame, "chow_liu", root="xray")
    assert graph.parents("xray") == ()
    assert all(len(graph.parents(name)) <= 1 for name in graph.nodes)
    assert set(graph.nodes) == set(frame.columns)


@pytest.mark.parametrize("method", ["hill_climb", "pc", "ges"])
def test_searches_find_a_collider(method):
    generator = torch.Generator().manual_seed(0)
    tables = {
        "A": [0.4, 0.6],
        "B": [0.5, 0.5],
        "C": [[[0.95, 0.05], [0.6, 0.4]], [[0.5, 0.5], [0.05, 0.95]]],
    }
    network = BayesianNetwork(Graph.parse("A -> C <- B"), tables)
    rows = network.sample(2000, generator=generator)
    assert learn_structure(rows, method) == Graph.parse("A -> C <- B")


def test_options_reach_the_search():
    frame = frame_of("asia", 300)[["smoke", "lung", "bronc", "dysp"]]
    graph = learn_structure(frame, "hill_climb", max_indegree=1, scoring_method="k2")
    assert all(len(graph.parents(name)) <= 1 for name in graph.nodes)


def test_errors():
    with pytest.raises(ValueError, match="'B' is missing in row 1: structures are learned from"):
        learn_structure({"A": [0, 1], "B": [1, None]})
    with pytest.raises(ValueError, match="unknown method 'magic': expected 'chow_liu'"):
        learn_structure.__wrapped__({"A": [0, 1]}, "magic")
    with pytest.raises(
        ValueError, match=r"the root 'C' is no column: the columns are \['A', 'B'\]"
    ):
        chow_liu({"A": [0, 1], "B": [1, 0]}, root="C")
