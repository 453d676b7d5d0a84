"""Expressions as text and as LaTeX (floor 1).

A sub-term that occurs several times in a long formula is written once and named, with what it
depends on as arguments: ``… Q1(X', Z) … where Q1(X, Z) = …``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from causal.expression import (
    ONE,
    At,
    Expression,
    Probability,
    Product,
    Ratio,
    Sum,
    subexpressions,
)

__all__ = ["latex", "text"]


@dataclass(frozen=True)
class _Style:
    """How the pieces of an expression are written."""

    given: str
    do: str
    times: str
    sum: str
    ratio: str
    parentheses: str
    where: str
    part: str

    def name(self, name: str, primes: int) -> str:
        return _plain(name) + "'" * primes


class _Latex(_Style):
    def name(self, name: str, primes: int) -> str:
        word = re.sub(r"([#$%&_{}])", r"\\\1", name.replace("\\", r"\textbackslash "))
        single = re.fullmatch(r"[A-Za-z]", name)
        numbered = re.fullmatch(r"([A-Za-z])_?(\d+)", name)
        if numbered:
            shown = f"{numbered[1]}_{{{numbered[2]}}}"
        else:
            shown = name if single else rf"\text{{{word}}}"
        return shown + "'" * primes


_TEXT = _Style(" | ", "do({})", " ", "sum_{{{}}} {}", "{} / {}", "({})", " where {}", "Q{}")
_LATEX = _Latex(
    r" \mid ",
    r"\operatorname{{do}}({})",
    r" \, ",
    r"\sum_{{{}}} {}",
    r"\frac{{{}}}{{{}}}",
    r"\left({}\right)",
    r" \quad \text{{where }} {}",
    "Q_{{{}}}",
)
_LONG = 16  # probabilities in a formula, above which sub-terms get names


def _plain(name: str) -> str:
    if re.fullmatch(r"[\w.\[\]]+", name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def text(expression: Expression, reserved: Iterable[str] = ()) -> str:
    """The expression on one line; a bound name that hides another gets primes.

    Args:
        expression: What is shown.
        reserved: Names with a meaning outside of the expression; bound ones are told from them.

    Example:
        >>> inner = Sum("X", Product((Probability("Y", {"M", "X"}), Probability("X"))))
        >>> text(Sum("M", Product((Probability("M", "X"), inner))))
        "sum_{M} P(M | X) sum_{X'} P(Y | M, X') P(X')"
    """
    return _shown(expression, reserved, _TEXT)


def latex(expression: Expression, reserved: Iterable[str] = ()) -> str:
    r"""The expression as LaTeX, for mathematics mode.

    Example:
        >>> print(latex(Ratio(Probability({"X1", "Y"}), Probability("X1"))))
        \frac{P(X_{1}, Y)}{P(X_{1})}
    """
    return _shown(expression, reserved, _LATEX)


def _shown(expression: Expression, reserved: Iterable[str], style: _Style) -> str:
    known = expression.arguments | set(reserved)
    parts: dict[Expression, str] = {}
    writer = _Writer(style, parts)
    lines: list[str] = []
    for node in _repeated(expression):
        names = {name: style.name(name, 0) for name in node.arguments}
        body = writer.write(node, names, closed=True)
        parts[node] = style.part.format(len(parts) + 1)
        lines.append(f"{writer.write(node, names, closed=True)} = {body}")
    names = {name: style.name(name, 0) for name in known}
    shown = writer.write(expression, names, closed=True)
    return shown + style.where.format("; ".join(lines)) if lines else shown


def _repeated(expression: Expression) -> list[Expression]:
    """What is written once and named: parts of a long formula that occur more than once."""
    nodes = subexpressions(expression)
    sizes: dict[Expression, int] = {}
    uses: dict[Expression, int] = dict.fromkeys(nodes, 0)
    for node in nodes:
        sizes[node] = sum(sizes[operand] for operand in node.operands)
        sizes[node] += isinstance(node, Probability)
        for operand in node.operands:
            uses[operand] += 1
    if sizes[expression] <= _LONG:
        return []
    return [node for node in nodes if uses[node] > 1 and sizes[node] > 1]


@dataclass(frozen=True)
class _Writer:
    style: _Style
    parts: Mapping[Expression, str]

    def write(self, node: Expression, names: Mapping[str, str], closed: bool) -> str:
        """One node; ``closed`` where nothing follows that a sum could swallow."""
        style = self.style
        if node in self.parts:
            listed = ", ".join(names[name] for name in sorted(node.arguments))
            return f"{self.parts[node]}({listed})"
        if isinstance(node, Probability):
            return self._probability(node, names)
        if isinstance(node, Product):
            if node is ONE:
                return "1"
            last = len(node.factors) - 1
            return style.times.join(
                self._factor(factor, names, closed and place == last)
                for place, factor in enumerate(node.factors)
            )
        if isinstance(node, Ratio):
            parts = [self._part(part, names) for part in (node.above, node.below)]
            return style.ratio.format(*parts)
        if isinstance(node, Sum):
            inner = dict(names)
            for name in sorted(node.over):
                inner[name] = self._fresh(name, names)
            bound = ", ".join(inner[name] for name in sorted(node.over))
            shown = style.sum.format(bound, self.write(node.of, inner, True))
            return shown if closed else style.parentheses.format(shown)
        if isinstance(node, At):
            states = {name: f"{style.name(name, 0)}={value}" for name, value in node.values}
            return self.write(node.of, {**names, **states}, closed)
        raise TypeError(f"an Expression is written, got {type(node).__name__}")

    def _factor(self, node: Expression, names: Mapping[str, str], closed: bool) -> str:
        shown = self.write(node, names, closed)
        line = isinstance(node, Ratio) and self.style is not _LATEX and node not in self.parts
        return self.style.parentheses.format(shown) if line else shown

    def _part(self, node: Expression, names: Mapping[str, str]) -> str:
        shown = self.write(node, names, True)
        simple = self.style is _LATEX or isinstance(node, Probability) or node is ONE
        return shown if simple else self.style.parentheses.format(shown)

    def _fresh(self, name: str, names: Mapping[str, str]) -> str:
        """The name with one prime more than that which it hides."""
        hidden = names.get(name)
        primes = 0 if hidden is None else 1 + len(hidden) - len(hidden.rstrip("'"))
        return self.style.name(name, primes)

    def _probability(self, node: Probability, names: Mapping[str, str]) -> str:
        def listed(part: frozenset[str]) -> str:
            return ", ".join(names[name] for name in sorted(part))

        causes = self.style.do.format(listed(node.do)) if node.do else ""
        below = ", ".join(part for part in (causes, listed(node.given)) if part)
        return f"P({listed(node.outcomes)}{self.style.given if below else ''}{below})"
