"""Hidden causes: what they are, how they are named, and where their columns go."""

import copy
import pickle

import pytest
import torch

from causal.columns import Mechanism
from causal.graph import Graph
from causal.hidden import Hidden, expanded, named_causes, settled
from causal.law import Law
from causal.scm import SCM

FRONT_DOOR = Graph.parse("X -> M -> Y; X <-> Y")


@pytest.fixture
def scm(laws):
    widths = {"X": 1, "M": 1, "Y": 2}
    parts = {name: laws.Linear(width) for name, width in widths.items()}
    return SCM(FRONT_DOOR, parts, guide=laws.Gaussian(3))


@pytest.mark.parametrize("size", [1, 3])
def test_a_hidden_cause_is_a_standard_normal_law(size):
    cause = Hidden(size)
    assert isinstance(cause, Law)
    law = cause(torch.zeros(4, 5, 0, dtype=torch.float64))
    assert law.batch_shape == (4, 5)
    assert law.event_shape == cause.event_shape
    assert law.mean.dtype == torch.float64
    assert not law.mean.any()
    assert (law.variance == 1).all()
    assert hash(cause) == hash(Hidden(size))


@pytest.mark.parametrize("size", [1.0, True, "1"])
def test_sizes_are_whole_numbers(size):
    with pytest.raises(Exception, match=r"number of columns|Type-check"):
        Hidden(size)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Hidden(0)


def test_edges_get_a_cause_each():
    graph = Graph.parse("A <-> B; C <-> B; A -> C")
    stated = settled(graph, {("B", "A"): Hidden(4)})
    assert list(stated.items()) == [(("A", "B"), Hidden(4)), (("B", "C"), Hidden(1))]
    assert settled(Graph.parse("A -> B")) == {}


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        ({("A", "C"): Hidden()}, r"A <-> C, which the graph lacks.*'A <-> B'"),
        ({("A", "B"): Hidden(), ("B", "A"): Hidden()}, "A <-> B twice"),
        ({("A", "B"): 2}, r"is a causal\.Hidden, got 2"),
        ({"AB": Hidden()}, "two ends"),
        ([("A", "B")], "by edge"),
    ],
)
def test_edges_that_cannot_be(hidden, message):
    with pytest.raises((ValueError, TypeError), match=message):
        settled(Graph.parse("A <-> B; C <-> B"), hidden)


def test_names_are_no_variables():
    graph = Graph([], [("A", "B"), ("A<->B", "C"), ("A", "B<->C")], nodes=["A<->B"])
    names = named_causes(graph)
    assert list(names) == ["A<->B'", "A<->B<->C", "A<->B<->C'"]
    assert not set(names) & set(graph.nodes)
    larger = expanded(graph)
    assert not larger.bidirected
    assert larger.project(list(names)) == graph


def test_columns_follow_the_parents_in_sorted_edge_order(laws):
    graph = Graph.parse("B -> Y; A -> Y; Y <-> Z; A <-> Y")
    sizes = {("Y", "Z"): Hidden(2)}
    widths = {"A": 1, "B": 0, "Z": 2}
    parts = {name: laws.Linear(width) for name, width in widths.items()}
    scm = SCM(graph, {**parts, "Y": laws.Linear(5)}, hidden=sizes)
    assert scm.columns("Y") == ("A", "B", "A<->Y", "Y<->Z[0]", "Y<->Z[1]")
    assert scm.columns("Z") == ("Y<->Z[0]", "Y<->Z[1]")
    assert scm.hidden_columns == ("A<->Y", "Y<->Z[0]", "Y<->Z[1]")
    assert scm.guide_columns == ("A", "B", "Y", "Z")
    assert scm.hidden == {("A", "Y"): Hidden(1), ("Y", "Z"): Hidden(2)}
    other = SCM(graph, {**parts, "Y": Mechanism(laws.Linear(5), ("B", "A"))}, hidden=sizes)
    assert other.columns("Y") == ("B", "A", "A<->Y", "Y<->Z[0]", "Y<->Z[1]")
    assert scm.variables == ("A", "B", "Y", "Z")
    assert set(scm.sample(3)) == set("ABYZ")


def test_laws_and_guides_that_do_not_fit(laws):
    def build(guide=None, widths=(1, 1, 2), graph=FRONT_DOOR):
        parts = {name: laws.Linear(width) for name, width in zip("XMY", widths, strict=True)}
        return SCM(graph, parts, guide=guide)

    with pytest.raises(ValueError, match=r"law of 'Y'.*width 2, columns \['M', 'X<->Y'\]"):
        build(widths=(1, 1, 1))
    with pytest.raises(
        ValueError, match=r"guide does not take.*width 3, columns \['M', 'X', 'Y'\]"
    ):
        build(laws.Gaussian(2))
    with pytest.raises(ValueError, match=r"guide has event_shape \(2,\): expected \(1,\)"):
        build(laws.Gaussian(3, 2))
    with pytest.raises(ValueError, match=r"guide has event_shape \(\)"):
        build(laws.Linear(3))
    with pytest.raises(TypeError, match="guide is no Law: Linear lacks"):
        build(torch.nn.Linear(3, 1))
    with pytest.raises(TypeError, match=r"no nn\.Module"):
        build(Hidden())
    with pytest.raises(ValueError, match="no bidirected edge"):
        build(laws.Gaussian(3), (0, 1, 1), Graph.parse("X -> M -> Y"))

    class Weighted(laws.Random):
        event_shape = torch.Size([1])

    with pytest.raises(ValueError, match="guide has random weights"):
        build(Weighted(3))

    class Lying(laws.Gaussian):
        def forward(self, context):
            return torch.distributions.Normal(context.sum(-1), 1.0)

    with pytest.raises(ValueError, match=r"guide states event_shape \(1,\) but returns.*\(\)"):
        build(Lying(3))

    class Jumping(laws.Gaussian):
        def forward(self, context):
            law = super().forward(context)
            return torch.distributions.Independent(
                torch.distributions.Bernoulli(logits=law.mean), 1
            )

    with pytest.raises(ValueError, match="draws carry no gradient"):
        build(Jumping(3))


