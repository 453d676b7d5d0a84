"""Cliques of a small triangulation of an undirected graph (floor 1)."""

import math
from collections.abc import Callable, Sequence

from hybrid.pgm.trees.elimination import (
    Candidate,
    Holders,
    eliminate,
    members,
    without_simplicial,
)

__all__ = ["HEURISTICS", "thinned", "triangulate"]

Heuristic = Callable[[Candidate], float]

# Kjærulff 1990, "Triangulation of graphs", and Cano and Moral 1995, "Heuristic algorithms for the
# triangulation of graphs", compare these; none is best on all networks, so all are tried.
HEURISTICS: dict[str, Heuristic] = {
    "weighted fill": lambda node: node.weighted_fill,
    "fill": lambda node: float(node.fill),
    "weight": lambda node: node.neighbours + node.own,
    "weight without own": lambda node: node.neighbours,
    "fill times weight": lambda node: node.weighted_fill * math.exp(node.neighbours + node.own),
}


def triangulate(graph: Sequence[int], cardinalities: Sequence[int]) -> list[int]:
    """Maximal cliques of the smallest triangulation that one of the heuristics makes.

    The number of cells of all cliques together is what counts.

    Args:
        graph: Neighbourhoods, as from `interaction_graph`.
        cardinalities: Number of states of each variable.

    Returns:
        The cliques as bits.

    Example:
        >>> from hybrid.pgm.trees.elimination import interaction_graph
        >>> ring = interaction_graph(5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)])
        >>> [clique.bit_count() for clique in triangulate(ring, (2, 2, 2, 2, 2))]
        [3, 3, 3]
    """
    simplicial, core = without_simplicial(graph)
    best, cells = list[int](), math.inf
    for heuristic in HEURISTICS.values():
        found = eliminate(core, cardinalities, heuristic, cells)
        if found is not None:
            best, cells = found
    cliques = Holders()
    for clique in [*simplicial, *best]:
        cliques.add(clique)
    return thinned(list(cliques), graph)


def thinned(cliques: Sequence[int], graph: Sequence[int]) -> list[int]:
    """Cliques of a triangulation inside the given one that has no superfluous edge.

    An edge of a chordal graph may go, the graph staying chordal, if one maximal clique alone holds
    it (Kjærulff 1990, section 4): the clique falls into two that lack one end each.

    Args:
        cliques: Maximal cliques of a triangulation.
        graph: The graph that was triangulated; its own edges stay.

    Example:
        >>> from hybrid.pgm.trees.elimination import interaction_graph
        >>> square = interaction_graph(4, [(0, 1), (1, 2), (2, 3), (3, 0)])
        >>> sorted(clique.bit_count() for clique in thinned([0b1111], square))
        [3, 3]
    """
    held = Holders()
    for clique in cliques:
        held.add(clique)
    waiting = list(held)
    while waiting:
        clique = waiting.pop()
        edge = _superfluous(clique, graph, held)
        if edge is not None:
            held.remove(clique)
            waiting += [part for part in (clique & ~edge[0], clique & ~edge[1]) if held.add(part)]
    return list(held)


def _superfluous(clique: int, graph: Sequence[int], held: Holders) -> tuple[int, int] | None:
    """The ends, as bits, of an edge of the clique that the graph lacks and no other clique has."""
    rest = clique
    for one in members(clique):
        rest &= ~(1 << one)
        for other in members(rest & ~graph[one]):
            ends = 1 << one, 1 << other
            if held.common(ends[0] | ends[1]).bit_count() == 1:
                return ends
    return None
