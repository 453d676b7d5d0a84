"""A query in the two forms that a witness needs: as it was asked, and as events (floor 3)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from causal.factor import Factor
from causal.graph import Graph
from causal.identification.counterfactual_events import identify_counterfactual
from causal.identification.events import Event, checked_events, probability_of
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable
from causal.witness.model import DiscreteModel
from causal.witness.worlds import numbered

__all__ = ["Names", "Question", "counterfactual_question", "interventional_question"]

Names = str | Iterable[str]
OTHER = "other"  # name of a state that no event names


@dataclass(frozen=True, eq=False)
class Question:
    """A query as it was asked, and as events with states by number.

    Example:
        >>> graph = Graph.parse("X -> Y; X <-> Y")
        >>> question = interventional_question(graph, "Y", "X", (), None)
        >>> question.refused(graph), question.refused(Graph.parse("X -> Y"))
        (True, False)
    """

    graph: Graph
    ask: Callable[[Graph], Any]  # the identification engine
    events: tuple[Event, ...]
    known: tuple[Event, ...]
    experiments: tuple[frozenset[str], ...] | None  # None: all of them
    table: Callable[[DiscreteModel], Factor]
    text: str
    labels: Mapping[str, tuple[str, ...]]
    states: Mapping[str, int]
    worlds: bool  # whether mechanisms need functions

    @property
    def larger(self) -> dict[str, int]:
        r"""More states of the variables that events name.

        Some refusals hold for three states and not for two, where what is left is a difference:
        :math:`P(Y_x = y, X \neq x) = P(Y_x = y) - P(Y = y, X = x)`.
        """
        parts = [part for event in (*self.events, *self.known) for part in event.parts]
        named = {name for part in parts for name in (part.variable, *dict(part.do))}
        return {name: size + (name in named) for name, size in self.states.items()}

    def labelled(self, states: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        """Names of so many states, of the variables whose states are called by names."""
        others = [OTHER, *(f"{OTHER} {k}" for k in range(2, 2 + max(states.values(), default=0)))]
        return {
            name: (*known, *[o for o in others if o not in known][: states[name] - len(known)])
            for name, known in self.labels.items()
        }

    def refused(self, graph: Graph) -> bool:
        """Whether the engine refuses the query in a graph."""
        try:
            self.ask(graph)
        except Unidentifiable:
            return True
        except ValueError:
            return False
        return False


def interventional_question(
    graph: Graph, outcomes: Names, treatments: Names, given: Any, experiments: Any
) -> Question:
    """P(outcomes | do(treatments), given), seen at the first state of each.

    Args:
        graph: The causal graph.
        outcomes: Names, as in `identify`, like all that follow.
        treatments: Names.
        given: Names.
        experiments: Sets of names; None for observation alone.

    Example:
        >>> question = interventional_question(Graph.parse("X -> Y; X <-> Y"), "Y", "X", (), None)
        >>> question.text, [str(event) for event in question.events]
        ('P(Y | do(X))', ['Y_{X=0}=0'])
    """
    asked, set_, known = (graph.names(part) for part in (outcomes, treatments, given))
    supplied = [()] if experiments is None else list(experiments)
    do = dict.fromkeys(sorted(set_), 0)
    condition = f"do({', '.join(sorted(set_))})" if set_ else ""
    below = ", ".join(filter(None, [condition, *sorted(known)]))
    return Question(
        graph,
        lambda g: identify(
            g, outcomes=asked, treatments=set_, given=known, experiments=experiments
        ),
        tuple(Event(name, 0, do) for name in sorted(asked)),
        tuple(Event(name, 0, do) for name in sorted(known)),
        tuple(graph.names(names) for names in supplied),
        lambda model: model.query(asked, treatments=set_, given=known),
        f"P({', '.join(sorted(asked))}{' | ' if below else ''}{below})",
        {},
        dict.fromkeys(graph.nodes, 2),
        worlds=False,
    )


def counterfactual_question(
    graph: Graph, events: Any, given: Any, available: Literal["experiments", "observations"]
) -> Question:
    """The probability of events under a condition.

    Args:
        graph: The causal graph.
        events: Events, as in `identify_counterfactual`, like all that follow.
        given: Events.
        available: What is supplied.

    Example:
        >>> graph, event = Graph.parse("X -> Y; X <-> Y"), Event("Y", 1, do={"X": 0})
        >>> treated = counterfactual_question(graph, event, Event("X", 1), "experiments")
        >>> treated.text, treated.states
        ('P(Y_{X=0}=1 | X=1)', {'X': 2, 'Y': 2})
    """
    asked, known = checked_events(graph, events, given)
    values: dict[str, list[Any]] = {name: [] for name in graph.nodes}
    for part in (part for event in (*asked, *known) for part in event.parts):
        stated = [(part.variable, part.value), *part.do]
        for name, value in stated:
            if value is not None and not isinstance(value, Event) and value not in values[name]:
                values[name].append(value)
    labels = {
        name: tuple(found) for name, found in values.items() if found and isinstance(found[0], str)
    }
    states = {
        name: max(2, len(found) if name in labels else 1 + max(found, default=0))
        for name, found in values.items()
    }
    return Question(
        graph,
        lambda g: identify_counterfactual(g, events=asked, given=known, available=available),
        tuple(numbered(event, labels) for event in asked),
        tuple(numbered(event, labels) for event in known),
        None if available == "experiments" else (frozenset(),),
        lambda model: Factor((), model.counterfactual(asked, known)),
        probability_of(asked, known),
        labels,
        states,
        worlds=True,
    )
