"""A causal graph with a Law for each variable, as one module and one Pyro program (floor 3)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyro
import torch
from pyro.poutine.runtime import am_i_wrapped
from torch import Tensor, nn

from causal.answers import Question, answer
from causal.columns import Mechanisms, Table
from causal.construction import arranged, safe_key, try_laws
from causal.counterfactual import Counterfactual, in_worlds
from causal.draws import Random, divergence, fixed
from causal.effect import Effect
from causal.factor import Factor
from causal.graph import Graph
from causal.intervention import PROGRAMS
from causal.law import as_pyro, columns_of, states_of
from causal.queries import sample_rows, score_rows
from causal.tables import joint_table

__all__ = ["SCM"]

Action = Mapping[str, Any]


class SCM(nn.Module):
    r"""A structural causal model: :math:`p(x) = \prod_v p(x_v \mid x_{pa(v)})`, with interventions.

    The context of a variable's law is its parents' encoded columns, sorted by the parents' names
    (`columns` lists them; `causal.Mechanism` states another order). Queries take ``draws=S`` for S
    draws of random weights, which become the leading axis of the result, and a ``generator``. They
    never touch Pyro's parameter store; ``forward`` is the Pyro program.

    Args:
        graph: A graph without bidirected edges.
        laws: A Law, or a Mechanism, for each variable.

    Raises:
        ValueError: Bidirected edges, a missing or superfluous law, or a law that does not take its
            context or return what it states; the variable is named.

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

    def __init__(self, graph: Graph, laws: Mapping[str, Any]) -> None:
        super().__init__()
        modules, self._parents = arranged(graph, laws)
        self.graph = graph
        self.laws = nn.ModuleDict({safe_key(name): modules[name] for name in graph.nodes})
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

    def _mechanisms(self) -> Mechanisms:
        tensors = (t for group in (self.parameters(), self.buffers()) for t in group)
        like = next((t for t in tensors if t.is_floating_point()), torch.zeros(()))
        laws = {name: self.law(name) for name in self.graph.nodes}
        return Mechanisms(self.graph, laws, self._parents, like.detach().new_zeros(()))

    def extra_repr(self) -> str:
        """The graph, in the module's text."""
        return repr(self.graph)

    def get_extra_state(self) -> dict[str, Any]:
        """What the weights mean: the graph, every context's columns, every variable's encoding."""
        names = self.graph.nodes
        return {
            "graph": str(self.graph),
            "columns": {name: list(self.columns(name)) for name in names},
            "encodings": {name: list(columns_of(name, self.law(name))) for name in names},
            "states": {name: states_of(self.law(name)) for name in names},
        }

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Check on loading that the weights were stored for this graph and these columns.

        Raises:
            ValueError: They were not; the message says where they differ.
        """
        for part, mine in self.get_extra_state().items():
            theirs = state.get(part)
            if theirs == mine:
                continue
            if isinstance(mine, dict) and isinstance(theirs, Mapping):
                name = next(n for n in sorted({*mine, *theirs}) if mine.get(n) != theirs.get(n))
                part, mine, theirs = f"{part} of {name!r}", mine.get(name), theirs.get(name)
            raise ValueError(
                f"the stored weights are of another model: its {part} is {theirs!r}, this one has "
                f"{mine!r}"
            )

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
            return sample_rows(self._mechanisms(), n, do or {}, given or {}, draws, generator)

    def log_probability(
        self,
        values: Table,
        given: Table | Iterable[str] | None = None,
        *,
        draws: int | None = None,
        do: Action | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        r"""Log density of rows, :math:`\log p(values \mid given, do)`, (\*draws, batch).

        Any set of variables that holds its ancestors (those under ``do`` cut off), any set at all
        where all variables are finite. Terms of variables under ``do`` are left out, and their
        values in the rows are overridden.

        Args:
            values: Rows ``{name: (batch, *event)}``.
            given: Rows of further variables, or names among ``values``, to condition on.
            draws: Number of weight draws; None for one draw without an axis.
            do: Interventions.
            generator: Source of the weight draws.

        Raises:
            ValueError: Bad rows, or a marginal that has no closed form.
        """
        with fixed(self, draws, generator) as draws:
            model = self._mechanisms()
            return score_rows(model, values, given, do or {}, draws, generator)

    def factor(
        self, *, draws: int | None = None, generator: torch.Generator | None = None
    ) -> Factor:
        r"""The joint table, with values (\*draws, \*cardinalities) over the sorted variables.

        Args:
            draws: Number of weight draws; None for one draw without an axis.
            generator: Source of the weight draws.

        Raises:
            ValueError: A variable is not finite, or the table is too large.
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

        Gradients flow to the laws' parameters. See `causal.counterfactual.in_worlds`.

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
        """
        worlds = [do] if isinstance(do, Mapping) else list(do)
        with fixed(self, draws, generator) as draws:
            return in_worlds(
                self._mechanisms(),
                evidence,
                worlds,
                draws=draws,
                convention=convention,
                generator=generator,
            )

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
        it knows one.

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
        """
        asked = Question(outcome, do, against, evidence, given, samples, individual)
        with fixed(self, draws, generator) as draws:
            return answer(self._mechanisms(), asked, draws, level, convention, generator)

    def forward(
        self, data: Table | None = None, *, n: int | None = None, data_size: int | None = None
    ) -> dict[str, Tensor]:
        r"""The Pyro program: parameters, one plate of rows, one site per variable.

        Parameters are registered by ``pyro.module("scm", self)``. Sites are named as the variables;
        those in ``data`` are observed. Random weights are drawn once, and their divergence from the
        prior enters the density by ``pyro.factor``.

        Args:
            data: Observed rows ``{name: (batch, *event)}``.
            n: Number of rows where there is no data.
            data_size: Number of rows of all data, of which these are a minibatch.

        Raises:
            ValueError: Bad rows, or neither data nor ``n``.
            RuntimeError: Pyro's store holds the parameters of another SCM.
        """
        self._register()
        model = self._mechanisms()
        rows = model.rows({} if data is None else data)
        length = {len(row) for row in rows.values()} | ({n} if n is not None else set())
        if len(length) != 1:
            raise ValueError(f"give data, or n rows to sample: got lengths {sorted(length)}")
        (n,) = length
        if data_size is not None and data_size < n:
            raise ValueError(f"data_size={data_size} is less than the {n} rows of the minibatch")
        values: dict[str, Tensor] = {}
        with PROGRAMS, fixed(self):
            random = any(isinstance(part, Random) for part in self.modules())
            if random and am_i_wrapped():  # outside of inference there is no density
                pyro.factor(self._site("divergence"), -divergence(self))
            subsample = torch.arange(n, device=model.like.device)
            units = pyro.plate(self._site("units"), data_size or n, subsample=subsample, dim=-1)
            with units:
                for name in self.graph.order:
                    law: Any = as_pyro(model.at(name, values, (n,)))
                    values[name] = pyro.sample(name, law, obs=rows.get(name))
        return values

    def _site(self, name: str) -> str:
        """A site's name that is no variable's."""
        while name in self.graph:
            name += "_"
        return name

    def _register(self) -> None:
        trained = [name for name, p in self.named_parameters() if p.requires_grad]
        if len(trained) == len(list(self.parameters())) or not self.training:
            pyro.module("scm", self)
        else:  # pyro.module would warn about each frozen parameter
            for name in trained:
                pyro.param(f"scm$$${name}", self.get_parameter(name))
        store = pyro.get_param_store()
        for name in trained:
            key = f"scm$$${name}"
            if key in store and store._params[key] is not self.get_parameter(name):
                raise RuntimeError(
                    "Pyro's parameter store holds the parameters of another SCM, which would be "
                    "trained in place of this one's: call pyro.clear_param_store() first"
                )

    def empty_guide(self, data: Table | None = None, **kwargs: Any) -> None:  # noqa: ARG002
        """The guide for ``SVI(scm, scm.empty_guide, …)``: what is random is in the weights.

        Raises:
            ValueError: The data lack a column, which would need a guide of its own.
        """
        missing = [] if data is None else [name for name in self.graph.nodes if name not in data]
        if missing:
            raise ValueError(
                f"missing column(s) {missing}: what is not observed needs a site in a guide of "
                "your own, the empty guide has none"
            )
