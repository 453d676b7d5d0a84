"""Short forms keep the value, and are forms: on random expressions, and case by case."""

import numpy as np
import pytest
from expression_values import value
from hypothesis import given, settings
from hypothesis import strategies as st

from causal.expression import (
    ONE,
    At,
    Probability,
    Product,
    Ratio,
    Sum,
    canonical,
    product,
    ratio,
    subexpressions,
    total,
)

NAMES = "ABCD"


def p(outcomes, given="", do=""):
    """A probability of names of one letter each."""
    return Probability(set(outcomes), set(given), set(do))


A, B, AB, A_B = p("A"), p("B"), p("AB"), p("A", "B")


def tables(seed):
    """Positive tables of the observed distribution and of the experiment on D."""
    rng = np.random.default_rng(seed)
    shape = (2, 3, 2, 2)
    observed, experiment = rng.uniform(0.2, 1.0, shape), rng.uniform(0.2, 1.0, shape)
    observed /= observed.sum()
    experiment /= experiment.sum((0, 1, 2), keepdims=True)
    return {frozenset(): observed, frozenset("D"): experiment}


@st.composite
def probabilities(draw):
    roles = [draw(st.sampled_from("og-")) for _ in NAMES]
    if draw(st.booleans()):
        roles[3] = "d"
    if "o" not in roles:
        roles[draw(st.integers(0, 2))] = "o"
    return ("P", *({n for n, r in zip(NAMES, roles, strict=True) if r == role} for role in "ogd"))


NAME_SETS = st.sets(st.sampled_from(NAMES), min_size=1, max_size=3)
# Descriptions; the nodes are made outside of the strategy, as their type checks use `random`.
DESCRIPTIONS = st.recursive(
    probabilities(),
    lambda inner: st.one_of(
        st.tuples(st.just("*"), st.lists(inner, min_size=0, max_size=4)),
        st.tuples(st.just("+"), NAME_SETS, inner),
        st.tuples(st.just("/"), inner, inner),
        st.tuples(st.just("@"), inner, st.sampled_from(NAMES)),
    ),
    max_leaves=10,
)


def built(description):
    kind, *parts = description
    if kind == "P":
        return Probability(*parts)
    if kind == "*":
        return Product(built(part) for part in parts[0])
    if kind == "+":
        return Sum(parts[0], built(parts[1]))
    if kind == "/":
        return Ratio(built(parts[0]), built(parts[1]))
    return At(built(parts[0]), [(parts[1], 1)])


def same(first, second):
    """Whether two expressions are equal as functions."""
    for seed in range(2):
        supplied = tables(seed)
        one, other = (value(e, NAMES, supplied) for e in (first, second))
        np.testing.assert_allclose(*np.broadcast_arrays(one, other), rtol=1e-9)


@given(DESCRIPTIONS)
@settings(max_examples=150, deadline=None)
def test_canonical_keeps_the_value_and_is_idempotent(description):
    expression = built(description)
    short = canonical(expression)
    same(expression, short)
    assert canonical(short) is short
    assert short.arguments <= expression.arguments


@given(DESCRIPTIONS, DESCRIPTIONS, NAME_SETS)
@settings(max_examples=50, deadline=None)
def test_constructors_keep_the_value(one, other, names):
    first, second = built(one), built(other)
    same(product(first, second), Product((first, second)))
    same(ratio(first, second), Ratio(first, second))
    same(total(names, first), Sum(names, first))
    assert product(first, second) is product(second, first)


@pytest.mark.parametrize(
    ("plain", "short"),
    [
        (Product((A_B, B)), AB),
        (Product((A, Product((B, ONE)))), Product((A, B))),
        (Sum("A", A), ONE),
        (Sum("B", Product((A_B, B))), A),
        (Sum({"A", "B"}, Product((A, p("C", "AD"), B))), Sum("A", Product((p("C", "AD"), A)))),
        (Ratio(AB, B), A_B),
        (Ratio(B, AB), Ratio(ONE, A_B)),
        (Ratio(AB, AB), ONE),
        (Ratio(Product((AB, p("C", "D"))), Sum("A", AB)), Product((A_B, p("C", "D")))),
        (Ratio(Ratio(A, B), Ratio(A, B)), ONE),
        (Product((Ratio(A, B), Ratio(B, A))), ONE),
        (Ratio(p("ABC"), p("B", "C")), Product((p("A", "BC"), p("C")))),
        (Sum("A", Sum("B", Product((p("C", "AB"), A, B)))),
         Sum("A", Product((A, Sum("B", Product((p("C", "AB"), B))))))),
        (Ratio(Sum("C", Product((p("A", "C"), p("BC")))), B),
         Sum("C", Product((p("A", "C"), p("C", "B"))))),
        (Ratio(At(AB, [("A", 1), ("B", 0)]), At(B, [("B", 0)])), At(A_B, [("A", 1), ("B", 0)])),
        (Ratio(At(AB, [("A", 1), ("B", 0)]), At(B, [("B", 1)])),
         Ratio(At(AB, [("A", 1), ("B", 0)]), At(B, [("B", 1)]))),
        (At(At(A_B, [("A", 1)]), [("B", 0), ("C", 5)]), At(A_B, [("A", 1), ("B", 0)])),
        (Sum("A", At(A_B, [("B", 0)])), ONE),
    ],
)  # fmt: skip
def test_short_forms(plain, short):
    assert canonical(plain) is short
    same(plain, short)


def test_experiments_do_not_mix():
    """A probability of one distribution does not divide that of another."""
    mixed = Ratio(p("AB", "", "D"), Probability("B"))
    assert canonical(mixed) is mixed


def test_shared_parts_stay_shared():
    """Fifty nested ratios have a hundred or so nodes, not 2 ** 50."""
    node = Probability("A", "B")
    for k in range(50):
        node = ratio(node, total({"A"}, product(node, Probability(f"C{k}", "A"))))
    assert len(subexpressions(node)) < 300
    assert canonical(node) is node


def test_sums_move_into_the_only_factor_that_has_the_name():
    inner = Sum("B", Product((p("C", "AB"), B)))
    assert total("C", product(inner, A)) is A
