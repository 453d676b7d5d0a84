"""The answer to a query: its formula, the proof of it, and its values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from causal.expression import Expression, Probability, Value
from causal.graph import Graph
from causal.identification.derivation import Step
from causal.render import latex, text

__all__ = ["Estimand"]


@dataclass(frozen=True)
class Estimand:
    """A causal query and the expression of the supplied distributions that it equals.

    Args:
        graph: The graph in which the query was asked.
        outcomes: The variables whose distribution it is.
        treatments: The variables that are set.
        given: The variables conditioned on.
        experiments: The sets of names whose interventional distributions are supplied; the empty
            set stands for observations.
        expression: The formula.
        prove: Makes the proof of it.

    Example:
        >>> from causal.identification.observational import identify
        >>> napkin = Graph.parse("W -> R -> X -> Y; W <-> X; W <-> Y")
        >>> query = identify(napkin, outcomes="Y", treatments="X")
        >>> query.free
        ('R',)
        >>> all(step.verify(napkin) for step in query.steps)
        True
    """

    graph: Graph
    outcomes: frozenset[str]
    treatments: frozenset[str]
    given: frozenset[str]
    experiments: tuple[frozenset[str], ...]
    expression: Expression
    prove: Callable[[], tuple[Step, ...]] = field(repr=False, compare=False)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """A proof of the formula: the first step begins with the query, the last ends with it."""
        return self.prove()

    @property
    def free(self) -> tuple[str, ...]:
        """Names in the formula on whose value the answer does not depend, sorted."""
        asked = self.outcomes | self.treatments | self.given
        return tuple(sorted(self.expression.arguments - asked))

    @property
    def query(self) -> Probability:
        """The query as an interventional probability."""
        return Probability(self.outcomes, self.given, self.treatments)

    def __str__(self) -> str:
        reserved = self.query.arguments
        return f"{text(self.query)} = {text(self.expression, reserved)}"

    def latex(self) -> str:
        """The equation as LaTeX."""
        return f"{latex(self.query)} = {latex(self.expression, self.query.arguments)}"

    def evaluate(
        self,
        joint: Any = None,
        *,
        experiments: Any = None,
        free: str | Mapping[str, Value] = "average",
        on_zero: str = "raise",
    ) -> Any:
        """The table of the query, over its outcomes, treatments and given.

        Args:
            joint: The observational distribution: a Factor or another Joint.
            experiments: A mapping or function from intervened names to a Factor.
            free: ``"average"`` over the values of free names, or a value for each.
            on_zero: ``"raise"`` at a needed cell without support, or ``"nan"`` for its row.
        """
        from causal.evaluation.query import evaluate_estimand

        return evaluate_estimand(self, joint, experiments=experiments, free=free, on_zero=on_zero)

    def density(
        self,
        joint: Any,
        rows: Mapping[str, Any],
        *,
        experiments: Any = None,
        free: str | Mapping[str, Any] = "average",
        samples: int = 1000,
        generator: Any = None,
    ) -> Any:
        """The query's density at rows, (batch,), by nested Monte Carlo: for continuous variables.

        Args:
            joint: A Joint, such as a fitted `causal.SCM`; see `causal.simulated_density`.
            rows: ``{name: (batch,)}`` for outcomes, treatments and given.
            experiments: A mapping or function from intervened names to a Joint.
            free: ``"average"`` over draws of the free names, or a value for each.
            samples: Draws for each sum and row.
            generator: Source of randomness.
        """
        from causal.evaluation.simulation import simulated_density

        return simulated_density(
            self,
            joint,
            rows,
            experiments=experiments,
            free=free,
            samples=samples,
            generator=generator,
        )

    def mean(
        self,
        joint: Any,
        at: Mapping[str, Any],
        *,
        outcome: str | None = None,
        experiments: Any = None,
        free: str | Mapping[str, Any] = "average",
        samples: int = 1000,
        generator: Any = None,
    ) -> Any:
        """The mean of an outcome under the query, (batch,), by nested Monte Carlo.

        Args:
            joint: A Joint, such as a fitted `causal.SCM`; see `causal.simulated_mean`.
            at: Values of treatments and given, one or (batch,) each.
            outcome: The outcome whose mean it is; None where there is one.
            experiments: A mapping or function from intervened names to a Joint.
            free: ``"average"`` over draws of the free names, or a value for each.
            samples: Draws for each sum and row.
            generator: Source of randomness.
        """
        from causal.evaluation.simulation import simulated_mean

        return simulated_mean(
            self,
            joint,
            at,
            outcome=outcome,
            experiments=experiments,
            free=free,
            samples=samples,
            generator=generator,
        )
