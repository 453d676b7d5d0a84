"""GML: what is read, what comes back (by our reader and networkx's), what is refused and where."""

import itertools

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causal.graph import Graph


@st.composite
def parts(draw):
    nodes = draw(st.lists(st.text(min_size=1, max_size=4), max_size=5, unique=True))
    pairs = list(itertools.combinations(nodes, 2))
    directed = [pair for pair in pairs if draw(st.booleans())]
    bidirected = [pair for pair in pairs if draw(st.booleans())]
    hidden = [name for name in nodes if draw(st.booleans())]
    return directed, bidirected, nodes, hidden


@given(parts())
@settings(max_examples=60, deadline=None)
def test_round_trips(given_parts):
    *edges, hidden = given_parts
    graph = Graph(*edges)
    assert Graph.from_gml(graph.to_gml()) == graph
    text = graph.to_gml(hidden=hidden)
    assert text.isascii()
    assert Graph.parse(text, keep_hidden=True) == graph
    assert Graph.from_gml(text) == graph.project(hidden)


def test_networkx_reads_and_writes_the_same():
    graph = Graph.parse('X -> \'blood pressure\' -> Y; X <-> Y; Ω; "q\\"&"')
    assert Graph.from_networkx(nx.parse_gml(graph.to_gml())) == graph
    assert Graph.from_gml("\n".join(nx.generate_gml(graph.to_networkx()))) == graph


def test_forms():
    text = """
    # a comment
    Creator "somebody"
    graph [
      directed 1
      node [ id 10 label "U" observed "no" graphics [ x 1.5 y -2e3 ] ]
      node [ id 1 label "X" ]
      node [ id 2 label "Y &amp; &#937;" ]
      node [ id 3 ]
      edge [ source 10 target 1 ]
      edge [ source 10 target 2 ]
      edge [ source 1 target 2 ]
      edge [ source 1 target 3 bidirected 1 ]
    ]
    """
    expected = "X -> 'Y & Ω'; X <-> 'Y & Ω'; X <-> 3"
    assert Graph.from_gml(text) == Graph.parse(text) == Graph.parse(expected)
    kept = Graph.from_gml(text, keep_hidden=True)
    assert kept == Graph.parse("X -> 'Y & Ω'; U -> X; U -> 'Y & Ω'; X <-> 3")


def test_entities_that_mean_nothing_stay():
    text = 'graph [ directed 1 node [ id 0 label "&#99999999999;&nothing;&" ] ]'
    assert Graph.from_gml(text).nodes == ("&#99999999999;&nothing;&",)


NODES = 'graph [ directed 1 node [ id 0 label "X" ] node [ id 1 label "Y" ] '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NODES, rf"position {len(NODES)} .*expected a key or a bracket \], got the end"),
        (NODES + "edge [ source 0 ] ]", r"expected a block with the key 'target', got '\["),
        (NODES + "edge [ source 0 target 7 ] ]", "ends at 7, which is no node's id"),
        (NODES + "edge ] ]", r"position 72 .*a value or a bracket \[ after 'edge', got '\] \]'"),
        (NODES + "!", r"position 67 \(line 1, column 68\): expected a key, a number"),
        (NODES + '"edge" ]', "expected a key or a bracket"),
        (NODES + 'node [ id 2 label "X" ] ]', "two nodes with the label or id of 'X'"),
        ("node [ id 0 ]", r"expected `graph \[`, got the end"),
        ("graph [ node [ id 0 ] ]", "undirected"),
        (NODES + "edge [ source 0 target 1 ] edge [ source 1 target 0 ] ]", "cycle: X -> Y -> X"),
        (NODES + "edge [ source 0 target 1 ] " * 2 + "]", "duplicate edge X -> Y"),
        ("graph " + "[ a " * 200, r"at most 100 brackets within each other"),
    ],
)
def test_errors_name_the_place(text, message):
    with pytest.raises(ValueError, match=message):
        Graph.from_gml(text)
