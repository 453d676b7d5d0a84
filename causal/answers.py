"""Effects: a question about two interventions, and its answer (floor 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from causal.columns import Mechanisms, Table
from causal.contrast import mean_contrast, needed_rows
from causal.counterfactual import in_worlds
from causal.effect import Effect
from causal.guide import posterior
from causal.law import states_of
from causal.queries import sample_rows
from causal.warrant import warrant_of

__all__ = ["Question", "answer"]

POPULATION = 1024  # rows for each draw that stand for the population

Action = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Question:
    """What `answer` is asked; the fields are the arguments of ``SCM.effect``.

    Example:
        >>> Question("Y", {"X": 1}, {"X": 0}).individual
        False
    """

    outcome: str
    do: Action
    against: Action
    evidence: Table | None = None
    given: Action | None = None
    samples: int = 1
    individual: bool = False

    def check(self, model: Mechanisms) -> None:
        """Refuse a question without an answer.

        Raises:
            ValueError: The arguments contradict each other or the graph.
        """
        graph = model.graph
        treatments = frozenset({*model.interventions(self.do), *model.interventions(self.against)})
        model.names((self.outcome,))
        if not treatments:
            raise ValueError("effect: do and against name no variable")
        if self.outcome in treatments:
            raise ValueError(f"effect: the outcome {self.outcome!r} is itself intervened on")
        if self.evidence is not None and self.given is not None:
            raise ValueError("effect takes evidence (these rows) or given (a population), not both")
        if self.individual and self.evidence is None:
            raise ValueError("individual effects need the evidence of the individuals")
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")
        if (states_of(model.laws[self.outcome]) or 2) > 2:
            raise ValueError(
                f"the outcome {self.outcome!r} has more than two classes, of which there is no "
                "mean: make the class of interest a binary variable"
            )
        below = graph.descendants(treatments) - treatments
        later = sorted(set(self.given or ()) & below)
        if later:
            raise ValueError(
                f"given {later} are effects of the treatment, so that the condition changes with "
                "it: ask for counterfactuals (individual=True with evidence)"
            )

    def text(self, rows: int) -> str:
        """The question in words."""
        arms = (
            ", ".join(f"{name}={_short(value)}" for name, value in sorted(arm.items()))
            for arm in (self.do, self.against)
        )
        kind = " − ".join(f"E[{self.outcome} | do({arm})]" for arm in arms)
        if self.individual:
            return f"{kind} for each of {rows} rows of evidence, by counterfactuals"
        if self.evidence is not None:
            return f"{kind} on {rows} rows of evidence"
        where = ", ".join(f"{k}={_short(v)}" for k, v in sorted((self.given or {}).items()))
        return f"{kind} in the population{f' given {where}' if where else ''}"


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.item():g}" if value.dim() == 0 else f"tensor{tuple(value.shape)}"
    return str(value) if isinstance(value, int | float) else type(value).__name__


def answer(
    model: Mechanisms,
    asked: Question,
    draws: int | None,
    level: float,
    convention: str | Mapping[str, str] | None,
    generator: torch.Generator | None,
) -> Effect:
    """The effect, once for each draw; see ``SCM.effect``.

    Raises:
        ValueError: The question has no answer.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> class Noisy(torch.nn.Module):
        ...     event_shape, support = torch.Size(), torch.distributions.constraints.real
        ...
        ...     def forward(self, context):
        ...         return torch.distributions.Normal(2 * context.sum(-1), 1.0)
        >>> graph, parents = Graph.parse("X -> Y"), {"X": (), "Y": ("X",)}
        >>> model = Mechanisms(graph, {"X": Noisy(), "Y": Noisy()}, parents, torch.zeros(()))
        >>> asked = Question("Y", {"X": 1.0}, {"X": 0.0})
        >>> answer(model, asked, None, 0.9, None, None).value
        tensor(2.)
    """
    asked.check(model)
    arms = (asked.do, asked.against)
    if asked.individual:
        worlds = in_worlds(
            model,
            {} if asked.evidence is None else asked.evidence,
            arms,
            draws=draws,
            convention=convention,
            generator=generator,
            outcomes=(asked.outcome,),
        )
        axis = 0 if draws is None else 1
        if asked.outcome not in worlds:
            raise ValueError(f"missing column(s) {[asked.outcome]} in evidence")
        first, second = worlds[asked.outcome].unbind(axis)
        result, n = first - second, first.shape[axis]
    else:
        rows, drawn, n = _rows_of(model, asked, draws, generator)
        result = mean_contrast(
            model,
            asked.outcome,
            arms,
            rows,
            (n,) if draws is None else (draws, n),
            samples=asked.samples if asked.evidence is not None else 1,
            drawn=drawn,
            generator=generator,
        )
    warrant = warrant_of(model.projection, asked.outcome, arms, asked.given)
    return Effect(
        draws=(result.unsqueeze(0) if draws is None else result).detach(),
        identified=warrant.text,
        target=asked.text(n),
        level=level,
        hedge=warrant.hedge,
    )


def _rows_of(
    model: Mechanisms, asked: Question, draws: int | None, generator: torch.Generator | None
) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """The rows over which the effect is averaged, with the draws' axis, and their hidden causes."""
    if asked.evidence is None:
        n = POPULATION * asked.samples
        return sample_rows(model, n, {}, asked.given or {}, draws, generator), {}, n
    needed = needed_rows(model, asked.outcome, (asked.do, asked.against))
    unseen = [name for name in model.hidden if name in needed]
    rows = model.rows(asked.evidence, model.variables if unseen else sorted(needed))
    if not rows:
        raise ValueError("evidence is empty: give at least one column, for its rows")
    n = len(next(iter(rows.values())))
    shared = {name: (row if draws is None else row.unsqueeze(0)) for name, row in rows.items()}
    if not unseen:
        return shared, {}, n
    drawn = posterior(model, shared, n, draws, asked.samples).values
    return shared, {name: drawn[name] for name in unseen}, n
