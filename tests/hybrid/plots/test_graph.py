"""Pictures of graphs: what is in them, and what is refused."""

import builtins

import pytest

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

from matplotlib.figure import Figure
from matplotlib.patches import Circle

from causal.graph import Graph
from hybrid.plots import causal_graph, positions

GRAPH = Graph.parse("Z -> X -> M -> Y; X -> Y; X <-> Y; W")


def test_every_node_and_edge_is_drawn_once():
    axes = causal_graph(GRAPH, treatments="X", outcomes={"Y"})
    assert sorted(text.get_text() for text in axes.texts if text.get_text()) == list("MWXYZ")
    assert sum(isinstance(patch, Circle) for patch in axes.patches) == 5
    arrows = [text for text in axes.texts if not text.get_text()]
    assert len(arrows) == len(GRAPH.directed) + len(GRAPH.bidirected)
    shades = {patch.get_facecolor() for patch in axes.patches}
    assert len(shades) == 3


def test_causes_stand_left_of_their_effects_and_no_two_nodes_meet():
    places = positions(GRAPH)
    assert all(places[cause][0] < places[effect][0] for cause, effect in GRAPH.directed)
    assert len(set(places.values())) == 5


def test_a_picture_can_be_drawn_into_a_figure_and_saved(tmp_path):
    axes = Figure().subplots()
    assert causal_graph(GRAPH, axes=axes) is axes
    axes.figure.savefig(tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").stat().st_size > 1000


def test_errors_tell_the_mend(monkeypatch):
    with pytest.raises(ValueError, match="unknown node"):
        causal_graph(GRAPH, treatments="Q")
    with pytest.raises(ValueError, match="nothing to draw"):
        causal_graph(Graph())
    real = builtins.__import__

    def without(name, *args):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'borromean\[plot\]'"):
        causal_graph(GRAPH)
