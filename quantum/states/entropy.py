r"""Purity and entropies of density matrices: pure functions (floor 0 of states)."""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

__all__ = ["purity", "von_neumann"]


def purity(matrix: Complex[Tensor, "*batch d d"]) -> Float[Tensor, "*batch"]:
    r"""Purity :math:`\mathrm{Tr}\,\rho^2` of density matrices ``(*batch, d, d)``.

    Example:
        >>> purity(torch.eye(2, dtype=torch.complex64) / 2)
        tensor(0.5000)
    """
    return (matrix.real.square() + matrix.imag.square()).sum((-2, -1))


def von_neumann(
    matrix: Complex[Tensor, "*batch d d"], base: float | None = None
) -> Float[Tensor, "*batch"]:
    r"""Von Neumann entropy :math:`-\mathrm{Tr}\,\rho \log \rho` of density matrices.

    Eigenvalues that are zero (or below, by rounding) count nothing and pass no gradient, as in
    PennyLane.

    Args:
        matrix: ``(*batch, d, d)``.
        base: The base of the logarithm, None: the natural logarithm.

    Example:
        >>> von_neumann(torch.eye(2, dtype=torch.complex64) / 2, base=2)
        tensor(1.)
    """
    eigenvalues = torch.linalg.eigvalsh(matrix)
    positive = torch.where(eigenvalues > 0, eigenvalues, 1.0)
    nats = -(positive * torch.log(positive)).sum(-1)
    return nats if base is None else nats / math.log(base)
