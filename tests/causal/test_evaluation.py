"""Values of formulas: against enumeration, at the edges, batched, transformed, differentiated."""

import itertools
import math

import numpy as np
import pytest
import torch
from enumerated import drawn, experiments, joint, truth
from random_queries import random_query
from torch import nn

from causal.evaluation.positivity import PositivityViolation
from causal.evaluation.query import (
    evaluate_estimand,
    evaluate_expression,
    specification_spread,
)
from causal.expression import ONE, At, Probability, Product, Ratio, Sum, product, total
from causal.factor import Factor
from causal.graph import Graph
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable
from causal.scm import SCM

FRONTDOOR = Graph.parse("X -> M -> Y; X <-> Y")
BACKDOOR = Graph.parse("Z -> X -> Y; Z -> Y")
NAPKIN = Graph.parse("W -> R -> X -> Y; W <-> X; W <-> Y")
GRAPHS = [FRONTDOOR, BACKDOOR, NAPKIN]


def effect(graph):
    return identify(graph, outcomes="Y", treatments="X")


def close(first, second, **tolerance):
    names = second.names
    torch.testing.assert_close(first.permute(names).values, second.values, **tolerance)


def batch(graph, count, cards=2, **options):
    models = [drawn(graph, seed, cards=cards, **options) for seed in range(count)]
    tables = torch.stack([joint(m).values for m in models])
    truths = torch.stack([truth(m, "Y", "X").permute(("Y", "X")).values for m in models])
    return Factor(sorted(graph.nodes), tables), truths


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
@pytest.mark.parametrize("cards", [2, {"X": 3, "M": 3, "Y": 3, "Z": 3, "R": 3}], ids=["2", "3"])
def test_batched_effects_equal_enumeration(graph, cards):
    tables, truths = batch(graph, 6, cards)
    query = effect(graph)
    found = query.evaluate(tables)
    assert found.names == ("Y", "X")
    torch.testing.assert_close(found.values, truths, rtol=1e-11, atol=1e-12)
    unnormalised = Factor(tables.names, 7.0 * tables.values.reshape(2, 3, *tables.values.shape[1:]))
    found = query.evaluate(unnormalised).values
    torch.testing.assert_close(found.reshape(truths.shape), truths, rtol=1e-11, atol=1e-12)
    mapped = torch.func.vmap(lambda t: query.evaluate(Factor(tables.names, t)).values)
    torch.testing.assert_close(mapped(tables.values), truths, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(  # an axis of one that is mapped over inside
        torch.func.vmap(mapped)(tables.values[None])[0], truths, rtol=1e-11, atol=1e-12
    )


def test_nodes_one_by_one():
    table = Factor(("A", "B", "C"), torch.rand(2, 3, 2).double() + 0.1, {"B": ("x", "y", "z")})
    p = table.normalise()

    def value(expression, **options):
        return evaluate_expression(expression, table, **options)

    close(value(Probability("A")), p.marginal("A"))
    close(value(Probability({"A", "B"}, "C")), p.condition("C"))
    assert value(ONE).values == 1
    assert value(Sum({"B"}, ONE)).values == 3
    close(value(Sum({"B"}, Probability("A"))), Factor(("A",), 3 * p.marginal("A").values))
    bound = Product(
        (Probability("A"), Sum({"A"}, Product((Probability("A", "B"), Probability("B")))))
    )
    close(value(bound), p.marginal("A") * p.marginal("B"))
    nested = Product((Product((Probability("A"),)), Probability("B")))
    independent = p.marginal("A") * p.marginal("B")
    other = p.marginal(("A", "B")) / p.marginal("A")
    close(value(Ratio(nested, Probability("B", "A"))), independent / other)
    for state in ("y", 1):
        chosen = value(At(Probability({"A", "B"}, "C"), (("B", state),)))
        close(chosen, p.condition("C").select({"B": 1}))
    assert value(Probability("B")).states == {"B": ("x", "y", "z")}
    wide = value(Probability("A"), keep=("B", "A"))
    assert wide.names == ("B", "A")
    assert wide.values.shape == (3, 2)


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_gradients_equal_finite_differences(graph):
    query = effect(graph)
    tables = joint(drawn(graph, 3))

    def function(values):
        return query.evaluate(Factor(tables.names, values)).values

    values = tables.values.clone().requires_grad_()
    assert torch.autograd.gradcheck(function, values, eps=1e-6, atol=1e-6, rtol=1e-6)
    one = torch.func.jacrev(function)(tables.values)
    torch.testing.assert_close(one, torch.func.jacfwd(function)(tables.values))
    stacked = torch.stack([tables.values, joint(drawn(graph, 4)).values])
    each = torch.func.vmap(torch.func.jacrev(function))(stacked)
    torch.testing.assert_close(each[0], one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tiny_probabilities(dtype):
    tables = joint(drawn(BACKDOOR, 0))
    rare = torch.tensor([1.0, 1e-30], dtype=torch.float64)
    values = (tables.values * rare[:, None, None]).to(dtype)  # axes X, Y, Z
    found = effect(BACKDOOR).evaluate(Factor(tables.names, values))
    reference = Factor(tables.names, values.double()).normalise()
    p = reference.condition(("X", "Z")) * reference.marginal("Z")
    assert found.values.dtype == dtype
    close(found, Factor(("Y", "X"), p.sum("Z").permute(("Y", "X")).values.to(dtype)))
    frontdoor = joint(drawn(FRONTDOOR, 1))
    scale = 1e-30 ** torch.rand(frontdoor.values.shape, dtype=torch.float64)
    cells = Factor(frontdoor.names, (frontdoor.values * scale).to(dtype))
    exact = Factor(cells.names, cells.values.double()).normalise()
    inner = (exact.condition(("M", "X")) * exact.marginal("X")).sum("X")
    by_hand = (exact.marginal(("M", "X")).condition("X") * inner).sum("M").permute(("Y", "X"))
    close(effect(FRONTDOOR).evaluate(cells), Factor(("Y", "X"), by_hand.values.to(dtype)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_chain_of_sixty_variables_as_a_list_of_tables(dtype):
    names = [f"V{i:02}" for i in range(60)]
    generator = torch.Generator().manual_seed(1)
    steps = torch.rand(60, 2, 2, generator=generator, dtype=torch.float64) + 0.05
    steps = steps / steps.sum(-1, keepdim=True)
    steps[:, :, 1], steps[:, :, 0] = 1e-30, 1 - 1e-30  # state 1 is rare everywhere
    values = steps.to(dtype)
    chain = [Factor((names[0],), values[0, 0])]
    chain += [Factor((a, b), v) for a, b, v in zip(names, names[1:], values[1:], strict=False)]
    graph = Graph(directed=itertools.pairwise(names))
    query = identify(graph, outcomes=names[-1], treatments=names[0])
    by_hand = torch.linalg.multi_dot(list(values[1:].double()))
    found = query.evaluate(chain).permute((names[0], names[-1]))
    torch.testing.assert_close(found.values, by_hand.to(dtype), rtol=1e-5, atol=0)
    # All sixty in their rare state: 1e-1800, a ratio of such numbers is still exact.
    rare = At(
        Product([Probability(b, a) for a, b in itertools.pairwise(names)]), [(n, 1) for n in names]
    )
    assert evaluate_expression(Ratio(rare, rare), chain).values == 1
    everything = Probability(frozenset(names[1:12]), names[0])
    assert evaluate_expression(everything, chain).values.shape == (2,) * 12


def test_the_joint_of_a_product_is_not_built():
    names = [f"V{i:02}" for i in range(40)]
    links = [Probability(b, a) for a, b in itertools.pairwise(names)]
    chain = [Factor((names[0],), torch.tensor([0.3, 0.7]))]
    chain += [
        Factor(pair, torch.tensor([[0.9, 0.1], [0.2, 0.8]])) for pair in itertools.pairwise(names)
    ]
    found = evaluate_expression(Sum(frozenset(names[1:-1]), Product(links)), chain)
    steps = torch.linalg.matrix_power(torch.tensor([[0.9, 0.1], [0.2, 0.8]]).double(), 39)
    torch.testing.assert_close(found.values, steps.float())


# ------------------------------------------------------------ support
def tables_with_hole():
    """Three rows of P(X, Y, Z); row 1 has P(X=1, Z='b') = 0."""
    values = torch.stack([joint(drawn(BACKDOOR, s)).values for s in range(3)])
    values[1, 1, :, 1] = 0
    return values


def test_a_cell_without_support_is_named():
    tables = Factor(("X", "Y", "Z"), tables_with_hole(), {"Z": ("a", "b")})
    with pytest.raises(PositivityViolation, match=r"X=1, Z='b' in batch row \(1,\)") as caught:
        effect(BACKDOOR).evaluate(tables)
    assert caught.value.setting == {"X": 1, "Z": "b"}
    assert caught.value.row == (1,)
    assert "P(Y | X, Z)" in str(caught.value)
    single = Factor(tables.names, tables.values[1])
    with pytest.raises(PositivityViolation) as caught:
        effect(BACKDOOR).evaluate(single)
    assert caught.value.row == ()
    with pytest.raises(PositivityViolation, match="no support"):
        effect(BACKDOOR).evaluate(Factor(tables.names, torch.zeros(2, 2, 2)))


def test_nan_for_one_row_leaves_the_others_clean():
    values = tables_with_hole().requires_grad_()
    query = effect(BACKDOOR)
    found = query.evaluate(Factor(("X", "Y", "Z"), values), on_zero="nan").values
    assert found[1].isnan().all()
    assert found[[0, 2]].isfinite().all()
    found[[0, 2]].pow(2).sum().backward()
    assert values.grad.isfinite().all()
    assert (values.grad[1] == 0).all()
    clean = tables_with_hole()[[0, 2]].requires_grad_()
    query.evaluate(Factor(("X", "Y", "Z"), clean)).values.pow(2).sum().backward()
    torch.testing.assert_close(values.grad[[0, 2]], clean.grad)
    mapped = torch.func.vmap(lambda t: query.evaluate(Factor(("X", "Y", "Z"), t)).values)
    torch.testing.assert_close(mapped(values.detach()), found.detach(), equal_nan=True)


def test_cells_that_are_not_needed_may_be_empty():
    values = tables_with_hole()[1]
    values[:, :, 1] = 0  # P(Z=1) = 0: no x needs P(y | x, Z=1)
    values.requires_grad_()
    found = effect(BACKDOOR).evaluate(Factor(("X", "Y", "Z"), values))
    p = values.detach()[:, :, 0]
    close(found, Factor(("X", "Y"), p / p.sum(1, keepdim=True)))
    found.values[0].sum().backward()
    assert values.grad.isfinite().all()


def test_frontdoor_without_support_of_one_mediator():
    # P(M=1 | X=0) = 0, but P(y | M=1, X=0) is read: a violation; with P(M=1) = 0 it is not read.
    tables = joint(drawn(FRONTDOOR, 2))
    one = tables.values.clone()
    one[1, 0] = 0
    with pytest.raises(PositivityViolation, match="M=1, X=0"):
        effect(FRONTDOOR).evaluate(Factor(tables.names, one))
    none = tables.values.clone()
    none[1] = 0
    found = effect(FRONTDOOR).evaluate(Factor(tables.names, none)).values
    torch.testing.assert_close(found.sum(0), torch.ones(2).double())


@pytest.mark.parametrize("place", [(0, 0), (2, 1)])
def test_the_violation_names_the_cell_in_every_kind_of_node(place):
    values = torch.rand(3, 2, 4).double() + 0.1  # axes A, B, C
    values[place] = 0
    table = Factor(("A", "B", "C"), values)
    inner = Probability("C", {"A", "B"})
    setting = dict(zip("AB", place, strict=True))
    cases = [
        inner,
        Product((inner, Probability("A"))),
        Sum({"A"}, Product((inner, Probability("A")))),
        Sum({"A", "B"}, Product((inner, Probability("A"), Sum({"C"}, Probability("C"))))),
        Ratio(inner, Probability("A")),
        Ratio(Probability("A"), Sum({"A"}, Product((inner, Probability("A"))))),
        At(Sum({"A"}, inner), (("B", place[1]),)),
    ]
    for case in cases:
        with pytest.raises(PositivityViolation) as caught:
            evaluate_expression(case, table)
        assert caught.value.setting == setting, case
    zero = Ratio(Probability("A"), Probability("B"))
    values = torch.rand(3, 2).double()
    values[:, 1] = 0
    with pytest.raises(PositivityViolation, match=r"P\(A\)/P\(B\)|P\(B\)") as caught:
        evaluate_expression(zero, Factor(("A", "B"), values))
    assert caught.value.setting == {"B": 1}


def test_one_cell_without_support_in_a_long_sum_is_found():
    names = [f"V{i:02}" for i in range(60)]
    links = [Factor(pair, torch.rand(2, 2).double() + 0.1) for pair in itertools.pairwise(names)]
    never = torch.ones(2, 2).double()
    never[1] = 0
    chain = [*links, Factor(("Z", "Q"), never)]
    formula = Product(
        [*(Probability(b, a) for a, b in itertools.pairwise(names)), Probability("Q", "Z")]
    )
    with pytest.raises(PositivityViolation) as caught:
        evaluate_expression(Sum({*names, "Z", "Q"}, formula), chain)
    assert caught.value.setting == {"Z": 1}


# ------------------------------------------------------------ free names
def test_values_of_a_free_name_agree_on_exact_joints():
    for cards in (2, {"R": 3, "X": 3}):
        model = drawn(NAPKIN, 5, cards=cards)
        query, table = effect(NAPKIN), joint(model)
        assert query.free == ("R",)
        exact = truth(model, "Y", "X")
        for state in range(model.cards["R"]):
            close(query.evaluate(table, free={"R": state}), exact, rtol=1e-11, atol=1e-12)
        assert specification_spread(query, table).values.max() < 1e-12
        named = Factor(table.names, table.values, {"R": [f"r{i}" for i in range(model.cards["R"])]})
        close(query.evaluate(named, free={"R": "r1"}), exact, rtol=1e-11, atol=1e-12)


def test_free_names_on_a_joint_that_the_graph_does_not_allow():
    query = effect(NAPKIN)
    table = Factor(("R", "W", "X", "Y"), torch.rand(2, 2, 2, 2).double() + 0.1)
    each = [query.evaluate(table, free={"R": r}).values for r in range(2)]
    spread = specification_spread(query, table)
    assert spread.names == ("Y", "X")
    torch.testing.assert_close(spread.values, (each[0] - each[1]).abs())
    weights = table.normalise().marginal("R").values
    average = weights[0] * each[0] + weights[1] * each[1]
    torch.testing.assert_close(query.evaluate(table).values, average)
    hole = table.values.clone()
    hole[0, 1] = 0  # P(R=0, W=1) = 0: only R=1 tells
    torch.testing.assert_close(
        query.evaluate(Factor(table.names, hole)).values,
        query.evaluate(Factor(table.names, hole), free={"R": 1}).values,
    )
    with pytest.raises(PositivityViolation, match="R=0"):
        query.evaluate(Factor(table.names, hole), free={"R": 0})
    hole[1, 1] = 0
    hole[:, 0, 1] = 0  # X=1 never happens
    with pytest.raises(PositivityViolation):
        query.evaluate(Factor(table.names, hole))
    with pytest.raises(ValueError, match="not free"):
        query.evaluate(table, free={"W": 0})
    with pytest.raises(ValueError, match="average"):
        query.evaluate(table, free="mean")
    with pytest.raises(ValueError, match="no free name"):
        specification_spread(effect(BACKDOOR), joint(drawn(BACKDOOR, 0)))


def test_free_names_without_probability_count_evenly():
    experiment = Factor(("X", "Y", "Z"), torch.rand(2, 2, 2).double() + 0.1)
    never = Factor(("X", "Z"), torch.tensor([[1.0, 0.0], [1.0, 0.0]]).double())  # Z=1 never
    free = Probability("Y", do={"X", "Z"})
    supplied = {("X", "Z"): experiment}
    given = evaluate_expression(free, never, experiments=supplied, keep=("X", "Y"))
    alone = evaluate_expression(free, experiments=supplied, keep=("X", "Y"))
    exact = experiment.condition(("X", "Z")).permute(("X", "Y", "Z")).values
    torch.testing.assert_close(given.values, exact[..., 0])
    torch.testing.assert_close(alone.values, exact.mean(-1))
    empty = Factor(("X", "Z"), torch.zeros(2, 2).double())
    even = evaluate_expression(free, empty, experiments=supplied, keep=("X", "Y"))
    torch.testing.assert_close(even.values, exact.mean(-1))


def test_random_queries_in_batches_equal_enumeration():
    rng = np.random.default_rng(11)
    solved = 0
    while solved < 60:
        graph, outcomes, treatments, given = random_query(rng)
        try:
            query = identify(graph, outcomes=outcomes, treatments=treatments, given=given)
        except Unidentifiable:
            continue
        models = [drawn(graph, seed) for seed in range(3)]
        tables = Factor(graph.nodes, torch.stack([joint(m).values for m in models]))
        found = query.evaluate(tables)
        for row, model in enumerate(models):
            exact = truth(model, outcomes, treatments, given).permute(found.names).values
            torch.testing.assert_close(found.values[row], exact, rtol=1e-9, atol=1e-11)
        solved += 1


# ------------------------------------------------------------ sources
def test_experiments_as_mapping_and_function():
    graph = Graph.parse("Z -> X -> Y; X <-> Y; Z <-> X")
    model = drawn(graph, 0)
    read = Probability("Y", do="X")
    table = experiments(model)
    exact = truth(model, "Y", "X")
    close(evaluate_expression(read, experiments=table), exact)
    close(evaluate_expression(read, experiments={frozenset("X"): table({"X"})}), exact)
    scaled = Factor(table({"X"}).names, 3 * table({"X"}).values)
    close(evaluate_expression(read, experiments={"X": scaled}), exact)
    conditional = Probability("Y", "Z", "X")
    close(evaluate_expression(conditional, experiments=table), truth(model, "Y", "X", "Z"))
    mixed = product(Probability("Y", do="X"), Probability("Z"))
    both = evaluate_expression(mixed, joint(model), experiments={"X": table({"X"})})
    close(both, truth(model, "Y", "X") * joint(model).marginal("Z"))
    close(evaluate_expression(mixed, experiments=table), both)
    with pytest.raises(ValueError, match=r"sets \['X'\], which was not supplied"):
        evaluate_expression(read, joint(model))
    with pytest.raises(ValueError, match="joint="):
        evaluate_expression(Probability("Y"), experiments={"X": table({"X"})})


def test_sources_are_checked():
    query = effect(BACKDOOR)
    good = joint(drawn(BACKDOOR, 0))
    with pytest.raises(ValueError, match="nothing to evaluate"):
        query.evaluate()
    with pytest.raises(ValueError, match=r"lacks variable\(s\) \['Z'\]"):
        query.evaluate(good.marginal(("X", "Y")))
    with pytest.raises(TypeError, match="Factor"):
        query.evaluate(good.values)
    with pytest.raises(ValueError, match="negative"):
        query.evaluate(Factor(good.names, good.values - 0.1))
    with pytest.raises(ValueError, match="cardinality"):
        evaluate_expression(
            Probability("Y", do="X"), good, experiments={"X": Factor(("X", "Y"), torch.ones(2, 3))}
        )
    with pytest.raises(ValueError, match="batch shapes"):
        evaluate_expression(
            Probability("Y", do="X"),
            Factor(("X", "Y"), torch.ones(3, 2, 2)),
            experiments={"X": Factor(("X", "Y"), torch.ones(4, 2, 2))},
        )
    with pytest.raises(ValueError, match="states"):
        evaluate_expression(
            Probability("Y", do="X"),
            Factor(("X", "Y"), torch.ones(2, 2), {"Y": ("a", "b")}),
            experiments={"X": Factor(("X", "Y"), torch.ones(2, 2), {"Y": ("b", "a")})},
        )
    with pytest.raises(ValueError, match="on_zero"):
        query.evaluate(good, on_zero="zero")
    with pytest.raises(ValueError, match="no state 'c'"):
        evaluate_expression(At(Probability("X"), (("X", "c"),)), good)
    with pytest.raises(ValueError, match="states 0"):
        evaluate_expression(At(Probability("X"), (("X", 2),)), good)
    no_effect = identify(Graph.parse("X <- Y"), outcomes="Y", treatments="X")
    close(no_effect.evaluate(good.marginal(("X", "Y"))).select({"X": 1}), good.marginal("Y"))
    with pytest.raises(ValueError, match="which the query names"):
        no_effect.evaluate(good.marginal("Y"))


def test_a_fitted_model_is_a_source(laws):
    # P(X, M, Y) along X, M, Y: no hidden cause in the fitted model.
    fitted = {"X": laws.Binary(0), "M": laws.Classes(1), "Y": laws.Binary(4)}
    scm = SCM(Graph.parse("X -> M -> Y; X -> Y"), fitted)
    found = effect(FRONTDOOR).evaluate(scm)
    close(found, effect(FRONTDOOR).evaluate(scm.factor()))
    grads = torch.autograd.grad(found.values[1, 1], list(scm.parameters()))
    assert all(g.isfinite().all() for g in grads)
    assert all(g.abs().sum() > 0 for g in grads if g.numel())
    many = effect(FRONTDOOR).evaluate(scm.factor(draws=3))
    torch.testing.assert_close(many.values[2], found.values)
    continuous = SCM(Graph.parse("X -> Y"), {"X": laws.Linear(0), "Y": laws.Linear(1)})
    with pytest.raises(ValueError, match=r"no table .* use simulated_density"):
        effect(Graph.parse("X -> Y")).evaluate(continuous)


def test_a_list_of_tables_is_their_product():
    model = drawn(FRONTDOOR, 1)
    table = joint(model)
    parts = [
        table.marginal("X"),
        table.marginal(("X", "M")).condition("X"),
        table.condition(("X", "M")),
    ]
    close(effect(FRONTDOOR).evaluate(parts), truth(model, "Y", "X"))


# ------------------------------------------------------------ neural tables
class Conditional(nn.Module):
    """A small network from parents' states (one-hot, side by side) to a distribution."""

    def __init__(self, parents, states):
        super().__init__()
        self.shape = (*parents, states)
        self.body = nn.Sequential(
            nn.Linear(max(1, sum(parents)), 8), nn.Tanh(), nn.Linear(8, states)
        )
        self.parents = parents
        self.double()

    def forward(self):
        cells = list(itertools.product(*(range(size) for size in self.parents)))
        hot = [
            torch.cat([torch.eye(k).double()[i] for k, i in zip(self.parents, c, strict=True)])
            if c else torch.ones(1).double()
            for c in cells
        ]  # fmt: skip
        return self.body(torch.stack(hot)).softmax(-1).reshape(self.shape)


def test_frontdoor_on_neural_tables_reaches_every_parameter():
    hidden, x, m, y = (Conditional(*a) for a in [((), 3), ((3,), 2), ((2,), 3), ((3, 3), 2)])
    u = Factor(("U",), hidden())
    full = u * Factor(("U", "X"), x()) * Factor(("X", "M"), m()) * Factor(("U", "M", "Y"), y())
    found = effect(FRONTDOOR).evaluate(full.sum("U"))
    exact = torch.einsum("u,xm,umy->yx", hidden(), m(), y())
    torch.testing.assert_close(found.values, exact, rtol=0, atol=1e-10)
    weights = torch.rand(2, 2).double()
    (weights * found.values).sum().backward()
    got = [p.grad.clone() for net in (hidden, m, y) for p in net.parameters()]
    assert all(g.abs().sum() > 0 for g in got)
    for net in (hidden, x, m, y):
        net.zero_grad()
    (weights * torch.einsum("u,xm,umy->yx", hidden(), m(), y())).sum().backward()
    for mine, p in zip(got, [p for net in (hidden, m, y) for p in net.parameters()], strict=True):
        torch.testing.assert_close(mine, p.grad, rtol=1e-8, atol=1e-10)


def test_frontdoor_on_the_tables_of_an_observed_chain_reaches_every_parameter():
    # P(V) = P(x) P(m | x) P(y | x, m) by networks: the fitted joint has no hidden variable.
    x, m, y = Conditional((), 2), Conditional((2,), 3), Conditional((2, 3), 2)
    parts = [
        Factor(("X",), x()[0] if x().dim() > 1 else x()),
        Factor(("X", "M"), m()),
        Factor(("X", "M", "Y"), y()),
    ]
    for source in (parts, parts[0] * parts[1] * parts[2]):
        found = effect(FRONTDOOR).evaluate(source)
        exact = torch.einsum("xm,zmy,z->yx", m(), y(), parts[0].values)
        torch.testing.assert_close(found.values, exact, rtol=0, atol=1e-10)
        grads = torch.autograd.grad(
            (torch.rand(2, 2).double() * found.values).sum(),
            [p for net in (x, m, y) for p in net.parameters()],
            retain_graph=True,
        )
        assert all(g.isfinite().all() and g.abs().sum() > 0 for g in grads[2:])


# ------------------------------------------------------------ pgmpy #3543
def sprinkler():
    """Cloudy → sprinkler, rain → wet."""
    c = Factor(("C",), torch.tensor([0.5, 0.5], dtype=torch.float64))
    s = Factor(("C", "S"), torch.tensor([[0.5, 0.5], [0.9, 0.1]], dtype=torch.float64))
    r = Factor(("C", "R"), torch.tensor([[0.8, 0.2], [0.2, 0.8]], dtype=torch.float64))
    w = torch.tensor([[[1.0, 0.0], [0.1, 0.9]], [[0.1, 0.9], [0.01, 0.99]]], dtype=torch.float64)
    return c * s * r * Factor(("S", "R", "W"), w)


def test_evidence_outside_of_the_adjustment_set():
    graph = Graph.parse("C -> S -> W; C -> R -> W")
    query = identify(graph, outcomes="W", treatments="S", given="R")
    found = query.evaluate(sprinkler()).select({"W": 1, "S": 1, "R": 1})
    assert float(found.values) == pytest.approx(0.99, abs=1e-12)  # not 0.9612


def test_treatments_that_cause_each_other():
    graph = Graph.parse("A -> B -> C; A -> C")
    a = Factor(("A",), torch.tensor([0.6, 0.4], dtype=torch.float64))
    b = Factor(("A", "B"), torch.tensor([[0.7, 0.3], [0.2, 0.8]], dtype=torch.float64))
    c = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.0, 1.0]]], dtype=torch.float64)
    query = identify(graph, outcomes="C", treatments={"A", "B"})
    found = query.evaluate(a * b * Factor(("A", "B", "C"), c))
    assert float(found.select({"C": 1, "A": 1, "B": 1}).values) == pytest.approx(1.0, abs=1e-12)
    close(found, Factor(("A", "B", "C"), c))


def test_the_formula_is_all_that_is_needed():
    query = effect(FRONTDOOR)
    table = joint(drawn(FRONTDOOR, 0))
    close(evaluate_estimand(query, table), query.evaluate(table))
    inner = total({"X"}, product(Probability("Y", {"M", "X"}), Probability("X")))
    by_hand = total({"M"}, product(Probability("M", "X"), inner))
    close(evaluate_expression(by_hand, table), query.evaluate(table))
    assert math.isclose(float(query.evaluate(table).values.sum()), 2, abs_tol=1e-12)
