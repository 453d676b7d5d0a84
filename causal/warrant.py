"""What makes an answer a function of the observed distribution: a formula, or nothing (floor 1)."""

import inspect
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from causal.graph import Graph
from causal.identification.conflict import Conflict
from causal.identification.counterfactual_events import identify_counterfactual
from causal.identification.events import Event
from causal.identification.observational import identify
from causal.identification.refusal import Hedge, Unidentifiable

__all__ = [
    "UnidentifiedWarning",
    "Warrant",
    "warn_if_unidentified",
    "warrant_of",
    "warrant_of_worlds",
]

# Packages whose frames stand between the question and the line that asked it.
INSIDE = {"causal", "hybrid", "torch", "jaxtyping", "beartype"}
RESTS = "the answer rests on the form of the laws"


class UnidentifiedWarning(UserWarning):
    """An answer that no formula backs: other models fit the observations and answer differently.

    Attributes:
        hedge: The witness.

    Example:
        >>> UnidentifiedWarning("P(Y | do(X)) has no formula").hedge is None
        True
    """

    def __init__(self, message: str, hedge: Hedge | Conflict | None = None) -> None:
        super().__init__(message)
        self.hedge = hedge


class Warrant(NamedTuple):
    """A formula in words, or why there is none and the hedge.

    Attributes:
        text: The formula; without one the reason, and what the answer rests on instead.
        hedge: The witness that there is no formula, else None.

    Example:
        >>> Warrant("P(Y | do(X)) = P(Y | X)").hedge is None
        True
    """

    text: str
    hedge: Hedge | Conflict | None = None


def warrant_of(
    graph: Graph,
    outcomes: str | Iterable[str],
    arms: Iterable[Mapping[str, Any]],
    given: Mapping[str, Any] | None = None,
) -> Warrant:
    r"""The formula of :math:`P(outcomes \mid do(treatments), given)`, or the hedge.

    In a graph without hidden causes the formula of :math:`P(outcomes \mid do(treatments))` is
    returned, from which every conditional one follows. A condition on a treatment's own value asks
    for a counterfactual in each arm.

    Args:
        graph: A graph, hidden causes as bidirected edges.
        outcomes: What is asked about.
        arms: The interventions that are compared.
        given: Values conditioned on.

    Example:
        >>> print(warrant_of(Graph.parse("Z -> X -> Y; Z -> Y"), "Y", [{"X": 1}, {"X": 0}]).text)
        P(Y | do(X)) = sum_{Z} P(Y | X, Z) P(Z)
        >>> warrant_of(Graph.parse("X -> Y; X <-> Y"), "Y", [{"X": 1}]).hedge.top == {"X", "Y"}
        True
    """
    arms, given = list(arms), given or {}
    treatments = frozenset().union(*arms)
    try:
        if graph.bidirected and treatments & set(given):
            return Warrant("; ".join(_counterfactuals(graph, outcomes, arms, given)))
        known = frozenset(given) - graph.names(outcomes) if graph.bidirected else ()
        return Warrant(str(identify(graph, outcomes=outcomes, treatments=treatments, given=known)))
    except Unidentifiable as error:
        return Warrant(f"{error}; {RESTS}", error.hedge)


def warrant_of_worlds(graph: Graph, worlds: Iterable[Mapping[str, Any]]) -> Warrant:
    """The formulas of what each world's interventions do to their effects, or the first hedge.

    Without such a formula the counterfactuals of observed rows have none either, since their mean
    over rows is what the interventions do.

    Args:
        graph: A graph, hidden causes as bidirected edges.
        worlds: Interventions, one mapping for each world.

    Example:
        >>> warrant_of_worlds(Graph.parse("X -> Y"), [{"X": 0}, {"X": 1}, {}]).text
        'P(Y | do(X)) = P(Y | X)'
    """
    texts: dict[str, None] = {}
    for acted in sorted({tuple(sorted(world)) for world in worlds}):
        outcomes = graph.descendants(acted) - frozenset(acted)
        if outcomes:
            warrant = warrant_of(graph, outcomes, [dict.fromkeys(acted)])
            if warrant.hedge is not None:
                return warrant
            texts[warrant.text] = None
    return Warrant("; ".join(texts))


def _counterfactuals(
    graph: Graph,
    outcomes: str | Iterable[str],
    arms: Iterable[Mapping[str, Any]],
    given: Mapping[str, Any],
) -> list[str]:
    """The formula of each arm's counterfactual given what was chosen without it."""
    names = sorted(graph.names(outcomes))
    condition = [Event(name, _state(value, f"{name}'s")) for name, value in sorted(given.items())]
    found = []
    for arm in arms:
        do = {name: _state(value, f"set {name}") for name, value in arm.items()}
        events = [Event(name, name.lower(), do=do) for name in names]
        found.append(
            str(
                identify_counterfactual(
                    graph, events=events, given=condition, available="observations"
                )
            )
        )
    return found


def _state(value: Any, otherwise: str) -> int | str:
    """A value as a state's number or name: equal numbers get equal ones."""
    if isinstance(value, Tensor) and value.dim() == 0:
        value = value.item()
    if isinstance(value, int | float):
        return int(value) if value >= 0 and float(value).is_integer() else f"{value:g}"
    return otherwise


def warn_if_unidentified(warrant: Warrant) -> None:
    """Warn where there is no formula, at the line that asked.

    Args:
        warrant: What was found.

    Example:
        >>> warn_if_unidentified(Warrant("P(Y | do(X)) = P(Y | X)"))
    """
    if warrant.hedge is None:
        return
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(UnidentifiedWarning(warrant.text, warrant.hedge), stacklevel=level)
