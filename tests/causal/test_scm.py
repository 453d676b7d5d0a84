"""SCM: construction, data, sampling, densities, tables; the rules that make parts compose."""

import copy
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributions as td
from torch import nn
from torch.distributions import constraints

from causal.columns import Mechanism
from causal.draws import fixed, held
from causal.graph import Graph
from causal.joint import Joint
from causal.scm import SCM

CHAIN = Graph.parse("X -> M -> Y; X -> Y")


@pytest.fixture
def chain(laws):
    return SCM(CHAIN, {"X": laws.Linear(0), "M": laws.Linear(1), "Y": laws.Linear(2)})


@pytest.fixture
def random_chain(laws):
    return SCM(CHAIN, {"X": laws.Linear(0), "M": laws.Random(1), "Y": laws.Random(2)})


@pytest.fixture
def finite(laws):
    graph = Graph.parse("A -> B -> C; A -> C; D -> C")
    parts = {"A": laws.Classes(0), "B": laws.Binary(3), "C": laws.Classes(5, 4)}
    return SCM(graph, {**parts, "D": laws.Classes(0, 2)})


def rows(scm, n=20, seed=0):
    return scm.sample(n, generator=torch.Generator().manual_seed(seed))


def test_conditions_may_be_positional_as_in_the_contract(chain):
    assert (chain.sample(3, {"X": 1.0})["X"] == 1).all()


# -- construction -----------------------------------------------------------------------------


def test_columns_and_context_order(laws):
    graph = Graph.parse("B -> Y; A -> Y; K -> Y; V -> Y")
    parts = {
        "A": laws.Linear(0), "B": laws.Binary(0), "K": laws.Classes(0), "V": laws.Vector(2),
    }  # fmt: skip
    scm = SCM(graph, {**parts, "Y": laws.Linear(7)})
    expected = ("A", "B", "K[0]", "K[1]", "K[2]", "V[0]", "V[1]")
    assert scm.columns("Y") == expected
    other = SCM(graph, {**parts, "Y": Mechanism(laws.Linear(7), ("V", "K", "A", "B"))})
    assert other.columns("Y") == ("V[0]", "V[1]", "K[0]", "K[1]", "K[2]", "A", "B")
    data = rows(scm)
    with torch.no_grad():
        for name, module in ((n, scm.law(n)) for n in "ABKV"):
            other.law(name).load_state_dict(module.state_dict())
        other.law("Y").weight.copy_(scm.law("Y").weight[torch.tensor([5, 6, 2, 3, 4, 0, 1])])
    torch.testing.assert_close(scm.log_probability(data), other.log_probability(data))


@pytest.mark.parametrize(
    "names",
    [("keys", "training", "a.b"), ("forward", "with space", "of_keys"), ("a%2Eb", "a.b", "a.b.c"),
     ("__init__", "_modules", "parameters"), ("units", "divergence", "items")],
)  # fmt: skip
def test_any_name_works(laws, names):
    x, m, y = names
    graph = Graph([(x, m), (m, y)])
    scm = SCM(graph, {x: laws.Linear(0), m: laws.Linear(1), y: laws.Linear(1)})
    data = rows(scm)
    assert scm.log_probability(data).shape == (20,)
    assert scm.counterfactual(data, do={x: 0.0})[y].shape == (1, 20)
    assert scm(data)[y] is not None
    other = SCM(graph, {n: copy.deepcopy(scm.law(n)) for n in names})
    other.load_state_dict(scm.state_dict())


@pytest.mark.parametrize(
    ("graph", "change", "message"),
    [
        ("X -> Y; X <-> Y", {}, r"law of 'X'.*width 1, columns \['X<->Y'\]"),
        ("X -> Y; Z", {}, r"no law for \['Z'\]"),
        ("X -> Y", {"Q": 0}, r"laws for \['Q'\]"),
        ("X -> Y", {"Y": 2}, r"law of 'Y'.*width 1, columns \['X'\].*expected 2 columns, got 1"),
    ],
)
def test_construction_errors(laws, graph, change, message):
    widths = {"X": 0, "Y": 1, **change}
    with pytest.raises(ValueError, match=message):
        SCM(Graph.parse(graph), {name: laws.Linear(width) for name, width in widths.items()})


