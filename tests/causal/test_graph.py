"""Graphs against brute force on small ones, and the round trip through text."""

import copy
import itertools
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causal.graph import Graph

NAMES = st.text(min_size=1, max_size=4)


@st.composite
def parts(draw, names=NAMES):
    nodes = draw(st.lists(names, min_size=0, max_size=5, unique=True))
    pairs = list(itertools.combinations(nodes, 2))
    directed = [pair for pair in pairs if draw(st.booleans())]
    bidirected = [pair for pair in pairs if draw(st.booleans())]
    return directed, bidirected, nodes  # the Graph is made outside: its type checks use `random`


@given(parts())
@settings(max_examples=150, deadline=None)
def test_text_round_trip(given_parts):
    graph = Graph(*given_parts)
    assert Graph.parse(str(graph)) == graph
    assert eval(repr(graph), {"Graph": Graph}) == graph


@given(parts(st.sampled_from("ABCDE")), st.randoms())
@settings(max_examples=60, deadline=None)
def test_order_of_edges_does_not_matter(given_parts, random):
    graph = Graph(*given_parts)
    directed, bidirected, nodes = (random.sample(part, len(part)) for part in given_parts)
    other = Graph(directed, [(b, a) for a, b in bidirected], nodes)
    assert other == graph
    assert hash(other) == hash(graph)
    assert other.order == graph.order
    assert str(other) == str(graph)


def reachable(edges, start):
    found = {start}
    while True:
        more = {b for a, b in edges if a in found} - found
        if not more:
            return found
        found |= more


@given(parts(st.sampled_from("ABCDE")))
@settings(max_examples=80, deadline=None)
def test_relations_equal_brute_force(given_parts):
    graph = Graph(*given_parts)
    both = graph.bidirected | {(b, a) for a, b in graph.bidirected}
    for node in graph.nodes:
        assert graph.descendants(node) == reachable(graph.directed, node)
        assert graph.ancestors(node) == {
            other for other in graph.nodes if node in reachable(graph.directed, other)
        }
        assert graph.district(node) == reachable(both, node)
        assert graph.parents(node) == tuple(sorted(a for a, b in graph.directed if b == node))
        assert graph.children(node) == tuple(sorted(b for a, b in graph.directed if a == node))
        assert graph.siblings(node) == tuple(sorted(b for a, b in both if a == node))
    places = {name: k for k, name in enumerate(graph.order)}
    assert all(places[a] < places[b] for a, b in graph.directed)
    assert sorted(n for district in graph.districts for n in district) == list(graph.nodes)


def test_parse_forms():
    expected = Graph([("X", "M"), ("M", "Y")], [("X", "Y")], ["Z"])
    for text in (
        "X -> M -> Y; X <-> Y; Z",
        "Y<-M<-X\nY<->X\n\nZ\n",
        "Z, X->M, M->Y, X<->Y,",
        "\"X\" -> 'M' -> Y <-> X ; Z",
    ):
        assert Graph.parse(text) == expected
    odd = Graph.parse("a.b -> keys; 'two words' -> \"it's\"; training; x_1 <-> Ω")
    assert odd.parents("keys") == ("a.b",)
    assert odd.parents("it's") == ("two words",)
    assert Graph.parse("") == Graph()


