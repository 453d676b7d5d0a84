"""Text and LaTeX of expressions: primes, quotes, parentheses, names for repeated parts."""

import re

import pytest

from causal.expression import ONE, At, Probability, Product, Ratio, Sum, ratio, total
from causal.render import latex, text

JOINT = Probability({"X", "Y"})
Y_X, X = Probability("Y", "X"), Probability("X")


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        (ONE, "1"),
        (Probability({"Y", "X"}, {"B", "A"}, "Z"), "P(X, Y | do(Z), A, B)"),
        (Probability("blood pressure", 'a "b"'), r'P("blood pressure" | "a \"b\"")'),
        (Sum("X", Product((Y_X, X))), "sum_{X} P(Y | X) P(X)"),
        (Product((Sum("X", X), Y_X)), "(sum_{X'} P(X')) P(Y | X)"),
        (Sum("X", Product((X, Sum("X", Sum("X", Y_X))))),
         "sum_{X} P(X) sum_{X'} sum_{X''} P(Y | X'')"),
        (Ratio(JOINT, Sum("Y", JOINT)), "P(X, Y) / (sum_{Y'} P(X, Y'))"),
        (Product((Ratio(JOINT, X), Y_X)), "(P(X, Y) / P(X)) P(Y | X)"),
        (At(Y_X, [("X", 1)]), "P(Y | X=1)"),
        (Sum("X", Product((X, At(Y_X, [("X", "low")])))), "sum_{X} P(X) P(Y | X=low)"),
    ],
)  # fmt: skip
def test_text(expression, shown):
    assert text(expression) == shown


def test_reserved_names_are_not_bound_again():
    assert text(Sum("X", X), {"X"}) == "sum_{X'} P(X')"
    assert text(Sum("X", X), {"Y"}) == "sum_{X} P(X)"


def test_latex():
    shown = latex(Sum("X1", Ratio(Probability({"Y_2", "X1"}), Probability("X1", "a_b", "Z"))))
    assert shown == (
        r"\sum_{X_{1}} \frac{P(X_{1}, Y_{2})}{P(X_{1} \mid \operatorname{do}(Z), \text{a\_b})}"
    )
    assert latex(Product((Sum("X", X), X))) == r"\left(\sum_{X'} P(X')\right) \, P(X)"


def test_repeated_parts_of_long_formulas_are_named():
    node = Probability("A", "B")
    for k in range(12):
        node = ratio(node, total({"A"}, Product((node, Probability(f"C{k}", "A")))))
    for shown in (text(node), latex(node)):
        assert len(shown) < 6000
        assert "where" in shown
    uses = re.findall(r"Q1\(", text(node))
    assert len(uses) > 1


def test_short_formulas_are_written_out():
    assert "where" not in text(Ratio(Product((JOINT, JOINT)), Product((X, Sum("Y", JOINT)))))