def test_more_construction_errors(laws):
    graph = Graph.parse("X -> Y")
    with pytest.raises(TypeError, match="'Y' is no Law: Linear lacks"):
        SCM(graph, {"X": laws.Linear(0), "Y": nn.Linear(1, 1)})
    with pytest.raises(TypeError, match=r"'Y' is no Law.*no nn\.Module"):
        SCM(graph, {"X": laws.Linear(0), "Y": lambda context: context})
    with pytest.raises(ValueError, match=r"Mechanism of 'Y'.*\['Z'\].*\['X'\]"):
        SCM(graph, {"X": laws.Linear(0), "Y": Mechanism(laws.Linear(1), ("Z",))})
    lying = laws.Linear(1)
    lying.event_shape = torch.Size([1])
    with pytest.raises(ValueError, match=r"'Y' states event_shape \(1,\) but returns.*\(\)"):
        SCM(graph, {"X": laws.Linear(0), "Y": lying})

    class Unsqueezed(nn.Module):
        event_shape, support = torch.Size(), constraints.real

        def forward(self, context):
            return td.Normal(context[..., :1], 1.0)

    with pytest.raises(ValueError, match=r"'Y'.*batch shape \(2, 1\).*squeeze"):
        SCM(graph, {"X": laws.Linear(0), "Y": Unsqueezed()})


def test_construction_leaves_random_state_and_statistics_alone(laws):
    class Normed(laws.Linear):
        def __init__(self):
            super().__init__(1)
            self.norm = nn.BatchNorm1d(1, dtype=torch.float64)

        def forward(self, context):
            return super().forward(self.norm(context))

    before = torch.get_rng_state()
    law = Normed()
    scm = SCM(Graph.parse("X -> Y"), {"X": laws.Linear(0), "Y": law})
    assert torch.equal(torch.get_rng_state(), before)
    assert law.norm.num_batches_tracked == 0
    assert law.norm.training
    assert law.training
    assert isinstance(scm, Joint)


def test_columns_are_bound_by_name(laws):
    class Bound(laws.Linear):
        bound = ()

        def bind_columns(self, columns):
            if "W" not in columns:
                raise ValueError(f"no column 'W' among {list(columns)}")
            self.bound = columns

    law = Bound(2)
    graph = Graph.parse("W -> Y <- T")
    SCM(graph, {"W": laws.Linear(0), "T": laws.Binary(0), "Y": law})
    assert law.bound == ("T", "W")
    with pytest.raises(ValueError, match=r"'Y'.*no column 'W'"):
        SCM(Graph.parse("V -> Y"), {"V": laws.Linear(0), "Y": Bound(1)})


# -- state ------------------------------------------------------------------------------------


def test_two_orders_of_edges_exchange_weights(laws):
    names = {"X": 0, "M": 1, "Y": 2}
    first = SCM(Graph.parse("X -> M -> Y; X -> Y"), {n: laws.Linear(w) for n, w in names.items()})
    graph = Graph([("X", "Y"), ("M", "Y"), ("X", "M")], nodes=["Y", "M", "X"])
    second = SCM(graph, {n: laws.Linear(names[n]) for n in ("Y", "X", "M")})
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(torch.randn_like(parameter))
    data = rows(first)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.log_probability(data), second.log_probability(data))
    assert list(first.state_dict()) == list(second.state_dict())


def test_weights_of_another_model_are_refused(laws, chain):
    state = chain.state_dict()
    other = SCM(
        Graph.parse("X -> M -> Y; Z -> Y"),
        {"X": laws.Linear(0), "M": laws.Linear(1), "Y": laws.Linear(2), "Z": laws.Linear(0)},
    )
    with pytest.raises(ValueError, match="another model: its graph is 'M -> Y; X -> M; X -> Y'"):
        other.load_state_dict(state)
    swapped = SCM(
        CHAIN,
        {"X": laws.Linear(0), "M": laws.Linear(1), "Y": Mechanism(laws.Linear(2), ("X", "M"))},
    )
    with pytest.raises(ValueError, match=r"columns of 'Y' is \['M', 'X'\], this one has \['X'"):
        swapped.load_state_dict(state)


