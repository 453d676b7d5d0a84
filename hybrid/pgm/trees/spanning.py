"""Cliques of a triangulation joined to a junction forest (floor 1)."""

import math
from collections.abc import Iterable, Iterator, Sequence

from hybrid.pgm.trees.elimination import cells_of, members

__all__ = ["Edge", "contracted", "rooted", "spanning_forest"]

Edge = tuple[int, int]

_MOST_PAIRS = 300_000  # beyond, sorting them takes longer than all the rest


def spanning_forest(cliques: Sequence[int], cardinalities: Sequence[int]) -> list[Edge]:
    """Join cliques so that those of each variable hang together.

    A spanning forest does so if and only if its separators have as many variables as possible
    (Jensen and Jensen 1994, *Optimal junction trees*, theorem 1). All such forests have the same
    separators; among them, one that hangs them on small cliques is taken.

    Args:
        cliques: Maximal cliques of a chordal graph, as bits.
        cardinalities: Number of states of each variable.

    Example:
        >>> spanning_forest([0b0011, 0b0110, 0b1100], (2, 2, 2, 2))
        [(0, 1), (1, 2)]
    """
    holders = [0] * len(cardinalities)
    for number, clique in enumerate(cliques):
        for variable in members(clique):
            holders[variable] |= 1 << number
    if sum(bits.bit_count() ** 2 for bits in holders) > _MOST_PAIRS:
        return _searched(cliques, len(cardinalities))
    sizes = [math.log(cells_of(clique, cardinalities)) for clique in cliques]
    keyed = sorted(
        (-(cliques[one] & cliques[two]).bit_count(), max(sizes[one], sizes[two]), one, two)
        for one, two in _pairs(cliques, holders)
    )
    group, edges = list(range(len(cliques))), list[Edge]()
    for _, _, one, two in keyed:
        first, second = _leader(group, one), _leader(group, two)
        if first != second:
            group[first] = second
            edges.append((one, two))
    return sorted(edges)


def _pairs(cliques: Sequence[int], holders: Sequence[int]) -> Iterator[Edge]:
    """Pairs of cliques that share a variable."""
    for one, clique in enumerate(cliques):
        others = 0
        for variable in members(clique):
            others |= holders[variable]
        others &= -1 << (one + 1)
        for two in members(others):
            yield one, two


def _leader(group: list[int], clique: int) -> int:
    while group[clique] != clique:
        group[clique] = group[group[clique]]
        clique = group[clique]
    return clique


def _searched(cliques: Sequence[int], variables: int) -> list[Edge]:
    """Any junction forest, in time linear in the graph, for very many cliques at one variable.

    Maximum cardinality search: the clique that shares most with what was visited goes next, and
    hangs on the clique that visited the latest of what it shares (Blair and Peyton 1993, *An
    introduction to chordal graphs and clique trees*, 4.2).
    """
    holding: list[list[int]] = [[] for _ in range(variables)]
    for number, clique in enumerate(cliques):
        for variable in members(clique):
            holding[variable].append(number)
    shared, visited, first = [0] * len(cliques), list[int](), [-1] * variables
    waiting: list[list[int]] = [list(range(len(cliques)))]  # by how many variables were visited
    done, edges = [False] * len(cliques), list[Edge]()
    while waiting:
        if not waiting[-1]:
            waiting.pop()
            continue
        number = waiting[-1].pop()
        if done[number] or shared[number] != len(waiting) - 1:
            continue
        clique = cliques[number]
        latest = max(first[variable] for variable in members(clique))
        if latest >= 0:
            edges.append((visited[latest], number))
        done[number] = True
        visited.append(number)
        for variable in members(clique):
            if first[variable] < 0:
                first[variable] = len(visited) - 1
                for other in holding[variable]:
                    shared[other] += 1
                    waiting += [[] for _ in range(shared[other] + 1 - len(waiting))]
                    waiting[shared[other]].append(other)
    return edges


def contracted(
    cliques: Sequence[int], edges: Iterable[Edge], cardinalities: Sequence[int]
) -> tuple[list[int], list[Edge]]:
    """Merge neighbours whose union has no more cells than the two have together.

    Args:
        cliques: The cliques as bits.
        edges: A junction forest of them.
        cardinalities: Number of states of each variable.

    Returns:
        The cliques and edges that are left.

    Example:
        >>> contracted([0b011, 0b110], [(0, 1)], (2, 2, 2))
        ([7], [])
        >>> contracted([0b011, 0b110], [(0, 1)], (3, 3, 3))
        ([3, 6], [(0, 1)])
    """
    merged, group = list(cliques), list(range(len(cliques)))
    sizes = [cells_of(clique, cardinalities) for clique in cliques]
    kept, left, progress = list(edges), list[Edge](), True
    while progress:
        progress, left = False, []
        for edge in kept:
            one, two = (_leader(group, end) for end in edge)
            union = cells_of(merged[one] | merged[two], cardinalities)
            if union > sizes[one] + sizes[two]:
                left.append((one, two))
                continue
            group[two], progress = one, True
            merged[one], sizes[one] = merged[one] | merged[two], union
        kept = left
    numbers = {old: new for new, old in enumerate(sorted({_leader(group, n) for n in group}))}
    moved = [(numbers[_leader(group, one)], numbers[_leader(group, two)]) for one, two in kept]
    return [merged[old] for old in numbers], moved


def rooted(sizes: Sequence[int], edges: Iterable[Edge]) -> tuple[list[int], list[int]]:
    """Parents and an order, parents first, of each tree of a forest from its largest clique.

    The root sends no message up and takes none from above: that saves most at the largest.

    Args:
        sizes: Cells of each clique.
        edges: The forest.

    Returns:
        The parent of each clique, −1 for roots; the cliques, each soon after its parent.

    Example:
        >>> rooted([8, 4, 4], [(0, 1), (1, 2)])
        ([-1, 0, 1], [0, 1, 2])
    """
    around: list[list[int]] = [[] for _ in sizes]
    for one, two in edges:
        around[one].append(two)
        around[two].append(one)
    parents, order = [-2] * len(sizes), list[int]()
    for root in sorted(range(len(sizes)), key=lambda clique: (-sizes[clique], clique)):
        waiting = [root] if parents[root] == -2 else []
        for clique in waiting:
            parents[clique] = -1
        while waiting:
            clique = waiting.pop()
            order.append(clique)
            for other in sorted(around[clique], reverse=True):
                if parents[other] == -2:
                    parents[other] = clique
                    waiting.append(other)
    return parents, order
