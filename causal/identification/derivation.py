"""Derivations: rewriting steps, each with the rule and the separations that license it."""

from collections.abc import Mapping
from dataclasses import dataclass

from causal.expression import (
    At,
    Expression,
    Probability,
    Product,
    Ratio,
    Sum,
    canonical,
    subexpressions,
)
from causal.graph import Graph
from causal.render import text
from causal.separation import separated

__all__ = ["Separation", "Step", "licence", "listed", "substitute"]

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Separation:
    """A separation statement in the graph after surgery.

    Args:
        first: One set of names.
        second: Another set.
        given: What is conditioned on.
        without_incoming: Names whose incoming edges are removed first.
        without_outgoing: Names whose outgoing directed edges are removed first.

    Example:
        >>> rule_three = Separation(frozenset("Z"), frozenset("X"), without_incoming=frozenset("X"))
        >>> rule_three.holds(Graph.parse("Z -> X -> Y"))
        True
        >>> print(rule_three)
        Z is separated from X without arrows into X
    """

    first: frozenset[str]
    second: frozenset[str]
    given: frozenset[str] = _NONE
    without_incoming: frozenset[str] = _NONE
    without_outgoing: frozenset[str] = _NONE

    def holds(self, graph: Graph) -> bool:
        """Whether the mutilated graph separates the two sets."""
        mutilated = graph.remove_incoming(self.without_incoming)
        mutilated = mutilated.remove_outgoing(self.without_outgoing)
        return separated(mutilated, self.first, self.second, given=self.given)

    def __str__(self) -> str:
        text = f"{listed(self.first)} is separated from {listed(self.second)}"
        if self.given:
            text += f" given {listed(self.given)}"
        if self.without_incoming:
            text += f" without arrows into {listed(self.without_incoming)}"
        if self.without_outgoing:
            text += f" without arrows out of {listed(self.without_outgoing)}"
        return text


def listed(names: frozenset[str]) -> str:
    """Names as a sentence has them.

    Example:
        >>> listed(frozenset({"Y", "X"}))
        'X, Y'
    """
    return ", ".join(sorted(names))


@dataclass(frozen=True)
class Step:
    """One step of a proof: two expressions of equal value.

    Interventional terms are `Probability` nodes with ``do``.

    Args:
        rule: The rule of do-calculus ("rule 1", "rule 2", "rule 3") or of probability.
        before: The expression that is rewritten.
        after: The expression that it becomes.
        separations: The statements that license it.
        rewritten: The terms that change and what each becomes; for a rule of do-calculus one for
            each separation.

    Example:
        >>> step = Step(
        ...     "rule 3",
        ...     Probability("Z", do="X"),
        ...     Probability("Z"),
        ...     (Separation(frozenset("Z"), frozenset("X"), without_incoming=frozenset("X")),),
        ... )
        >>> step.verify(Graph.parse("Z -> X -> Y"))
        True
        >>> print(step)
        P(Z | do(X)) = P(Z)  (rule 3: Z is separated from X without arrows into X)
    """

    rule: str
    before: Expression
    after: Expression
    separations: tuple[Separation, ...] = ()
    rewritten: tuple[tuple[Expression, Expression], ...] = ()

    def __str__(self) -> str:
        licence = "; ".join(map(str, self.separations))
        reason = f"{self.rule}: {licence}" if licence else self.rule
        return f"{text(self.before)} = {text(self.after)}  ({reason})"

    def verify(self, graph: Graph) -> bool:
        """Whether the graph licenses the step.

        Every separation must hold. Where terms are listed as rewritten, ``after`` must be
        ``before`` with these changes; by a rule of do-calculus, each separation must be the one
        that it asks for; by a rule of probability, old and new must have the same short form.
        """
        if not all(separation.holds(graph) for separation in self.separations):
            return False
        if not self.rewritten:
            return True
        if substitute(self.before, dict(self.rewritten)) is not self.after:
            return False
        rule = _LICENSED.get(self.rule)
        if rule is None:
            return all(canonical(old) is canonical(new) for old, new in self.rewritten)
        return self.separations == tuple(
            licence(graph, rule, old, new)
            for old, new in self.rewritten
            if isinstance(old, Probability) and isinstance(new, Probability)
        )


_LICENSED = {"rule 1": 1, "rule 2": 2, "rule 3": 3}


def licence(graph: Graph, rule: int, old: Probability, new: Probability) -> Separation:
    """The separation that a rule of do-calculus asks for, to turn one probability into the other.

    With y the outcomes, w what stays given and x what stays set, the rules and their licences are:
    1. P(y | do(x), z, w) = P(y | do(x), w), if y and z are separated without arrows into x;
    2. P(y | do(x, z), w) = P(y | do(x), z, w), without arrows into x and out of z;
    3. P(y | do(x, z), w) = P(y | do(x), w), without arrows into x and those z that are, then, no
    ancestors of w.

    Source: Pearl, "Causal diagrams for empirical research" (1995), theorem 3.

    Raises:
        ValueError: The two are not related as the rule says.

    Example:
        >>> graph = Graph.parse("X -> Y")
        >>> print(licence(graph, 2, Probability("Y", do="X"), Probability("Y", "X")))
        Y is separated from X without arrows out of X
    """
    given, do = old.given & new.given, old.do & new.do
    moved = (old.given | old.do | new.given | new.do) - given - do
    fits = {
        1: old.do == new.do,
        2: old.given | old.do == new.given | new.do,
        3: old.given == new.given,
    }
    if old.outcomes != new.outcomes or not fits[rule]:
        raise ValueError(f"rule {rule} does not turn {old!r} into {new!r}")
    into, out = do, _NONE
    if rule == 2:
        out = moved
    if rule == 3:
        into = do | (moved - graph.remove_incoming(do).ancestors(given))
    return Separation(old.outcomes, moved, given | do, into, out)


def substitute(expression: Expression, changes: Mapping[Expression, Expression]) -> Expression:
    """The expression with nodes exchanged for others, and otherwise of the same shape.

    Example:
        >>> old, new = Probability("Y", do="X"), Probability("Y", "X")
        >>> substitute(Sum("X", old), {old: new}) is Sum("X", new)
        True
    """
    made: dict[Expression, Expression] = {}
    for node in subexpressions(expression):
        parts = [made[operand] for operand in node.operands]
        if node in changes:
            made[node] = changes[node]
        elif isinstance(node, Product):
            made[node] = Product(parts)
        elif isinstance(node, Sum):
            made[node] = Sum(node.over, *parts)
        elif isinstance(node, Ratio):
            made[node] = Ratio(*parts)
        elif isinstance(node, At):
            made[node] = At(parts[0], node.values)
        else:
            made[node] = node
    return made[expression]
