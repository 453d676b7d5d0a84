"""Steps of a counterfactual proof: each rewrites a probability, and can be checked by itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

from causal.graph import Graph
from causal.identification.events import Event, Setting, probability_of
from causal.identification.parallel_worlds import Free, Parents, Response, Term

__all__ = ["Cancellation", "Splitting", "Unfolding", "WorldStep"]

Responses = tuple[Response, ...]
World = tuple[tuple[str, Setting], ...]


def _shown(name: str, term: Term) -> str:
    """An open value as its variable's name, with a prime for each further copy."""
    return f"{name}{chr(39) * term.copy}" if isinstance(term, Free) else f"{name}={term}"


def _probability(responses: Iterable[Response]) -> str:
    """For example ``P(M_{X=0}, Y_{M, X=1}=1)``."""
    parts = []
    for response in responses:
        world = ", ".join(_shown(name, term) for name, term in response.parents)
        own = _shown(response.variable, response.value).removeprefix(response.variable)
        parts.append(response.variable + (f"_{{{world}}}" if world else "") + own)
    return f"P({', '.join(parts)})" if parts else "1"


def _open(responses: Iterable[Response]) -> frozenset[Term]:
    return frozenset(term for r in responses for _, term in r.terms if isinstance(term, Free))


def _apart(graph: Graph, first: Responses, second: Responses) -> bool:
    """Whether no unobserved cause and no variable is behind both."""
    one, other = ({response.variable for response in part} for part in (first, second))
    return one.isdisjoint(other) and not any(
        len(one & {*edge}) == 1 == len(other & {*edge}) for edge in graph.bidirected
    )


def _complete(graph: Graph, responses: Iterable[Response]) -> bool:
    """Whether every response states the values of all parents of its variable."""
    return all(tuple(dict(r.parents)) == graph.parents(r.variable) for r in responses)


@dataclass(frozen=True)
class Unfolding:
    """Events as responses of all variables that matter to them, summed over open values.

    Nested events become values of responses; responses with the same values of all parents are one.

    Args:
        events: Events that hold together.
        responses: The responses, each once.

    Example:
        >>> from causal.identification.parallel_worlds import worlds
        >>> graph = Graph.parse("X -> M -> Y; X -> Y")
        >>> nested = Event("Y", 1, do={"X": 1, "M": Event("M", do={"X": 0})})
        >>> step = Unfolding((nested,), worlds(graph, [nested]).responses)
        >>> print(step.before, "=", step.after)
        P(Y_{M_{X=0}, X=1}=1) = sum_{M} P(M_{X=0}, Y_{M, X=1}=1)
        >>> step.verify(graph)
        True
    """

    rule: ClassVar[str] = "unnesting, exclusion and consistency"
    events: tuple[Event, ...]
    responses: Responses

    @property
    def before(self) -> str:
        """The probability of the events."""
        return probability_of(self.events)

    @property
    def after(self) -> str:
        """The sum over open values of the probability of the responses."""
        names = sorted(_shown(r.variable, r.value) for r in self.responses if r.value in self._own)
        shown = _probability(self.responses)
        return f"sum_{{{', '.join(names)}}} {shown}" if names else shown

    @property
    def _own(self) -> frozenset[Term]:
        return _open(self.responses)

    def verify(self, graph: Graph) -> bool:
        """Whether reading the events off the responses gives the values that the events state."""
        table = {(r.variable, r.parents): r.value for r in self.responses}
        known: dict[tuple[str, World], Term] = {}
        try:
            read = [_read(graph, e.variable, e.do, table, known) for e in self.events]
        except KeyError:  # a response is missing
            return False
        stated = read == [e.value for e in self.events]
        closed = self._own <= {r.value for r in self.responses}
        return stated and closed and len(table) == len(self.responses)


def _read(
    graph: Graph,
    variable: str,
    world: World,
    table: Mapping[tuple[str, Parents], Term],
    known: dict[tuple[str, World], Term],
) -> Term:
    """The value of a variable in a world, from the table of responses; ``known`` remembers."""
    settings = dict(world)
    if variable in settings:
        to = settings[variable]
        return _read(graph, variable, to.do, table, known) if isinstance(to, Event) else to
    if (variable, world) not in known:
        parents = [(p, _read(graph, p, world, table, known)) for p in graph.parents(variable)]
        known[variable, world] = table[variable, tuple(parents)]
    return known[variable, world]


@dataclass(frozen=True)
class Cancellation:
    """Responses that condition and events share, and that nothing joins to the rest, cancel.

    Args:
        kept: Responses that stay.
        cancelled: Responses that stand above and below the line.

    Example:
        >>> from causal.identification.parallel_worlds import Response
        >>> step = Cancellation((Response("Y", (), 1),), (Response("X", (), 0),))
        >>> print(step.before, "->", step.after)
        P(Y=1, X=0) -> P(Y=1)
        >>> step.verify(Graph.parse("X; Y")), step.verify(Graph.parse("X <-> Y"))
        (True, False)
    """

    rule: ClassVar[str] = "cancellation of what is independent of the events"
    kept: Responses
    cancelled: Responses

    @property
    def before(self) -> str:
        """The probability of all responses."""
        return _probability((*self.kept, *self.cancelled))

    @property
    def after(self) -> str:
        """The probability of those that stay."""
        return _probability(self.kept)

    def verify(self, graph: Graph) -> bool:
        """Whether neither an unobserved cause nor an open value joins the two parts."""
        return _apart(graph, self.kept, self.cancelled) and _open(self.kept).isdisjoint(
            _open(self.cancelled)
        )


@dataclass(frozen=True)
class Splitting:
    """Responses of separate districts as a product, each factor shown by one experiment.

    Args:
        factors: The responses of each factor.

    Example:
        >>> from causal.identification.parallel_worlds import Response
        >>> x, y = Response("X", (), 0), Response("Y", (("X", 1),), 1)
        >>> step = Splitting(((x,), (y,)))
        >>> print(step.before, "=", step.after)
        P(X=0, Y_{X=1}=1) = P(X=0) P(Y_{X=1}=1)
        >>> step.verify(Graph.parse("X -> Y")), step.verify(Graph.parse("X -> Y; X <-> Y"))
        (True, False)
    """

    rule: ClassVar[str] = "independence of districts"
    factors: tuple[Responses, ...]

    @property
    def before(self) -> str:
        """The probability of all responses."""
        return _probability(response for factor in self.factors for response in factor)

    @property
    def after(self) -> str:
        """The product of the factors' probabilities."""
        return " ".join(_probability(factor) for factor in self.factors) or "1"

    def verify(self, graph: Graph) -> bool:
        """Whether no unobserved cause joins two factors, and each holds one value of each name."""
        whole = all(
            _complete(graph, factor)
            and len({pair for r in factor for pair in r.terms})
            == len({name for r in factor for name, _ in r.terms})
            for factor in self.factors
        )
        return whole and all(_apart(graph, *pair) for pair in combinations(self.factors, 2))


WorldStep = Unfolding | Cancellation | Splitting
