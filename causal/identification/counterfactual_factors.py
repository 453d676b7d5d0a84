"""Responses of parallel worlds as products of interventional distributions.

The unobserved causes of two districts are independent, so the probability of responses is a product
over districts; a district whose responses all fit into one world is what the experiment that sets
its other parents shows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from causal.expression import Value
from causal.graph import Graph
from causal.identification.conflict import Conflict
from causal.identification.parallel_worlds import Free, Response, Term

__all__ = ["OneWorld", "components", "conflict", "one_worlds"]


@dataclass(frozen=True)
class OneWorld:
    """Responses that one experiment shows together, summed over those that nothing else uses.

    Args:
        responses: Responses in whose terms each variable has one value.
        summed: The variables summed out, each with a `Free` value.

    Example:
        >>> response = Response("Y", (("X", 0),), 1)
        >>> sorted(OneWorld((response,)).outcomes)
        ['Y']
    """

    responses: tuple[Response, ...]
    summed: frozenset[str] = frozenset()

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables that respond."""
        return frozenset(response.variable for response in self.responses)

    @property
    def outcomes(self) -> frozenset[str]:
        """The variables whose values are looked at."""
        return self.variables - self.summed

    @cached_property
    def terms(self) -> dict[str, Term]:
        """The value of each variable and of each parent."""
        return {name: term for response in self.responses for name, term in response.terms}

    @property
    def do(self) -> frozenset[str]:
        """The parents that do not respond: what the experiment sets."""
        return frozenset(self.terms) - self.variables

    @property
    def constants(self) -> dict[str, Value]:
        """The states of the names that have one."""
        kept = self.outcomes | self.do
        return {
            name: term
            for name, term in self.terms.items()
            if name in kept and not isinstance(term, Free)
        }

    @property
    def free(self) -> frozenset[str]:
        """The names whose value another factor or a sum fixes."""
        return frozenset(
            name
            for name, term in self.terms.items()
            if isinstance(term, Free) and name not in self.summed
        )


def _by_district(
    graph: Graph, responses: Iterable[Response]
) -> list[tuple[frozenset[str], list[Response]]]:
    responses = list(responses)
    present = graph.subgraph({response.variable for response in responses})
    return [
        (district, [response for response in responses if response.variable in district])
        for district in present.districts
    ]


def components(graph: Graph, responses: Iterable[Response]) -> tuple[frozenset[Response], ...]:
    """The ancestral components: responses that districts or open values join.

    A response whose value is stated separates what is before it from what is behind it. What is in
    different components factorises, so that a component of the condition alone cancels.

    Args:
        graph: The causal graph.
        responses: All responses that the events need.

    References:
        J. D. Correa, S. Lee and E. Bareinboim, "Nested counterfactual identification from arbitrary
        surrogate experiments", NeurIPS 2021: ancestral components.

    Example:
        >>> from causal.identification.events import Event
        >>> from causal.identification.parallel_worlds import worlds
        >>> graph = Graph.parse("Z -> X -> Y")
        >>> found = components(graph, worlds(graph, [Event("X", 0), Event("Y", 1)]).responses)
        >>> [sorted(response.variable for response in part) for part in found]
        [['X', 'Z'], ['Y']]
    """
    responses = tuple(responses)
    root: dict[str | Term, str | Term] = {}
    for district, members in _by_district(graph, responses):
        for response in members:
            root[_root(root, response.variable)] = _root(root, min(district))
            for _, term in response.terms:
                if isinstance(term, Free):
                    root[_root(root, term)] = _root(root, response.variable)
    found: dict[str | Term, set[Response]] = {}
    for response in responses:
        found.setdefault(_root(root, response.variable), set()).add(response)
    return tuple(frozenset(part) for part in found.values())


def _root(root: dict[str | Term, str | Term], item: str | Term) -> str | Term:
    """What stands for all items that were joined to this one."""
    while root.setdefault(item, item) != item:
        item = root[item]
    return item


