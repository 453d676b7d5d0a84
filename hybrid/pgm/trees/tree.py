"""Junction trees: the plan by which a set of tables is summed (floor 3)."""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hybrid.pgm.trees.elimination import cells_of, filled_in, interaction_graph, members
from hybrid.pgm.trees.refinement import refined
from hybrid.pgm.trees.spanning import Edge, contracted, rooted, spanning_forest
from hybrid.pgm.trees.triangulation import triangulate

__all__ = ["JunctionTree", "TooLarge", "assemble", "junction_tree"]

_MOST_STEPS = 400  # of refinement: one or two seconds for a thousand variables


class TooLarge(ValueError):  # noqa: N818 - the public name
    """Exact inference needs more memory than there is; nothing was allocated.

    Args:
        cells: Cells of all cliques of the junction tree together.
        needed: Bytes that one row would take.
        available: Bytes that there are.

    Example:
        >>> print(TooLarge(2**40, 2**44, 2**34))
        the junction tree has 1,099,511,627,776 cells: one row needs 16,384.0 GiB, 16.0 GiB are
        free. Observe more variables in every row, or ask for approximate answers:
        hybrid.pgm.belief_propagation(network, evidence) or likelihood_weighting
    """

    def __init__(self, cells: int, needed: int, available: int) -> None:
        super().__init__(cells, needed, available)
        self.cells, self.needed, self.available = cells, needed, available

    def __str__(self) -> str:
        return (
            f"the junction tree has {self.cells:,} cells: one row needs "
            f"{self.needed / 2**30:,.1f} GiB, {self.available / 2**30:,.1f} GiB are free. Observe "
            "more variables in every row, or ask for approximate answers: "
            "hybrid.pgm.belief_propagation(network, evidence) or likelihood_weighting"
        )


@dataclass(frozen=True)
class JunctionTree:
    """Cliques of variables joined to a forest in which each variable's cliques hang together.

    Variables, factors and cliques are numbers. The cliques that hold a variable are connected
    (running intersection), so that messages between neighbours carry all there is to know
    (Lauritzen and Spiegelhalter 1988, *Local computations with probabilities on graphical
    structures*, section 4).

    Args:
        cardinalities: Number of states of each variable.
        scopes: The variables of each factor, in the order of its axes.
        cliques: The variables of each clique, ascending.
        parents: The parent of each clique, −1 for a root.
        order: The cliques, parents before children.
        separators: What each clique shares with its parent, ascending; () for a root.
        homes: The clique into which each factor is multiplied.
        variable_homes: The smallest clique that holds each variable.
        cells: Cells of all cliques together.

    Example:
        >>> tree = junction_tree((2, 2, 3), ((0,), (0, 1), (1, 2)))
        >>> tree.cliques, tree.parents, tree.separators, tree.cells
        (((1, 2), (0, 1)), (-1, 0), ((), (1,)), 10)
    """

    cardinalities: tuple[int, ...]
    scopes: tuple[tuple[int, ...], ...]
    cliques: tuple[tuple[int, ...], ...]
    parents: tuple[int, ...]
    order: tuple[int, ...]
    separators: tuple[tuple[int, ...], ...]
    homes: tuple[int, ...]
    variable_homes: tuple[int, ...]
    cells: int

    def __hash__(self) -> int:
        """Quick: trees are keys of caches."""
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.cardinalities, self.scopes, self.cliques, self.parents))

    @functools.cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The children of each clique."""
        found: list[list[int]] = [[] for _ in self.cliques]
        for clique in self.order:
            if self.parents[clique] >= 0:
                found[self.parents[clique]].append(clique)
        return tuple(map(tuple, found))

    def sizes(self, clique: int) -> tuple[int, ...]:
        """Cardinalities of a clique's variables."""
        return tuple(self.cardinalities[variable] for variable in self.cliques[clique])

    def home(self, variables: Sequence[int]) -> int | None:
        """The smallest clique that holds these variables; None where no clique does.

        Raises:
            ValueError: A number is no variable of the tree.
        """
        if any(not 0 <= variable < len(self.cardinalities) for variable in variables):
            raise ValueError(
                f"variables are numbers from 0 to {len(self.cardinalities) - 1}, "
                f"got {tuple(variables)}"
            )
        holding = self._holding(frozenset(variables))
        return min(holding, key=lambda clique: math.prod(self.sizes(clique)), default=None)

    def _holding(self, variables: frozenset[int]) -> list[int]:
        if not variables:
            return list(range(len(self.cliques)))
        rarest = min(variables, key=lambda variable: len(self._cliques_of[variable]))
        return [clique for clique in self._cliques_of[rarest] if variables <= self._sets[clique]]

    @functools.cached_property
    def _sets(self) -> tuple[frozenset[int], ...]:
        return tuple(map(frozenset, self.cliques))

    @functools.cached_property
    def _cliques_of(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in self.cardinalities]
        for number, clique in enumerate(self.cliques):
            for variable in clique:
                found[variable].append(number)
        return found


