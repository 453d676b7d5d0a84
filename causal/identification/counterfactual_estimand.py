"""The answer to a counterfactual query: its formula, the proof of it, and its value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from causal.expression import ONE, Expression, Probability, Value, subexpressions
from causal.graph import Graph
from causal.identification.counterfactual_steps import WorldStep
from causal.identification.derivation import Step
from causal.identification.events import Event, probability_of
from causal.render import latex, text

__all__ = ["CounterfactualEstimand"]


@dataclass(frozen=True)
class CounterfactualEstimand:
    """The probability of counterfactual events as an expression of what is available.

    Args:
        graph: The graph in which the query was asked.
        events: The events whose probability it is.
        given: The events conditioned on.
        available: ``"experiments"`` or ``"observations"``.
        expression: The formula; None where the events contradict each other, so that the
            probability is 0.
        contradiction: Why it is 0, in words; empty otherwise.
        prove: Makes the proof of the formula.

    Example:
        >>> from causal.identification.counterfactual_events import identify_counterfactual
        >>> graph = Graph.parse("X -> Y; Z -> X; Z -> Y")
        >>> query = identify_counterfactual(
        ...     graph,
        ...     events=Event("Y", 1, do={"X": 0}),
        ...     given=Event("X", 1),
        ...     available="observations",
        ... )
        >>> print(query)
        P(Y_{X=0}=1 | X=1) = sum_{Z} P(Y=1 | X=0, Z) P(Z | X=1)
        >>> all(step.verify(graph) for step in query.steps)
        True
        >>> import torch
        >>> from causal.factor import Factor
        >>> joint = Factor(("Z", "X", "Y"), torch.arange(1.0, 9.0).reshape(2, 2, 2))
        >>> query.evaluate(joint)
        tensor(0.5840)
    """

    graph: Graph
    events: tuple[Event, ...]
    given: tuple[Event, ...]
    available: str
    expression: Expression | None
    contradiction: str = ""
    prove: Callable[[], tuple[WorldStep | Step, ...]] = field(
        default=tuple, repr=False, compare=False
    )

    @cached_property
    def steps(self) -> tuple[WorldStep | Step, ...]:
        """A proof: worlds first, then what is identified further from observations."""
        return self.prove()

    @property
    def query(self) -> str:
        """The query as text."""
        return probability_of(self.events, self.given)

    @property
    def experiments(self) -> tuple[frozenset[str], ...]:
        """The sets of names whose experiments the formula reads, small ones first; ∅ is P(V)."""
        if self.expression is None:
            return ()
        found = {
            node.do for node in subexpressions(self.expression) if isinstance(node, Probability)
        }
        return tuple(sorted(found, key=lambda names: (len(names), sorted(names))))

    @property
    def free(self) -> tuple[str, ...]:
        """Names in the formula on whose value the answer does not depend, sorted."""
        return () if self.expression is None else tuple(sorted(self.expression.arguments))

    def __str__(self) -> str:
        shown = "0" if self.expression is None else text(self.expression)
        reason = f" ({self.contradiction})" if self.contradiction else ""
        return f"{self.query} = {shown}{reason}"

    def latex(self) -> str:
        """The equation as LaTeX."""
        shown = "0" if self.expression is None else latex(self.expression)
        return f"{probability_of(self.events, self.given, latex=True)} = {shown}"

    def evaluate(
        self,
        joint: Any = None,
        *,
        experiments: Any = None,
        free: str | Mapping[str, Value] = "average",
        on_zero: str = "raise",
    ) -> Any:
        """The probability: a scalar tensor, or one for each batch row of the sources.

        Differentiable in the sources' values. Contradictory events have probability 0.

        Args:
            joint: The observational distribution: a Factor or another Joint.
            experiments: A mapping or function from a frozenset of intervened names to a Factor over
                all variables, normalised over the others for each setting; the property of this
                name lists those that are read.
            free: ``"average"`` over the values of free names, or a value for each.
            on_zero: ``"raise"`` at a needed cell without support, or ``"nan"`` for its row.

        Raises:
            PositivityViolation: A needed cell has no support, the condition among them.
            ValueError: A distribution that the formula reads is missing, or lacks a state.
        """
        from causal.evaluation import evaluate_expression

        table = evaluate_expression(
            ONE if self.expression is None else self.expression,
            joint,
            experiments=experiments,
            keep=(),
            free=free,
            on_zero=on_zero,
        )
        return table.values * 0 if self.expression is None else table.values