def test_the_guide_is_told_its_columns(laws):
    class Bound(laws.Gaussian):
        def bind_columns(self, columns):
            self.columns = columns

    parts = {"X": laws.Linear(1), "M": laws.Linear(1), "Y": laws.Linear(2)}
    scm = SCM(FRONT_DOOR, parts, guide=Bound(3))
    assert scm.guide.law.columns == ("M", "X", "Y")


def test_the_bound_has_a_name(scm, laws):
    assert scm.bound == "evidence lower bound"
    assert "log_probability='evidence lower bound'" in repr(scm)
    plain = SCM(Graph.parse("X -> Y"), {"X": laws.Linear(0), "Y": laws.Linear(1)})
    assert plain.bound is None
    assert "log_probability" not in repr(plain)


def test_hidden_causes_are_no_variables(scm):
    rows = scm.sample(4)
    u = torch.zeros(4).double()
    with pytest.raises(ValueError, match=r"\['X<->Y'\] are hidden causes"):
        scm.sample(4, do={"X<->Y": 0.0})
    with pytest.raises(ValueError, match=r"\['X<->Y'\] are hidden causes"):
        scm.sample(4, given={"X<->Y": 0.0})
    with pytest.raises(ValueError, match=r"unknown column\(s\) \['X<->Y'\].*\['M', 'X', 'Y'\]"):
        scm.log_probability({**rows, "X<->Y": u})
    with pytest.raises(ValueError, match="are hidden causes"):
        scm.columns("X<->Y")
    with pytest.raises(ValueError, match="are hidden causes"):
        scm.effect("X<->Y", do={"X": 1.0}, against={"X": 0.0})
    with pytest.raises(ValueError, match="are hidden causes"):
        scm.counterfactual(rows, do={"X<->Y": 0.0})
    with pytest.raises(ValueError, match="unknown node"):
        scm.law("X<->Y")


def test_a_policy_cannot_read_them(scm):
    seen = []

    def policy(parents):
        seen.append(sorted(parents))
        return parents["M"]

    scm.sample(3, do={"Y": policy})
    scm.effect("Y", do={"X": lambda values: 0.0 * len(values)}, against={"X": 0.0})
    assert seen == [["M"]]


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "state"])
def test_copies_answer_alike(scm, laws, way):
    rows = scm.sample(6)
    ask = lambda one: (  # noqa: E731
        one.log_probability(rows, draws=2, generator=torch.Generator().manual_seed(1)),
        one.sample(6, generator=torch.Generator().manual_seed(1))["Y"],
    )
    if way == "state":
        parts = {"X": laws.Linear(1), "M": laws.Linear(1), "Y": laws.Linear(2)}
        other = SCM(FRONT_DOOR, parts, guide=laws.Gaussian(3))
        with torch.no_grad():
            for parameter in scm.parameters():
                parameter.mul_(1.1)
        other.load_state_dict(scm.state_dict())
    else:
        other = copy.deepcopy(scm) if way == "deepcopy" else pickle.loads(pickle.dumps(scm))
    for one, two in zip(ask(scm), ask(other), strict=True):
        assert torch.equal(one, two)


def test_weights_for_other_hidden_columns_are_refused(scm, laws):
    state = scm.get_extra_state()
    assert state["hidden causes"] == {"X<->Y": ["X<->Y"]}
    wider = SCM(
        FRONT_DOOR,
        {"X": laws.Linear(2), "M": laws.Linear(1), "Y": laws.Linear(3)},
        hidden={("X", "Y"): Hidden(2)},
    )
    with pytest.raises(ValueError, match=r"columns of 'X' is \['X<->Y'\], this one has"):
        wider.set_extra_state(state)
    graph = Graph.parse("X -> M -> Y")
    plain = SCM(graph, {"X": laws.Linear(0), "M": laws.Linear(1), "Y": laws.Linear(1)})
    assert "hidden causes" not in plain.get_extra_state()
    with pytest.raises(ValueError, match="its graph is"):
        plain.set_extra_state(state)


@pytest.mark.parametrize("reads", [True, False])
def test_the_guide_reads_limits_too(laws, reads):
    """±inf is legal where all readers use the column as a limit, the guide among them."""

    class Capped(laws.Linear):
        limit_columns = ("X",)

        def forward(self, context):
            return super().forward(context.nan_to_num(posinf=0.0))

    class Aware(laws.Gaussian):
        limit_columns = ("X",)

        def forward(self, context):
            return super().forward(context.nan_to_num(posinf=0.0))

    guide = laws.Gaussian(3) if reads else Aware(3)
    parts = {"X": laws.Linear(0), "Y": Capped(2), "Z": laws.Linear(1)}
    scm = SCM(Graph.parse("X -> Y; Y <-> Z"), parts, guide=guide)
    rows = scm.sample(4)
    rows["X"][0] = torch.inf
    if reads:
        with pytest.raises(ValueError, match=r"'X' has infinite values.*guide of hidden causes"):
            scm.counterfactual(rows, do={"Y": 0.0})
    else:
        assert scm.counterfactual(rows, do={"Y": 0.0})["Y"].shape == (1, 4)
