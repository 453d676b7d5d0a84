"""Parallel worlds of one unit: which responses of its variables some events are about.

A variable is a function of its parents and of unobserved causes. What it takes in a world depends
on that world through its parents' values alone, so worlds that give its parents the same values
share one response. The responses that events need, each with its parents' values and its own, are
the counterfactual graph of Shpitser and Pearl and the ancestral set of Correa, Lee and Bareinboim.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from causal.expression import Value
from causal.graph import Graph
from causal.identification.events import Event, Setting

__all__ = ["Contradiction", "Free", "Response", "Term", "Worlds", "worlds"]

World = tuple[tuple[str, Setting], ...]


@dataclass(frozen=True)
class Free:
    """The value of a response of which no event says the value.

    Args:
        variable: The variable that responds.
        copy: A number that tells its free responses apart.

    Example:
        >>> Free("Y", 0) == Free("Y", 1)
        False
    """

    variable: str
    copy: int


Term = Value | Free
Parents = tuple[tuple[str, Term], ...]
Copies = dict[str, dict[Parents, int]]


@dataclass(frozen=True)
class Response:
    """What a variable does where its parents have given values.

    Args:
        variable: The variable.
        parents: The parents' values, sorted by name.
        value: The value that an event states, or a `Free` one.

    Example:
        >>> Response("Y", (("X", 0),), 1).terms
        (('X', 0), ('Y', 1))
    """

    variable: str
    parents: Parents
    value: Term

    @property
    def terms(self) -> Parents:
        """Names with their values: the parents' and the variable's own."""
        return (*self.parents, (self.variable, self.value))


@dataclass(frozen=True)
class Contradiction:
    """Events that cannot hold together in any model on the graph.

    Args:
        events: One event that contradicts itself, or two that contradict each other.

    Example:
        >>> print(Contradiction((Event("Y", 0), Event("Y", 1))))
        Y=0 and Y=1 are about one response of Y: it has one value
    """

    events: tuple[Event, ...]

    def __str__(self) -> str:
        if len(self.events) == 1:
            return f"{self.events[0]} sets its own variable to another state"
        first, second = self.events
        return f"{first} and {second} are about one response of {first.variable}: it has one value"


@dataclass(frozen=True)
class Worlds:
    """The responses that events need, causes first.

    Args:
        responses: Each response once.

    Example:
        >>> needed = worlds(Graph.parse("X -> Y"), [Event("Y", 1, do={"X": 0})])
        >>> [response.variable for response in needed.responses], sorted(needed.variables)
        (['Y'], ['Y'])
    """

    responses: tuple[Response, ...]

    @property
    def variables(self) -> frozenset[str]:
        """The variables that respond."""
        return frozenset(response.variable for response in self.responses)


def _origin(variable: str, world: World) -> World | Value:
    """The world in which the variable responds by itself, or the state to which it is set."""
    settings = dict(world)
    while variable in settings:
        to = settings[variable]
        if not isinstance(to, Event):
            return to
        world = to.do
        settings = dict(world)
    return world


def _term(terms: Mapping[tuple[str, World], Term], variable: str, world: World) -> Term:
    """The value that the variable takes in the world, its causes' values being known."""
    origin = _origin(variable, world)
    return terms[variable, origin] if isinstance(origin, tuple) else origin


def _needed(graph: Graph, events: Iterable[Event]) -> dict[str, list[World]]:
    """For each variable the worlds in which its own response matters to one of the events."""
    needed: dict[str, dict[World, None]] = {name: {} for name in graph.nodes}
    pending = [(event.variable, event.do) for event in events]
    for variable in (None, *reversed(graph.order)):
        if variable is not None:
            pending = [(p, world) for world in needed[variable] for p in graph.parents(variable)]
        for name, world in pending:
            origin = _origin(name, world)
            if isinstance(origin, tuple):
                needed[name][origin] = None
    return {name: list(found) for name, found in needed.items()}


def worlds(
    graph: Graph, events: Iterable[Event], beside: Worlds | None = None
) -> Worlds | Contradiction:
    r"""The responses that events need, with equal ones merged.

    Going through the variables, causes first, the responses of a variable with the same values of
    its parents are one: :math:`Y_{xz} = Y_x` where Z does not matter (exclusion), and
    :math:`Y_x = Y` where X = x is stated (consistency). The value that an event states then is that
    of the merged response, and of what depends on it.

    Args:
        graph: The causal graph.
        events: Events that hold.
        beside: Responses found for other events: the same open value keeps its number.

    Returns:
        The responses, or the contradiction between two of the events.

    References:
        I. Shpitser and J. Pearl, "Complete identification methods for the causal hierarchy", JMLR 9
        (2008): the counterfactual graph (make-cg). J. D. Correa, S. Lee and E. Bareinboim, "Nested
        counterfactual identification from arbitrary surrogate experiments", NeurIPS 2021:
        counterfactual ancestors, the unnesting theorem.

    Example:
        >>> found = worlds(Graph.parse("X -> Y"), [Event("X", 0), Event("Y", 1, do={"X": 0})])
        >>> [(r.variable, r.parents, r.value) for r in found.responses]
        [('X', (), 0), ('Y', (('X', 0),), 1)]
        >>> print(worlds(Graph.parse("X -> Y"), [Event("Y", 1), Event("Y", 0, do={"Z": 1})]))
        Y=1 and Y_{Z=1}=0 are about one response of Y: it has one value
    """
    events = tuple(events)
    needed = _needed(graph, events)
    stated: dict[tuple[str, World], list[Event]] = {}
    for event in events:
        origin = _origin(event.variable, event.do)
        if isinstance(origin, tuple):
            stated.setdefault((event.variable, origin), []).append(event)
        elif origin != event.value:
            return Contradiction((event,))
    terms: dict[tuple[str, World], Term] = {}
    copies: Copies = {}
    for response in beside.responses if beside else ():
        if isinstance(response.value, Free):
            copies.setdefault(response.variable, {})[response.parents] = response.value.copy
    responses: list[Response] = []
    for variable in graph.order:
        merged: dict[Parents, list[World]] = {}
        for world in needed[variable]:
            parents = tuple((p, _term(terms, p, world)) for p in graph.parents(variable))
            merged.setdefault(parents, []).append(world)
        for parents, equal in merged.items():
            claims = [event for world in equal for event in stated.get((variable, world), ())]
            for claim in claims[1:]:
                if claim.value != claims[0].value:
                    return Contradiction((claims[0], claim))
            value = claims[0].value if claims else None
            found: Term = _numbered(copies, variable, parents) if value is None else value
            responses.append(Response(variable, parents, found))
            terms.update(((variable, world), found) for world in equal)
    return Worlds(tuple(responses))


def _numbered(copies: Copies, variable: str, parents: Parents) -> Free:
    """The open value of a response, with the next number of its variable."""
    numbers = copies.setdefault(variable, {})
    return Free(variable, numbers.setdefault(parents, len(numbers)))
