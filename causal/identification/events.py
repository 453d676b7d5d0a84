"""Counterfactual events: a variable's value in the world where others are set; pure Python."""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Union

from causal.expression import Expression, Probability, Value
from causal.graph import Graph
from causal.render import latex, text

__all__ = ["Event", "Setting", "checked_events", "probability_of"]

Setting = Union[Value, "Event"]  # a state, or the state that an event's variable takes elsewhere


def _value(variable: str, value: object) -> Value:
    """A state's number or name."""
    if isinstance(value, str):
        return value
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what is no integer raises
    except TypeError:
        raise TypeError(
            f"a state of {variable!r} is a number 0, 1, … or a name, got {value!r} "
            f"({type(value).__name__})"
        ) from None
    if number < 0:
        raise ValueError(f"a state of {variable!r} is a number 0, 1, … or a name, got {number}")
    return number


def _setting(name: object, to: object) -> tuple[str, Setting]:
    """One entry of ``do``, checked."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"do names variables by strings, got {name!r}")
    if not isinstance(to, Event):
        return name, _value(name, to)
    if to.variable != name:
        raise ValueError(
            f"do sets {name!r} to a value of {to.variable!r}: expected an Event of {name!r} "
            f"itself, as in do={{{name!r}: Event({name!r}, do={{…}})}}"
        )
    if to.value is not None:
        raise ValueError(
            f"the nested event {to} states a value: a nested event stands for whatever value "
            f"{name!r} takes there; to set a state, write do={{{name!r}: {to.value!r}}}"
        )
    return name, to


@dataclass(frozen=True, init=False)
class Event:
    r"""The event :math:`Y_{x} = y`: a variable's value in the world where others are set.

    Without ``do`` it is an event of the world as it is. A value in ``do`` may itself be an event
    without a value: the variable is then set to whatever value it takes in that other world, for
    the same unit, :math:`Y_{x, M_{x'}} = y`.

    Args:
        variable: The name of the variable.
        value: A state's number or name; None only where the event is nested in another's ``do``.
        do: What is set, ``{name: state or nested Event}``.

    Attributes:
        do: The settings as pairs, sorted by name.

    Raises:
        TypeError: A name is not a string, a value neither an integer nor a string.
        ValueError: A nested event is of another variable, or states a value.

    Example:
        >>> print(Event("Y", 1, do={"X": 0}))
        Y_{X=0}=1
        >>> print(Event("Y", 1, do={"X": 1, "M": Event("M", do={"X": 0})}))
        Y_{M_{X=0}, X=1}=1
    """

    variable: str
    value: Value | None
    do: tuple[tuple[str, Setting], ...]

    def __init__(
        self,
        variable: str,
        value: Value | None = None,
        do: Mapping[str, Setting] | Iterable[tuple[str, Setting]] = (),
    ) -> None:
        if not isinstance(variable, str) or not variable:
            raise TypeError(f"an Event's variable is a name, got {variable!r}")
        settings = [_setting(name, to) for name, to in dict(do).items()]
        object.__setattr__(self, "variable", variable)
        object.__setattr__(self, "value", None if value is None else _value(variable, value))
        object.__setattr__(self, "do", tuple(sorted(settings, key=lambda pair: pair[0])))

    def __str__(self) -> str:
        return self._written(text, "=")

    def latex(self) -> str:
        r"""The event in LaTeX.

        Example:
            >>> print(Event("Y", 1, do={"X1": 0}).latex())
            Y_{X_{1} = 0} = 1
        """
        return self._written(latex, " = ")

    def _written(self, write: Callable[[Expression], str], equal: str) -> str:
        set_to = ", ".join(
            to._written(write, equal)
            if isinstance(to, Event)
            else f"{_shown(name, write)}{equal}{_shown(to, write)}"
            for name, to in self.do
        )
        shown = _shown(self.variable, write)
        if set_to:
            subscripted = "_" in shown and write is latex
            shown = f"{{{shown}}}_{{{set_to}}}" if subscripted else f"{shown}_{{{set_to}}}"
        return shown if self.value is None else f"{shown}{equal}{_shown(self.value, write)}"

    @property
    def parts(self) -> Iterator["Event"]:
        """The event and all events nested in it.

        Example:
            >>> [str(part) for part in Event("Y", 1, do={"M": Event("M", do={"X": 0})}).parts]
            ['Y_{M_{X=0}}=1', 'M_{X=0}']
        """
        yield self
        for _, to in self.do:
            if isinstance(to, Event):
                yield from to.parts


@lru_cache(maxsize=4096)
def _shown(name: Value, write: Callable[[Expression], str]) -> str:
    """A name or state as formulas write it: what stands in P(…) there."""
    if isinstance(name, int):
        return str(name)
    return write(Probability(name)).removeprefix("P(").removesuffix(")")


def probability_of(
    events: Iterable[Event], given: Iterable[Event] = (), latex: bool = False
) -> str:
    """The probability of events as text.

    Args:
        events: The events.
        given: The events that are conditioned on.
        latex: Whether to write LaTeX.

    Example:
        >>> probability_of([Event("Y", 1, do={"X": 0})], [Event("X", 1)])
        'P(Y_{X=0}=1 | X=1)'
    """
    above, below = (
        ", ".join(event.latex() if latex else str(event) for event in part)
        for part in (events, given)
    )
    bar = r" \mid " if latex else " | "
    return f"P({above}{bar}{below})" if below else f"P({above})"


def checked_events(
    graph: Graph, events: Event | Iterable[Event], given: Event | Iterable[Event] = ()
) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """Events and conditions, each stated once, checked against the graph and each other.

    Args:
        graph: The causal graph.
        events: One event or several.
        given: The events that are conditioned on.

    Raises:
        TypeError: Something is not an `Event`.
        ValueError: No event, an event without a value, a name that is not in the graph, or a
            variable whose states are called by numbers here and by names there.

    Example:
        >>> checked_events(Graph.parse("X -> Y"), Event("Q", 1))
        Traceback (most recent call last):
            ...
        ValueError: unknown node(s) ['Q'] in Q=1: the graph has ['X', 'Y']
    """
    asked, known = (
        tuple(dict.fromkeys([part] if isinstance(part, Event) else part))
        for part in (events, given)
    )
    kinds: dict[str, tuple[type, Event]] = {}
    for event in (*asked, *known):
        if not isinstance(event, Event):
            raise TypeError(
                f"events and given are Events, as in Event('Y', 1, do={{'X': 0}}), got {event!r}"
            )
        if event.value is None:
            raise ValueError(f"{event} has no value: state one, as in Event({event.variable!r}, 1)")
        for part in event.parts:
            _check_part(graph, part, event, kinds)
    if not asked:
        raise ValueError("events is empty: state at least one event, as in [Event('Y', 1)]")
    return asked, known


def _check_part(
    graph: Graph, part: Event, event: Event, kinds: dict[str, tuple[type, Event]]
) -> None:
    """Check one event or nested event; ``kinds`` remembers how states were called."""
    states = {name: to for name, to in part.do if not isinstance(to, Event)}
    unknown = sorted(name for name in {part.variable, *dict(part.do)} if name not in graph)
    if unknown:
        raise ValueError(f"unknown node(s) {unknown} in {event}: the graph has {list(graph.nodes)}")
    stated = [*states.items(), *([] if part.value is None else [(part.variable, part.value)])]
    for name, value in stated:
        kind, first = kinds.setdefault(name, (type(value), event))
        if kind is not type(value):
            raise ValueError(
                f"{first} and {event} call states of {name!r} by a number and by a name, so that "
                "they cannot be compared: use numbers, or names, throughout"
            )
