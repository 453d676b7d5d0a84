"""Expressions of causal queries in short form: what is multiplied, summed and divided (floor 0).

The nodes are those of `causal.syntax`. The constructors here simplify while they build; every rule
keeps the value, where a denominator that cancels is positive.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from causal.syntax import (
    ONE,
    At,
    Expression,
    Names,
    Probability,
    Product,
    Ratio,
    Sum,
    Value,
    as_set,
    subexpressions,
)

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


def _factors(expression: Expression) -> tuple[Expression, ...]:
    return expression.factors if isinstance(expression, Product) else (expression,)


def _atom(factor: Expression) -> tuple[Probability, dict[str, Value]] | None:
    """A probability and the states at which it is taken, if the factor is no more than that."""
    if isinstance(factor, Probability):
        return factor, {}
    if isinstance(factor, At) and isinstance(factor.of, Probability):
        return factor.of, dict(factor.values)
    return None


def _chained(factors: Iterable[Expression]) -> list[Expression]:
    """Factors sorted, with P(a | b, c) P(b | c) joined to P(a, b | c) wherever that is possible."""
    rest: list[Expression] = []
    known: dict[tuple[object, ...], list[tuple[Probability, dict[str, Value]]]] = {}
    atoms: list[tuple[Probability, dict[str, Value]]] = []
    for factor in factors:
        atom = _atom(factor)
        if atom is None:
            rest.append(factor)
        else:
            atoms.append(atom)
    # By the number of names: what a factor can be joined to has fewer names than it.
    atoms.sort(key=lambda atom: (len(atom[0].arguments), atom[0].key))
    for term, states in atoms:
        while below := known.get((term.given, term.do, _states(states, term.given | term.do))):
            other, _ = below.pop()
            term = Probability(term.outcomes | other.outcomes, other.given, term.do)
        names = term.outcomes | term.given
        key = names, term.do, _states(states, names | term.do)
        known.setdefault(key, []).append((term, states))
    for terms in known.values():
        rest.extend(at(term, states) if states else term for term, states in terms)
    return sorted(rest, key=lambda factor: factor.key)


def _states(states: Mapping[str, Value], names: frozenset[str]) -> tuple[tuple[str, Value], ...]:
    """The states of these names, as they can be compared."""
    return tuple(sorted(pair for pair in states.items() if pair[0] in names)) if states else ()


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
    """P(o | g) / P(b | c) as probabilities, if g is in c and b, c in o, g; else None."""
    up, down = _atom(above), _atom(below)
    if up is None or down is None:
        return None
    (term, states), (other, fixed) = up, down
    known = other.outcomes | other.given
    if term.do != other.do or not (term.given <= other.given and known <= term.arguments):
        return None
    if states and _states(states, other.arguments) != _states(fixed, other.arguments):
        return None
    if fixed and not states:
        return None
    first, last = other.given - term.given, term.outcomes - known
    terms: list[Expression] = [Probability(first, term.given, term.do)] if first else []
    terms += [Probability(last, known, term.do)] if last else []
    return [at(part, states) for part in terms] if states else terms


def _divided(above: Expression, below: Expression) -> list[Expression] | None:
    """The quotient, also where one factor of a sum has it: (Σ_z f g) / h = Σ_z f (g / h)."""
    terms = _quotient(above, below)
    if terms is not None or not isinstance(above, Sum) or above.over & below.arguments:
        return terms
    # Not into sums within the sum: in nested ones that would be tried over and over.
    factors = [*_factors(above.of)]
    for place, factor in enumerate(factors):
        terms = [] if factor is below else _quotient(factor, below)
        if terms is not None:
            factors[place : place + 1] = terms
            return [total(above.over, product(*factors))]
    return None


def _cancelled(
    ups: list[Expression], downs: list[Expression]
) -> tuple[list[Expression], list[Expression]]:
    """The same fraction without equal factors and without probabilities that divide."""
    common = Counter(ups) & Counter(downs)
    ups, left = [*(Counter(ups) - common).elements()], [*(Counter(downs) - common).elements()]
    downs = []
    for down in left:
        for place, up in enumerate(ups):
            terms = _divided(up, down)
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
    names, factors = as_set(over), [*_factors(of)]
    before = -1
    while names and len(factors) != before:
        names, factors = _absorbed(names, factors)
        before = len(factors)
        factors = [*_factors(product(*factors))]
    return product(*_components(names, factors)) if names else product(*factors)


def _absorb(names: frozenset[str], factor: Expression) -> tuple[frozenset[str], Expression]:
    """The sum of one factor over those of its names over which it is known; and which these are."""
    if isinstance(factor, Probability):
        gone = names & factor.outcomes
        left = factor.outcomes - gone
        return gone, Probability(left, factor.given, factor.do) if left else ONE
    if isinstance(factor, Sum):
        return names, total(factor.over | names, factor.of)
    if isinstance(factor, Ratio):
        gone = names - factor.below.arguments
        return gone, ratio(total(gone, factor.above), factor.below) if gone else factor
    if isinstance(factor, At):
        return names, at(total(names, factor.of), factor.values)
    return frozenset(), factor


def _absorbed(
    names: frozenset[str], factors: list[Expression]
) -> tuple[frozenset[str], list[Expression]]:
    """Sums carried out in the only factor that has the name; what is left of both."""
    holders: dict[str, set[int]] = {name: set() for name in names}
    for place, factor in enumerate(factors):
        for name in factor.arguments & names:
            holders[name].add(place)
    left = set(names)
    pending = [place for place, factor in enumerate(factors) if factor.arguments & names]
    while pending:
        place = pending.pop()
        known = factors[place].arguments
        alone = frozenset(name for name in known & left if len(holders[name]) == 1)
        if not alone:
            continue
        gone, summed = _absorb(alone, factors[place])
        if not gone:
            continue
        left -= gone
        factors[place] = summed
        for other in (known - summed.arguments) & left:
            holders[other].discard(place)
            pending.extend(holders[other])
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
