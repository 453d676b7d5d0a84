"""Identification of counterfactual events: ID*, IDC* and nested events by one construction."""

from collections.abc import Iterable, Sequence
from typing import Literal

from causal.expression import (
    ONE,
    Expression,
    Probability,
    Value,
    at,
    canonical,
    product,
    ratio,
    total,
)
from causal.graph import Graph
from causal.identification.counterfactual_estimand import CounterfactualEstimand
from causal.identification.counterfactual_factors import OneWorld, components, conflict, one_worlds
from causal.identification.events import Event, checked_events, probability_of
from causal.identification.observational import identify
from causal.identification.parallel_worlds import Contradiction, Free, Worlds, worlds
from causal.identification.refusal import Unidentifiable

__all__ = ["identify_counterfactual"]

Available = Literal["experiments", "observations"]


def identify_counterfactual(
    graph: Graph,
    *,
    events: Event | Iterable[Event],
    given: Event | Iterable[Event] = (),
    available: Available = "experiments",
) -> CounterfactualEstimand:
    r"""The probability of counterfactual events by experiments or observations, or why not.

    Every event is followed to the responses :math:`W_{pa}` of its ancestors, each in the world of
    its own parents' values; a nested event is summed over the value that it takes. With districts
    :math:`C_j` of the variables that respond,

    .. math:: P(w_*) = \sum \prod_j P\Big(\bigwedge_{W \in C_j} W_{pa_W} = w\Big),

    and a factor in which every name has one value is :math:`P_{pa(C_j)}(c_j)`, read from the
    experiment that sets the parents. With ``available="observations"`` these are identified further
    by ID. A condition cancels with everything that neither a district nor an open value joins to
    the events: that part need not be identified.

    Sound and complete for functional models whose variables may have any number of states. Where
    one is known to have two, a little more follows by subtraction, for example
    :math:`P(Y_x = y, X \ne x) = P(Y_x = y) - P(Y = y, X = x)`, which is not looked for here.

    Assumes that the condition and every cell of the distributions that the formula reads have
    positive probability; for ``"observations"``, that P(V) is positive.

    Args:
        graph: The causal graph.
        events: What the probability is of.
        given: Events that are conditioned on.
        available: ``"experiments"``: P(V) and every experiment on the variables of the graph;
            ``"observations"``: P(V) alone.

    Returns:
        The formula. Where the events contradict each other it says so, and the value is 0.

    Raises:
        Unidentifiable: Two models agree on all that is available and differ on the query; with the
            district and the variable in `Conflict`, or with the hedge.
        ValueError: The condition contradicts itself, so that the query is undefined; an unknown
            name, or an event without a value.

    References:
        I. Shpitser and J. Pearl, "What counterfactuals can be tested", UAI 2007; "Complete
        identification methods for the causal hierarchy", JMLR 9 (2008): ID*, IDC*.
        J. D. Correa, S. Lee and E. Bareinboim, "Nested counterfactual identification from arbitrary
        surrogate experiments", NeurIPS 2021: theorems 1 to 5. It is their factorisation that is
        computed, since ID* as printed can miss that an intervention and an open value of the same
        variable meet inside one district.

    Example:
        >>> from causal.identification.events import Event
        >>> graph = Graph.parse("X -> Y; Z -> X; Z -> Y")
        >>> effect = identify_counterfactual(
        ...     graph, events=Event("Y", 1, do={"X": 0}), given=Event("X", 1)
        ... )
        >>> effect.query
        'P(Y_{X=0}=1 | X=1)'
        >>> identify_counterfactual(
        ...     graph, events=[Event("Y", 1, do={"X": 0}), Event("Y", 0, do={"X": 1})]
        ... )
        Traceback (most recent call last):
            ...
        causal.identification.refusal.Unidentifiable: ...
    """
    if available not in ("experiments", "observations"):
        raise ValueError(f'available is "experiments" or "observations", got {available!r}')
    asked, known = checked_events(graph, events, given)
    below, above = worlds(graph, known), worlds(graph, (*known, *asked))
    query = probability_of(asked, known)
    if isinstance(below, Contradiction):
        raise ValueError(f"{query} is undefined: the condition has probability 0, as {below}")
    if isinstance(above, Contradiction):
        return CounterfactualEstimand(graph, asked, known, available, None, str(above), ())
    sides = _sides(graph, asked, known, below, above, query)
    expression = _assembled(graph, sides, available, query)
    return CounterfactualEstimand(graph, asked, known, available, expression, "", ())


Side = tuple[OneWorld, ...]


def _sides(
    graph: Graph,
    asked: tuple[Event, ...],
    known: tuple[Event, ...],
    below: Worlds,
    above: Worlds,
    query: str,
) -> tuple[Side, Side]:
    """The factors above and below the line, without those that cancel."""
    unknown = worlds(graph, known, others=asked)
    if isinstance(unknown, Contradiction):
        raise RuntimeError(f"{query}: the condition holds alone, but not here; please report this")
    targets = {
        term.variable for event, term in unknown.terms if event in asked and isinstance(term, Free)
    }
    parts = components(graph, unknown.responses)
    kept = frozenset().union(*(part for part in parts if part & targets))
    sides = []
    for found in (above, below):
        responses = [response for response in found.responses if response.variable in kept]
        clash = conflict(graph, responses)
        if clash is not None:
            raise Unidentifiable(f"{query} is not identified by experiments: {clash}", clash)
        sides.append(one_worlds(graph, responses))
    return sides[0], sides[1]


def _assembled(
    graph: Graph, sides: tuple[Side, Side], available: Available, query: str
) -> Expression:
    shared = _shared_constants(sides)
    numerator, denominator = (
        total(
            frozenset().union(*(factor.free for factor in side)),
            product(*(_term(graph, factor, available, shared, query) for factor in side)),
        )
        for side in sides
    )
    return canonical(at(ratio(numerator, denominator), shared))


def _shared_constants(sides: Sequence[Side]) -> dict[str, Value]:
    """Names with the same state wherever they occur: these are fixed once, for all factors."""
    found: dict[str, set[Value]] = {}
    mixed: set[str] = set()
    for side in sides:
        stated = {name for factor in side for name in factor.constants}
        mixed |= stated & {name for factor in side for name in factor.free}
        for factor in side:
            for name, value in factor.constants.items():
                found.setdefault(name, set()).add(value)
    return {
        name: next(iter(values))
        for name, values in found.items()
        if len(values) == 1 and name not in mixed
    }


def _term(
    graph: Graph, factor: OneWorld, available: Available, shared: dict[str, Value], query: str
) -> Expression:
    """The probability of one factor, at the states that are its own."""
    own = {name: value for name, value in factor.constants.items() if name not in shared}
    if available == "experiments":
        return at(Probability(factor.outcomes, do=factor.do), own)
    try:
        found = identify(graph, outcomes=factor.outcomes, treatments=factor.do)
    except Unidentifiable as refusal:
        raise Unidentifiable(f"{query} needs an experiment: {refusal}", refusal.hedge) from None
    return at(found.expression, own)