@pytest.mark.parametrize(
    ("text", "position"),
    [("X -> -> Y", 5), ("X ->", 4), ("-> X", 0), ("X Y", 2), ("X - Y", 2), ("X -- Y", 2),
     ("X;\nY => Z", 5), ("X -> 'Y", 5), ("X <- ; Y", 5)],
)  # fmt: skip
def test_malformed_text_names_the_position(text, position):
    with pytest.raises(ValueError, match=f"malformed graph text at position {position} ") as caught:
        Graph.parse(text)
    assert "line" in str(caught.value)
    assert "column" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Graph.parse("X -> Y -> Z -> X"), "cycle: X -> Y -> Z -> X"),
        (lambda: Graph.parse("A -> B -> C -> D -> B"), "cycle: B -> C -> D -> B"),
        (lambda: Graph.parse("X -> X"), "self-loop X -> X"),
        (lambda: Graph.parse("X <-> X"), "self-loop X <-> X"),
        (lambda: Graph.parse("X -> Y; X -> Y"), "duplicate edge X -> Y"),
        (lambda: Graph([], [("X", "Y"), ("Y", "X")]), "duplicate edge Y <-> X"),
        (lambda: Graph(iter([("X", "Y", "Z")])), "pair of names"),
        (lambda: Graph(iter(["XY"])), "pair of names"),
        (lambda: Graph(nodes=[""]), "empty"),
        (lambda: Graph.parse("X").parents("Y"), r"unknown node\(s\) \['Y'\].*\['X'\]"),
        (lambda: Graph.parse("X").ancestors({"X", "Q"}), r"\['Q'\]"),
        (lambda: Graph.parse("X").subgraph("Q"), r"\['Q'\]"),
    ],
)
def test_errors_name_the_thing(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_surgery():
    graph = Graph.parse("Z -> X -> Y; X <-> Y; Z <-> Y")
    assert graph.remove_incoming("X") == Graph.parse("X -> Y; Z <-> Y")
    assert graph.remove_outgoing({"X", "Z"}) == Graph.parse("X <-> Y; Z <-> Y")
    assert graph.subgraph({"X", "Y"}) == Graph.parse("X -> Y; X <-> Y")


def test_immutable_copyable_and_pure():
    graph = Graph.parse("X -> Y; X <-> Y")
    with pytest.raises(AttributeError):
        graph.nodes = ()
    assert pickle.loads(pickle.dumps(graph)) == copy.deepcopy(graph) == graph
    assert "X" in graph
    assert "Q" not in graph
    code = "import sys, causal.graph; print([m for m in ('torch', 'pyro') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_thousand_nodes_are_no_problem():
    names = [f"v{k:04}" for k in range(1000)]
    graph = Graph(itertools.pairwise(names), itertools.pairwise(names))
    assert graph.order == tuple(names)
    assert len(graph.ancestors(names[-1])) == 1000
    assert len(graph.districts) == 1


@given(parts(st.sampled_from("ABCDEF")), st.sets(st.sampled_from("ABCDEF")))
@settings(max_examples=80, deadline=None)
def test_surgery_on_surgery_equals_a_new_graph(given_parts, chosen):
    graph = Graph(*given_parts)
    chosen &= set(graph.nodes)
    kept = set(graph.nodes) - chosen
    smaller = graph.subgraph(kept)
    fresh = Graph(
        [e for e in graph.directed if kept.issuperset(e)],
        [e for e in graph.bidirected if kept.issuperset(e)],
        kept,
    )
    assert smaller == fresh
    assert hash(smaller) == hash(fresh)
    assert (smaller.order, smaller.districts) == (fresh.order, fresh.districts)
    assert all(smaller.remove_incoming(n) == fresh.remove_incoming(n) for n in kept)
    assert all(smaller.remove_outgoing(n) == fresh.remove_outgoing(n) for n in kept)
    assert pickle.loads(pickle.dumps(smaller)) == fresh
    assert not any(name in smaller for name in chosen)


def ends(graph, hidden, node):
    """A node if it is observed, else the observed nodes that it causes through hidden ones."""
    below = (ends(graph, hidden, child) for child in graph.children(node))
    return set().union(*below) if node in hidden else {node}


def projected_by_definition(graph, hidden):
    """Every path through hidden nodes, by its ends (separation is compared in its own test)."""
    observed = set(graph.nodes) - hidden
    directed = {
        (node, end)
        for node in observed
        for child in graph.children(node)
        for end in ends(graph, hidden, child)
    }
    forks = [(name, name) for name in hidden] + list(graph.bidirected)
    bidirected = {
        tuple(sorted((left, right)))
        for first, second in forks
        for left in ends(graph, hidden, first)
        for right in ends(graph, hidden, second)
        if left != right
    }
    return Graph(directed, bidirected, observed)


@given(parts(st.sampled_from("ABCDEFG")), st.sets(st.sampled_from("ABCDEFG")))
@settings(max_examples=150, deadline=None)
def test_projection_equals_its_definition(given_parts, hidden):
    graph = Graph(*given_parts)
    hidden &= set(graph.nodes)
    assert graph.project(hidden) == projected_by_definition(graph, hidden)


@given(parts(st.sampled_from("ABCDEF")), st.data())
@settings(max_examples=60, deadline=None)
def test_projection_in_steps_is_the_same(given_parts, data):
    graph = Graph(*given_parts)
    hidden = data.draw(st.lists(st.sampled_from(graph.nodes), unique=True)) if graph.nodes else []
    steps = graph
    for name in hidden:
        steps = steps.project(name)
    assert steps == graph.project(hidden)


def test_projection_examples():
    napkin = Graph.parse("U -> W; U -> X; V -> W; V -> Y; W -> Z -> X -> Y")
    assert napkin.project({"U", "V"}) == Graph.parse("W -> Z -> X -> Y; W <-> X; W <-> Y")
    assert Graph.parse("X <-> H; H -> Y").project("H") == Graph.parse("X <-> Y")
    assert Graph.parse("X <-> H <-> Y").project("H") == Graph.parse("X; Y")
    assert Graph.parse("X -> H; H -> Y; H -> Z").project("H") == Graph.parse(
        "X -> Y; X -> Z; Y <-> Z"
    )
    with pytest.raises(ValueError, match=r"unknown node\(s\) \['Q'\]"):
        napkin.project("Q")
