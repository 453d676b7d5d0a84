"""The shape of a network without its numbers: variables, states, parents (floor 1).

Finite variables are numbered by sorted name; a table belongs to each. A leaf is a continuous
variable: it is a number of no engine, and where it is observed it is a table over its parents.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from causal.bits import closure, each

__all__ = ["Structure"]


@dataclass(frozen=True)
class Structure:
    """Variables, their numbers of states, and their parents.

    Args:
        names: The finite variables, sorted.
        cardinalities: The number of states of each.
        parents: The numbers of the parents of each, ascending.
        leaves: The continuous variables, sorted.
        leaf_parents: The numbers of the parents of each leaf, ascending.

    Example:
        >>> chain = Structure(("X", "Y"), (2, 3), ((), (0,)), ("Z",), ((1,),))
        >>> chain.scopes, chain.index["Y"], bin(chain.ancestors(0b10))
        (((0,), (0, 1), (1,)), 1, '0b11')
    """

    names: tuple[str, ...]
    cardinalities: tuple[int, ...]
    parents: tuple[tuple[int, ...], ...]
    leaves: tuple[str, ...] = ()
    leaf_parents: tuple[tuple[int, ...], ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.names, self.cardinalities, self.parents, self.leaves, self.leaf_parents))

    def __reduce__(self) -> tuple[type["Structure"], tuple[object, ...]]:
        # The cached hash of strings holds in one process only.
        parts = (self.names, self.cardinalities, self.parents, self.leaves, self.leaf_parents)
        return Structure, parts

    @cached_property
    def index(self) -> dict[str, int]:
        """The number of each finite variable."""
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def leaf_index(self) -> dict[str, int]:
        """The place of each leaf among the leaves."""
        return {name: place for place, name in enumerate(self.leaves)}

    @cached_property
    def scopes(self) -> tuple[tuple[int, ...], ...]:
        """The axes of each table: parents, then the variable; those of leaves come last."""
        tables = tuple((*above, own) for own, above in enumerate(self.parents))
        return (*tables, *self.leaf_parents)

    @cached_property
    def scope_masks(self) -> tuple[int, ...]:
        """The scopes as sets of bits."""
        return tuple(_mask(scope) for scope in self.scopes)

    @cached_property
    def parent_masks(self) -> tuple[int, ...]:
        """The parents of each finite variable as sets of bits."""
        return tuple(_mask(above) for above in self.parents)

    @property
    def every(self) -> int:
        """All finite variables as a set of bits."""
        return (1 << len(self.names)) - 1

    def ancestors(self, mask: int) -> int:
        """What ``mask`` descends from; itself included."""
        return closure(mask, self.parent_masks)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The finite variables, parents before children."""
        done, order = 0, []
        waiting = list(range(len(self.names)))
        while waiting:
            ready = [k for k in waiting if not self.parent_masks[k] & ~done]
            order += ready
            done |= _mask(ready)
            waiting = [k for k in waiting if not done >> k & 1]
        return tuple(order)

    def family(self, name: str) -> tuple[str, ...]:
        """The names of a variable's table: its parents, sorted, then itself."""
        if name in self.leaf_index:
            above = self.leaf_parents[self.leaf_index[name]]
        else:
            above = self.parents[self.index[name]]
        return (*(self.names[number] for number in above), name)

    def named(self, mask: int) -> list[str]:
        """The names of these bits, sorted."""
        return [self.names[number] for number in each(mask)]


def _mask(numbers: Iterable[int]) -> int:
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask
