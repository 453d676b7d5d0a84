"""Ways to answer a query, and the choice of a short one."""

from collections.abc import Sequence
from dataclasses import dataclass

from causal.bits import Bits, each
from causal.expression import Expression, Probability, canonical, product, ratio, total
from causal.identification.districts import Identified, Stuck, topological
from causal.identification.experiments import prepared, read, terms
from causal.identification.reduction import Query
from causal.separation import nearest, reached
from causal.syntax import Sum, subexpressions

__all__ = ["Adjustment", "Factorisation", "answered"]

# A formula may do without some variables. Trying costs an identification each.
_LONGEST = 24  # probabilities in formulas that are made shorter
_MOST = 12  # variables that are tried, those first on which the answer does not depend


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A query answered by a sum over covariates, in the experiment that set ``done``.

    Args:
        query: The query.
        done: What was set in the experiment.
        over: The covariates.
        term: The distribution of the outcomes given these.
        weight: The distribution of the covariates; None without covariates.
        expression: The formula.

    Example:
        >>> from causal.graph import Graph
        >>> graph, names = Graph.parse("Z -> X -> Y; Z -> Y"), ("Y", "X", ())
        >>> query = Query(*(graph.mask(set(part)) for part in names))
        >>> way = answered(graph.bits, query, query, [0])
        >>> isinstance(way, Adjustment), way.over == graph.mask("Z")
        (True, True)
    """

    query: Query
    done: int
    over: int
    term: Probability
    weight: Probability | None
    expression: Expression


@dataclass(frozen=True, slots=True)
class Factorisation:
    """A query answered by the c-factors of the districts of its ancestors.

    Args:
        query: The query.
        bits: The graph, or its latent projection on the variables that the formula uses.
        ancestral: The ancestors of the query's outcomes and conditions; no treatments.
        parts: Their districts.
        expression: The formula.

    Example:
        >>> from causal.graph import Graph
        >>> graph, names = Graph.parse("X -> M -> Y; X <-> Y"), ("Y", "X", ())
        >>> query = Query(*(graph.mask(set(part)) for part in names))
        >>> way = answered(graph.bits, query, query, [0])
        >>> isinstance(way, Factorisation), len(way.parts)
        (True, 2)
    """

    query: Query
    bits: Bits
    ancestral: int
    parts: tuple[Identified, ...]
    expression: Expression


def answered(
    bits: Bits, asked: Query, query: Query, supplied: Sequence[int]
) -> Adjustment | Factorisation | tuple[Stuck, ...]:
    """A short formula, or why there is none.

    An adjustment is preferred, then the c-factors of as few variables as will do.

    Args:
        bits: The graph.
        asked: The query as asked.
        query: The query after all reductions, of the same value.
        supplied: What was set in each supplied distribution.

    Example:
        >>> from causal.graph import Graph
        >>> graph, names = Graph.parse("X -> Y; X <-> Y"), ("Y", "X", ())
        >>> query = Query(*(graph.mask(set(part)) for part in names))
        >>> [
        ...     stuck.top == graph.mask({"X", "Y"})
        ...     for stuck in answered(graph.bits, query, query, [0])
        ... ]
        [True]
    """
    direct = _adjusted(bits, asked, supplied)
    if direct is not None and not direct.over:
        return direct
    reduced = direct if query is asked else _adjusted(bits, query, supplied)
    if direct is not None and (reduced is None or reduced.over):
        return direct
    found = reduced if reduced is not None else _factorised(bits, query, supplied)
    return _shortened(found, supplied) if isinstance(found, Factorisation) else found


def _adjusted(bits: Bits, query: Query, supplied: Sequence[int]) -> Adjustment | None:
    """An adjustment formula, from the experiment that leaves the least to adjust for.

    Source: Pearl (1995), the back-door criterion; the set is the minimal one nearest to the
    outcomes (van der Zander & Liskiewicz 2019), which keeps the variance of estimates small.
    """
    best: tuple[int, int] | None = None
    for done in supplied:
        if done & ~query.treatments:
            continue
        over = _covariates(bits, query, done)
        if over is not None and (best is None or over.bit_count() < best[1].bit_count()):
            best = done, over
    if best is None:
        return None
    done, over = best
    graph = bits.remove_incoming(done) if done else bits
    term = _pruned(graph, query.outcomes, over, query.given | query.treatments & ~done, done)
    if not over:
        return Adjustment(query, done, over, term, None, term)
    weight = _pruned(graph, over, 0, query.given, done)
    return Adjustment(
        query, done, over, term, weight, total(bits.named(over), product(term, weight))
    )


def _pruned(graph: Bits, outcomes: int, seen: int, given: int, done: int) -> Probability:
    """P(outcomes | do(done), seen, given) without those of the given that change nothing."""
    for node in each(given):
        bit = 1 << node
        if not reached(graph, outcomes, (seen | given | done) & ~bit) & bit:
            given &= ~bit
    return Probability(graph.named(outcomes), graph.named(seen | given), graph.named(done))


def _covariates(bits: Bits, query: Query, done: int) -> int | None:
    treatments = query.treatments & ~done
    if not treatments:
        return 0
    graph = bits.remove_incoming(done) if done else bits
    allowed = bits.nodes & ~graph.descendants(treatments)
    if query.given & ~allowed:
        allowed = 0  # descendants of treatments may be given if there is nothing to adjust for
    kept = query.given | done
    cut = graph.remove_outgoing(treatments)
    found = nearest(cut, query.outcomes, treatments, kept, allowed | kept)
    return None if found is None else found & ~kept


def _factorised(
    bits: Bits, query: Query, supplied: Sequence[int]
) -> Factorisation | tuple[Stuck, ...]:
    """The c-factors of the query's ancestors, each read from one of the supplied distributions."""
    wanted = query.outcomes | query.given
    cut = bits.remove_incoming(query.treatments)
    ancestral = cut.ancestors(wanted) & ~query.treatments
    known = prepared(bits, supplied, ancestral)
    parts: list[Identified] = []
    for district in bits.districts(ancestral):
        answer = read(known, district)
        if isinstance(answer, tuple):
            return answer
        parts.append(answer)
    joint = total(bits.named(ancestral & ~wanted), product(*(part.expression for part in parts)))
    if query.given:
        joint = ratio(joint, total(bits.named(query.outcomes), joint))
    return Factorisation(query, bits, ancestral, tuple(parts), canonical(joint))


def _shortened(found: Factorisation, supplied: Sequence[int]) -> Factorisation:
    """The formula without variables that it can do without: these count as hidden.

    Source: Tikka & Karvanen, "Enhancing identification of causal effects by pruning" (2018), does
    so for some kinds of variables, in advance.
    """
    best = _size(found)
    for node in _candidates(found, supplied) if best[0] <= _LONGEST else ():
        bits = found.bits
        order = topological(bits, 0)
        other = _factorised(bits.project(1 << node, order), found.query, supplied)
        if isinstance(other, Factorisation) and (size := _size(other)) <= best:
            found, best = other, size
    return found


def _size(found: Factorisation) -> tuple[int, int]:
    """Probabilities in the formula, then names that the query does not have."""
    free = found.bits.mask(found.expression.arguments) & ~found.query.all
    return terms(found.expression), free.bit_count()


def _candidates(found: Factorisation, supplied: Sequence[int]) -> list[int]:
    bits, kept = found.bits, found.query.all
    for done in supplied:
        kept |= done
    free = bits.mask(found.expression.arguments) & ~kept
    bound = 0
    for node in subexpressions(found.expression):
        if isinstance(node, Sum):
            bound |= bits.mask(node.over)
    return [*each(free), *each(bound & ~kept & ~free)][:_MOST]
