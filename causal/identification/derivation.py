"""Derivations: rewriting steps, each with the rule and the separations that license it."""

from dataclasses import dataclass

from causal.expression import Expression
from causal.graph import Graph
from causal.separation import separated

__all__ = ["Separation", "Step"]


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
    given: frozenset[str] = frozenset()
    without_incoming: frozenset[str] = frozenset()
    without_outgoing: frozenset[str] = frozenset()

    def holds(self, graph: Graph) -> bool:
        """Whether the mutilated graph separates the two sets."""
        mutilated = graph.remove_incoming(self.without_incoming)
        mutilated = mutilated.remove_outgoing(self.without_outgoing)
        return separated(mutilated, self.first, self.second, given=self.given)

    def __str__(self) -> str:
        text = f"{_listed(self.first)} is separated from {_listed(self.second)}"
        if self.given:
            text += f" given {_listed(self.given)}"
        if self.without_incoming:
            text += f" without arrows into {_listed(self.without_incoming)}"
        if self.without_outgoing:
            text += f" without arrows out of {_listed(self.without_outgoing)}"
        return text


def _listed(names: frozenset[str]) -> str:
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

    Example:
        >>> from causal.expression import Probability
        >>> step = Step(
        ...     "rule 3",
        ...     Probability("Z", do="X"),
        ...     Probability("Z"),
        ...     (Separation(frozenset("Z"), frozenset("X"), without_incoming=frozenset("X")),),
        ... )
        >>> step.verify(Graph.parse("Z -> X -> Y"))
        True
    """

    rule: str
    before: Expression
    after: Expression
    separations: tuple[Separation, ...] = ()

    def verify(self, graph: Graph) -> bool:
        """Whether every separation that the step rests on holds in the graph."""
        return all(separation.holds(graph) for separation in self.separations)
