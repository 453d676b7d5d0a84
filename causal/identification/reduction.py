"""Queries made smaller by the three rules of do-calculus, before any formula is looked for."""

from collections.abc import Iterator
from dataclasses import dataclass

from causal.bits import Bits, each
from causal.separation import reached

__all__ = ["Query", "reductions"]


@dataclass(frozen=True, slots=True)
class Query:
    """P(outcomes | do(treatments), given), as bits.

    Example:
        >>> Query(outcomes=0b100, treatments=0b010, given=0).all
        6
    """

    outcomes: int
    treatments: int
    given: int = 0

    @property
    def all(self) -> int:
        """Every name in it."""
        return self.outcomes | self.treatments | self.given


def reductions(bits: Bits, query: Query) -> Iterator[tuple[int, Query]]:
    """Queries of the same value, each with the rule that leads to it from the one before.

    Rule 1 drops conditions, rule 2 turns a condition into a treatment, rule 3 drops treatments.
    After the last one no condition can become a treatment, as IDC demands.

    Source: Pearl, "Causal diagrams for empirical research" (1995), theorem 3; Shpitser & Pearl,
    "Identification of conditional interventional distributions" (2006), figure 6.

    Example:
        >>> from causal.graph import Graph
        >>> graph = Graph.parse("X -> Y; Y -> M")
        >>> query = Query(graph.mask("X"), graph.mask("Y"))
        >>> [(rule, found.treatments) for rule, found in reductions(graph.bits, query)]
        [(3, 0)]
    """
    while True:
        found = next(_moves(bits, query), None)
        if found is None:
            return
        yield found
        query = found[1]


def _moves(bits: Bits, query: Query) -> Iterator[tuple[int, Query]]:
    outcomes, treatments, given = query.outcomes, query.treatments, query.given
    cut = bits.remove_incoming(treatments) if treatments else bits
    ancestors = cut.ancestors(outcomes | given)
    if treatments & ~ancestors:
        yield 3, Query(outcomes, treatments & ancestors, given)
    for node in each(given):
        bit = 1 << node
        if not reached(cut, outcomes, (treatments | given) & ~bit) & bit:
            yield 1, Query(outcomes, treatments, given & ~bit)
    for node in each(given):
        bit = 1 << node
        open_ = reached(cut.remove_outgoing(bit), outcomes, (treatments | given) & ~bit)
        if not open_ & bit:
            yield 2, Query(outcomes, treatments | bit, given & ~bit)
    for node in each(treatments if given else 0):
        bit = 1 << node
        rest = treatments & ~bit
        other = bits.remove_incoming(rest)
        if not other.ancestors(given) & bit:
            other = other.remove_incoming(bit)
        if not reached(other, outcomes, rest | given) & bit:
            yield 3, Query(outcomes, rest, given)
