"""What a file says about a network: names, states, parents and tables (floor 0)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Description"]


@dataclass(frozen=True, eq=False)
class Description:
    """A discrete Bayesian network as files hold it: no parameters, no tensors.

    Whether tables sum to one and whether there is a cycle is for the network to say.

    Args:
        states: The labels of each variable's states, in the order of the file.
        parents: The parents of each variable, in the order of its table's axes.
        tables: ``float64``, an axis for each parent and one for the variable itself, last.
        name: What the file calls the network.
        properties: ``{variable: texts}`` that the file attaches to a variable, ``""`` being the
            network itself; kept as they stand, without meaning to us.

    Raises:
        ValueError: A variable lacks its parents or its table, has no states or the same state or
            parent twice, a parent is unknown, a table has the wrong shape or holds a number that
            is no probability.

    Example:
        >>> import numpy as np
        >>> table = np.array([0.5, 0.5])
        >>> coin = Description({"coin": ("head", "tail")}, {"coin": ()}, {"coin": table})
        >>> coin.shape("coin"), coin.tables["coin"]
        ((2,), array([0.5, 0.5]))
    """

    states: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, NDArray[np.float64]]
    name: str = "unknown"
    properties: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("parents", "tables"):
            _same_names(self.states, name, getattr(self, name))
        unknown = [name for name in self.properties if name and name not in self.states]
        if unknown:
            raise ValueError(f"there are properties of {unknown[0]!r}, which has no states")
        for variable in self.states:
            self._check_names(variable)
        for variable in self.states:
            self._check_table(variable)

    def shape(self, variable: str) -> tuple[int, ...]:
        """The shape of a variable's table: a number of states for each parent, then its own."""
        return tuple(len(self.states[name]) for name in (*self.parents[variable], variable))

    def _check_names(self, variable: str) -> None:
        states, parents = self.states[variable], self.parents[variable]
        if not states:
            raise ValueError(f"variable {variable!r} has no states: it needs one at least")
        for what, names in (("state", states), ("parent", parents)):
            twice = [name for i, name in enumerate(names) if name in names[:i]]
            if twice:
                raise ValueError(f"variable {variable!r} has the {what} {twice[0]!r} twice")
        if variable in parents:
            raise ValueError(f"variable {variable!r} is its own parent")
        unknown = [name for name in parents if name not in self.states]
        if unknown:
            raise ValueError(f"variable {variable!r}: its parent {unknown[0]!r} is no variable")

    def _check_table(self, variable: str) -> None:
        table, shape = self.tables[variable], self.shape(variable)
        if table.shape != shape:
            axes = ", ".join((*self.parents[variable], variable))
            raise ValueError(
                f"the table of {variable!r} has shape {table.shape}: expected {shape} for ({axes})"
            )
        wrong = np.argwhere(~((table >= 0) & np.isfinite(table)))
        if len(wrong):
            cell = tuple(int(index) for index in wrong[0])
            raise ValueError(
                f"the table of {variable!r} holds {table[cell]} at {cell}: a probability is "
                "finite and not negative"
            )


def _same_names(states: Mapping[str, object], what: str, given: Mapping[str, object]) -> None:
    """Refuse a mapping over other variables than those that have states."""
    missing = [name for name in states if name not in given]
    if missing:
        raise ValueError(f"variable {missing[0]!r} has states but no {what}")
    unknown = [name for name in given if name not in states]
    if unknown:
        raise ValueError(f"there are {what} of {unknown[0]!r}, which has no states")