def _clash(responses: Iterable[Response]) -> tuple[str, Term, Term] | None:
    """A name with two terms among the responses."""
    seen: dict[str, Term] = {}
    for response in responses:
        for name, term in response.terms:
            if seen.setdefault(name, term) != term:
                return name, seen[name], term
    return None


def conflict(graph: Graph, responses: Iterable[Response]) -> Conflict | None:
    """The first district whose responses no single world shows, if there is one.

    Args:
        graph: The causal graph.
        responses: Responses, all copies of a variable among them.

    References:
        Correa, Lee and Bareinboim (2021): inconsistent ctf-factors. Shpitser and Pearl, "Complete
        identification methods for the causal hierarchy", JMLR 9 (2008): ID*, line 8.

    Example:
        >>> from causal.identification.events import Event
        >>> from causal.identification.parallel_worlds import worlds
        >>> graph = Graph.parse("X -> Y")
        >>> both = worlds(graph, [Event("Y", 1, do={"X": 0}), Event("Y", 0, do={"X": 1})])
        >>> conflict(graph, both.responses).variable
        'X'
    """
    for district, members in _by_district(graph, responses):
        clash = _clash(members)
        if clash is not None:
            name, *terms = clash
            first, second = (None if isinstance(term, Free) else term for term in terms)
            around = {name for member in members for name, _ in member.terms}
            return Conflict(graph.subgraph(around), district, name, (first, second))
    return None


def _joined(first: Sequence[Response], second: Sequence[Response]) -> bool:
    """Whether one group's variables are causes of the other's."""
    return any(
        one.variable in dict(other.parents)
        for pair in ((first, second), (second, first))
        for one in pair[0]
        for other in pair[1]
    )


def one_worlds(graph: Graph, responses: Iterable[Response]) -> tuple[OneWorld, ...]:
    r"""Responses without conflict as few factors, each shown by one experiment.

    Districts next to each other, in which every name has one value, are one factor:
    :math:`Q[C_1]\,Q[C_2] = Q[C_1 \cup C_2]`. A response that is used in one factor alone, and whose
    value is open, is summed there.

    Args:
        graph: The causal graph.
        responses: Responses without `conflict`, closed under the districts among them.

    Example:
        >>> from causal.identification.events import Event
        >>> from causal.identification.parallel_worlds import worlds
        >>> graph = Graph.parse("X -> M -> Y; X -> Y")
        >>> nested = Event("Y", 1, do={"X": 1, "M": Event("M", do={"X": 0})})
        >>> for factor in one_worlds(graph, worlds(graph, [nested]).responses):
        ...     print(sorted(factor.outcomes), sorted(factor.do), factor.constants)
        ['M'] ['X'] {'X': 0}
        ['Y'] ['M', 'X'] {'X': 1, 'Y': 1}
    """
    responses = list(responses)
    groups = [members for _, members in _by_district(graph, responses)]
    groups.sort(key=lambda group: responses.index(group[0]))  # causes first, for short formulas
    while (pair := _next_merge(groups)) is not None:
        first, second = pair
        groups[first] += groups.pop(second)
    return tuple(_with_sums(groups))


def _next_merge(groups: list[list[Response]]) -> tuple[int, int] | None:
    for second in range(len(groups)):
        for first in range(second):
            pair = groups[first], groups[second]
            if _joined(*pair) and _clash((*pair[0], *pair[1])) is None:
                return first, second
    return None


def _with_sums(groups: list[list[Response]]) -> Iterator[OneWorld]:
    users: dict[Term, set[int]] = {}
    for number, group in enumerate(groups):
        for response in group:
            for _, term in response.terms:
                users.setdefault(term, set()).add(number)
    for group in groups:
        summed = frozenset(
            response.variable
            for response in group
            if isinstance(response.value, Free) and len(users[response.value]) == 1
        )
        yield OneWorld(tuple(group), summed)
