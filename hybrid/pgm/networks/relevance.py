"""Which tables a question reads: barren nodes and separated parts are left out (floor 2)."""

from causal.bits import closure, each
from hybrid.pgm.networks.structure import Structure

__all__ = ["relevant_tables"]


def relevant_tables(
    structure: Structure, asked: int, observed: int, known: int, leaves: int
) -> tuple[int, ...]:
    r"""The tables on which :math:`p(asked \mid observed)` depends, in ascending order.

    A node without an asked or observed descendant sums to one (it is barren). Of the others, those
    count that a path of shared tables joins to what is asked, past what is known in every row.

    Args:
        structure: The network.
        asked: Finite variables as bits; 0 asks for the probability of the evidence, which depends
            on all that is not barren.
        observed: Finite variables with evidence in some row.
        known: Finite variables with a state in every row.
        leaves: Leaves that are observed, as bits.

    Returns:
        Numbers of tables as in ``structure.scopes``.

    Source: Shachter, "Bayes-ball" (1998); Baker & Boult, "Pruning Bayesian networks for efficient
    computation" (1990).

    Example:
        >>> chain = Structure(("A", "B", "C"), (2, 2, 2), ((), (0,), (1,)))
        >>> relevant_tables(chain, 0b010, 0, 0, 0), relevant_tables(chain, 0b100, 0b010, 0b010, 0)
        ((0, 1), (2,))
    """
    count = len(structure.names)
    above = asked | observed
    for place in each(leaves):
        above |= structure.scope_masks[count + place]
    alive = structure.ancestors(above)
    tables = [*each(alive), *(count + place for place in each(leaves))]
    if not asked:
        return tuple(tables)
    masks = structure.scope_masks
    neighbours = [0] * count
    for table in tables:
        scope = masks[table] & ~known
        for number in each(scope):
            neighbours[number] |= scope
    joined = closure(asked & ~known, neighbours)
    return tuple(table for table in tables if masks[table] & joined)
