"""Expected counts of the cells of all tables (floor 6)."""

import math

import torch
from torch import Tensor

from hybrid.pgm.networks.model import Model
from hybrid.pgm.networks.observation import Observed
from hybrid.pgm.networks.questions import set_marginals, summed_families

__all__ = ["expected_counts"]

LARGEST = 2**23  # cells of families held at once: 64 MiB


def expected_counts(model: Model, observed: Observed, weights: Tensor | None) -> list[Tensor]:
    r"""How often each cell of each table occurs, given what was observed.

    .. math:: N_v(x_{pa}, x_v) = \sum_r w_r \, p(x_{pa}, x_v \mid e_r)

    These are the expected sufficient statistics of the network, the E step of EM.

    Args:
        model: The network at work.
        observed: The evidence, R rows.
        weights: :math:`w_r`, (rows,); None for 1.

    Returns:
        For each finite variable a table (lead, \*parents' states, states).

    Raises:
        ImpossibleEvidence: A row's evidence has probability 0.

    Source: Lauritzen, "The EM algorithm for graphical association models with missing data"
    (1995), section 3.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.25, 0.75])}, {}, torch.zeros(()).double())
        >>> seen = observe(coin, {}, {}, {"X": torch.tensor([0, 0, -1])})
        >>> expected_counts(model, seen, None)[0]
        tensor([[2.2500, 0.7500]], dtype=torch.float64)
    """
    at_once = summed_families(model, observed, weights)
    if at_once is not None:
        return at_once
    structure, count = model.structure, len(model.structure.names)
    cells = sum(
        math.prod(structure.cardinalities[k] for k in scope) for scope in structure.scopes[:count]
    )
    block = max(1, LARGEST // (cells * (model.draws or 1)))
    totals: list[Tensor] | None = None
    for start in range(0, max(observed.rows, 1), block):
        stop = min(start + block, observed.rows)
        part = observed if block >= observed.rows else observed.part(start, stop)
        worker = model if part is observed else model.part(start, stop)
        lead, found = set_marginals(worker, part, None, families=True)
        weighed = None if weights is None else weights[start:stop]
        sums = [_summed(table, lead, weighed) for table in found]
        totals = sums if totals is None else [a + b for a, b in zip(totals, sums, strict=True)]
    return totals or []


def _summed(table: Tensor, lead: int, weights: Tensor | None) -> Tensor:
    rows = table.shape[0] // lead
    table = table.reshape(lead, rows, *table.shape[1:])
    if weights is None:
        return table.sum(1)
    return torch.tensordot(table.movedim(1, -1), weights.to(table), 1)
