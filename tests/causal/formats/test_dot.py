"""DOT and dagitty's text: what is read, what comes back, what is refused and where."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causal.graph import Graph

NAMES = st.text(min_size=1, max_size=4) | st.sampled_from(
    ["node", "Edge", "graph", "strict", "a b"]
)


@st.composite
def parts(draw):
    nodes = draw(st.lists(NAMES, min_size=0, max_size=5, unique=True))
    pairs = list(itertools.combinations(nodes, 2))
    directed = [pair for pair in pairs if draw(st.booleans())]
    bidirected = [pair for pair in pairs if draw(st.booleans())]
    hidden = [name for name in nodes if draw(st.booleans())]
    return directed, bidirected, nodes, hidden


@given(parts())
@settings(max_examples=30, deadline=None)
def test_round_trips(given_parts):
    *edges, hidden = given_parts
    graph = Graph(*edges)
    for text in (graph.to_dot(), graph.to_dagitty()):
        assert Graph.parse(text) == graph
    for text in (graph.to_dot(hidden=hidden), graph.to_dagitty(hidden=hidden)):
        assert Graph.parse(text, keep_hidden=True) == graph
        assert Graph.parse(text) == graph.project(hidden)


FORMS = {
    "edges": "digraph { X -> M -> Y; X -> Y [dir=both]; Z }",
    "attributes": """strict digraph "a graph" {
        rankdir=LR;
        node [shape=box, style="a;b"];
        X -> M [label=<b> weight=3] M -> Y; M -> Y; Z [pos="1,2!"]
        edge [dir=both]; X -> Y
    }""",
    "comments": """/* a comment */ digraph G { // more
# and more
        X -> M; M:s -> Y:n; Y <-> X; subgraph c { Z } }""",
    "backwards": "digraph { Y -> M -> X [dir=back]; Z; { edge [dir=both] X -> Y } }",
    "dagitty": """dag {
        bb="0,0,1,1"
        X [exposure,pos="-1.2,0.3"]
        Y [outcome]
        Z
        X -> M
        M -> Y [beta=0.5]
        X <-> Y
    }""",
    "dense": "dag{X->M;Y<-M;X<->Y;Z}",
    "groups": 'dag "my model" { X -> {M} -> Y X <-> Y Z }',
    "latent": "dag { U [latent]; U -> {X Y}; X -> M -> Y; Z }",
    "observed": 'digraph { U [observed="no"]; U -> X; U -> Y; X -> M -> Y; Z }',
    "hidden": "digraph { U [hidden=true, style=dashed]; U -> {X Y}; X -> M -> Y; Z }",
    "pdag": "pdag { X -> M -> Y <-> X Z }",
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name):
    assert Graph.parse(FORMS[name]) == Graph.parse("X -> M -> Y; X <-> Y; Z")


def test_groups_and_defaults():
    assert Graph.parse("dag { {A B} -> {C D} }") == Graph.parse("A -> C <- B; A -> D <- B")
    # What is set inside braces holds inside them; an edge's own attribute comes before the default.
    scoped = (
        "digraph { { edge [dir=both] A -> B } B -> C; edge [dir=back] C -> D; D -> E [dir=both] }"
    )
    assert Graph.parse(scoped) == Graph.parse("A <-> B -> C <- D; D <-> E")
    assert Graph.parse("digraph { node -> edge }") == Graph.parse("node -> edge")
    kept = Graph.parse("dag { U [latent] U -> X }", keep_hidden=True)
    assert kept == Graph.parse("U -> X")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dag { X -> }", r"position 11 \(line 1, column 12\): expected a node, .* got '}'"),
        ("dag {\n  X -> Y\n", r"position 15 \(line 3, column 1\): .* got the end"),
        ("digraph { X -- Y }", r"position 12 .*expected an arrow .*direction.*got '-- Y }'"),
        ("dag { X @-> Y }", r"position 8 .*expected an arrow"),
        ("digraph { X -> Y [dir=none] }", r"position 14 .*dir=none has none"),
        ("digraph { X -> Y [dir= }", r"position 23 .*expected a value"),
        ("digraph { X -> Y [ }", r"position 19 .*expected an attribute"),
        ("digraph { subgraph X Y }", r"position 21 .*expected an opening brace"),
        ('digraph { X -> "Y }', r"position 15 .*expected a node"),
        ("digraph { X } Y", r"position 14 .*nothing after the closing brace, got 'Y'"),
        ("mag { X -> Y }", "a mag says what causes what only up to hidden causes"),
        ("pag { X @-> Y }", "a pag says"),
        ("pdag { X -- Y }", r"position 9 .*direction"),
        ("dag { X -> Y; S [selected] }", "'S' is marked as selected"),
        ("digraph { X -> Y; X -> Y }", "duplicate edge X -> Y"),
        ("digraph { X -> Y -> X }", "cycle: X -> Y -> X"),
        ("dag " + "{" * 200, r"position 106 .*at most 100 braces within each other"),
    ],
)
def test_errors_name_the_place(text, message):
    with pytest.raises(ValueError, match=message):
        Graph.parse(text)
