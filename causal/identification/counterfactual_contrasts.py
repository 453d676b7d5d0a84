"""Contrasts between counterfactual worlds: effect on the treated, natural effects."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from causal.expression import Value
from causal.graph import Graph
from causal.identification.counterfactual_estimand import CounterfactualEstimand
from causal.identification.counterfactual_events import Available, identify_counterfactual
from causal.identification.events import Event, Setting

__all__ = [
    "CounterfactualContrast",
    "effect_on_treated",
    "natural_direct_effect",
    "natural_indirect_effect",
]

States = Mapping[str, Value]


@dataclass(frozen=True)
class CounterfactualContrast:
    """The difference between the probabilities of an outcome in two worlds.

    Args:
        first: The probability that the other is taken from.
        second: The probability that is taken away.

    Example:
        >>> graph = Graph.parse("X -> Y")
        >>> print(effect_on_treated(graph, Event("Y", 1), do={"X": 1}, against={"X": 0}))
        P(Y_{X=1}=1 | X=1) = ...
        minus P(Y_{X=0}=1 | X=1) = ...
    """

    first: CounterfactualEstimand
    second: CounterfactualEstimand

    def __str__(self) -> str:
        return f"{self.first}\nminus {self.second}"

    def latex(self) -> str:
        """Both equations as LaTeX, one a line."""
        return f"{self.first.latex()} \\\\\n{self.second.latex()}"

    def evaluate(
        self,
        joint: Any = None,
        *,
        experiments: Any = None,
        free: str | Mapping[str, Value] = "average",
        on_zero: str = "raise",
    ) -> Any:
        """The difference: a scalar tensor, or one for each batch row; see the estimand's method.

        Args:
            joint: The observational distribution: a Factor or another Joint.
            experiments: A mapping or function from intervened names to a Factor.
            free: ``"average"`` over the values of free names, or a value for each.
            on_zero: ``"raise"`` at a needed cell without support, or ``"nan"`` for its row.

        Raises:
            ValueError: A name in ``free`` is free in neither formula.
        """
        chosen = {} if isinstance(free, str) else dict(free)
        unknown = sorted(chosen.keys() - {*self.first.free, *self.second.free})
        if unknown:
            raise ValueError(
                f"{unknown} are free in neither formula: the free names are "
                f"{sorted({*self.first.free, *self.second.free})}"
            )
        first, second = (
            part.evaluate(
                joint,
                experiments=experiments,
                free=free
                if isinstance(free, str)
                else {name: chosen[name] for name in part.free if name in chosen},
                on_zero=on_zero,
            )
            for part in (self.first, self.second)
        )
        return first - second


def _checked(graph: Graph, outcome: Event, do: States, against: States) -> None:
    if not isinstance(outcome, Event) or outcome.value is None or outcome.do:
        raise ValueError(
            f"outcome is a state of a variable, as in Event('Y', 1) without do, got {outcome}"
        )
    graph.names((outcome.variable, *do, *against))
    if not do or set(do) != set(against):
        raise ValueError(
            f"do and against set the same variables, at least one: got {sorted(do)} and "
            f"{sorted(against)}"
        )
    if outcome.variable in do:
        raise ValueError(f"{outcome.variable!r} is the outcome: do sets other variables")
    if any(isinstance(to, Event) for states in (do, against) for to in states.values()):
        raise TypeError("do and against hold states, not events: nesting is what the function adds")


def effect_on_treated(
    graph: Graph,
    outcome: Event,
    *,
    do: States,
    against: States,
    available: Available = "experiments",
) -> CounterfactualContrast:
    r"""The effect of treatment on those who chose it.

    .. math:: P(Y_x = y \mid X = x) - P(Y_{x'} = y \mid X = x)

    Assumes what `identify_counterfactual` assumes: P(X = x) and the cells that are read positive.

    Args:
        graph: The causal graph.
        outcome: The outcome's state, ``Event("Y", 1)``.
        do: The treatment x, ``{name: state}``; also the condition.
        against: What it is compared with, x'.
        available: ``"experiments"`` or ``"observations"``.

    Raises:
        Unidentifiable: One of the two has no formula.
        ValueError: ``do`` and ``against`` set different variables, or the outcome.

    References:
        I. Shpitser and J. Pearl, "Effects of treatment on the treated: identification and
        generalization", UAI 2009.

    Example:
        >>> graph = Graph.parse("Z -> X -> Y; Z -> Y")
        >>> ett = effect_on_treated(
        ...     graph, Event("Y", 1), do={"X": 1}, against={"X": 0}, available="observations"
        ... )
        >>> print(ett.second)
        P(Y_{X=0}=1 | X=1) = sum_{Z} P(Y=1 | X=0, Z) P(Z | X=1)
    """
    _checked(graph, outcome, do, against)
    condition = [Event(name, value) for name, value in do.items()]
    return _contrast(graph, outcome, do, against, condition, available)


def natural_direct_effect(
    graph: Graph,
    outcome: Event,
    *,
    do: States,
    against: States,
    mediators: str | Iterable[str] | None = None,
    available: Available = "experiments",
) -> CounterfactualContrast:
    r"""What the treatment would change if the mediators stayed as they are without it.

    .. math:: P(Y_{x, M_{x'}} = y) - P(Y_{x'} = y)

    Assumes what `identify_counterfactual` assumes.

    Args:
        graph: The causal graph.
        outcome: The outcome's state, ``Event("Y", 1)``.
        do: The treatment x, ``{name: state}``.
        against: What it is compared with, x'.
        mediators: The variables M; None: all between treatment and outcome.
        available: ``"experiments"`` or ``"observations"``.

    Raises:
        Unidentifiable: One of the two has no formula.
        ValueError: ``do`` and ``against`` set different variables, or the outcome.

    References:
        J. Pearl, "Direct and indirect effects", UAI 2001.

    Example:
        >>> graph = Graph.parse("X -> M -> Y; X -> Y")
        >>> effect = natural_direct_effect(graph, Event("Y", 1), do={"X": 1}, against={"X": 0})
        >>> print(effect.first)
        P(Y_{M_{X=0}, X=1}=1) = sum_{M} P(M | do(X=0)) P(Y=1 | do(M, X=1))
    """
    _checked(graph, outcome, do, against)
    first = {**do, **_natural(graph, outcome, do, against, mediators)}
    return _contrast(graph, outcome, first, against, (), available)


def natural_indirect_effect(
    graph: Graph,
    outcome: Event,
    *,
    do: States,
    against: States,
    mediators: str | Iterable[str] | None = None,
    available: Available = "experiments",
) -> CounterfactualContrast:
    r"""What the treatment would change through the mediators alone.

    .. math:: P(Y_{x', M_x} = y) - P(Y_{x'} = y)

    Assumes what `identify_counterfactual` assumes.

    Args:
        graph: The causal graph.
        outcome: The outcome's state, ``Event("Y", 1)``.
        do: The treatment x, ``{name: state}``, that the mediators follow.
        against: The treatment x' that the outcome meets otherwise.
        mediators: The variables M; None: all between treatment and outcome.
        available: ``"experiments"`` or ``"observations"``.

    Raises:
        Unidentifiable: One of the two has no formula.
        ValueError: ``do`` and ``against`` set different variables, or the outcome.

    References:
        J. Pearl, "Direct and indirect effects", UAI 2001.

    Example:
        >>> graph = Graph.parse("X -> M -> Y; X -> Y")
        >>> effect = natural_indirect_effect(graph, Event("Y", 1), do={"X": 1}, against={"X": 0})
        >>> print(effect.first)
        P(Y_{M_{X=1}, X=0}=1) = sum_{M} P(M | do(X=1)) P(Y=1 | do(M, X=0))
    """
    _checked(graph, outcome, do, against)
    first = {**against, **_natural(graph, outcome, against, do, mediators)}
    return _contrast(graph, outcome, first, against, (), available)


def _natural(
    graph: Graph,
    outcome: Event,
    met: States,
    followed: States,
    mediators: str | Iterable[str] | None,
) -> dict[str, Event]:
    """The mediators set to what they are where the treatment is ``followed``."""
    if mediators is None:
        between = graph.descendants(met) & graph.ancestors(outcome.variable)
        chosen = between - {*met, outcome.variable}
    else:
        chosen = graph.names(mediators)
        if overlap := sorted(chosen & {*met, outcome.variable}):
            raise ValueError(f"mediators {overlap} are the treatment or the outcome")
    return {name: Event(name, do=followed) for name in sorted(chosen)}


def _contrast(
    graph: Graph,
    outcome: Event,
    first: Mapping[str, Setting],
    second: States,
    given: Iterable[Event],
    available: Available,
) -> CounterfactualContrast:
    given = tuple(given)
    worlds = (Event(outcome.variable, outcome.value, do) for do in (first, second))
    return CounterfactualContrast(
        *(
            identify_counterfactual(graph, events=event, given=given, available=available)
            for event in worlds
        )
    )
