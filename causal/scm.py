"""A causal graph with a Law for each variable, as one module and one Pyro program (floor 3)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from causal.answers import Question, answer
from causal.columns import Mechanisms, Table
from causal.construction import arranged, safe_key, try_laws
from causal.counterfactual import Counterfactual, in_worlds
from causal.draws import fixed
from causal.effect import Effect
from causal.factor import Factor
from causal.graph import Edge, Graph
from causal.guide import Guide
from causal.hidden import Hidden, expanded, named_causes, settled
from causal.law import columns_of
from causal.meaning import check_meaning, meaning
from causal.program import empty_program, guide_program, model_program
from causal.queries import sample_rows, score_rows
from causal.tables import joint_table
from causal.warrant import Warrant, warn_if_unidentified, warrant_of_worlds

__all__ = ["SCM"]

Action = Mapping[str, Any]


class SCM(nn.Module):
    r"""A structural causal model: :math:`p(x) = \prod_v p(x_v \mid x_{pa(v)})`, with interventions.

    The context of a variable's law is its parents' encoded columns, sorted by the parents' names
    (`columns` lists them; `causal.Mechanism` states another order). Queries take ``draws=S`` for S
    draws of random weights, which become the leading axis of the result, and a ``generator``. They
    never touch Pyro's parameter store; ``forward`` is the Pyro program.

    Each bidirected edge is a hidden common cause, a standard normal vector for each row. Its
    columns follow those of the parents, in sorted edge order, in the contexts at both ends.
    `log_probability` is then the lower bound that `bound` names, and what is asked about observed
    rows needs a guide.

    Args:
        graph: The graph.
        laws: A Law, or a Mechanism, for each variable.
        hidden: `Hidden` causes by edge; one column for edges that are not named.
        guide: A Law of all hidden columns (`hidden_columns`, one vector) given all variables'
            columns (`guide_columns`). An ELBO trains it together with the laws.

    Attributes:
        graph: The graph.
        hidden: The hidden cause of each bidirected edge.
        guide: The guide, whose Law is ``guide.law``, or None.

    Raises:
        ValueError: A missing or superfluous law, an edge that the graph lacks, or a law or guide
            that does not take its context or return what it states; the variable is named.

    Example:
        >>> import torch
        >>> class Linear(torch.nn.Module):
        ...     event_shape, support = torch.Size(), torch.distributions.constraints.real
        ...
        ...     def __init__(self, width):
        ...         super().__init__()
        ...         self.weight = torch.nn.Parameter(torch.full((width,), 2.0))
        ...
        ...     def forward(self, context):
        ...         return torch.distributions.Normal(context @ self.weight, 1.0)
        >>> scm = SCM(Graph.parse("X -> Y"), {"X": Linear(0), "Y": Linear(1)})
        >>> scm.columns("Y"), scm.sample(5, do={"X": 1.0})["Y"].shape
        (('X',), torch.Size([5]))
        >>> rows = {"X": torch.tensor([1.0]), "Y": torch.tensor([2.5])}
        >>> scm.counterfactual(rows, do=[{"X": 0.0}, {"X": 1.0}])["Y"]
        tensor([[0.5000],
                [2.5000]], grad_fn=<ExpandBackward0>)
        >>> scm.effect("Y", do={"X": 1.0}, against={"X": 0.0}).value
        tensor(2.)
    """

    def __init__(
        self,
        graph: Graph,
        laws: Mapping[str, Any],
        *,
        hidden: Mapping[Edge, Hidden] | None = None,
        guide: Any = None,
    ) -> None:
        super().__init__()
        causes = named_causes(graph) if isinstance(graph, Graph) else {}
        modules, self._parents = arranged(graph, laws, causes)
        self.graph = graph
        self.hidden = settled(graph, hidden)
        self._causes = {name: self.hidden[edge] for name, edge in causes.items()}
        self._expanded = expanded(graph)
        self.laws = nn.ModuleDict({safe_key(name): modules[name] for name in graph.nodes})
        if guide is not None and not causes:
            raise ValueError("a guide is for hidden causes: the graph has no bidirected edge")
        self.guide = None if guide is None else Guide(guide, len(self.hidden_columns))
        try_laws(self, self._mechanisms())

    @property
    def variables(self) -> tuple[str, ...]:
        """The names, sorted."""
        return self.graph.nodes

    def law(self, name: str) -> nn.Module:
        """The law of a variable.

        Raises:
            ValueError: There is no such variable.
        """
        self.graph.names((name,))
        return self.laws[safe_key(name)]

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of the columns of a variable's context, in order."""
        return self._mechanisms().columns(name)

    @property
    def hidden_columns(self) -> tuple[str, ...]:
        """Names of all hidden columns, in the order of the guide's values."""
        return tuple(c for name, law in self._causes.items() for c in columns_of(name, law))

    @property
    def guide_columns(self) -> tuple[str, ...]:
        """Names of all variables' columns, in the order of the guide's context."""
        return tuple(c for name in self.variables for c in columns_of(name, self.law(name)))

    @property
    def bound(self) -> str | None:
        """What `log_probability` is of complete rows: the name of a lower bound; None if exact."""
        return "evidence lower bound" if self.hidden else None

    def _mechanisms(self) -> Mechanisms:
        tensors = (t for group in (self.parameters(), self.buffers()) for t in group)
        like = next((t for t in tensors if t.is_floating_point()), torch.zeros(()))
        laws = {**{name: self.law(name) for name in self.graph.nodes}, **self._causes}
        zero, causes = like.detach().new_zeros(()), tuple(self._causes)
        return Mechanisms(self._expanded, laws, self._parents, zero, causes, self.guide)

    def extra_repr(self) -> str:
        """The graph, in the module's text, and what `log_probability` is if it is not exact."""
        causes = f", hidden={self.hidden}, log_probability={self.bound!r}" if self.hidden else ""
        return f"{self.graph!r}{causes}"

    def get_extra_state(self) -> dict[str, Any]:
        """What the weights mean: the graph, every context's columns, every variable's encoding."""
        return meaning(str(self.graph), self._mechanisms())

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Check on loading that the weights were stored for this graph and these columns.

        Raises:
            ValueError: They were not; the message says where they differ.
        """
        check_meaning(self.get_extra_state(), state)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        given: Action | None = None,
        *,
        do: Action | None = None,
        draws: int | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        r"""Draw ``n`` rows of all variables, (\*draws, n, \*event) each.

        Args:
            n: Number of rows.
            given: Values, one or one per row, on which the rows are conditioned. Exact where the
                names hold all their ancestors or all variables are finite; else, for classes, by
                rejection.
            do: Interventions ``{name: number, tensor, function of the parents, distribution}``.
            draws: Number of weight draws; None for one draw without an axis.
            generator: Source of randomness; None advances torch's global generator.

        Raises:
            ValueError: Unknown names, bad values, or a condition that cannot be met.
        """
        if not isinstance(n, int):
            raise TypeError(f"n is a number of rows, got {n!r}")
        with fixed(self, draws, generator) as draws:
            rows = sample_rows(self._mechanisms(), n, do or {}, given or {}, draws, generator)
        return {name: rows[name] for name in self.variables}

    def log_probability(
        self,
        values: Table,
        given: Table | Iterable[str] | None = None,
        *,
        draws: int | None = None,
        do: Action | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        r"""Log density of rows, :math:`\log p(values \mid given, do)`, (\*draws, batch).

        Any set of variables that holds its ancestors (those under ``do`` cut off), any set at all
        where all variables are finite. Terms of variables under ``do`` are left out, and their
        values in the rows are overridden. Where hidden causes are among the ancestors, it is not
        exact: rows of all variables give an estimate of a lower bound; see `causal.bound`.

        Args:
            values: Rows ``{name: (batch, *event)}``.
            given: Rows of further variables, or names among ``values``, to condition on.
            draws: Number of weight draws; None for one draw without an axis.
            do: Interventions.
            samples: Draws of the hidden causes whose weights are averaged; more are nearer to the
                log density.
            generator: Source of the draws.

        Raises:
            ValueError: Bad rows, a marginal that has no closed form, or hidden causes without a
                guide.
        """
        with fixed(self, draws, generator) as draws:
            model = self._mechanisms()
            return score_rows(model, values, given, do or {}, draws, generator, samples)

    def factor(
        self, *, draws: int | None = None, generator: torch.Generator | None = None
    ) -> Factor:
        r"""The joint table, with values (\*draws, \*cardinalities) over the sorted variables.

        Args:
            draws: Number of weight draws; None for one draw without an axis.
            generator: Source of the weight draws.

        Raises:
            ValueError: There are hidden causes, a variable is not finite, or the table is too
                large.
        """
        with fixed(self, draws, generator) as draws:
            return joint_table(self._mechanisms(), draws)

    def counterfactual(
        self,
        evidence: Table,
        do: Action | Sequence[Action],
        *,
        draws: int | None = None,
        convention: str | Mapping[str, str] | None = None,
        generator: torch.Generator | None = None,
    ) -> Counterfactual:
        r"""The observed rows in other worlds, (\*draws, worlds, batch, \*event).

        Gradients flow to the laws' parameters. See `causal.counterfactual.in_worlds`. Hidden causes
        are drawn from the guide, once for each draw and row and for all worlds; the result's
        ``conventions`` then say "guide", and ``identified`` if the interventions have a formula.

        Args:
            evidence: Rows ``{name: (batch, *event)}``.
            do: Interventions, one mapping for each world (a single mapping is one world).
            draws: Number of weight draws; None for one draw without an axis.
            convention: How noise that values leave open is defined: "quantile", "gumbel",
                "elementwise", "triangular", for all variables or by variable.
            generator: Source of randomness.

        Raises:
            ValueError: Evidence or interventions are incomplete or do not fit.
            NoiseNotRecoverable: A law needs a convention, or knows none.

        Warns:
            UnidentifiedWarning: The interventions' effects on the population have no formula.
        """
        worlds = [do] if isinstance(do, Mapping) else list(do)
        with fixed(self, draws, generator) as draws:
            found = in_worlds(
                self._mechanisms(),
                evidence,
                worlds,
                draws=draws,
                convention=convention,
                generator=generator,
            )
        if not any(name in found.conventions for name in self._causes):
            return found
        warrant = warrant_of_worlds(self.graph, worlds)
        warn_if_unidentified(warrant)
        return replace(found, identified=warrant.text)

    @torch.no_grad()
    def effect(
        self,
        outcome: str,
        *,
        do: Action,
        against: Action,
        evidence: Table | None = None,
        given: Action | None = None,
        draws: int | None = None,
        samples: int = 1,
        level: float = 0.9,
        generator: torch.Generator | None = None,
        individual: bool = False,
        convention: str | Mapping[str, str] | None = None,
    ) -> Effect:
        r"""The mean of the outcome under ``do`` minus that under ``against``.

        With ``evidence`` on those rows: what no treatment reaches stays as observed, mediators are
        simulated. With ``given`` in the part of the population where it holds, else in all of it:
        1,024 × ``samples`` rows of `sample` for each draw. The outcome's law gives its mean where
        it knows one. Hidden causes come from their prior in a population, and from the guide for
        rows of evidence, ``samples`` times for each draw.

        Args:
            outcome: The variable whose mean is compared.
            do: Interventions of the first arm.
            against: Interventions of the second arm.
            evidence: Observed rows.
            given: Values of variables that no treatment causes (a treatment's own too).
            draws: Number of weight draws, over which the effect's spread is taken.
            samples: Simulated values per row and draw.
            level: Default probability of the effect's interval.
            generator: Source of randomness.
            individual: Whether to compare each row of evidence with its own counterfactual.
            convention: As in `counterfactual`, for individual effects.

        Raises:
            ValueError: Both evidence and given, bad rows, an outcome without a mean.

        Warns:
            UnidentifiedWarning: The effect has no formula, so that it rests on the laws' form.
        """
        asked = Question(outcome, do, against, evidence, given, samples, individual)
        with fixed(self, draws, generator) as draws:
            effect = answer(self._mechanisms(), asked, draws, level, convention, generator)
        warn_if_unidentified(Warrant(effect.identified, effect.hedge))
        return effect

    def forward(
        self, data: Table | None = None, *, n: int | None = None, data_size: int | None = None
    ) -> dict[str, Tensor]:
        r"""The Pyro program: parameters, one plate of rows, one site per variable.

        Parameters are registered by ``pyro.module("scm", self)``. Sites are named as the variables;
        those in ``data`` are observed; hidden causes have sites such as ``"X<->Y"``. Random weights
        are drawn once, and their divergence from the prior enters the density by ``pyro.factor``.

        Args:
            data: Observed rows ``{name: (batch, *event)}``.
            n: Number of rows where there is no data.
            data_size: Number of rows of all data, of which these are a minibatch.

        Raises:
            ValueError: Bad rows, or neither data nor ``n``.
            RuntimeError: Pyro's store holds the parameters of another SCM.
        """
        return model_program(self, self._mechanisms(), data, n, data_size)

    def pyro_guide(
        self,
        data: Table,
        *,
        n: int | None = None,  # noqa: ARG002 - SVI gives both programs the same arguments
        data_size: int | None = None,
    ) -> None:
        """The guide for ``SVI(scm, scm.pyro_guide, …)``: hidden causes given complete rows.

        Raises:
            ValueError: Bad or missing rows, or there are hidden causes and no guide.
            RuntimeError: Pyro's store holds the parameters of another SCM.
        """
        guide_program(self, self._mechanisms(), data, data_size)

    def empty_guide(self, data: Table | None = None, **kwargs: Any) -> None:  # noqa: ARG002
        """The guide for ``SVI(scm, scm.empty_guide, …)``: what is random is in the weights.

        Raises:
            ValueError: There are hidden causes, or the data lack a column: either would need a
                site in the guide.
        """
        empty_program(self._mechanisms(), data)
