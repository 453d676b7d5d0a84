"""Networks from and to pgmpy, and what files hold (floor 3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causal.factor import Factor
from causal.graph import Graph
from hybrid.pgm.formats.description import Description
from hybrid.pgm.networks.model import Model

__all__ = [
    "Parts",
    "description_of",
    "exported",
    "parts_of_description",
    "parts_of_pgmpy",
    "pgmpy_model",
]

Labels = dict[str, tuple[str, ...]]
Parts = tuple[Graph, dict[str, Factor], Labels]


def _labels(states: Sequence[Any]) -> tuple[str, ...] | None:
    """Names of states as strings; None for the numbers 0, 1, … themselves."""
    return None if list(states) == list(range(len(states))) else tuple(map(str, states))


def _edges(parents: Mapping[str, Sequence[str]]) -> Graph:
    pairs = [(parent, name) for name, above in parents.items() for parent in above]
    return Graph(directed=pairs, nodes=list(parents))


def parts_of_description(found: Description) -> Parts:
    """A described network as a graph, tables and names of states.

    Raises:
        ValueError: The parents make a cycle.

    Example:
        >>> import numpy as np
        >>> coin = Description({"C": ("a", "b")}, {"C": ()}, {"C": np.array([0.1, 0.9])})
        >>> parts_of_description(coin)[1]["C"].values
        tensor([0.1000, 0.9000], dtype=torch.float64)
    """
    tables = {
        name: Factor((*found.parents[name], name), torch.tensor(found.tables[name]))
        for name in found.states
    }
    return _edges(found.parents), tables, dict(found.states)


def description_of(
    tables: Mapping[str, Tensor],
    families: Mapping[str, tuple[str, ...]],
    labels: Mapping[str, Sequence[str]],
) -> Description:
    r"""What a file holds of a network.

    Args:
        tables: The tables, (\*parents' states, states).
        families: Parents and variable of each, in the order of the axes.
        labels: Names of the states; numbers stand for those that are missing.

    Example:
        >>> description_of({"C": torch.tensor([0.5, 0.5])}, {"C": ("C",)}, {}).states
        {'C': ('0', '1')}
    """
    arrays = {name: _array(table) for name, table in tables.items()}
    states = {
        name: tuple(labels.get(name) or map(str, range(array.shape[-1])))
        for name, array in arrays.items()
    }
    parents = {name: family[:-1] for name, family in families.items()}
    return Description(states, parents, arrays)


def _array(table: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = table.detach().cpu().double().numpy().copy()
    return array


def exported(model: Model) -> dict[str, Tensor]:
    """The tables of a network without leaves and without context, as they are stored.

    Raises:
        ValueError: A variable is continuous, or its law reads the rows' context.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("C",), (2,), ((),))
        >>> exported(Model(coin, {}, {0: Table([0.25, 0.75])}, {}, torch.zeros(())))["C"]
        tensor([0.2500, 0.7500], dtype=torch.float64)
    """
    structure, found = model.structure, dict[str, Tensor]()
    for number, node in model.mechanisms.items():
        what = "is continuous" if number >= len(structure.names) else "reads the rows' context"
        if number >= len(structure.names) or node.contextual:
            raise ValueError(
                f"{node.name!r} {what}: pgmpy and files hold networks of fixed tables alone"
            )
    for number, name in enumerate(structure.names):
        own = model.tables.get(number)
        found[name] = model.table(number)[0, 0] if own is None else own.stored()
    return found


def parts_of_pgmpy(model: Any) -> Parts:
    """A ``DiscreteBayesianNetwork`` of pgmpy as a graph, tables and names of states.

    States that are called by strings keep their names; the numbers 0, 1, … stay numbers; other
    names become strings.

    Raises:
        TypeError: It is no such network, or a node is called otherwise than by a string.
        ValueError: A node has no table, or tables disagree about states.

    Example:
        >>> from pgmpy.models import DiscreteBayesianNetwork
        >>> from pgmpy.factors.discrete import TabularCPD
        >>> model = DiscreteBayesianNetwork()
        >>> model.add_node("C")
        >>> model.add_cpds(TabularCPD("C", 2, [[0.1], [0.9]]))
        >>> parts_of_pgmpy(model)[1]["C"].values
        tensor([0.1000, 0.9000], dtype=torch.float64)
    """
    if not (hasattr(model, "get_cpds") and hasattr(model, "nodes")):
        raise TypeError(f"expected a DiscreteBayesianNetwork of pgmpy, got {type(model).__name__}")
    tables: dict[str, Factor] = {}
    states: Labels = {}
    for name in model.nodes:
        if not isinstance(name, str):
            raise TypeError(f"node names are strings, got {name!r}")
        table = model.get_cpds(name)
        if not hasattr(table, "state_names"):
            raise ValueError(
                f"the pgmpy model has no table for {name!r}: add a TabularCPD for each node"
            )
        parents = tuple(table.variables[1:])
        if set(parents) != set(model.get_parents(name)):
            raise ValueError(
                f"the table of {name!r} has the parents {sorted(parents)}, the graph has "
                f"{sorted(model.get_parents(name))}"
            )
        values = np.moveaxis(np.array(table.values, dtype=np.float64), 0, -1)
        tables[name] = Factor((*parents, name), torch.tensor(values))
        for variable in table.variables:
            labels = _labels(table.state_names[variable])
            if labels is not None and states.setdefault(variable, labels) != labels:
                raise ValueError(
                    f"{variable!r} has the states {list(labels)} in the table of {name!r} and "
                    f"{list(states[variable])} elsewhere: pgmpy tables must order states alike"
                )
    return Graph(directed=list(model.edges), nodes=list(model.nodes)), tables, states


def pgmpy_model(
    tables: Mapping[str, Tensor],
    families: Mapping[str, tuple[str, ...]],
    labels: Mapping[str, Sequence[str]],
) -> Any:
    r"""A ``DiscreteBayesianNetwork`` of pgmpy with these tables, to the last bit.

    Args:
        tables: The tables, (\*parents' states, states).
        families: Parents and variable of each, in the order of the axes.
        labels: Names of the states, of the variables that have them.

    Example:
        >>> model = pgmpy_model({"C": torch.tensor([0.25, 0.75])}, {"C": ("C",)}, {})
        >>> model.get_cpds("C").values
        array([0.25, 0.75])
    """
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    model = DiscreteBayesianNetwork()
    model.add_nodes_from(list(tables))
    for name, family in families.items():
        model.add_edges_from([(parent, name) for parent in family[:-1]])
    for name, table in tables.items():
        family = families[name]
        array = _array(table)
        known = {v: list(labels[v]) for v in family if v in labels}
        # One variable with names makes pgmpy ask for those of all.
        sizes = dict(zip(family, array.shape, strict=True))
        names = {v: known.get(v, list(range(sizes[v]))) for v in family} if known else {}
        columns = np.moveaxis(array, -1, 0).reshape(array.shape[-1], -1)
        parents, above = list(family[:-1]), list(array.shape[:-1])
        cpd = TabularCPD(name, array.shape[-1], columns, parents or None, above or None, names)
        model.add_cpds(cpd)
    return model
