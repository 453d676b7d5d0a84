"""The empirical Fisher metric: gradients of the rows' own losses (floor 4)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from causal.draws import fixed
from hybrid.information.roots import score_rows
from hybrid.objectives.bound import ELBO
from hybrid.objectives.pairs import data_pair
from hybrid.optim.gauss_newton import law_terms
from hybrid.optim.metric import Derivatives
from hybrid.optim.repeating import Repeated
from hybrid.optim.terms import Term
from hybrid.watching import undisturbed

__all__ = ["EmpiricalFisher"]


class EmpiricalFisher:
    r"""The mean outer product of the rows' gradients.

    .. math:: F = \frac1B \sum_i \nabla \ell_i \nabla \ell_i^T

    It needs no law: an objective of any kind is evaluated on each row of the batch alone, with the
    same random numbers, which takes B evaluations. The `ELBO` of a law gives the gradients of all
    its rows from one. It is no approximation of a curvature far from the minimum, where gradients
    are long and steps get short (Kunstner, Hennig & Balles 2019): `GaussNewton` is the better
    metric where there is a law.

    Source: Martens (2020), *New insights and perspectives on the natural gradient method*,
    section 11.

    Example:
        >>> class Distance(nn.Linear):
        ...     def forward(self, batch):
        ...         x, y = batch
        ...         return (super().forward(x) - y).square().mean()
        >>> objective = Distance(1, 1, bias=False)
        >>> _ = nn.init.zeros_(objective.weight)
        >>> batch = (torch.ones(2, 1), torch.tensor([[1.0], [2.0]]))
        >>> torch.cat(list(EmpiricalFisher()(objective, batch, [objective.weight])))
        tensor([[-1.4142],
                [-2.8284]])
    """

    def __call__(
        self, objective: nn.Module, batch: Any, parameters: Sequence[nn.Parameter]
    ) -> Derivatives:
        """The metric on one batch, as rows that are not computed yet."""
        with undisturbed(objective):
            terms = None
            if isinstance(objective, ELBO):
                terms = _scores(objective, batch)
            if not terms:
                terms = list(_row_by_row(objective, batch))
        return Derivatives(terms, parameters)

    def __repr__(self) -> str:
        return "EmpiricalFisher()"


def _scores(objective: ELBO, batch: Any) -> list[Term] | None:
    """The terms of an ELBO's rows, which it evaluates together."""
    if isinstance(batch, Mapping):
        seed = objective.seed
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        with fixed(objective.model, objective.draws, generator):
            rows = objective._log_probability(batch)
        return [_term(rows.reshape(-1))]
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        return None
    y = data_pair(objective.model, *batch)[1]

    def known(found: Any, shape: torch.Size) -> Any:
        event = found.event_shape
        return score_rows(found, y.expand(*shape, *event).reshape(*found.batch_shape, *event))

    return list(law_terms(objective, batch, known)) if hasattr(objective.model, "support") else None


def _row_by_row(objective: nn.Module, batch: Any) -> Iterator[Term]:
    rows = _rows_in(batch)
    same = Repeated()
    for row in range(rows):
        with same:
            loss = objective(_row(batch, rows, row))
        total = loss if isinstance(loss, Tensor) else torch.as_tensor(loss.total)
        yield _term(total.reshape(1)).scaled(rows**-0.5)


def _term(each: Tensor) -> Term:
    """Rows of derivatives of these numbers, as a mean."""
    weight = max(1, len(each)) ** -0.5
    ones = torch.full((len(each), 1, 1), weight, dtype=each.dtype, device=each.device)
    return Term(ones, each.unsqueeze(-1))


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for part in batch.values():
            yield from _tensors(part)
    elif isinstance(batch, tuple | list):
        for part in batch:
            yield from _tensors(part)


def _rows_in(batch: Any) -> int:
    lengths = {len(part) for part in _tensors(batch) if part.dim()}
    if len(lengths) != 1:
        raise ValueError(
            "EmpiricalFisher takes the rows of a batch one by one, and the tensors of this one "
            f"have {sorted(lengths) or 'no'} rows: give all the same first axis, or use another "
            "metric"
        )
    return lengths.pop()


def _row(batch: Any, rows: int, row: int) -> Any:
    if isinstance(batch, Tensor):
        return batch[row : row + 1] if batch.dim() and len(batch) == rows else batch
    if isinstance(batch, Mapping):
        return {name: _row(part, rows, row) for name, part in batch.items()}
    if type(batch) in (tuple, list):
        return type(batch)(_row(part, rows, row) for part in batch)
    return batch
