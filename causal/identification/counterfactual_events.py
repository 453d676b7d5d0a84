"""Identification of counterfactual events: ID*, IDC* and nested events by one construction."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

from causal.expression import (
    Expression,
    Probability,
    Product,
    Value,
    at,
    canonical,
    product,
    ratio,
    total,
)
from causal.graph import Graph
from causal.identification.conflict import ConflictingWorlds
from causal.identification.counterfactual_estimand import CounterfactualEstimand
from causal.identification.counterfactual_factors import OneWorld, components, conflict, one_worlds
from causal.identification.counterfactual_steps import (
    Cancellation,
    Splitting,
    Unfolding,
    WorldStep,
)
from causal.identification.derivation import Step
from causal.identification.estimand import Estimand
from causal.identification.events import Event, checked_events, probability_of
from causal.identification.observational import identify
from causal.identification.parallel_worlds import Contradiction, Response, Worlds, worlds
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
    by ID. Responses to the condition that neither a district nor an open value joins to the events
    stand above and below the line and cancel: they need not be identified.

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
        surrogate experiments", NeurIPS 2021. It is their factorisation that is computed:
        programs of ID* had to be corrected more than once (S. Tikka, "Identifying counterfactual
        queries with the R package cfid", R Journal 2023, and its later versions), where an
        intervention and an open value of one variable meet inside a district.

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
        causal.identification.conflict.ConflictingWorlds: ...
    """
    if available not in ("experiments", "observations"):
        raise ValueError(f'available is "experiments" or "observations", got {available!r}')
    asked, known = checked_events(graph, events, given)
    below = worlds(graph, known)
    if isinstance(below, Contradiction):
        query = probability_of(asked, known)
        raise ValueError(f"{query} is undefined: the condition has probability 0, as {below}")
    above = worlds(graph, (*known, *asked), beside=below)
    if isinstance(above, Contradiction):
        return CounterfactualEstimand(graph, asked, known, available, None, str(above))
    return _identified(graph, asked, known, available, above, below)


Side = tuple[OneWorld, ...]
Terms = list[tuple[Probability, dict[str, Value]]]  # with the states of its names that have one
Sources = dict[Probability, Estimand]


def _identified(
    graph: Graph,
    asked: tuple[Event, ...],
    known: tuple[Event, ...],
    available: Available,
    above: Worlds,
    below: Worlds,
) -> CounterfactualEstimand:
    """The answer, from the responses to all events and those to the condition alone."""
    query = probability_of(asked, known)
    kept = _uncancelled(graph, above, below)
    for responses in kept:
        clash = conflict(graph, responses)
        if clash is not None:
            raise ConflictingWorlds(f"{query} has no formula: {clash}", clash)
    sides = [one_worlds(graph, responses) for responses in kept]
    terms = _terms(sides)
    sources: Sources = {}
    if available == "observations":
        asked_of = dict.fromkeys(term for side in terms for term, _ in side)
        sources = {term: _observed(graph, term, query) for term in asked_of}
    parts = ((above, asked, sides[0]), (below, (), sides[1]))
    prove = partial(_proof, known, parts, tuple(sources.values()))
    over = [frozenset().union(*(factor.free for factor in side)) for side in sides]
    expression = _assembled(terms, over, sources)
    return CounterfactualEstimand(graph, asked, known, available, expression, prove=prove)


def _uncancelled(graph: Graph, above: Worlds, below: Worlds) -> list[list[Response]]:
    """The responses above and below the line, without the components that are on both."""
    parts = [components(graph, found.responses) for found in (above, below)]
    cancelled = frozenset().union(*({*parts[0]} & {*parts[1]}))
    return [
        [response for response in found.responses if response not in cancelled]
        for found in (above, below)
    ]


def _terms(sides: Sequence[Side]) -> list[Terms]:
    """The interventional probabilities above and below the line.

    If one experiment shows all of the events, and the condition sets nothing else, that is its
    conditional probability.
    """
    above, below = sides
    if len(above) == 1 and below and all(_sets_alike(factor, above[0]) for factor in below):
        given = frozenset().union(*(factor.outcomes for factor in below))
        if left := above[0].outcomes - given:
            return [[(Probability(left, given, above[0].do), above[0].constants)], []]
    return [
        [(Probability(factor.outcomes, do=factor.do), factor.constants) for factor in side]
        for side in sides
    ]


def _sets_alike(factor: OneWorld, other: OneWorld) -> bool:
    return all(name in other.do and factor.terms[name] == other.terms[name] for name in factor.do)


def _observed(graph: Graph, term: Probability, query: str) -> Estimand:
    """One interventional probability from P(V) alone."""
    try:
        return identify(graph, outcomes=term.outcomes, treatments=term.do, given=term.given)
    except Unidentifiable as refusal:
        message = f"{query} needs an experiment: {refusal}"
        raise Unidentifiable(message, refusal.hedge, refusal.thicket) from None


def _proof(
    known: tuple[Event, ...],
    parts: Iterable[tuple[Worlds, tuple[Event, ...], Side]],
    sources: Iterable[Estimand],
) -> tuple[WorldStep | Step, ...]:
    """The steps of both sides of the line, then those of each source."""
    licensed = [step for part in parts for step in _world_steps(known, *part)]
    return (*licensed, *(step for source in sources for step in source.steps))


def _world_steps(
    known: tuple[Event, ...], found: Worlds, asked: tuple[Event, ...], side: Side
) -> Iterator[WorldStep]:
    """The proof of one side of the line, from its events to its factors."""
    if not (known or asked):
        return
    yield Unfolding((*known, *asked), found.responses)
    kept = tuple(response for factor in side for response in factor.responses)
    cancelled = tuple(response for response in found.responses if response not in kept)
    if cancelled:
        yield Cancellation(kept, cancelled)
    if kept:
        yield Splitting(tuple(factor.responses for factor in side))


def _assembled(
    terms: Sequence[Terms], over: Sequence[frozenset[str]], sources: Sources
) -> Expression:
    """The ratio of two sums of products, at the states that the events state."""
    shared = _shared_states(terms, over)
    numerator, denominator = (
        total(names, product(*(_placed(term, states, sources, shared) for term, states in side)))
        for side, names in zip(terms, over, strict=True)
    )
    return canonical(at(ratio(numerator, denominator), shared))


def _placed(
    term: Probability, states: dict[str, Value], sources: Sources, shared: dict[str, Value]
) -> Expression:
    """The formula of one term, at the states that are its own."""
    found = sources[term].expression if term in sources else term
    own = {name: value for name, value in states.items() if name not in shared}
    if isinstance(found, Product):  # factor by factor, so that equal ones cancel
        return product(*(at(factor, own) for factor in found.factors))
    return at(found, own)


def _shared_states(terms: Sequence[Terms], over: Sequence[frozenset[str]]) -> dict[str, Value]:
    """Names with the same state wherever they occur: these are fixed once, for all terms."""
    found: dict[str, set[Value]] = {}
    mixed: set[str] = set()
    for side, names in zip(terms, over, strict=True):
        for _, states in side:
            mixed |= names & set(states)
            for name, value in states.items():
                found.setdefault(name, set()).add(value)
    return {
        name: next(iter(values))
        for name, values in found.items()
        if len(values) == 1 and name not in mixed
    }
