"""A triangulation made smaller part by part (floor 2)."""

import math
import random
from collections.abc import Iterable, Sequence

from hybrid.pgm.trees.elimination import Candidate, cells_of, eliminate, filled_in, members
from hybrid.pgm.trees.spanning import spanning_forest
from hybrid.pgm.trees.triangulation import HEURISTICS, Heuristic, thinned

__all__ = ["refined"]

_REGION = (2, 24)  # fewest and most cliques that are made anew at a time
_NOISE = 0.4  # standard deviation of the logarithm of the factors on prices


def refined(
    cliques: Sequence[int], graph: Sequence[int], cardinalities: Sequence[int], steps: int
) -> list[int]:
    """Cliques of a triangulation with no more cells, found by trying again locally.

    A step takes some neighbouring cliques of the junction tree, keeps what they share with the
    rest, and triangulates the part of the graph between by an elimination with disturbed prices.
    If that has no more cells, it replaces them; the whole stays a triangulation, as separators are
    complete on both sides.

    Args:
        cliques: Maximal cliques of a triangulation, as bits.
        graph: The graph that was triangulated.
        cardinalities: Number of states of each variable.
        steps: How many parts to try; the same number gives the same cliques.

    Example:
        >>> from hybrid.pgm.trees.elimination import interaction_graph
        >>> ring = interaction_graph(5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)])
        >>> fan = [0b00111, 0b01101, 0b11001]  # all at variable 0, which has many states
        >>> found = refined(fan, ring, (9, 2, 2, 2, 2), 20)
        >>> sum(cells_of(clique, (9, 2, 2, 2, 2)) for clique in found)
        52
    """
    work = _Refinement(cliques, graph, cardinalities)
    for _ in range(steps):
        work.step()
    return list(work.cliques.values())


class _Refinement:
    """Cliques by number, and the junction forest between them."""

    def __init__(
        self, cliques: Sequence[int], graph: Sequence[int], cardinalities: Sequence[int]
    ) -> None:
        self.graph, self.cardinalities = graph, cardinalities
        self.cliques: dict[int, int] = {}
        self.cells: dict[int, int] = {}
        self.weights: dict[int, float] = {}  # 0 for what is in every triangulation
        self.around: dict[int, set[int]] = {}
        self.next = 0
        self.source = random.Random(0)  # noqa: S311 - a search, no secret
        self._add(cliques)
        for one, two in spanning_forest(cliques, cardinalities):
            self._join(one, two)

    def _add(self, cliques: Sequence[int]) -> range:
        numbers = range(self.next, self.next + len(cliques))
        self.next += len(cliques)
        for number, clique in zip(numbers, cliques, strict=True):
            self.cliques[number], self.around[number] = clique, set()
            self.cells[number] = cells_of(clique, self.cardinalities)
            filled = filled_in(clique, self.graph)
            self.weights[number] = self.cells[number] ** 0.5 if filled else 0.0
        return numbers

    def _join(self, one: int, two: int) -> None:
        self.around[one].add(two)
        self.around[two].add(one)

    def step(self) -> None:
        region = self._region()
        if len(region) < _REGION[0]:
            return
        inside = 0
        for number in region:
            inside |= self.cliques[number]
        borders = [
            (outer, self.cliques[number] & self.cliques[outer])
            for number in sorted(region)
            for outer in sorted(self.around[number] - region)
        ]
        before = sum(self.cells[number] for number in region)
        found = self._again(inside, [separator for _, separator in borders], before)
        if found is not None:
            self._replace(region, found, borders)

    def _region(self) -> set[int]:
        """Neighbouring cliques about one that has new edges, rather one with many cells."""
        numbers = [number for number, weight in self.weights.items() if weight]
        if not numbers:
            return set()
        weights = [self.weights[number] for number in numbers]
        region = {self.source.choices(numbers, weights)[0]}
        size = self.source.randint(*_REGION)
        edge = sorted(self.around[next(iter(region))])
        while edge and len(region) < size:
            number = edge.pop(self.source.randrange(len(edge)))
            region.add(number)
            edge += sorted(self.around[number] - region)
        return region

    def _again(self, inside: int, separators: Iterable[int], before: int) -> list[int] | None:
        """Cliques of another triangulation of a part; None if they have more cells."""
        variables = list(members(inside))
        number = {variable: place for place, variable in enumerate(variables)}

        def renumbered(bits: int) -> int:
            return sum(1 << number[variable] for variable in members(bits))

        local = [renumbered(self.graph[variable] & inside) for variable in variables]
        for separator in set(separators):
            bits = renumbered(separator)
            for place in members(bits):
                local[place] |= bits & ~(1 << place)
        sizes = [self.cardinalities[variable] for variable in variables]
        found = eliminate(local, sizes, self._price(len(variables)), before + 1)
        if found is None:
            return None
        return [
            sum(1 << variables[place] for place in members(clique))
            for clique in thinned(found[0], local)
        ]

    def _price(self, count: int) -> Heuristic:
        heuristic = self.source.choice(list(HEURISTICS.values()))
        noise = [math.exp(self.source.gauss(0.0, _NOISE)) for _ in range(count)]

        def price(node: Candidate) -> float:
            return heuristic(node) * noise[node.variable]

        return price

    def _replace(
        self, region: set[int], found: Sequence[int], borders: Iterable[tuple[int, int]]
    ) -> None:
        for number in region:
            for other in self.around.pop(number):
                if other not in region:
                    self.around[other].discard(number)
            del self.cliques[number], self.cells[number], self.weights[number]
        numbers = self._add(found)
        for one, two in spanning_forest(found, self.cardinalities):
            self._join(numbers[one], numbers[two])
        holders = list(numbers)
        for outer, separator in borders:
            holding = [n for n in holders if not separator & ~self.cliques[n]]
            nearest = min(holding, key=lambda number: (self.cells[number], number))
            self._join(outer, nearest)
            if self.cliques[nearest] == separator:  # what was between the parts is in both
                self._absorb(nearest, outer)
                holders[holders.index(nearest)] = outer

    def _absorb(self, small: int, large: int) -> None:
        """Take out a clique that its neighbour contains."""
        for other in self.around.pop(small):
            self.around[other].discard(small)
            if other != large:
                self._join(other, large)
        del self.cliques[small], self.cells[small], self.weights[small]