def test_copies_answer_alike(random_chain):
    data = rows(random_chain)
    expected = random_chain.log_probability(
        data, draws=3, generator=torch.Generator().manual_seed(1)
    )
    for other in (copy.deepcopy(random_chain), pickle.loads(pickle.dumps(random_chain))):
        mine = other.log_probability(data, draws=3, generator=torch.Generator().manual_seed(1))
        assert torch.equal(mine, expected)


# -- data -------------------------------------------------------------------------------------


def test_data_is_cast(finite, chain):
    data = rows(finite)
    expected = finite.log_probability(data)
    for kind in (torch.int8, torch.int64, torch.float32, torch.uint8):
        cast = {name: column.to(kind) for name, column in data.items()}
        torch.testing.assert_close(finite.log_probability(cast), expected)
    cast = {**data, "B": data["B"].bool()}
    torch.testing.assert_close(finite.log_probability(cast), expected)
    frame = pd.DataFrame({name: column.numpy() for name, column in data.items()})
    torch.testing.assert_close(finite.log_probability(frame), expected)
    single = {name: column.float() for name, column in rows(chain).items()}
    result = chain.log_probability(single)
    assert result.dtype == torch.float64
    whole = {name: np.array([1, 2], dtype=np.int8) for name in "XMY"}
    assert chain.log_probability(whole).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Y": torch.zeros(20, 1)}, r"'Y' has shape \(20, 1\).*scalar.*squeeze\(-1\)"),
        ({"Y": torch.zeros(19)}, "different lengths: .*'Y': 19"),
        ({"Y": torch.full((20,), torch.nan)}, "'Y' has NaN values, first in row 0"),
        ({"M": torch.full((20,), torch.inf)}, "'M' has infinite values"),
        ({"Q": torch.zeros(20)}, r"unknown column\(s\) \['Q'\]"),
        ({"Y": torch.zeros(())}, r"'Y' has shape \(\).*expected \(batch,\)"),
    ],
)
def test_bad_rows_are_named(chain, change, message):
    data = rows(chain)
    for call in (
        chain.log_probability, chain, lambda d: chain.counterfactual(d, do={"X": 0.0}),
        lambda d: chain.effect("Y", do={"X": 1}, against={"X": 0}, evidence=d),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call({**data, **change})


def test_missing_and_wrong_classes(finite, chain):
    data = rows(finite)
    with pytest.raises(ValueError, match="'A' must be a class number 0 … 2, got 3"):
        finite.log_probability({**data, "A": torch.full((20,), 3)})
    with pytest.raises(ValueError, match=r"'B' must be 0 or 1, got 0\.5"):
        finite.log_probability({**data, "B": torch.full((20,), 0.5)})
    data = rows(chain)
    with pytest.raises(ValueError, match=r"missing column\(s\) \['X'\]"):
        chain.log_probability({"M": data["M"], "Y": data["Y"]})
    with pytest.raises(ValueError, match=r"missing column\(s\) \['M', 'X'\]"):
        chain.counterfactual({"Y": data["Y"]}, do={"M": 0.0})
    with pytest.raises(TypeError, match="'X' is not numeric"):
        chain.log_probability({**data, "X": ["a"] * 20})
    with pytest.raises(TypeError, match="'X' is complex"):
        chain.log_probability({**data, "X": torch.zeros(20, dtype=torch.complex64)})


def test_infinity_is_legal_in_a_column_of_limits(laws):
    class Capped(laws.Linear):
        limit_columns = frozenset()

        def bind_columns(self, columns):
            self.limit_columns = frozenset({"cap"})

        def forward(self, context):  # columns: X, cap
            return super().forward(context[..., :1])

    class Flat(nn.Module):
        event_shape, support = torch.Size(), constraints.real

        def forward(self, context):
            batch = context.shape[:-1]
            return td.Normal(context.new_zeros(batch), 1.0, validate_args=False)

    parts = {"X": laws.Linear(0), "cap": Flat(), "Y": Capped(1)}
    scm = SCM(Graph.parse("X -> Y <- cap"), parts)
    data = {"X": torch.zeros(2), "cap": torch.tensor([1.0, torch.inf]), "Y": torch.zeros(2)}
    torch.testing.assert_close(
        scm.counterfactual(data, do={"X": 1.0})["Y"], torch.full((1, 2), 0.5).double()
    )
    with pytest.raises(ValueError, match="'X' has infinite values"):
        scm.counterfactual({**data, "X": data["cap"]}, do={"X": 1.0})
    with pytest.raises(ValueError, match="'cap' has NaN"):
        scm.counterfactual({**data, "cap": data["cap"] - torch.inf}, do={"X": 1.0})
    other = SCM(Graph.parse("X -> Y <- cap -> Z"), {**parts, "Y": Capped(1), "Z": laws.Linear(1)})
    with pytest.raises(ValueError, match="'cap' has infinite values"):
        other.counterfactual(data, do={"X": 1.0})


# -- axes and randomness ----------------------------------------------------------------------


def test_axes(random_chain, laws):
    scm = random_chain
    data = rows(scm, 7)
    for draws in (None, 1, 5):
        lead = () if draws is None else (draws,)
        assert scm.sample(7, draws=draws)["Y"].shape == (*lead, 7)
        assert scm.sample(7, draws=draws)["X"].shape == (*lead, 7)
        assert scm.log_probability(data, draws=draws).shape == (*lead, 7)
        worlds = scm.counterfactual(data, do=[{"X": 0.0}, {"X": 1.0}, {}], draws=draws)
        assert {name: tuple(column.shape) for name, column in worlds.items()} == dict.fromkeys(
            "MXY", (*lead, 3, 7)
        )
    with fixed(scm, 5):
        assert scm.sample(10)["Y"].shape == (5, 10)
        assert torch.equal(scm.log_probability(data), scm.log_probability(data, draws=5))
        with pytest.raises(ValueError, match="already fixed"):
            scm.sample(10, draws=4)
    # The number of draws may equal any other size: nothing is inferred from sizes.
    assert scm.log_probability(data, draws=7).shape == (7, 7)
    vector = SCM(Graph.parse("V -> Y"), {"V": laws.Vector(3), "Y": laws.Random(3)})
    assert vector.sample(4, draws=3)["V"].shape == (3, 4, 3)
    assert vector.sample(3, draws=3)["Y"].shape == (3, 3)


def test_one_weight_draw_serves_a_whole_call(random_chain):
    data = rows(random_chain, 4)
    twice = {name: torch.cat([column, column]) for name, column in data.items()}
    for draws in (None, 3):
        result = random_chain.log_probability(twice, draws=draws)
        torch.testing.assert_close(result[..., :4], result[..., 4:])
    # The weights that abduct are the weights that predict: the factual world returns the evidence.
    worlds = random_chain.counterfactual(data, do=[{"X": data["X"] + 1e-9}], draws=6)
    torch.testing.assert_close(worlds["Y"], data["Y"].expand(6, 1, 4), atol=1e-6, rtol=0)


def test_draws_are_a_loop_over_single_draws(random_chain):
    data = rows(random_chain, 4)
    with fixed(random_chain, 3):
        together = random_chain.log_probability(data)
        weights = {n: random_chain.law(n) for n in "MY"}
        held_weights = {n: held(law) for n, law in weights.items()}
    x, m, y = (data[n] for n in "XMY")
    for k in range(3):
        wm, wy = held_weights["M"][k], held_weights["Y"][k]
        expected = random_chain.law("X")(torch.zeros(4, 0).double()).log_prob(x)
        expected = expected + td.Normal(wm[0] * x + wm[1], 1.0).log_prob(m)
        expected = expected + td.Normal(wy[0] * m + wy[1] * x + wy[2], 1.0).log_prob(y)
        torch.testing.assert_close(together[k], expected)


def test_generator(random_chain, finite):
    data = rows(random_chain, 6)
    calls = [
        lambda g: random_chain.sample(5, draws=2, generator=g)["Y"],
        lambda g: random_chain.log_probability(data, draws=2, generator=g),
        lambda g: random_chain.counterfactual(data, do={"X": 0.0}, draws=2, generator=g)["Y"],
        lambda g: (
            random_chain.effect("Y", do={"X": 1.0}, against={"X": 0.0}, draws=3, generator=g).draws
        ),
        lambda g: finite.sample(9, given={"C": 1}, generator=g)["A"],
        lambda g: finite.counterfactual(
            rows(finite), do={"A": 1}, convention="quantile", generator=g
        )["C"],
    ]
    for call in calls:
        before = torch.get_rng_state()
        results = [call(torch.Generator().manual_seed(3)) for _ in range(2)]
        assert torch.equal(*results)
        assert torch.equal(torch.get_rng_state(), before)
        first, second = call(None), call(None)
        assert not torch.equal(torch.get_rng_state(), before)
        assert first.shape == second.shape
        torch.manual_seed(5)
        third = call(None)
        torch.manual_seed(5)
        assert torch.equal(third, call(None))


# -- densities and tables ---------------------------------------------------------------------


def test_density_is_the_sum_of_terms(chain):
    data = rows(chain)
    x, m, y = (data[n] for n in "XMY")
    law = {n: chain.law(n) for n in "XMY"}
    px = law["X"](torch.zeros(20, 0).double()).log_prob(x)
    pm = law["M"](x[:, None]).log_prob(m)
    py = law["Y"](torch.stack([m, x], 1)).log_prob(y)
    torch.testing.assert_close(chain.log_probability(data), px + pm + py)
    torch.testing.assert_close(chain.log_probability({"X": x, "M": m}), px + pm)
    torch.testing.assert_close(chain.log_probability(data, given=["X"]), pm + py)
    torch.testing.assert_close(chain.log_probability(data, given="X"), pm + py)
    torch.testing.assert_close(chain.log_probability({"M": m}, given={"X": x}), pm)
    at = law["Y"](torch.stack([torch.full_like(x, 2.0), x], 1)).log_prob(y)
    torch.testing.assert_close(chain.log_probability(data, do={"M": 2.0}), px + at)
    torch.testing.assert_close(chain.log_probability({"X": x, "Y": y}, do={"M": 2.0}), px + at)
    per_row = chain.log_probability(data, do={"M": m})
    torch.testing.assert_close(per_row, px + py)
    by_parents = chain.log_probability(data, do={"M": lambda p: 2 * p["X"]})
    torch.testing.assert_close(by_parents, px + law["Y"](torch.stack([2 * x, x], 1)).log_prob(y))
    chain.log_probability(data).sum().backward()
    assert all(p.grad is not None for p in chain.parameters())


def test_table_equals_enumeration(finite):
    table = finite.factor()
    assert table.names == ("A", "B", "C", "D")
    assert table.values.shape == (3, 2, 4, 2)
    torch.testing.assert_close(table.values.sum(), torch.ones(()).double())
    cells = torch.tensor(list(itertools.product(range(3), range(2), range(4), range(2))))
    data = dict(zip("ABCD", cells.T, strict=True))
    torch.testing.assert_close(table.values.flatten().log(), finite.log_probability(data))
    some = {"C": cells[:, 2], "B": cells[:, 1]}
    torch.testing.assert_close(finite.log_probability(some), table.log_probability(some))
    torch.testing.assert_close(
        finite.log_probability(some, given="C"), table.log_probability(some, given="C")
    )
    table.values.log().sum().backward()
    assert all(p.grad.isfinite().all() for p in finite.parameters())


def test_table_under_do_equals_enumeration(finite):
    marginal = finite.log_probability({"C": torch.arange(4)}, do={"B": 1}).exp()
    expected = torch.zeros(4).double()
    law_c = finite.law("C")
    pa = finite.law("A")(torch.zeros(0).double()).probs
    pd_ = finite.law("D")(torch.zeros(0).double()).probs
    for a, d in itertools.product(range(3), range(2)):
        context = torch.cat([torch.eye(3)[a], torch.tensor([1.0, d])]).double()
        expected += pa[a] * pd_[d] * law_c(context).probs
    torch.testing.assert_close(marginal, expected)


def test_table_limits(laws, chain):
    with pytest.raises(ValueError, match=r"\['M', 'X', 'Y'\] are not"):
        chain.factor()
    many = Graph(nodes=[f"v{k:02}" for k in range(30)])
    scm = SCM(many, {name: laws.Binary(0) for name in many.nodes})
    with pytest.raises(ValueError, match=r"1,073,741,824 cells"):
        scm.factor()


def test_table_with_draws(laws):
    class Wobbly(laws.Random):
        support = constraints.boolean

        def forward(self, context):
            return td.Bernoulli(logits=super().forward(context).mean)

    scm = SCM(Graph.parse("A -> B"), {"A": laws.Binary(0), "B": Wobbly(1)})
    with fixed(scm, 4):
        table = scm.factor()
        assert table.values.shape == (4, 2, 2)
        data = {"A": torch.tensor([0, 1, 1]), "B": torch.tensor([1, 0, 1])}
        torch.testing.assert_close(table.log_probability(data), scm.log_probability(data))
        assert scm.sample(5, given={"B": 1})["A"].shape == (4, 5)


# -- sampling ---------------------------------------------------------------------------------


def test_interventional_means(chain):
    n = 200_000
    sample = chain.sample(n, do={"M": 2.0})
    weight = chain.law("Y").weight.detach()
    expected = weight[0] * 2.0 + weight[1] * 0.3 + 0.3
    assert (sample["M"] == 2.0).all()
    torch.testing.assert_close(sample["Y"].mean(), expected, atol=0.02, rtol=0)
    assert not sample["Y"].requires_grad


@pytest.mark.parametrize("draws", [None, 3])
def test_kinds_of_actions(random_chain, laws, draws):
    n, lead = 6, () if draws is None else (draws,)
    row = torch.arange(6.0)
    values = {
        "number": 2, "row": row, "function": lambda parents: parents["X"] * 2,
        "distribution": td.Uniform(5.0, 6.0),
    }  # fmt: skip
    for kind, action in values.items():
        sample = random_chain.sample(n, do={"M": action}, draws=draws)
        assert sample["M"].shape == sample["Y"].shape == (*lead, n)
        if kind == "row":
            assert torch.equal(sample["M"], row.double().expand(*lead, n))
        if kind == "function":
            assert torch.equal(sample["M"], 2 * sample["X"])
        if kind == "distribution":
            assert sample["M"].unique().numel() == sample["M"].numel()
    vector = SCM(Graph.parse("V -> Y"), {"V": laws.Vector(2), "Y": laws.Random(2)})
    for action in (torch.ones(2), torch.ones(n, 2)):
        sample = vector.sample(n, do={"V": action}, draws=draws)
        assert torch.equal(sample["V"], torch.ones(*lead, n, 2).double())


def test_numbers_do_not_pass_through_single_precision(chain):
    assert (chain.sample(2, do={"M": 0.1})["M"] == torch.tensor(0.1, dtype=torch.float64)).all()


def test_bad_actions(chain, laws):
    with pytest.raises(ValueError, match=r"unknown node.*\['Q'\]"):
        chain.sample(3, do={"Q": 1.0})
    with pytest.raises(ValueError, match=r"do\('M'\): the value has shape \(2,\).*\(3,\)"):
        chain.sample(3, do={"M": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"do\('M'\): the value has shape \(3, 1\)"):
        chain.sample(3, do={"M": torch.zeros(3, 1)})
    with pytest.raises(ValueError, match="'M' has NaN"):
        chain.sample(3, do={"M": torch.nan})
    with pytest.raises(ValueError, match="event shape"):
        chain.sample(3, do={"M": td.Independent(td.Normal(torch.zeros(2), 1.0), 1)})
    vector = SCM(Graph.parse("V -> Y"), {"V": laws.Vector(2), "Y": laws.Linear(2)})
    with pytest.raises(ValueError, match=r"do\('V'\).*expected \(2,\)"):
        vector.sample(3, do={"V": 1.0})


def test_conditional_samples(finite, chain, laws):
    x = torch.arange(5.0)
    sample = chain.sample(5, given={"X": x})
    assert torch.equal(sample["X"], x.double())
    with pytest.raises(ValueError, match=r"given \['Y'\]: a continuous variable"):
        chain.sample(5, given={"Y": 1.0})
    table = finite.factor()
    sample = finite.sample(40_000, given={"C": 2}, generator=torch.Generator().manual_seed(0))
    assert (sample["C"] == 2).all()
    expected = table.condition("C").select({"C": 2}).marginal("A").values
    frequency = torch.bincount(sample["A"], minlength=3).double() / 40_000
    torch.testing.assert_close(frequency, expected, atol=0.01, rtol=0)
    mixed = SCM(
        Graph.parse("X -> T -> Y"), {"X": laws.Linear(0), "T": laws.Binary(1), "Y": laws.Linear(1)}
    )
    for draws in (None, 2):
        sample = mixed.sample(50, given={"T": 1}, draws=draws)
        assert sample["X"].shape == (() if draws is None else (2,)) + (50,)
        assert (sample["T"] == 1).all()
    rare = SCM(Graph.parse("X -> T"), {"X": laws.Linear(0), "T": laws.Binary(1, bias=-12.0)})
    with pytest.raises(ValueError, match=r"less than 1%: too rare"):
        rare.sample(5, given={"T": 1})


def test_a_law_without_expand_still_works(laws):
    class Bare(td.Distribution):
        arg_constraints = {}
        support = constraints.real

        def __init__(self, loc):
            self.loc = loc
            super().__init__(loc.shape, validate_args=False)

        def rsample(self, sample_shape=()):
            return self.loc + torch.randn(*sample_shape, *self.loc.shape, dtype=self.loc.dtype)

        def sample(self, sample_shape=()):
            return self.rsample(sample_shape)

        def log_prob(self, value):
            return -((value - self.loc) ** 2) / 2

    class Law(laws.Linear):
        def forward(self, context):
            return Bare(super().forward(context).mean)

    scm = SCM(Graph.parse("X -> Y"), {"X": Law(0), "Y": Law(1)})
    assert scm.sample(4, draws=3)["Y"].shape == (3, 4)
    assert scm.log_probability(rows(scm), draws=3).shape == (3, 20)


def test_interventions_computed_from_parents(chain):
    n = 5
    functions = (lambda X: 2 * X, lambda parents: 2 * parents["X"])
    for function in functions:
        found = chain.sample(n, do={"M": function})
        assert torch.equal(found["M"], 2 * found["X"])
    found = chain.sample(n, do={"M": lambda X: td.Uniform(X, X + 1)})
    assert bool(((found["M"] >= found["X"]) & (found["M"] <= found["X"] + 1)).all())


def test_densities_name_what_is_missing(chain):
    data = chain.sample(5)
    with pytest.raises(ValueError, match=r"condition on \['Y'\] without \['M', 'X'\]"):
        chain.log_probability(data, given="Y")


def test_the_empty_guide_wants_every_column(chain):
    data = chain.sample(5)
    chain.empty_guide(data)
    with pytest.raises(ValueError, match=r"missing column\(s\) \['Y'\]"):
        chain.empty_guide({"X": data["X"], "M": data["M"]})


def test_individual_effects_of_a_data_frame(chain):
    data = {name: column.detach().numpy() for name, column in chain.sample(5).items()}
    arms = {"do": {"X": 1.0}, "against": {"X": 0.0}}
    frame = chain.effect("Y", **arms, evidence=pd.DataFrame(data), individual=True)
    assert torch.equal(frame.value, chain.effect("Y", **arms, evidence=data, individual=True).value)


def test_values_outside_of_the_support_are_named(laws):
    class Positive(laws.Linear):
        support = constraints.positive

        def forward(self, context):
            return td.LogNormal(super().forward(context).mean, 1.0, validate_args=False)

    scm = SCM(Graph.parse("X -> Y"), {"X": laws.Linear(0), "Y": Positive(1)})
    data = scm.sample(5)
    with pytest.raises(ValueError, match=r"law of 'Y'.*outside of the support of LogNormal"):
        scm.log_probability({**data, "Y": -data["Y"]})
