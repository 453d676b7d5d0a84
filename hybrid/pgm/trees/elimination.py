"""Greedy elimination of the variables of an undirected graph (floor 0).

A set of variables is an integer whose bits are the variables: neighbourhoods of a thousand
variables are joined, compared and counted by single operations.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    "Candidate",
    "Holders",
    "cells_of",
    "eliminate",
    "filled_in",
    "interaction_graph",
    "members",
    "without_simplicial",
]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a heuristic may read of a variable that could be eliminated next.

    Args:
        variable: Its number.
        fill: How many edges its elimination adds.
        weighted_fill: The same, each edge counted as the cells of its pair of variables.
        neighbours: Logarithm of the cells that its neighbours make together.
        own: Logarithm of its own cardinality.

    Example:
        >>> Candidate(variable=3, fill=1, weighted_fill=6.0, neighbours=1.8, own=0.7).fill
        1
    """

    variable: int
    fill: int
    weighted_fill: float
    neighbours: float
    own: float


def members(bits: int) -> Iterator[int]:
    """Numbers of the bits that are set, ascending.

    Example:
        >>> list(members(0b10110))
        [1, 2, 4]
    """
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def interaction_graph(variables: int, scopes: Iterable[Sequence[int]]) -> list[int]:
    """Neighbourhood of each variable in the graph that joins all members of each scope.

    For the tables of a Bayesian network this is the moral graph.

    Args:
        variables: How many variables there are.
        scopes: Sets of variables that stand in one table.

    Example:
        >>> [list(members(bits)) for bits in interaction_graph(3, [(0, 1), (1, 2)])]
        [[1], [0, 2], [1]]
    """
    graph = [0] * variables
    for scope in scopes:
        bits = sum(1 << variable for variable in set(scope))
        for variable in scope:
            graph[variable] |= bits
    return [bits & ~(1 << variable) for variable, bits in enumerate(graph)]


def cells_of(bits: int, cardinalities: Sequence[int]) -> int:
    """Cells of a table over the variables of ``bits``, exact however large.

    Example:
        >>> cells_of(0b101, (2, 3, 5))
        10
    """
    return math.prod(cardinalities[variable] for variable in members(bits))


def filled_in(clique: int, graph: Sequence[int]) -> bool:
    """Whether a triangulation added an edge of this clique to the graph.

    Example:
        >>> filled_in(0b111, interaction_graph(3, [(0, 1), (1, 2)]))
        True
    """
    return any(clique & ~graph[variable] != 1 << variable for variable in members(clique))


class Holders:
    """A growing list of cliques that knows which of them hold a variable.

    Example:
        >>> cliques = Holders()
        >>> cliques.add(0b011), cliques.add(0b110), cliques.add(0b010)
        (True, True, False)
        >>> list(cliques)
        [3, 6]
    """

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}
        self._by_variable: dict[int, int] = {}
        self._next = 1

    def __iter__(self) -> Iterator[int]:
        return iter(self._bits)

    def add(self, clique: int) -> bool:
        """Append a clique unless one of the list contains it; say whether it was appended."""
        if self.common(clique):
            return False
        bit = self._bits[clique] = self._next
        self._next <<= 1
        for variable in members(clique):
            self._by_variable[variable] = self._by_variable.get(variable, 0) | bit
        return True

    def remove(self, clique: int) -> None:
        """Take a clique of the list out of it."""
        bit = self._bits.pop(clique)
        for variable in members(clique):
            self._by_variable[variable] &= ~bit

    def common(self, variables: int) -> int:
        """The cliques that contain these variables, as bits."""
        found = -1
        for variable in members(variables):
            found &= self._by_variable.get(variable, 0)
            if not found:
                break
        return found


def without_simplicial(graph: Sequence[int]) -> tuple[list[int], list[int]]:
    """Eliminate variables as long as one has neighbours that are all joined with each other.

    Such an elimination adds no edge, and its clique is one of every triangulation: nothing is lost
    by doing it first.

    Args:
        graph: Neighbourhoods, as from `interaction_graph`.

    Returns:
        Each eliminated variable with its neighbours, in that order; and the neighbourhoods that are
        left, 0 for what is eliminated.

    Example:
        >>> without_simplicial(interaction_graph(3, [(0, 1), (1, 2)]))[1]
        [0, 0, 0]
    """
    left, cliques = list(graph), list[int]()
    present, waiting = [True] * len(left), list(range(len(left)))
    while waiting:
        variable = waiting.pop()
        around = left[variable]
        if not present[variable] or any(around & ~left[one] != 1 << one for one in members(around)):
            continue
        present[variable], left[variable] = False, 0
        cliques.append(around | 1 << variable)
        for one in members(around):
            left[one] &= ~(1 << variable)
            waiting.append(one)
    return cliques, left


