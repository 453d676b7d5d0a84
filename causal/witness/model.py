"""Explicit discrete models with a hidden cause per bidirected edge (floor 2)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from causal.factor import Factor
from causal.graph import Edge, Graph
from causal.identification.events import Event
from causal.witness.network import Key, Network, Skeleton
from causal.witness.worlds import event_network, experiment_network, numbered

__all__ = ["LARGEST", "DiscreteModel"]

LARGEST = 2**24  # cells: 128 MiB in double precision

Names = str | Iterable[str]


@dataclass(frozen=True, eq=False)
class DiscreteModel:
    r"""A causal model of finite variables, given by tables: a Joint that also answers do-queries.

    Each bidirected edge that the model uses has a hidden cause :math:`u` with probabilities
    :math:`P(u)`, each variable a mechanism :math:`P(v \mid pa(v), u_v)`. A mechanism may ignore
    some parents. Where counterfactuals are asked for, a mechanism is a law
    :math:`P(r \mid u_v)` of responses and a function that says what each response does.

    Attributes:
        graph: The graph that the model is compatible with.
        shape: The edges that the mechanisms use, and the functions where there are some.
        blocks: ``{bidirected edge: (states,)}`` and ``{variable: table}``; see `Skeleton.axes`.
        labels: Names of the states, of the variables that have them.

    Raises:
        ValueError: A block is missing, or has another shape than its axes.

    Example:
        >>> graph = Graph.parse("X -> Y; X <-> Y")
        >>> blocks = {
        ...     ("X", "Y"): torch.tensor([0.5, 0.5]),
        ...     "X": torch.tensor([[0.2, 0.7], [0.8, 0.3]]),  # axes X, cause
        ...     "Y": torch.tensor([[[0.9, 0.4], [0.3, 0.2]], [[0.1, 0.6], [0.7, 0.8]]]),
        ... }
        >>> blocks = {key: block.double() for key, block in blocks.items()}
        >>> model = DiscreteModel(graph, Skeleton(graph, {}, {"X": 2, "Y": 2}), blocks)
        >>> model.factor().condition({"X": 1}).values
        tensor([0.2727, 0.7273], dtype=torch.float64)
        >>> model.query("Y", treatments="X").select({"X": 1}).values
        tensor([0.2500, 0.7500], dtype=torch.float64)
    """

    graph: Graph
    shape: Skeleton
    blocks: Mapping[Key, Tensor]
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [key for key in self.shape.keys if key not in self.blocks]
        if missing:
            raise ValueError(f"the model has no block for {missing}: expected {self.shape.keys}")
        for key in self.shape.keys:
            axes = self.shape.axes(key)
            if self.blocks[key].dim() != len(axes):
                raise ValueError(
                    f"the block of {key} has {self.blocks[key].dim()} dimension(s): expected one "
                    f"for each of {axes}"
                )

    @property
    def variables(self) -> tuple[str, ...]:
        """The names, sorted."""
        return self.graph.nodes

    def interventional(self, do: Names = ()) -> Factor:
        """The table over all variables in the experiment that sets ``do``.

        It sums to one over the other variables, for each setting.

        Raises:
            ValueError: An unknown name, or a table of more than `LARGEST` cells.
        """
        do = self.graph.names(do)
        cells = math.prod(self.shape.states.values())
        if cells > LARGEST:
            raise ValueError(
                f"the joint table would have {cells:,} cells, more than {LARGEST:,}: ask for a "
                "query over fewer variables"
            )
        return self._table(experiment_network(self.shape, do))

    def factor(self) -> Factor:
        """The joint table, P(V)."""
        return self._joint

    @cached_property
    def _joint(self) -> Factor:
        return self.interventional()

    def mechanism(self, name: str) -> Factor:
        """The table P(variable | parents, hidden causes); a cause is called ``X <-> Y``.

        Parents that the mechanism ignores are left out.

        Raises:
            ValueError: An unknown name.
        """
        self.graph.names(name)
        parents, causes = self.shape.graph.parents(name), self.shape.causes(name)
        terms = tuple(self.shape.mechanism(name, name, parents))
        names = (name, *parents, *map(" <-> ".join, causes))
        table = Network(terms, (name, *parents, *causes)).value(self.blocks)
        return Factor(names, table, {n: self.labels[n] for n in names if n in self.labels})

    def cause(self, edge: Edge) -> Tensor:
        """The probabilities of the hidden cause of a bidirected edge; one state if it is ignored.

        Raises:
            ValueError: There is no such edge.
        """
        ends = (min(edge), max(edge))
        if ends not in self.graph.bidirected:
            raise ValueError(f"no edge {' <-> '.join(edge)}: the graph is {self.graph}")
        return self.blocks[ends] if ends in self.blocks else torch.ones(1, dtype=torch.float64)

    def query(self, outcomes: Names, *, treatments: Names = (), given: Names = ()) -> Factor:
        """The table P(outcomes | do(treatments), given), over all of these names.

        Raises:
            ValueError: An unknown name.
        """
        below = self.graph.names(treatments) | self.graph.names(given)
        network = experiment_network(
            self.shape, self.graph.names(treatments), self.graph.names(outcomes) | below
        )
        return self._table(network).condition(below)

    def _table(self, network: Network) -> Factor:
        names = [str(name) for name in network.kept]
        states = {name: self.labels[name] for name in names if name in self.labels}
        return Factor(names, network.value(self.blocks), states)

    def counterfactual(self, events: Sequence[Event], given: Sequence[Event] = ()) -> Tensor:
        """The probability that all events happen to a unit to which ``given`` happens.

        Raises:
            ValueError: An event without a value, or a variable without a function that has
                different values in different worlds.
        """
        known = [numbered(event, self.labels) for event in given]
        asked = [numbered(event, self.labels) for event in events]
        joint = event_network(self.shape, [*asked, *known])
        value = joint.value(self.blocks)
        return value / event_network(self.shape, known).value(self.blocks) if known else value

    def log_probability(
        self, values: Mapping[str, Any], given: Mapping[str, Any] | Names | None = None
    ) -> Tensor:
        """Log probability of rows, as `Factor.log_probability` of the joint table."""
        return self.factor().log_probability(values, given)

    def sample(
        self,
        n: int,
        given: Mapping[str, Any] | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Draw ``n`` rows of state numbers, as `Factor.sample` of the joint table."""
        return self.factor().sample(n, given, generator)
