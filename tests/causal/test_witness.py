"""Both models of a witness by enumeration: they agree on all that is supplied, not on the query."""

import random

import numpy as np
import pytest
import torch
import witnessed

from causal.graph import Graph
from causal.identification.events import Event
from causal.joint import Joint
from causal.witness import DiscreteModel, WitnessNotFound, disagreement
from causal.witness.network import Skeleton
from causal.witness.pair import responses
from causal.witness.worlds import numbered

BOW = "X -> Y; X <-> Y"
REFUSED = [
    # hedges: Shpitser & Pearl (2006), figures of graphs that contain one, and Pearl (2009), 3.9
    (BOW, "Y", "X", "", None),
    ("X -> Z -> Y; X <-> Z", "Y", "X", "", None),
    ("X -> Z -> Y; X <-> Z; X <-> Y", "Y", "X", "", None),
    ("X -> Z -> Y; X <-> Y; Z <-> Y", "Y", "X", "", None),
    ("Z -> X -> Y; Z -> Y; X <-> Z; Z <-> Y", "Y", "X", "", None),
    ("X -> Y; X <-> Z; Z -> Y; Z <-> Y", "Y", "X", "", None),
    ("X -> Z <- W; Z -> Y; X <-> W; W <-> Y; X <-> Z", "Y", "X", "", None),
    ("X -> W1 -> Y1; X <-> W2; W2 -> Y2; W1 <-> W2; X <-> Y1; W2 -> X", "Y1 Y2", "X", "", None),
    ("W -> X1 -> Y1; W -> Y2; X2 -> Y2; X1 <-> Y2; W <-> Y1; W <-> X1", "Y1 Y2", "X1", "", None),
    # no single mechanism or hidden cause may change here: all move together
    ("A -> D -> F -> G; E -> F; A <-> D; A <-> E; D <-> F; E <-> G", "G", "F", "", None),
    # an instrument is no help; a napkin with one arc more
    ("Z -> X -> Y; X <-> Y", "Y", "X", "", None),
    ("W -> Z -> X -> Y; W <-> X; W <-> Y; Z <-> X", "Y", "X", "", None),
    # conditions that open a path: M-shaped, and a condition below the bow
    ("X -> Y; X <-> M; M <-> Y", "Y", "X", "M", None),
    ("X -> Y -> W; X <-> Y", "Y", "X", "W", None),
    ("X -> Z -> Y; X -> Y; X <-> Z; X <-> Y", "Y", "X", "Z", None),
    ("A <-> B; B <-> C; C <-> X; X -> C", "A", "X", "B C", None),
    # thickets: no experiment serves, and neither do all together (Lee et al. 2019)
    ("X1 -> Y; X2 -> Y; X1 <-> Y; X2 <-> Y", "Y", "X1 X2", "", ["X1", "X2", ""]),
    ("X -> A -> Y; X <-> A; A <-> Y; X <-> Y", "Y", "X", "", ["A", ""]),
    ("X1 -> X2 -> Y; X1 <-> X2; X2 <-> Y; X1 <-> Y", "Y", "X1 X2", "", ["", "X1"]),
    # what was set in each experiment was never seen by itself
    ("Z -> Y; X", "Y", "X", "", ["Z"]),
    ("X -> Y", "Y", "X", "", ["Y", "X Y"]),
]


@pytest.mark.parametrize(("text", "outcomes", "treatments", "given", "experiments"), REFUSED)
def test_refusals_have_two_models(text, outcomes, treatments, given, experiments):
    sets = {
        "outcomes": set(outcomes.split()),
        "treatments": set(treatments.split()),
        "given": set(given.split()),
    }
    supplied = None if experiments is None else [e.split() for e in experiments]
    found = disagreement(Graph.parse(text), **sets, experiments=supplied)
    agreement, apart = witnessed.check_interventional(found, **sets, experiments=supplied or [()])
    assert agreement <= 1e-12
    assert apart >= 1e-3
    assert found.discrepancy <= 1e-12
    assert found.essential.directed <= found.models[0].graph.directed
    if experiments is not None:
        assert set(found.supplied) <= {
            frozenset(e.split()) & set(found.models[0].variables) for e in experiments
        } | {frozenset()}