def eliminate(
    graph: Sequence[int],
    cardinalities: Sequence[int],
    price: Callable[[Candidate], float],
    limit: float = math.inf,
) -> tuple[list[int], int] | None:
    """Maximal cliques of the triangulation that a greedy elimination makes.

    The cheapest variable goes next, those that need no new edge first.

    Args:
        graph: Neighbourhoods; variables without neighbours are passed over.
        cardinalities: Number of states of each variable.
        price: Of a candidate; must not be negative.
        limit: Give up as soon as the cliques have this many cells together.

    Returns:
        The cliques in the order in which they arose, and their cells; None where it gave up.

    Example:
        >>> square = interaction_graph(4, [(0, 1), (1, 2), (2, 3), (3, 0)])
        >>> eliminate(square, (2, 2, 2, 2), lambda node: node.fill)
        ([11, 14], 16)
    """
    work = _Elimination(graph, cardinalities, price)
    found, cells = Holders(), 0
    for clique in work.run():
        if found.add(clique):
            cells += cells_of(clique, cardinalities)
            if cells >= limit:
                return None
    return list(found), cells


class _Elimination:
    """The graph that shrinks; prices lie in a heap and are renewed only where they changed."""

    def __init__(
        self,
        graph: Sequence[int],
        cardinalities: Sequence[int],
        price: Callable[[Candidate], float],
    ) -> None:
        self.graph = list(graph)
        self.cardinalities = cardinalities
        self.logs = [math.log(cardinality) for cardinality in cardinalities]
        self.price = price
        self.neighbours = [sum(self.logs[one] for one in members(bits)) for bits in graph]
        self.prices = [0.0] * len(self.graph)
        self.heap: list[tuple[float, int]] = []

    def run(self) -> Iterator[int]:
        """Eliminate all variables; yield each with its neighbours at that time."""
        for variable, around in enumerate(self.graph):
            if around:
                self._renew(variable)
        while self.heap:
            price, variable = heapq.heappop(self.heap)
            if price == self.prices[variable]:
                self.prices[variable] = -2.0  # gone
                clique = self.graph[variable] | 1 << variable
                changed = self._eliminate(variable)
                yield clique
                for other in members(changed):
                    self._renew(other)

    def _renew(self, variable: int) -> None:
        fill, weighted = self._fill(variable)
        price = -1.0
        if fill:
            neighbours = self.neighbours[variable]
            node = Candidate(variable, fill, weighted, neighbours, self.logs[variable])
            price = self.price(node)
        if price != self.prices[variable] or price == 0.0:
            self.prices[variable] = price
            heapq.heappush(self.heap, (price, variable))

    def _fill(self, variable: int) -> tuple[int, float]:
        """Number of pairs of neighbours that are not joined, and their cells."""
        graph, cardinalities, count, weighted = self.graph, self.cardinalities, 0, 0.0
        rest = graph[variable]
        while rest:
            low = rest & -rest
            rest ^= low
            one = low.bit_length() - 1
            missing, cells = rest & ~graph[one], 0
            while missing:  # written out: most of the time of a plan is spent here
                low = missing & -missing
                missing ^= low
                count += 1
                cells += cardinalities[low.bit_length() - 1]
            weighted += cardinalities[one] * cells
        return count, weighted

    def _eliminate(self, variable: int) -> int:
        """Join the neighbours of a variable and take it out; return those whose price changed."""
        graph, around, changed = self.graph, self.graph[variable], self.graph[variable]
        rest = around
        for one in members(around):
            rest ^= 1 << one
            for other in members(rest & ~graph[one]):
                changed |= graph[one] & graph[other]
                self.neighbours[one] += self.logs[other]
                self.neighbours[other] += self.logs[one]
            self.neighbours[one] -= self.logs[variable]
        for one in members(around):
            graph[one] = (graph[one] | around) & ~(1 << one | 1 << variable)
        return changed & ~(1 << variable)
