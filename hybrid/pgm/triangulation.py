"""Cliques of a small triangulation of an undirected graph (floor 0)."""

import math
import random
from collections.abc import Callable, Sequence

from hybrid.pgm.elimination import (
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
    """Maximal cliques of the smallest triangulation that was found.

    First each heuristic once; then the better ones with prices disturbed at random, the noise of
    the best attempt so far being kept for most variables (a hill climb on the noise). The number of
    cells of all cliques together is what counts.

    Args:
        graph: Neighbourhoods, as from `interaction_graph`.
        cardinalities: Number of states of each variable.

    Returns:
        The cliques as bits. The same graph gives the same cliques: attempts are counted, not timed.

    Example:
        >>> from hybrid.pgm.elimination import interaction_graph
        >>> ring = interaction_graph(5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)])
        >>> [clique.bit_count() for clique in triangulate(ring, (2, 2, 2, 2, 2))]
        [3, 3, 3]
    """
    simplicial, core = without_simplicial(graph)
    found = _search(core, cardinalities) if any(core) else []
    cliques = Holders()
    for clique in [*simplicial, *found]:
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
        >>> from hybrid.pgm.elimination import interaction_graph
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


def _search(graph: Sequence[int], cardinalities: Sequence[int]) -> list[int]:
    """The smallest of the heuristics' triangulations, improved by random changes of the prices."""
    tried = []
    for heuristic in HEURISTICS.values():
        found = eliminate(graph, cardinalities, heuristic)
        if found is not None:
            tried.append((found[1], len(tried), found[0], heuristic))
    tried.sort()
    cells, _, best, heuristic = tried[0]
    source = random.Random(0)  # noqa: S311 - a search, no secret
    present = [variable for variable, around in enumerate(graph) if around]
    noise = [1.0] * len(graph)
    attempts = min(100, 10_000 // len(present), cells // 100)
    for attempt in range(attempts):
        changed = _disturbed(noise, present, attempt, attempts, source)
        found = eliminate(graph, cardinalities, _times(heuristic, changed), cells + 1)
        if found is not None:
            noise, (best, cells) = changed, found
    return best


def _times(heuristic: Heuristic, factors: list[float]) -> Heuristic:
    return lambda node: heuristic(node) * factors[node.variable]


def _disturbed(
    noise: list[float], present: list[int], attempt: int, attempts: int, source: random.Random
) -> list[float]:
    """Other factors for some of the variables: many at first, few at last."""
    share = max(1.0 - attempt / attempts, 2.0 / len(present))
    changed = list(noise)
    for variable in present:
        if source.random() < share:
            changed[variable] = math.exp(source.gauss(0.0, 0.3))
    return changed
