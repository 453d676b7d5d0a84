"""Tables from rows with missing values: expectation maximisation (floor 3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from causal.graph import Graph
from hybrid.pgm.learning.closed_form import tables_in, uniform, with_tables
from hybrid.pgm.learning.counting import prior_counts, table_of
from hybrid.pgm.learning.rows import numbered
from hybrid.pgm.networks.network import BayesianNetwork

__all__ = ["Learned", "expectation_maximisation"]


@dataclass(frozen=True, eq=False)
class Learned:
    """What expectation maximisation found.

    Args:
        network: The network with the last tables.
        objective: The (penalised) log-likelihood of the tables at the start and after each
            iteration; it never falls.
        converged: Whether the last iteration raised it by no more than the tolerance.

    Example:
        >>> coin = BayesianNetwork(Graph(nodes=["C"]), {"C": [0.5, 0.5]})
        >>> Learned(coin, (-2.0, -1.5), True).objective[-1]
        -1.5
    """

    network: BayesianNetwork
    objective: tuple[float, ...]
    converged: bool


def expectation_maximisation(
    network: BayesianNetwork | Graph,
    data: Any,
    *,
    pseudo_count: Any = 0.0,
    tolerance: float = 1e-6,
    iterations: int = 200,
    weights: Tensor | None = None,
) -> Learned:
    r"""Tables that make rows with missing values (locally) most probable.

    Iterates the closed form on expected counts,

    .. math:: \theta_{x \mid z} \propto \sum_r w_r \, p_\theta(z, x \mid e_r) + \alpha(z, x),

    which never lowers :math:`\sum_r w_r \log p_\theta(e_r) + \sum \alpha \log \theta`. Values are
    taken to be missing at random. Rows that observe the same states are computed once.

    Args:
        network: A network, from whose tables the search starts (laws, `NoisyOr` and
            `Deterministic` nodes stay as they are), or a graph: it starts from uniform tables,
            and states come from the data. A variable without a column is hidden; give its table
            unequal rows, for equal ones stay equal.
        data: Columns by name: a mapping or DataFrame of state numbers or names; missing are −1,
            NaN, None and pandas' NA.
        pseudo_count: :math:`\alpha`: a number, or by variable a number or a table.
        tolerance: The search ends when an iteration raises the objective by no more than this for
            each (weighted) row.
        iterations: The most iterations.
        weights: A weight for each row, (rows,).

    Raises:
        ImpossibleEvidence: A row has probability 0 under the tables at the start.
        ValueError: An unknown variable or state.

    Source: Lauritzen, "The EM algorithm for graphical association models with missing data"
    (1995); Dempster, Laird & Rubin, "Maximum likelihood from incomplete data via the EM algorithm"
    (1977), section 1.

    Example:
        >>> rows = {"rain": [0, 0, 1, 0, -1], "wet": [0, 0, 1, 1, 1]}
        >>> learned = expectation_maximisation(Graph.parse("rain -> wet"), rows)
        >>> learned.network.marginals()["rain"], learned.converged
        (tensor([0.7000, 0.3000], dtype=torch.float64), True)
    """
    current = network if isinstance(network, BayesianNetwork) else uniform(network, data)
    finite = current.cardinalities
    columns = numbered(data, finite, current.states, finite)
    rows, weights = _distinct(columns, weights)
    total = float(weights.sum())
    learned = {name: values.shape for name, values in tables_in(current).items()}
    prior = {name: prior_counts(pseudo_count, name, tuple(s)) for name, s in learned.items()}
    heights = [_objective(current, rows, weights, prior)]
    converged = False
    while not converged and len(heights) <= iterations:
        current = _improved(current, rows, weights, prior)
        heights.append(_objective(current, rows, weights, prior))
        converged = heights[-1] - heights[-2] <= tolerance * total
    return Learned(current, tuple(heights), converged)


def _distinct(
    columns: Mapping[str, Tensor], weights: Tensor | None
) -> tuple[dict[str, Tensor], Tensor]:
    """The rows that differ, and the sum of the weights of each."""
    stacked = torch.stack(list(columns.values()), -1)
    rows, group = torch.unique(stacked, dim=0, return_inverse=True)
    given = torch.ones(len(stacked)) if weights is None else weights
    if given.shape != stacked.shape[:1]:
        raise ValueError(f"weights have shape {tuple(given.shape)}: there are {len(stacked)} rows")
    sums = torch.zeros(len(rows), dtype=torch.float64).index_add(0, group, given.double())
    return dict(zip(columns, rows.T.contiguous(), strict=True)), sums


@torch.no_grad()
def _improved(
    network: BayesianNetwork,
    rows: Mapping[str, Tensor],
    weights: Tensor,
    prior: Mapping[str, Tensor],
) -> BayesianNetwork:
    """One iteration."""
    expected = network.expected_statistics(dict(rows), weights=weights)
    tables = {}
    for name, old in tables_in(network).items():
        counts = expected[name].values.double().cpu() + prior[name]
        tables[name] = table_of(counts, old)
    return with_tables(network, tables)


@torch.no_grad()
def _objective(
    network: BayesianNetwork,
    rows: Mapping[str, Tensor],
    weights: Tensor,
    prior: Mapping[str, Tensor],
) -> float:
    """The log-likelihood, and what the prior adds."""
    logs = network.log_probability(dict(rows))
    height = float((weights.to(logs) * logs).sum())
    for name, table in tables_in(network).items():
        height += float(torch.special.xlogy(prior[name], table).sum())
    return height
