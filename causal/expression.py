"""Expressions of causal queries: probabilities, products, sums and ratios (floor 0).

An expression is a directed acyclic graph of interned nodes: two expressions of the same structure
are one object, so comparing costs nothing and a sub-term that occurs many times is held once.
Names are bound lexically: ``Sum({"X"}, …)`` has an X of its own.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final
from weakref import WeakValueDictionary

__all__ = [
    "ONE",
    "At",
    "Expression",
    "Probability",
    "Product",
    "Ratio",
    "Sum",
    "Value",
    "at",
    "canonical",
    "product",
    "ratio",
    "subexpressions",
    "total",
]

Value = int | str  # a state's number or name
Names = str | Iterable[str]
_NODES: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()


def _names(names: Names) -> frozenset[str]:
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
        above, below, cause = _names(outcomes), _names(given), _names(do)
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
        bound = _names(over)
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
        """The one node with these two parts."""
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
        """The one node with this body and these states, sorted by name."""
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


def _factors(expression: Expression) -> tuple[Expression, ...]:
    return expression.factors if isinstance(expression, Product) else (expression,)


def _chained(factors: Iterable[Expression]) -> list[Expression]:
    """Factors sorted, with P(a | b, c) P(b | c) joined to P(a, b | c) wherever that is possible."""
    rest: list[Expression] = []
    known: dict[tuple[frozenset[str], frozenset[str]], list[Probability]] = {}
    # By the number of names: what a factor can be joined to has fewer names than it.
    terms = [factor for factor in factors if isinstance(factor, Probability)]
    for term in sorted(terms, key=lambda term: (len(term.arguments), term.key)):
        while below := known.get((term.given, term.do)):
            other = below.pop()
            term = Probability(term.outcomes | other.outcomes, other.given, term.do)
        known.setdefault((term.outcomes | term.given, term.do), []).append(term)
    rest.extend(factor for factor in factors if not isinstance(factor, Probability))
    rest.extend(term for terms in known.values() for term in terms)
    return sorted(rest, key=lambda factor: factor.key)


def product(*factors: Expression) -> Expression:
    """The product in short form: flat, sorted, with conditionals joined and ratios cancelled.

    Example:
        >>> product(Probability("Y", {"X"}), ONE, Probability("X")) is Probability({"X", "Y"})
        True
    """
    if len(factors) == 1:
        return factors[0]
    flat = [part for factor in factors for part in _factors(factor)]
    if any(isinstance(factor, Ratio) for factor in flat):
        ups, downs = _fraction(flat)
        counts = len(ups), len(downs)
        ups, downs = _cancelled(_chained(ups), downs)
        if len(downs) < counts[1]:
            return ratio(product(*ups), product(*downs))
    flat = _chained(flat)
    return flat[0] if len(flat) == 1 else Product(flat)


def _fraction(factors: Iterable[Expression]) -> tuple[list[Expression], list[Expression]]:
    """What stands above and below the line in a product of these."""
    ups: list[Expression] = []
    downs: list[Expression] = []
    for factor in factors:
        if isinstance(factor, Ratio):
            ups.extend(_factors(factor.above))
            downs.extend(_factors(factor.below))
        else:
            ups.append(factor)
    return ups, downs


def _quotient(above: Expression, below: Expression) -> list[Expression] | None:
    """P(o | g) / P(b | c) as probabilities, if g is in c and b, c in o, g."""
    if not (isinstance(above, Probability) and isinstance(below, Probability)):
        return None
    known = below.outcomes | below.given
    if above.do != below.do or not (above.given <= below.given and known <= above.arguments):
        return None
    first, last = below.given - above.given, above.outcomes - known
    terms: list[Expression] = [Probability(first, above.given, above.do)] if first else []
    return terms + ([Probability(last, known, above.do)] if last else [])


def _cancelled(
    ups: list[Expression], downs: list[Expression]
) -> tuple[list[Expression], list[Expression]]:
    """The same fraction without equal factors and without probabilities that divide."""
    common = Counter(ups) & Counter(downs)
    ups, left = [*(Counter(ups) - common).elements()], [*(Counter(downs) - common).elements()]
    downs = []
    for down in left:
        for place, up in enumerate(ups):
            terms = _quotient(up, down)
            if terms is not None:
                ups[place : place + 1] = terms
                break
        else:
            downs.append(down)
    return ups, downs


def ratio(above: Expression, below: Expression) -> Expression:
    """The ratio in short form: one fraction, from which everything that divides is gone.

    Equal to the plain ratio wherever the cancelled denominators are positive.

    Example:
        >>> ratio(Probability({"X", "Y"}), Probability("X")) is Probability("Y", {"X"})
        True
    """
    while below is not ONE:
        ups, low = _fraction(_factors(above))
        more, high = _fraction(_factors(below))
        ups, downs = _cancelled(_chained(ups + high), _chained(low + more))
        # A denominator with more outcomes than what stands above: 1 / P(a | b).
        downs, ups = _cancelled(_chained(downs), _chained(ups))
        changed = product(*ups), product(*downs)
        if changed == (above, below):
            return Ratio(above, below)
        above, below = changed
    return above


def at(of: Expression, values: Mapping[str, Value] | Iterable[tuple[str, Value]]) -> Expression:
    """The expression at given states; names on which it does not depend are left out.

    Example:
        >>> at(Probability("Y"), {"X": 1}) is Probability("Y")
        True
    """
    fixed = {name: value for name, value in dict(values).items() if name in of.arguments}
    if not fixed:
        return of
    if isinstance(of, At):
        return At(of.of, (dict(of.values) | fixed).items())
    return At(of, fixed.items())


def total(over: Names, of: Expression) -> Expression:
    """The sum in short form: pushed inwards as far as it goes, and carried out where it is known.

    Example:
        >>> total({"X"}, product(Probability("Y", {"X"}), Probability("X"))) is Probability("Y")
        True
        >>> total({"X", "Y"}, Probability({"X", "Y"}, {"Z"})) is ONE
        True
    """
    names, factors = _names(over), [*_factors(of)]
    before = -1
    while names and len(factors) != before:
        names, factors = _absorbed(names, factors)
        before = len(factors)
        factors = [*_factors(product(*factors))]
    return product(*_components(names, factors)) if names else product(*factors)


def _absorb(name: str, factor: Expression) -> Expression | None:
    """The sum of one factor over one of its names, or None where it stays a sum."""
    if isinstance(factor, Probability) and name in factor.outcomes:
        left = factor.outcomes - {name}
        return Probability(left, factor.given, factor.do) if left else ONE
    if isinstance(factor, Sum):
        return total(factor.over | {name}, factor.of)
    if isinstance(factor, Ratio) and name not in factor.below.arguments:
        return ratio(total({name}, factor.above), factor.below)
    if isinstance(factor, At):
        return at(total({name}, factor.of), factor.values)
    return None


def _absorbed(
    names: frozenset[str], factors: list[Expression]
) -> tuple[frozenset[str], list[Expression]]:
    """Sums carried out in the only factor that has the name; what is left of both."""
    holders: dict[str, set[int]] = {name: set() for name in names}
    for place, factor in enumerate(factors):
        for name in factor.arguments & names:
            holders[name].add(place)
    ready = sorted(name for name in names if len(holders[name]) == 1)
    left = set(names)
    while ready:
        name = ready.pop()
        if name not in left or len(holders[name]) != 1:
            continue
        (place,) = holders[name]
        summed = _absorb(name, factors[place])
        if summed is None:
            continue
        left.discard(name)
        gone = (factors[place].arguments - summed.arguments) & left
        factors[place] = summed
        for other in sorted(gone):
            holders[other].discard(place)
            ready.append(other)
    return frozenset(left), factors


def _components(names: frozenset[str], factors: Iterable[Expression]) -> list[Expression]:
    """Sums over the groups of factors that names connect; other factors stay outside."""
    groups: list[tuple[frozenset[str], list[Expression]]] = []
    outside: list[Expression] = []
    for factor in factors:
        bound = factor.arguments & names
        if not bound:
            outside.append(factor)
            continue
        members = [factor]
        touching = [group for group in groups if group[0] & bound]
        for group in touching:
            groups.remove(group)
            bound, members = bound | group[0], group[1] + members
        groups.append((bound, members))
    sums: list[Expression] = [Sum(bound, product(*members)) for bound, members in groups]
    alone = names.difference(*(bound for bound, _ in groups))
    return outside + sums + ([Sum(alone, ONE)] if alone else [])


def canonical(expression: Expression) -> Expression:
    """The expression with every node in short form: idempotent, and of the same value.

    No sum is left that cancels and no ratio that reduces. The value is the same for every
    distribution in which the denominators that vanish are positive.

    Example:
        >>> joint = Product((Probability("Y", {"X"}), Probability("X")))
        >>> canonical(Ratio(joint, Sum({"Y"}, joint))) is Probability("Y", {"X"})
        True
    """
    while True:
        short: dict[Expression, Expression] = {}
        for node in subexpressions(expression):
            parts = [short[operand] for operand in node.operands]
            if isinstance(node, Product):
                short[node] = product(*parts)
            elif isinstance(node, Sum):
                short[node] = total(node.over, parts[0])
            elif isinstance(node, Ratio):
                short[node] = ratio(*parts)
            elif isinstance(node, At):
                short[node] = at(parts[0], node.values)
            else:
                short[node] = node
        if short[expression] is expression:
            return expression
        expression = short[expression]
