"""Conditional probabilities, tables and entropies of a network at work (floor 6)."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from causal.factor import Factor
from causal.tables import LARGEST
from hybrid.pgm.networks.information import expected_log
from hybrid.pgm.networks.model import Model
from hybrid.pgm.networks.observation import Observed
from hybrid.pgm.networks.questions import log_evidence, set_marginals

__all__ = ["condition_names", "joint_table", "log_ratio", "posterior_entropy", "table_factors"]


def condition_names(values: Any, given: Any) -> tuple[Any, frozenset[str]]:
    """All rows of a conditional probability, and the names that are conditioned on.

    Args:
        values: Columns by name.
        given: Columns of further variables, names among ``values``, or None.

    Raises:
        ValueError: A name has no values, or has them twice.

    Example:
        >>> condition_names({"X": 1, "Y": 0}, "X")
        ({'X': 1, 'Y': 0}, frozenset({'X'}))
    """
    if given is None:
        return values, frozenset()
    if isinstance(given, str):
        given = (given,)
    if not hasattr(given, "keys"):
        names = frozenset(given)
        missing = sorted(names - set(values))
        if missing:
            raise ValueError(
                f"given names {missing}, which have no values: expected names among "
                f"{sorted(values)}, or rows {{name: values}}"
            )
        return values, names
    both = sorted(set(values) & set(given))
    if both:
        raise ValueError(f"{both} are in values and in given: give each once")
    columns = {name: values[name] for name in values} | {name: given[name] for name in given}
    return columns, frozenset(given)


def log_ratio(model: Model, observed: Observed, given: Collection[str]) -> Tensor:
    r""":math:`\log p(e) - \log p(e_{given})`, (lead, rows); −inf where either is impossible.

    Args:
        model: The network at work.
        observed: The evidence e.
        given: Names of the evidence that is conditioned on.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.25, 0.75])}, {}, torch.zeros(()).double())
        >>> log_ratio(model, observe(coin, {}, {}, {"X": 1}), ["X"])
        tensor([[0.]], dtype=torch.float64)
    """
    above = log_evidence(model, observed)
    if not given:
        return above
    index, leaves = model.structure.index, model.structure.leaf_index
    numbers = [index[name] for name in given if name in index]
    places = {name: leaves[name] for name in given if name in leaves}
    below = log_evidence(model, observed.only(numbers, places))
    empty = below.detach() == -torch.inf
    return torch.where(empty, -torch.inf, above - torch.where(empty, 0.0, below))


def table_factors(model: Model, names: Iterable[str], batch: tuple[int, ...]) -> list[Factor]:
    r"""The tables whose product is the joint distribution, as Factors.

    Args:
        model: The network at work.
        names: The variables whose tables are wanted.
        batch: The rows' shape, for tables that depend on a context.

    Returns:
        Values (\*states) or, where draws or rows matter, (\*draws, \*batch, \*states).

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.25, 0.75])}, {}, torch.zeros(()).double())
        >>> table_factors(model, ["X"], ())[0].values
        tensor([0.2500, 0.7500], dtype=torch.float64)
    """
    made: list[Factor] = []
    for name in names:
        number = model.structure.index[name]
        table, family = model.table(number), model.structure.family(name)
        labels = {axis: model.labels[axis] for axis in family if axis in model.labels}
        states = table.shape[2:]
        own = number in model.tables and not (model.replaced and number in model.replaced)
        shared = model.draws is None and table.shape[1] == 1 and not batch
        if own or shared:
            values = table[0, 0]
        else:
            rows = batch if table.shape[1] > 1 or not batch else (1,) * len(batch)
            lead = () if model.draws is None else table.shape[:1]
            values = table.reshape(*lead, *rows, *states)
        made.append(Factor(family, values, labels))
    return made


def joint_table(model: Model, batch: tuple[int, ...]) -> Factor:
    r"""The product of all tables over the sorted variables, (\*draws, \*batch, \*states).

    Raises:
        ValueError: A variable is continuous, or the table has more than 2^24 cells.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.25, 0.75])}, {}, torch.zeros(()).double())
        >>> joint_table(model, ()).names
        ('X',)
    """
    structure = model.structure
    if structure.leaves:
        raise ValueError(
            f"a table needs finite variables, but {list(structure.leaves)} are continuous: use "
            "log_probability or sample"
        )
    cells = math.prod(structure.cardinalities) * (model.draws or 1) * math.prod(batch)
    if cells > LARGEST:
        raise ValueError(
            f"the joint table would have {cells:,} cells, more than {LARGEST:,}: ask for "
            "joint_marginals of few variables, or give q.evaluate the tables one by one, "
            "network.factors()"
        )
    lead = (*(() if model.draws is None else (model.draws,)), *batch)
    product = Factor((), model.like.new_ones(lead))
    for factor in table_factors(model, _ordered(structure.names, structure.order), batch):
        product = product * factor
    return product.permute(structure.names)


def _ordered(names: Sequence[str], order: Sequence[int]) -> list[str]:
    return [names[number] for number in order]


def posterior_entropy(model: Model, observed: Observed) -> tuple[int, Tensor]:
    r"""The entropy of all finite variables together given each row's evidence.

    .. math:: H(X \mid e) = \log p(e) - \sum_f \mathrm{E}[\log f(X) \mid e]

    over tables, observed leaves and soft evidence.

    Returns:
        Lead, and entropies in nats (lead · rows,).

    Raises:
        ImpossibleEvidence: A row's evidence has probability 0.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.5, 0.5])}, {}, torch.zeros(()).double())
        >>> posterior_entropy(model, observe(coin, {}, {}, {}))
        (1, tensor([0.6931], dtype=torch.float64))
    """
    structure, rows = model.structure, observed.rows
    lead, found = set_marginals(model, observed, None, families=True)
    total = log_evidence(model, observed).expand(lead, rows)
    pairs = [
        (table.reshape(lead, rows, *table.shape[1:]), model.table(number))
        for number, table in enumerate(found)
    ]
    for place, name in enumerate(structure.leaves):
        if name in observed.values:
            logs = model.leaf(place, observed)
            above = structure.leaf_parents[place]
            total = total - _expected(model, observed, above, logs, lead)
    for number, values in observed.soft.items():
        table = pairs[number][0]
        own = table.sum(tuple(range(2, table.dim() - 1))) if table.dim() > 3 else table
        total = total - expected_log(own, values.to(own), 1)
    for table, values in pairs:
        total = total - expected_log(table, values.expand_as(table), table.dim() - 2)
    return lead, total.reshape(-1)


def _expected(
    model: Model, observed: Observed, above: tuple[int, ...], logs: Tensor, lead: int
) -> Tensor:
    """The expected log density of a leaf given the evidence."""
    if not above:
        return logs
    _, (table,) = set_marginals(model, observed, (above,))
    table = table.reshape(lead, observed.rows, *table.shape[1:])
    used = table > 0
    terms = torch.where(used, table * torch.where(used, logs, 0.0), 0.0)
    return terms.sum(tuple(range(2, terms.dim())))
