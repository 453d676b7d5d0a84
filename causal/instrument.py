"""Instruments: variables that move a treatment and reach the outcome through it alone.

In a linear model the total effect is then ``cov(z, y | w) / cov(z, x | w)``. Pure Python.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from causal.bits import each
from causal.graph import Graph
from causal.separation import disjoint, nearest, reached

__all__ = ["Instrument", "instruments"]

Names = str | Iterable[str]


class Instrument(NamedTuple):
    """An instrument and what to condition on with it.

    Example:
        >>> Instrument("Z", frozenset({"W"})).name
        'Z'
    """

    name: str
    given: frozenset[str]


def instruments(
    graph: Graph, *, outcomes: Names, treatments: Names, allowed: Names | None = None
) -> Iterator[Instrument]:
    """The instruments for a total effect, by name, each with a set to condition on.

    ``Z`` given ``W`` is an instrument for ``X`` and ``Y`` if it is connected with ``X`` given
    ``W``; if ``W`` separates it from ``Y`` once the first edges of the causal paths from ``X`` to
    ``Y`` are removed; and if neither ``Z`` nor ``W`` descends from a node on these paths. ``W`` is
    minimal and consists of ancestors of ``Z`` and ``Y``: where there is any instrument there is one
    with such a set, while whether a chosen ``Z`` has any other set is NP-hard to say.

    Args:
        graph: A causal graph; bidirected edges stand for unobserved common causes.
        outcomes: One variable.
        treatments: One variable.
        allowed: What instruments and sets may hold, as a rule what was measured; None for all.

    Raises:
        ValueError: A name is unknown or there is not one treatment and one other outcome.

    Source: van der Zander, Textor & Liskiewicz, "Efficiently finding conditional instruments for
    causal inference" (2015), section 4, there for the effect along one edge.

    Example:
        >>> graph = Graph.parse("W -> Z -> X -> Y; W -> Y; X <-> Y")
        >>> [(z.name, sorted(z.given)) for z in instruments(graph, outcomes="Y", treatments="X")]
        [('Z', ['W'])]
    """
    ends = disjoint(graph, treatments=treatments, outcomes=outcomes)
    for word, mask in ends.items():
        if mask.bit_count() != 1:
            raise ValueError(
                f"an instrument is for one of {word}, got {sorted(graph.bits.named(mask))}"
            )
    within = graph.bits.nodes if allowed is None else graph.mask(allowed)
    return _found(graph, ends["treatments"], ends["outcomes"], within)


def _found(graph: Graph, treatment: int, outcome: int, within: int) -> Iterator[Instrument]:
    bits = graph.bits
    between = bits.proper_causal(treatment, outcome)
    cut = bits.remove_edges(treatment, between)
    within &= ~(bits.descendants(between | outcome) | treatment)
    for place in each(within):
        given = nearest(cut, outcome, 1 << place, 0, within & ~(1 << place))
        if given is not None and reached(bits, 1 << place, given) & treatment:
            yield Instrument(bits.names[place], bits.named(given))
