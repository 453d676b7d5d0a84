"""Experiments and events in several worlds, written as sums of products (floor 1)."""

from collections.abc import Collection, Hashable, Mapping, Sequence

import torch
from torch import Tensor

from causal.expression import Value
from causal.identification.events import Event, Setting
from causal.witness.network import Network, Skeleton, Term

__all__ = ["event_network", "experiment_network", "numbered"]

World = tuple[tuple[str, Setting], ...]


def experiment_network(
    shape: Skeleton, do: Collection[str], kept: Collection[str] | None = None
) -> Network:
    r"""The table :math:`P_{do}(kept)`, one axis for each kept name, sorted.

    Kept names that are set stand for their settings.

    Args:
        shape: The model's shape.
        do: Variables that the experiment sets.
        kept: Variables that are not summed out; None for all.

    Example:
        >>> from causal.graph import Graph
        >>> shape = Skeleton(Graph.parse("X -> Y; X <-> Y"), {}, {"X": 2, "Y": 2})
        >>> [indices for _, indices in experiment_network(shape, {"X"}).terms]
        [('Y', 'X', ('X', 'Y')), (('X', 'Y'),), ('X',)]
    """
    names = tuple(sorted(shape.graph.nodes if kept is None else kept))
    reach = shape.graph.remove_incoming(do).ancestors(names)
    alive = [v for v in shape.graph.order if v in reach and v not in do]
    terms: list[Term] = []
    for v in alive:
        terms += shape.mechanism(v, v, shape.graph.parents(v))
    terms += _hidden(shape, alive)
    # A setting that nothing listens to still has its axis; one that is not asked for is state 0.
    terms += [(torch.ones(shape.states[v], dtype=torch.float64), (v,)) for v in names if v in do]
    heard = {p for v in alive for p in shape.graph.parents(v)} & set(do) - set(names)
    terms += [(_is(shape, v, 0), (v,)) for v in sorted(heard)]
    return Network(tuple(terms), names)


def _hidden(shape: Skeleton, alive: Collection[str]) -> list[Term]:
    edges = {edge for v in alive for edge in shape.causes(v)}
    return [(edge, (edge,)) for edge in sorted(edges)]


def event_network(shape: Skeleton, events: Sequence[Event]) -> Network:
    r"""The probability that all events happen to one unit, a number.

    Every variable has a place in each world in which its value may differ; the places of one
    variable share its response and its hidden causes.

    Args:
        shape: The model's shape.
        events: What happens, states by number.

    Raises:
        ValueError: A variable without a function has several places, or an event has no value.

    Example:
        >>> from causal.graph import Graph
        >>> shape = Skeleton(Graph.parse("X -> Y"), {}, {"X": 2, "Y": 2})
        >>> blocks = {"Y": torch.tensor([[0.2, 0.4], [0.8, 0.6]]).double()}
        >>> event_network(shape, [Event("Y", 1, do={"X": 0})]).value(blocks)
        tensor(0.8000, dtype=torch.float64)
    """
    places: dict[Hashable, list[Term]] = {}
    fixed: list[Term] = []
    for event in events:
        place = _place(shape, event.variable, event.do, places)
        fixed.append((_is(shape, event.variable, event.value), (place,)))
    terms: list[Term] = []
    alive: set[str] = set()
    for term, indices in (found for some in places.values() for found in some):
        if isinstance(term, str) and term in alive:
            if term not in shape.functions:
                raise ValueError(
                    f"{term!r} has different values in different worlds: give the model a "
                    "function for it"
                )
            continue
        if isinstance(term, str):
            alive.add(term)
        terms.append((term, indices))
    return Network((*terms, *_hidden(shape, alive), *fixed), ())


def _is(shape: Skeleton, name: str, value: object) -> Tensor:
    """The table that is one at a state."""
    if not isinstance(value, int) or not 0 <= value < shape.states[name]:
        raise ValueError(
            f"{name!r} has states 0 … {shape.states[name] - 1}, got the event's value {value!r}"
        )
    return torch.eye(shape.states[name], dtype=torch.float64)[value]


def _place(shape: Skeleton, name: str, do: World, places: dict[Hashable, list[Term]]) -> Hashable:
    """The index of the variable's value in the world ``do``; its terms are added to ``places``."""
    settings = dict(do)
    if name in settings:
        setting = settings[name]
        if isinstance(setting, Event):
            return _place(shape, setting.variable, setting.do, places)
        constant = (name, "is", setting)
        places[constant] = [(_is(shape, name, setting), (constant,))]
        return constant
    # Where no setting reaches the variable, its value is that of the world without it.
    reach = shape.graph.remove_incoming(settings).ancestors(name)
    relevant = tuple(pair for pair in do if pair[0] in reach)
    key = (name, relevant)
    if key not in places:
        places[key] = []
        parents = [_place(shape, parent, relevant, places) for parent in shape.graph.parents(name)]
        places[key] += shape.mechanism(name, key, parents)
    return key


def numbered(event: Event, labels: Mapping[str, Sequence[str]]) -> Event:
    """The event with states by number.

    Args:
        event: An event, states by number or name.
        labels: Names of the states, of the variables that have them.

    Raises:
        ValueError: A state's name is unknown.

    Example:
        >>> print(numbered(Event("Y", "sick", do={"X": 0}), {"Y": ("well", "sick")}))
        Y_{X=0}=1
    """

    def number(name: str, value: Value) -> Value:
        if not isinstance(value, str):
            return value
        if value not in labels.get(name, ()):
            raise ValueError(f"{name!r} has no state {value!r}: its states are {labels.get(name)}")
        return labels[name].index(value)

    do = {
        name: numbered(to, labels) if isinstance(to, Event) else number(name, to)
        for name, to in event.do
    }
    value = None if event.value is None else number(event.variable, event.value)
    return Event(event.variable, value, do)
