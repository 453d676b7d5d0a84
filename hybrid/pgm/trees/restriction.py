"""A junction tree cut down to some variables and factors, without a new triangulation (floor 4)."""

from collections.abc import Sequence

from hybrid.pgm.trees.spanning import Edge
from hybrid.pgm.trees.tree import JunctionTree, assemble

__all__ = ["restricted"]


def restricted(
    tree: JunctionTree, variables: Sequence[int], factors: Sequence[int]
) -> JunctionTree:
    """The tree of some of a tree's variables and factors, numbered anew in the given order.

    Cliques and scopes lose the other variables; a clique that its parent then holds, or that holds
    its parent, is merged with it. The cliques of each variable stay connected.

    Args:
        tree: The whole tree.
        variables: The variables that stay.
        factors: The factors that stay.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> whole = junction_tree((3, 3, 3), ((0,), (0, 1), (1, 2)))
        >>> restricted(whole, (0, 1), (0, 1)).cliques
        ((0, 1),)
    """
    number = {variable: place for place, variable in enumerate(variables)}
    cliques, edges = list[int](), list[Edge]()
    place = [-1] * len(tree.cliques)  # where a clique went
    for old in tree.order:
        bits = sum(1 << number[variable] for variable in tree.cliques[old] if variable in number)
        parent = tree.parents[old]
        above = place[parent] if parent >= 0 else -1
        shared = bits & cliques[above] if above >= 0 else 0
        if above >= 0 and shared in (bits, cliques[above]):
            cliques[above] |= bits
            place[old] = above
        elif bits:
            place[old] = len(cliques)
            cliques.append(bits)
            if shared:
                edges.append((above, place[old]))
    scopes = tuple(
        tuple(number[variable] for variable in tree.scopes[factor] if variable in number)
        for factor in factors
    )
    return assemble(tuple(tree.cardinalities[v] for v in variables), scopes, cliques, edges)
