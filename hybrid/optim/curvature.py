"""Metrics of parameters, and the damped equations they stand in: pure tensors (floor 0).

A metric of P parameters is held as its diagonal, as a matrix, or as R rows J with F = JᵀJ; rows are
solved among themselves (Woodbury's identity), which is cheaper where R is below P.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Curvature", "Dense", "Diagonal", "Rows"]

_SINGLE = 1e-4  # below this share of the largest entry, a damping asks for double precision


@runtime_checkable
class Curvature(Protocol):
    """A symmetric positive semidefinite matrix F over P parameters.

    Example:
        >>> curvature: Curvature = Diagonal(torch.tensor([1.0, 3.0]))
        >>> curvature.solve(torch.tensor([2.0, 2.0]), damping=1.0)
        tensor([1.0000, 0.5000])
    """

    def diagonal(self) -> Float[Tensor, " parameters"]:
        """The entries on the diagonal of F."""
        ...

    def solve(
        self, gradient: Float[Tensor, " parameters"], damping: float
    ) -> Float[Tensor, " parameters"]:
        """The direction d with (F + damping I) d = gradient."""
        ...

    def length(self, direction: Float[Tensor, " parameters"]) -> Float[Tensor, ""]:
        """The squared length dᵀFd."""
        ...


class Diagonal(NamedTuple):
    r"""A metric without anything off its diagonal; :math:`d = g / (f + \lambda)`.

    Where both the entry and the damping are 0, the direction is 0.

    Attributes:
        values: The diagonal f.

    Example:
        >>> Diagonal(torch.tensor([4.0, 0.0])).solve(torch.tensor([2.0, 1.0]), damping=0.0)
        tensor([0.5000, 0.0000])
    """

    values: Float[Tensor, " parameters"]

    def diagonal(self) -> Float[Tensor, " parameters"]:
        """The values."""
        return self.values

    def solve(
        self, gradient: Float[Tensor, " parameters"], damping: float
    ) -> Float[Tensor, " parameters"]:
        """The gradient divided by the damped values."""
        damped = self.values + damping
        return torch.where(damped > 0, gradient / damped, torch.zeros_like(gradient))

    def length(self, direction: Float[Tensor, " parameters"]) -> Float[Tensor, ""]:
        """The squared length of a direction."""
        return (self.values * direction.square()).sum()


class Dense(NamedTuple):
    r"""A metric with all its entries, solved by a Cholesky factor of :math:`F + \lambda I`.

    Where single precision finds no factor, double precision does; a singular matrix without damping
    is solved by its pseudo-inverse.

    Attributes:
        matrix: F, symmetric.

    Example:
        >>> matrix = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> Dense(matrix).solve(torch.tensor([4.0, 4.0]), damping=1.0)
        tensor([1.0000, 1.0000])
    """

    matrix: Float[Tensor, "parameters parameters"]

    def diagonal(self) -> Float[Tensor, " parameters"]:
        """The matrix's diagonal."""
        return self.matrix.diagonal()

    def solve(
        self, gradient: Float[Tensor, " parameters"], damping: float
    ) -> Float[Tensor, " parameters"]:
        """The damped equations' solution."""
        return _solved(self.matrix, gradient, damping)

    def length(self, direction: Float[Tensor, " parameters"]) -> Float[Tensor, ""]:
        """The squared length of a direction."""
        return direction @ (self.matrix @ direction)


class Rows(NamedTuple):
    r"""A metric :math:`F = J^T J` of few rows, solved in the space of the rows.

    .. math:: (J^TJ + \lambda I)^{-1} g
        = \frac1\lambda \left(g - J^T (JJ^T + \lambda I)^{-1} J g\right)

    Without damping the direction is the shortest one, :math:`J^T (JJ^T)^{+2} J g`.

    Attributes:
        rows: J.

    Source: Henderson & Searle (1981), *On deriving the inverse of a sum of matrices*, eq. 12.

    Example:
        >>> Rows(torch.tensor([[2.0, 0.0, 0.0]])).solve(torch.ones(3), damping=1.0)
        tensor([0.2000, 1.0000, 1.0000])
    """

    rows: Float[Tensor, "rows parameters"]

    def diagonal(self) -> Float[Tensor, " parameters"]:
        """Sums of squares of the columns."""
        return self.rows.square().sum(0)

    def solve(
        self, gradient: Float[Tensor, " parameters"], damping: float
    ) -> Float[Tensor, " parameters"]:
        """The damped equations' solution."""
        rows, right = self.rows, gradient
        among = rows @ rows.mT
        largest = float(among.diagonal().max()) if len(among) else 0.0
        if damping < _SINGLE * largest and rows.dtype != torch.float64:
            rows, right = rows.double(), gradient.double()  # the difference below would cancel
            among = rows @ rows.mT
        inside = rows @ right
        if damping > 0:
            found = (right - rows.mT @ _solved(among, inside, damping)) / damping
        else:
            found = rows.mT @ _solved(among, _solved(among, inside, 0.0), 0.0)
        return found.to(gradient.dtype)

    def length(self, direction: Float[Tensor, " parameters"]) -> Float[Tensor, ""]:
        """The squared length of a direction."""
        return (self.rows @ direction).square().sum()


def _solved(matrix: Tensor, right: Tensor, damping: float) -> Tensor:
    """The solution of (matrix + damping I) x = right."""
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    factor, wrong = torch.linalg.cholesky_ex(matrix + damping * identity)
    if not int(wrong) and _well(factor, 1 if damping > 0 else len(matrix)):
        return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)
    if matrix.dtype != torch.float64:
        return _solved(matrix.double(), right.double(), damping).to(right.dtype)
    values, vectors = torch.linalg.eigh(matrix)
    damped = values.clamp_min(0) + damping
    least = len(matrix) * torch.finfo(damped.dtype).eps * damped.max()
    inverse = torch.where(damped > least, 1 / damped, torch.zeros_like(damped))
    return vectors @ (inverse * (vectors.mT @ right))


def _well(factor: Tensor, size: int) -> bool:
    """Whether a Cholesky factor's smallest pivot is more than rounding."""
    pivots = factor.diagonal().square()
    if not len(pivots):
        return True
    return bool(pivots.min() > 10 * size * torch.finfo(factor.dtype).eps * pivots.max())