COUNTERFACTUAL = [
    ("X -> Y", [Event("Y", 1, do={"X": 1}), Event("Y", 0, do={"X": 0})], [], "experiments"),
    ("X -> Y", [Event("Y", 0, do={"X": 0})], [Event("X", 1), Event("Y", 1)], "experiments"),
    # the effect on the treated: for two treatments it is a difference, for three it is not
    (BOW, [Event("Y", 0, do={"X": 0})], [Event("X", 1)], "experiments"),
    (BOW, [Event("Y", 0, do={"X": 0})], [], "observations"),
    (
        "X -> M -> Y; X -> Y; M <-> Y",
        [Event("Y", 1, do={"X": 1, "M": Event("M", do={"X": 0})})],
        [],
        "experiments",
    ),
    (
        "X -> M -> Y; X -> Y; X <-> M",
        [Event("Y", 1, do={"X": 1, "M": Event("M", do={"X": 0})})],
        [],
        "observations",
    ),
    (
        "X -> Y; X <-> Y; W <-> Y",
        [Event("Y", "sick", do={"X": "drug"}), Event("W", "old")],
        [Event("X", "none")],
        "experiments",
    ),
]


@pytest.mark.parametrize(("text", "events", "given", "available"), COUNTERFACTUAL)
def test_counterfactual_refusals_have_two_models(text, events, given, available):
    found = disagreement(Graph.parse(text), events=events, given=given, available=available)
    labels = found.models[0].labels
    numbers = [[numbered(event, labels) for event in part] for part in (events, given)]
    agreement, apart = witnessed.check_counterfactual(found, *numbers, available)
    assert agreement <= 1e-12
    assert apart >= 1e-3


def test_models_answer_as_enumeration_does():
    graph = Graph.parse("A -> X -> M -> Y; X <-> Y; A <-> Y; M <-> A; B")
    found = disagreement(graph, outcomes="Y", treatments={"X", "M"}, given="A")
    model = found.models[0]
    oracle = witnessed.enumerated(model)
    for do in (set(), {"X"}, {"A", "M"}):
        table = model.interventional(do)
        assert table.names == graph.nodes
        np.testing.assert_allclose(table.values, oracle.interventional(do), atol=1e-13)
    for name in graph.nodes:
        table = model.mechanism(name)
        joined = [edge for edge in oracle.hidden if name in edge]
        assert table.names[0] == name
        assert set(table.names[1:]) >= {" <-> ".join(edge) for edge in joined}
        np.testing.assert_allclose(table.sum(name).values, 1)
    for edge, chances in oracle.hidden.items():
        np.testing.assert_array_equal(model.cause(edge[::-1]), chances)
    assert model.cause(("A", "M")).sum() == 1
    with pytest.raises(ValueError, match="no edge A <-> B"):
        model.cause(("A", "B"))
    query = model.query("Y", treatments={"X", "M"}, given="A")
    np.testing.assert_allclose(query.values, oracle.query({"Y"}, {"X", "M"}, {"A"}), atol=1e-12)
    assert torch.equal(query.values, found.query[0].values)


