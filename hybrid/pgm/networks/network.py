"""Bayesian networks: a graph, a table or Law for each variable, and exact answers (floor 7)."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from causal.columns import Mechanism as Ordered
from causal.construction import safe_key
from causal.draws import fixed
from causal.graph import Graph
from hybrid.pgm.formats.files import read_description, write_description
from hybrid.pgm.networks.answering import Answering
from hybrid.pgm.networks.assembly import assembled, mechanism, tried
from hybrid.pgm.networks.configurations import Mechanism
from hybrid.pgm.networks.conversion import (
    description_of,
    exported,
    parts_of_description,
    parts_of_pgmpy,
    pgmpy_model,
)
from hybrid.pgm.networks.intervention import point_tables
from hybrid.pgm.networks.model import Kept, Model
from hybrid.pgm.networks.observation import Observed, observe
from hybrid.pgm.networks.program import Program
from hybrid.pgm.networks.replacement import replacements
from hybrid.pgm.networks.row_context import apart, contexts, flattened
from hybrid.pgm.networks.spreading import Spread, spread
from hybrid.pgm.networks.structure import Structure
from hybrid.pgm.networks.vectorised import refuse_vmap

__all__ = ["BayesianNetwork"]

Tables = Mapping[str, Tensor] | None


class BayesianNetwork(Answering):
    r"""A Bayesian network, :math:`p(x) = \prod_v p(x_v \mid x_{pa(v)})`, as a module and a Joint.

    A node is a table (axes: its parents sorted by name, then itself; fixed), a `causal.Factor`, a
    `Table` (which may be trained), a Law with states, run on every configuration of its parents
    (encoded as in `causal.SCM`), a `Contextual` law that reads the row's ``context`` as well, a
    `Deterministic` or a `NoisyOr`. A Law without states is a continuous leaf: it has no children.

    Answers are exact, batched and differentiable, and computed in double precision (``.float()``
    changes that); `Answering` says how every question is asked.

    Args:
        graph: A graph without bidirected edges.
        nodes: A node for each variable; ``causal.Mechanism(law, parents)`` orders a law's parents.
        states: Names of the states, ``{variable: labels}``.

    Raises:
        ValueError: Nodes that do not fit the graph or each other; the variable is named.
        TypeError: Something that is no node.

    Source: Lauritzen & Spiegelhalter, "Local computations with probabilities on graphical
    structures" (1988).

    Example:
        >>> tables = {"rain": [0.8, 0.2], "wet": [[0.9, 0.1], [0.2, 0.8]]}
        >>> labels = {"rain": ("no", "yes"), "wet": ("no", "yes")}
        >>> network = BayesianNetwork(Graph.parse("rain -> wet"), tables, states=labels)
        >>> network.marginals({"wet": ["yes", "no", None]})["rain"]
        tensor([[0.3333, 0.6667],
                [0.9474, 0.0526],
                [0.8000, 0.2000]], dtype=torch.float64)
        >>> network.log_probability({"wet": "yes"}).exp()
        tensor(0.2400, dtype=torch.float64)
        >>> network.do({"rain": "yes"}).marginals()["wet"]
        tensor([0.2000, 0.8000], dtype=torch.float64)
    """

    unit: Tensor

    def __init__(
        self,
        graph: Graph,
        nodes: Mapping[str, Any],
        *,
        states: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        parts = assembled(graph, nodes, states or {})
        self.graph, self._structure, self._labels = graph, parts.structure, dict(parts.labels)
        self._orders = dict(parts.orders)
        self._numbers = tuple(parts.structure.index[name] for name in parts.tables)
        self.tables = nn.ModuleDict({safe_key(name): table for name, table in parts.tables.items()})
        self.laws = nn.ModuleDict({safe_key(name): law for name, law in parts.laws.items()})
        self.register_buffer("unit", torch.ones((), dtype=torch.float64), persistent=False)
        self._kept: dict[tuple[int, ...], Kept] = {}
        tried(self, list(self._mechanisms().values()), self.unit)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is kept for speed."""
        return {**self.__dict__, "_kept": {}}

    @classmethod
    def from_pgmpy(cls, model: Any) -> "BayesianNetwork":
        """The network of a ``DiscreteBayesianNetwork`` of pgmpy, its numbers to the last bit."""
        graph, tables, states = parts_of_pgmpy(model)
        return cls(graph, tables, states=states)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "BayesianNetwork":
        """The network in a BIF, XMLBIF or UAI file, by its ending (also .gz)."""
        graph, tables, states = parts_of_description(read_description(path))
        return cls(graph, tables, states=states)

    def to_pgmpy(self) -> Any:
        """A ``DiscreteBayesianNetwork`` with these tables, its numbers to the last bit.

        Raises:
            ValueError: A variable is continuous, or a law reads the rows' context.
        """
        return pgmpy_model(*self._exported())

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a BIF, XMLBIF or UAI file, by its ending (also .gz).

        Raises:
            ValueError: The ending is unknown, a variable is continuous, or a law reads a context.
        """
        write_description(path, description_of(*self._exported()))

    def _exported(self) -> Any:
        with torch.no_grad(), fixed(self.laws):
            model, _ = self.at_work(None, None, None)
            families = {name: self._structure.family(name) for name in self._structure.names}
            return exported(model), families, self._labels

    @property
    def structure(self) -> Structure:
        """Variables by number."""
        return self._structure

    @property
    def random_part(self) -> nn.Module:
        """The laws."""
        return self.laws

    @property
    def variables(self) -> tuple[str, ...]:
        """The names, sorted."""
        return self.graph.nodes

    @property
    def cardinalities(self) -> dict[str, int]:
        """The number of states of each finite variable."""
        return dict(zip(self._structure.names, self._structure.cardinalities, strict=True))

    @property
    def states(self) -> dict[str, tuple[str, ...]]:
        """The names of each finite variable's states; numbers where it has no names."""
        sizes = self.cardinalities
        return {n: self._labels.get(n, tuple(map(str, range(k)))) for n, k in sizes.items()}

    def node(self, name: str) -> nn.Module:
        """What holds a variable's distribution: a table, a Law or a Contextual."""
        self.graph.names((name,))
        key = safe_key(name)
        return self.tables[key] if key in self.tables else self.laws[key]

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of the columns that a variable's parents are to a law, in order."""
        parents = self._orders.get(name, self.graph.parents(name))
        return mechanism(self._structure, name, self.node(name), parents).columns

    def extra_repr(self) -> str:
        """The graph, in the module's text."""
        return repr(self.graph)

    def get_extra_state(self) -> dict[str, Any]:
        """What the numbers mean: the graph, numbers and names of states, columns of laws."""
        return {
            "graph": str(self.graph),
            "cardinalities": self.cardinalities,
            "states": {name: list(labels) for name, labels in self._labels.items()},
            "columns": {name: list(self.columns(name)) for name in sorted(self._orders)},
        }

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Check on loading that the numbers were stored for this network.

        Raises:
            ValueError: They were not; the message says where they differ.
        """
        for part, mine in self.get_extra_state().items():
            if state.get(part) != mine:
                raise ValueError(
                    f"the stored numbers are of another network: its {part} is {state.get(part)!r},"
                    f" this one has {mine!r}"
                )

    def do(self, actions: Mapping[str, Any]) -> "BayesianNetwork":
        """The network in which variables are set; it shares this one's tables and laws.

        Args:
            actions: ``{name: state's number or name}``, or probabilities (states,) of all states.
        """
        points = point_tables(self._structure, self._labels, actions)
        nodes: dict[str, Any] = {name: self.node(name) for name in self.graph.nodes}
        ordered = {name: Ordered(nodes[name], order) for name, order in self._orders.items()}
        graph = self.graph.remove_incoming(points)
        result = BayesianNetwork(graph, nodes | ordered | points, states=self._labels)
        return result.to(dtype=self.unit.dtype, device=self.unit.device).train(self.training)

    def pyro_model(self, **options: Any) -> Program:
        """The network as a Pyro model whose hidden variables are summed out; see `Program`."""
        return Program(self, **options)

    def spread(self, evidence: Any, context: Any = None, tables: Tables = None) -> Spread:
        """Evidence, context and tables broadcast to one batch shape, as programs need them."""
        evidence, context = apart(evidence, context, self.graph.nodes)
        contextual, leaves = self._readers(self._mechanisms())
        seen = observe(self._structure, self._labels, leaves, evidence, None, self.unit.device)
        return spread(self._structure, seen, contexts(context, contextual)[0], tables or {})

    def at_work(
        self, evidence: Any, context: Any, draws: int | None, tables: Tables = None
    ) -> tuple[Model, Observed]:
        """The network on checked rows, inside ``fixed``."""
        if torch._C._functorch.maybe_current_level() is not None:
            refuse_vmap(evidence, context, tables, dict(self.named_parameters()))
        structure, unit = self._structure, self.unit
        mechanisms = self._mechanisms() if self._orders else {}
        contextual, leaves = self._readers(mechanisms) if mechanisms else ([], {})
        evidence, context = apart(evidence, context, self.graph.nodes)
        found, batch = contexts(context, contextual)
        seen = observe(structure, self._labels, leaves, evidence, batch, unit.device)
        own = dict(zip(self._numbers, self.tables._modules.values(), strict=True))
        replaced = replacements(structure, tables, seen.batch) if tables else None
        flat, kept = flattened(found, unit.device), self._kept
        return Model(
            structure, self._labels, own, mechanisms, unit, draws, flat, replaced, kept
        ), seen

    def _mechanisms(self) -> dict[int, Mechanism]:
        structure, made = self._structure, dict[int, Mechanism]()
        for name, order in self._orders.items():
            place = structure.leaf_index.get(name)
            number = structure.index[name] if place is None else len(structure.names) + place
            made[number] = mechanism(structure, name, self.laws[safe_key(name)], order)
        return made

    def _readers(self, mechanisms: Mapping[int, Mechanism]) -> tuple[list[str], dict[str, Any]]:
        """Names of the laws that read a context, and the laws of the leaves."""
        names = [node.name for node in mechanisms.values() if node.contextual]
        count = len(self._structure.names)
        return names, {node.name: node.law for k, node in mechanisms.items() if k >= count}
