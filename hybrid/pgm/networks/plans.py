"""What is decided once for all questions of one kind: tables read, tree, wanted sets (floor 3)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from causal.bits import each
from hybrid.pgm.networks.relevance import relevant_tables
from hybrid.pgm.networks.structure import Structure
from hybrid.pgm.trees.restriction import restricted
from hybrid.pgm.trees.tree import JunctionTree, junction_tree

__all__ = ["Plan", "plan_all", "plan_sets"]

Sets = tuple[tuple[int, ...], ...]
SMALL = 2**25  # cells; a tree below that is cut down for a pruned question, not made anew


@dataclass(frozen=True, eq=False)
class Plan:
    """A junction tree of some tables over some variables, and where the answers are read.

    Args:
        tree: The tree, its variables and factors numbered by their places below.
        variables: The numbers of its variables.
        tables: The numbers of its tables.
        sets: The wanted sets, as places among ``variables``.
        whole: Whether all finite variables take part.

    Example:
        >>> chain = Structure(("A", "B"), (2, 3), ((), (0,)))
        >>> plan_all(chain, 0).tables, plan_sets(chain, ((0,),), 0, 0, 0).tables
        ((0, 1), (0,))
    """

    tree: JunctionTree
    variables: tuple[int, ...]
    tables: tuple[int, ...]
    sets: Sets
    whole: bool = False
    place: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        places = {number: place for place, number in enumerate(self.variables)}
        object.__setattr__(self, "place", places)


@lru_cache(maxsize=256)
def plan_all(structure: Structure, leaves: int, families: bool = False) -> Plan:
    """All tables and the observed leaves; the wanted sets are the single variables.

    Args:
        structure: The network.
        leaves: Leaves that are observed, as bits.
        families: Whether the wanted sets are the tables' variables instead.

    Example:
        >>> plan_all(Structure(("A",), (2,), ((),)), 0).sets
        ((0,),)
    """
    count = len(structure.names)
    tables = (*range(count), *(count + k for k in each(leaves) if structure.scopes[count + k]))
    scopes = tuple(structure.scopes[table] for table in tables)
    tree = junction_tree(structure.cardinalities, scopes)
    everything = tuple(range(count))
    sets = structure.scopes[:count] if families else tuple((k,) for k in everything)
    return Plan(tree, everything, tables, sets, whole=True)


@lru_cache(maxsize=1024)
def plan_sets(structure: Structure, sets: Sets, observed: int, known: int, leaves: int) -> Plan:
    """The tables that some sets of variables depend on; without sets, the evidence itself.

    Args:
        structure: The network.
        sets: The wanted sets, by number; ``()`` for the probability of the evidence alone.
        observed: Finite variables with evidence in some row, as bits.
        known: Finite variables with a state in every row.
        leaves: Leaves that are observed.

    Example:
        >>> chain = Structure(("A", "B", "C"), (2, 2, 2), ((), (0,), (1,)))
        >>> plan = plan_sets(chain, ((2,),), 0b010, 0b010, 0)
        >>> plan.variables, plan.tables, plan.sets
        ((1, 2), (2,), ((1,),))
    """
    asked = 0
    for wanted in sets:
        for number in wanted:
            asked |= 1 << number
    tables = relevant_tables(structure, asked, observed, known, leaves)
    tables = tuple(table for table in tables if structure.scopes[table])
    used = asked
    for table in tables:
        used |= structure.scope_masks[table]
    variables = tuple(each(used))
    place = {number: k for k, number in enumerate(variables)}
    inner = tuple(tuple(place[number] for number in wanted) for wanted in sets)
    tree = _tree(structure, variables, tables, inner, leaves)
    return Plan(tree, variables, tables, inner)


def _tree(
    structure: Structure,
    variables: Sequence[int],
    tables: Sequence[int],
    sets: Sets,
    leaves: int,
) -> JunctionTree:
    """The whole network's tree cut down, where that is small and has the sets; else a new one."""
    whole = plan_all(structure, leaves)
    if whole.tree.cells <= SMALL:
        tree = restricted(whole.tree, variables, [whole.tables.index(table) for table in tables])
        if all(tree.home(wanted) is not None for wanted in sets):
            return tree
    place = {number: k for k, number in enumerate(variables)}
    return junction_tree(
        tuple(structure.cardinalities[number] for number in variables),
        tuple(tuple(place[number] for number in structure.scopes[table]) for table in tables),
        tuple(wanted for wanted in sets if len(wanted) > 1),
    )