def test_a_model_is_a_joint():
    model = disagreement(Graph.parse(BOW + "; B"), outcomes="Y", treatments="X").models[0]
    assert isinstance(model, Joint)
    assert model.variables == ("B", "X", "Y")
    rows = model.sample(5, generator=torch.Generator().manual_seed(0))
    assert set(rows) == {"B", "X", "Y"}
    total = model.log_probability({"X": torch.tensor([0, 1])}).exp().sum()
    torch.testing.assert_close(total, torch.ones((), dtype=torch.float64))
    missing = {key: block for key, block in model.blocks.items() if key != "Y"}
    with pytest.raises(ValueError, match="no block for"):
        DiscreteModel(model.graph, model.shape, missing)
    with pytest.raises(ValueError, match="expected one for each of"):
        DiscreteModel(model.graph, model.shape, {**model.blocks, "Y": torch.ones(2)})
    with pytest.raises(ValueError, match="different values in different worlds"):
        model.counterfactual([Event("Y", 1, do={"X": 1}), Event("Y", 0, do={"X": 0})])
    with pytest.raises(ValueError, match="has states 0 … 1"):
        model.counterfactual([Event("Y", 2)])
    with pytest.raises(ValueError, match="no state 'sick'"):
        model.counterfactual([Event("Y", "sick")])


def test_what_is_identified_has_no_witness():
    front_door = Graph.parse("X -> M -> Y; X <-> Y")
    with pytest.raises(ValueError, match=r"is identified, .*sum_\{M\}"):
        disagreement(front_door, outcomes="Y", treatments="X")
    with pytest.raises(ValueError, match=r"P\(Y_\{X=1\}=1\) is identified"):
        disagreement(Graph.parse(BOW), events=Event("Y", 1, do={"X": 1}))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="leave out outcomes"):
        disagreement(Graph.parse(BOW), events=[Event("Y", 1)], outcomes="Y")
    with pytest.raises(ValueError, match="unknown node"):
        disagreement(Graph.parse(BOW), outcomes="Q", treatments="X")
    with pytest.raises(ValueError, match="both in outcomes"):
        disagreement(Graph.parse(BOW), outcomes="Y", treatments={"X", "Y"})


def test_nothing_found_in_time(monkeypatch):
    monkeypatch.setattr("causal.witness.pair.LEAST", 1.0)
    with pytest.raises(WitnessNotFound, match="allow more seconds or another seed") as caught:
        disagreement(Graph.parse(BOW), outcomes="Y", treatments="X", seconds=0)
    best = caught.value.best
    assert best.discrepancy <= 1e-12
    assert 0 < best.difference < 1


def test_a_seed_decides_and_nothing_global_changes():
    graph, state = Graph.parse("X -> Z -> Y; X <-> Z; X <-> Y"), torch.get_rng_state()
    found = [
        disagreement(graph, outcomes="Y", treatments="X", seed=3),
        disagreement(
            graph, outcomes="Y", treatments="X", generator=torch.Generator().manual_seed(3)
        ),
        disagreement(graph, outcomes="Y", treatments="X", seed=4),
    ]
    first, second, other = (f.models[0].factor().values for f in found)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert str(found[0]).startswith("two models on X -> Z; Z -> Y; ")


def test_many_variables():
    rng = random.Random(0)
    names = [f"V{k:02d}" for k in range(40)]
    pairs = {(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if rng.random() < 0.15}
    graph = Graph(pairs | {("V38", "V39")}, [("V38", "V39"), ("V01", "V07"), ("V07", "V39")])
    found = disagreement(graph, outcomes="V39", treatments="V38")
    assert len(found.essential.directed) == 1
    assert found.difference >= 1e-3
    with pytest.raises(ValueError, match="joint table would have"):
        found.models[0].factor()


def test_functions_of_many_parents_are_drawn():
    few = responses(2, [2, 2], torch.Generator())
    assert few.shape == (16, 2, 2, 2)
    many = responses(3, [2, 2, 2], torch.Generator().manual_seed(0))
    assert many.shape == (64, 2, 2, 2, 3)
    assert torch.equal(many.sum(-1), torch.ones(64, 2, 2, 2).double())
    assert (many.sum(0) > 0).all()


def test_axes_of_blocks():
    shape = Skeleton(Graph.parse("X -> Y; X <-> Y"), {}, {"X": 2, "Y": 3})
    assert shape.shape("Y", {("X", "Y"): 4}) == (3, 2, 4)
    assert shape.shape(("X", "Y"), {("X", "Y"): 4}) == (4,)
