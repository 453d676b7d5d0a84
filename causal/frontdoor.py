"""Front-door sets: mediators through which an effect is identified despite hidden causes.

The effect is then ``P(y | do(x)) = sum_z P(z | x) sum_x' P(y | x', z) P(x')``. Pure Python.
"""

from collections.abc import Iterable, Iterator

from causal.bits import Bits
from causal.graph import Graph
from causal.separation import disjoint, reached

__all__ = ["frontdoor_sets"]

Names = str | Iterable[str]


def frontdoor_sets(
    graph: Graph,
    *,
    outcomes: Names,
    treatments: Names,
    required: Names = (),
    allowed: Names | None = None,
) -> Iterator[frozenset[str]]:
    """Every set that meets the front-door criterion, one after the other; none if there is none.

    The set intercepts all directed paths from treatments to outcomes, no back-door path from the
    treatments to it is open, and the treatments block all back-door paths from it to the outcomes.
    The first set is minimal: no part of it serves. There can be exponentially many sets; the wait
    for the next one is polynomial.

    Args:
        graph: A causal graph; bidirected edges stand for unobserved common causes.
        outcomes: What the query is about.
        treatments: What it sets.
        required: What each set must hold.
        allowed: What it may hold besides, for example what was measured; None for any variable.

    Raises:
        ValueError: A name is unknown, or in two of the sets.

    Source: Pearl, "Causality" (2009), definition 3.3.3; Jeong, Tian & Bareinboim, "Finding and
    listing front-door adjustment sets" (2022), algorithms 1 and 2; Wienöbst, van der Zander &
    Liskiewicz, "Linear-time algorithms for front-door adjustment in causal graphs" (2024).

    Example:
        >>> graph = Graph.parse("X -> M -> N -> Y; X <-> Y")
        >>> [sorted(z) for z in frontdoor_sets(graph, outcomes="Y", treatments="X")]
        [['N'], ['M'], ['M', 'N']]
    """
    sets = disjoint(graph, treatments=treatments, outcomes=outcomes, required=required)
    for word in ("treatments", "outcomes"):
        if not sets[word]:
            raise ValueError(f"{word} is empty: name at least one variable")
    ends = sets["treatments"], sets["outcomes"]
    within = graph.bits.nodes if allowed is None else graph.mask(allowed) | sets["required"]
    behind = reached(graph.bits.remove_outgoing(ends[0]), ends[0], 0)
    within &= ~(behind | ends[0] | ends[1])
    found = _listed(graph.bits, *ends, sets["required"], within)
    return (graph.bits.named(mask) for mask in found)


def _listed(
    bits: Bits, treatments: int, outcomes: int, required: int, within: int
) -> Iterator[int]:
    """Every front-door set with ``required``: at each node without it first, where one is left."""
    states = [(required, within)]
    while states:
        held, within = states.pop()
        widest = _widest(bits, treatments, outcomes, within)
        if held & ~widest or not _intercepts(bits, treatments, outcomes, widest):
            continue
        free = widest & ~held
        if not free:
            yield held
            continue
        place = free & -free
        states += [(held | place, widest), (held, widest & ~place)]


def _widest(bits: Bits, treatments: int, outcomes: int, within: int) -> int:
    """The largest set within bounds whose back-door paths to the outcomes the treatments block.

    A node that fails beside a set fails beside each part of it, for smaller sets cut fewer edges.
    """
    while within:
        cut = bits.remove_outgoing(within)
        failing = within & reached(cut, outcomes, treatments)
        if not failing:
            break
        within &= ~failing
    return within


def _intercepts(bits: Bits, treatments: int, outcomes: int, chosen: int) -> bool:
    rest = bits.subgraph(bits.nodes & ~chosen)
    return not rest.descendants(treatments) & outcomes
