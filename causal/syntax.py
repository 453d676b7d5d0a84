"""The nodes of expressions: probabilities, products, sums, ratios, values at states (floor 0).

An expression is a directed acyclic graph of interned nodes: two expressions of the same structure
are one object, so comparing costs nothing and a sub-term that occurs many times is held once.
Names are bound lexically: ``Sum({"X"}, …)`` has an X of its own.
"""

from collections.abc import Iterable
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final
from weakref import WeakValueDictionary

__all__ = [
    "ONE",
    "At",
    "Expression",
    "Names",
    "Probability",
    "Product",
    "Ratio",
    "Sum",
    "Value",
    "as_set",
    "subexpressions",
]

Value = int | str  # a state's number or name
Names = str | Iterable[str]
_NODES: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()


def as_set(names: Names) -> frozenset[str]:
    """A name or names as a set.

    Example:
        >>> as_set("X")
        frozenset({'X'})
    """
    if type(names) is frozenset:
        return names
    return frozenset((names,) if isinstance(names, str) else names)


def _node(cls: type, arguments: frozenset[str], operands: tuple[Any, ...], **fields: Any) -> Any:
    """The node of this class with these fields; there is only one."""
    key = (cls, *fields.values())
    found = _NODES.get(key)
    if found is None:
        found = object.__new__(cls)
        found.__dict__.update(fields, arguments=arguments, operands=operands)
        found = _NODES.setdefault(key, found)
    return found


class Expression:
    """A node: `Probability`, `Product`, `Sum`, `Ratio` or `At`; immutable and interned.

    Attributes:
        arguments: The free names: what its value depends on.
        operands: The expressions that it is made of.

    Example:
        >>> isinstance(Probability("Y", "X"), Expression)
        True
        >>> sorted(Probability("Y", "X").arguments)
        ['X', 'Y']
    """

    arguments: frozenset[str]
    operands: tuple["Expression", ...]
    __match_args__: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"expressions are immutable: {name} cannot be set; make a new one")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, name) for name in self.__match_args__)

    def __repr__(self) -> str:
        fields = (getattr(self, name) for name in self.__match_args__)
        shown = (sorted(field) if isinstance(field, frozenset) else field for field in fields)
        return f"{type(self).__name__}({', '.join(map(repr, shown))})"

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """What factors are sorted by: the same in every process."""
        names = tuple(sorted(self.arguments))
        digest = blake2b(f"{type(self).__name__} {names}".encode(), digest_size=16)
        if isinstance(self, Sum):
            digest.update(repr(sorted(self.over)).encode())
        if isinstance(self, At):
            digest.update(repr(self.values).encode())
        for operand in self.operands:
            digest.update(str(operand.key[-1]).encode())
        return 1, 0, names, digest.hexdigest()


class Probability(Expression):
    r"""A supplied distribution's conditional, :math:`P_{do}(outcomes \mid given)`.

    Args:
        outcomes: The names whose probability it is; at least one.
        given: The names conditioned on.
        do: The names that were set in the experiment it is read from; none: observational.

    Raises:
        ValueError: There is no outcome, or a name has two roles.

    Example:
        >>> Probability("Y", {"X"}) is Probability({"Y"}, "X")
        True
    """

    outcomes: frozenset[str]
    given: frozenset[str]
    do: frozenset[str]
    __match_args__ = ("outcomes", "given", "do")

    def __new__(cls, outcomes: Names, given: Names = (), do: Names = ()) -> "Probability":  # noqa: PYI034
        """The one node with these sets."""
        above, below, cause = as_set(outcomes), as_set(given), as_set(do)
        names = above | below | cause
        if len(names) != len(above) + len(below) + len(cause):
            twice = sorted((above & below) | (above & cause) | (below & cause))
            raise ValueError(
                f"{twice} in two places of one probability: outcomes, given and do are disjoint"
            )
        if not above:
            raise ValueError("a probability needs at least one outcome")
        return _node(cls, names, (), outcomes=above, given=below, do=cause)

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Longer conditions first, as in P(y | x, z) P(z)."""
        sets = tuple(tuple(sorted(names)) for names in (self.outcomes, self.given, self.do))
        return 0, -len(self.given), sets[0], repr(sets)


class Product(Expression):
    """A product; without factors it is 1.

    Example:
        >>> Product(()).arguments
        frozenset()
    """

    factors: tuple[Expression, ...]
    __match_args__ = ("factors",)

    def __new__(cls, factors: Iterable[Expression]) -> "Product":  # noqa: PYI034
        """The one node with these factors, in this order."""
        held = tuple(factors)
        names = frozenset[str]().union(*(factor.arguments for factor in held))
        return _node(cls, names, held, factors=held)


ONE: Final = Product(())


class Sum(Expression):
    """A sum over all values of names, which it binds.

    A name on which the body does not depend multiplies by its number of states.

    Example:
        >>> sorted(Sum({"X"}, Probability("Y", {"X"})).arguments)
        ['Y']
    """

    over: frozenset[str]
    of: Expression
    __match_args__ = ("over", "of")

    def __new__(cls, over: Names, of: Expression) -> "Sum":  # noqa: PYI034
        """The one node with these names and this body."""
        bound = as_set(over)
        return _node(cls, of.arguments - bound, (of,), over=bound, of=of)


class Ratio(Expression):
    """A ratio; 0 / 0 is 0.

    Example:
        >>> sorted(Ratio(Probability({"X", "Y"}), Probability("X")).arguments)
        ['X', 'Y']
    """

    above: Expression
    below: Expression
    __match_args__ = ("above", "below")

    def __new__(cls, above: Expression, below: Expression) -> "Ratio":  # noqa: PYI034
        """The one node with these parts."""
        names = above.arguments | below.arguments
        return _node(cls, names, (above, below), above=above, below=below)


class At(Expression):
    """An expression at given states of some names; it no longer depends on these.

    Example:
        >>> sorted(At(Probability("Y", {"X"}), (("X", 1),)).arguments)
        ['Y']
    """

    of: Expression
    values: tuple[tuple[str, Value], ...]
    __match_args__ = ("of", "values")

    def __new__(cls, of: Expression, values: Iterable[tuple[str, Value]]) -> "At":  # noqa: PYI034
        """The one node with these states, sorted by name."""
        pairs = tuple(sorted(dict(values).items()))
        return _node(cls, of.arguments.difference(dict(pairs)), (of,), of=of, values=pairs)


def subexpressions(expression: Expression) -> tuple[Expression, ...]:
    """Each distinct node once, operands before what they are part of; the expression comes last.

    Example:
        >>> shared = Probability("X")
        >>> len(subexpressions(Ratio(shared, Sum({"X"}, shared))))
        3
    """
    found: dict[Expression, None] = {}
    pending = [(expression, False)]
    while pending:
        node, ready = pending.pop()
        if ready:
            found[node] = None
        elif node not in found:
            pending.append((node, True))
            pending.extend((o, False) for o in reversed(node.operands) if o not in found)
    return tuple(found)
