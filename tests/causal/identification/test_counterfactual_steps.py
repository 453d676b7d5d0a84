"""Steps of counterfactual proofs: what they say, and that wrong ones are found out."""

from counterfactual_queries import M_X0, NDE, E

from causal.graph import Graph
from causal.identification.counterfactual_events import identify_counterfactual
from causal.identification.counterfactual_steps import Cancellation, Splitting, Unfolding


def test_steps_are_checked():
    graph = Graph.parse("X -> M -> Y; X -> Y; X <-> M")
    steps = identify_counterfactual(graph, events=[NDE], given=[E("M", 1, {"X": 0})]).steps
    assert [type(step) for step in steps][:2] == [Unfolding, Cancellation]
    assert steps[0].before == "P(M_{X=0}=1, Y_{M_{X=0}, X=1}=1)"
    assert steps[0].after == "P(M_{X=0}=1, Y_{M=1, X=1}=1)"
    assert steps[1].after == steps[2].before == steps[2].after == "P(Y_{M=1, X=1}=1)"
    unfolding, cancellation, splitting = steps[:3]
    assert not unfolding.verify(Graph.parse("X -> M -> Y; Z -> Y"))
    assert not cancellation.verify(Graph.parse("X -> M -> Y; X -> Y; M <-> Y"))
    assert not splitting.verify(Graph.parse("X -> M -> Y"))
    wrong = Unfolding((E("Y", 0, {"X": 1, "M": M_X0}),), unfolding.responses)
    assert not wrong.verify(graph)
    joined = Splitting(tuple((response,) for response in unfolding.responses))
    assert joined.verify(graph)
    assert not joined.verify(Graph.parse("X -> M -> Y; X -> Y; M <-> Y"))