@functools.lru_cache(maxsize=256)
def junction_tree(
    cardinalities: tuple[int, ...],
    scopes: tuple[tuple[int, ...], ...],
    together: tuple[tuple[int, ...], ...] = (),
) -> JunctionTree:
    r"""Plan exact inference in the product of factors :math:`\prod_i f_i(x_{scope_i})`.

    Several triangulations are tried, the one with the fewest cells is made smaller part by part,
    and neighbouring cliques are merged where that adds no cell. The plan depends on structure
    alone, is made once and kept.

    Args:
        cardinalities: Number of states of each variable, by its number.
        scopes: The variables of each factor, in the order of its axes.
        together: Sets of variables that some clique must hold although no factor has them.

    Returns:
        The tree. Its cells may be more than fit in memory: they are counted, not allocated.

    Raises:
        ValueError: There is no variable, a variable has no state, or a scope repeats a variable or
            names one that is not there.

    Example:
        >>> junction_tree((2, 2, 2), ((0, 1), (1, 2)), together=((0, 2),)).cliques
        ((0, 1, 2),)
    """
    _check(cardinalities, (*scopes, *together))
    graph = interaction_graph(len(cardinalities), (*scopes, *together))
    found = triangulate(graph, cardinalities)
    if any(filled_in(clique, graph) for clique in found):
        cells = sum(cells_of(clique, cardinalities) for clique in found)
        found = refined(found, graph, cardinalities, min(_MOST_STEPS, 10 + math.isqrt(cells)))
    cliques, edges = contracted(found, spanning_forest(found, cardinalities), cardinalities)
    return assemble(cardinalities, scopes, cliques, edges)


def assemble(
    cardinalities: tuple[int, ...],
    scopes: tuple[tuple[int, ...], ...],
    cliques: Sequence[int],
    edges: Iterable[Edge],
) -> JunctionTree:
    """The tree of given cliques and edges: roots, order and homes are chosen here.

    Args:
        cardinalities: Number of states of each variable.
        scopes: The variables of each factor.
        cliques: The cliques, as bits.
        edges: A junction forest of them.

    Example:
        >>> assemble((2, 2, 2), ((0, 1), (1, 2)), [0b011, 0b110], [(0, 1)]).homes
        (0, 1)
    """
    sizes = [cells_of(clique, cardinalities) for clique in cliques]
    parents, order = rooted(sizes, edges)
    smallest = sorted(range(len(cliques)), key=lambda number: (sizes[number], number))
    holders = [0] * len(cardinalities)  # bit k: the k-th smallest clique holds the variable
    for rank, number in enumerate(smallest):
        for variable in members(cliques[number]):
            holders[variable] |= 1 << rank

    def home(scope: Sequence[int]) -> int:
        common = (1 << len(cliques)) - 1
        for variable in scope:
            common &= holders[variable]
        return smallest[(common & -common).bit_length() - 1]

    return JunctionTree(
        cardinalities=cardinalities,
        scopes=scopes,
        cliques=tuple(tuple(members(clique)) for clique in cliques),
        parents=tuple(parents),
        order=tuple(order),
        separators=tuple(
            tuple(members(clique & cliques[parent])) if parent >= 0 else ()
            for clique, parent in zip(cliques, parents, strict=True)
        ),
        homes=tuple(home(scope) for scope in scopes),
        variable_homes=tuple(home((variable,)) for variable in range(len(cardinalities))),
        cells=sum(sizes),
    )


def _check(cardinalities: tuple[int, ...], sets: tuple[tuple[int, ...], ...]) -> None:
    if not cardinalities:
        raise ValueError("a junction tree needs at least one variable, got none")
    for variable, cardinality in enumerate(cardinalities):
        if cardinality < 1:
            raise ValueError(f"variable {variable} has {cardinality} states, expected at least 1")
    for scope in sets:
        if len(set(scope)) < len(scope):
            raise ValueError(f"the variables of a scope must differ, got {scope}")
        if any(not 0 <= variable < len(cardinalities) for variable in scope):
            raise ValueError(
                f"variables are numbers from 0 to {len(cardinalities) - 1}, got the scope {scope}"
            )
