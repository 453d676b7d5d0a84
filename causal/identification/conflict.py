"""Why parallel worlds are shown by no experiment: the conflict, and the refusal that carries it."""

from dataclasses import dataclass

from causal.expression import Value
from causal.graph import Graph
from causal.identification.refusal import Unidentifiable

__all__ = ["Conflict", "ConflictingWorlds"]


@dataclass(frozen=True)
class Conflict:
    """A district in which one variable would need two values at once.

    Args:
        graph: The variables of the district that respond, their parents, and the edges among them.
        district: The variables that respond, joined by unobserved common causes.
        variable: The variable that would need two values.
        values: The two values; None for one that no event states.

    Example:
        >>> conflict = Conflict(Graph.parse("X -> Y <-> X"), frozenset("XY"), "X", (0, None))
        >>> print(conflict)
        the unobserved causes of X, Y would have to meet X = 0 and the value that X takes by itself
        in one unit, and no experiment shows both
    """

    graph: Graph
    district: frozenset[str]
    variable: str
    values: tuple[Value | None, Value | None]

    def __str__(self) -> str:
        name = self.variable
        own = f"the value that {name} takes by itself"
        first, second = (own if value is None else f"{name} = {value}" for value in self.values)
        if first == second:
            first, second = f"the value of {name} in one world", "its value in another"
        return (
            f"the unobserved causes of {', '.join(sorted(self.district))} would have to meet "
            f"{first} and {second} in one unit, and no experiment shows both"
        )


class ConflictingWorlds(Unidentifiable):
    """No formula exists even if every experiment was made.

    Args:
        message: What cannot be told apart, in words.
        conflict: The witness, which is also the ``hedge``.

    Example:
        >>> issubclass(ConflictingWorlds, Unidentifiable)
        True
    """

    def __init__(self, message: str, conflict: Conflict) -> None:
        ValueError.__init__(self, message)
        self.conflict = conflict
        self.hedge = conflict  # type: ignore[assignment]  # where a caller looks for any witness
        self.thicket = (conflict,)  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type["ConflictingWorlds"], tuple[str, Conflict]]:  # type: ignore[override]
        return type(self), (str(self), self.conflict)
