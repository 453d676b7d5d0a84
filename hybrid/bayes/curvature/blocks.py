r"""Normal distributions of some of the weights, from a curvature and a prior (floor 0).

A block holds a curvature H of its weights in some form; with a factor c and the prior's precisions
δ its weights have the covariance :math:`(c H + \mathrm{diag}\,\delta)^{-1}`.
"""

import abc
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Block", "Dense", "Diagonal", "Kronecker"]


class Block(nn.Module, abc.ABC):
    """A part of the curvature; its weights are one flat vector.

    Example:
        >>> block: Block = Diagonal(torch.tensor([3.0]))
        >>> block.log_determinant(torch.tensor(1.0), torch.tensor([1.0]))
        tensor(1.3863)
    """

    @abc.abstractmethod
    def log_determinant(self, factor: Tensor, prior: Float[Tensor, " weights"]) -> Tensor:
        """Of the precision c H + diag δ; differentiable in both."""

    @abc.abstractmethod
    def settle(self, factor: Tensor, prior: Float[Tensor, " weights"]) -> None:
        """Prepare `draw` for this c and δ."""

    @abc.abstractmethod
    def draw(self, noise: Float[Tensor, "*draws weights"]) -> Float[Tensor, "*draws weights"]:
        """Weights less their mean, made of standard normal noise."""


class Diagonal(Block):
    """A diagonal curvature.

    Args:
        curvature: The diagonal of H.

    Example:
        >>> block = Diagonal(torch.tensor([3.0, 0.0]))
        >>> block.settle(torch.tensor(1.0), torch.ones(2))
        >>> block.draw(torch.ones(2))
        tensor([0.5000, 1.0000])
    """

    curvature: Tensor
    scale: Tensor

    def __init__(self, curvature: Float[Tensor, " weights"]) -> None:
        super().__init__()
        self.register_buffer("curvature", curvature)
        self.register_buffer("scale", torch.ones_like(curvature))

    def log_determinant(self, factor: Tensor, prior: Tensor) -> Tensor:
        """The sum of logarithms."""
        return (factor * self.curvature + prior).log().sum()

    def settle(self, factor: Tensor, prior: Tensor) -> None:
        """Keep the standard deviations."""
        self.scale.copy_((factor * self.curvature + prior).rsqrt())

    def draw(self, noise: Tensor) -> Tensor:
        """Noise times the standard deviations."""
        return noise * self.scale


class Dense(Block):
    """A full curvature.

    Args:
        curvature: H, symmetric.

    Example:
        >>> block = Dense(torch.tensor([[1.0, 1.0], [1.0, 1.0]]))
        >>> block.log_determinant(torch.tensor(1.0), torch.ones(2)).exp()
        tensor(3.)
    """

    curvature: Tensor
    root: Tensor

    def __init__(self, curvature: Float[Tensor, "weights weights"]) -> None:
        super().__init__()
        self.register_buffer("curvature", curvature)
        self.register_buffer("root", torch.zeros_like(curvature))

    def log_determinant(self, factor: Tensor, prior: Tensor) -> Tensor:
        """By Cholesky's factor."""
        return 2 * self._factor(factor, prior).diagonal().log().sum()

    def settle(self, factor: Tensor, prior: Tensor) -> None:
        """Keep Cholesky's factor L of the precision."""
        self.root.copy_(self._factor(factor, prior))

    def draw(self, noise: Tensor) -> Tensor:
        """The solution of Lᵀ w = noise."""
        wide = torch.promote_types(noise.dtype, torch.float32)  # half precision has no solver
        flat = noise.reshape(-1, noise.shape[-1]).to(wide)
        solved = torch.linalg.solve_triangular(self.root.mT.to(wide), flat.mT, upper=True)
        return solved.mT.reshape(noise.shape).to(noise.dtype)

    def _factor(self, factor: Tensor, prior: Tensor) -> Tensor:
        # In double precision: a weak prior beside a large curvature is lost in single.
        precision = factor.double() * self.curvature.double() + prior.double().diag()
        result: Tensor = torch.linalg.cholesky(precision).to(self.curvature)
        return result


class Kronecker(Block):
    r"""A curvature :math:`G \otimes A` of a weight matrix (out, in), kept by its eigenvectors.

    The prior's precision is the same for all of its weights.

    Args:
        outer: G (out, out).
        inner: A (in, in); the last row is the bias's where the layer has one.
        bias: Whether it has.

    Source: Ritter, Botev & Barber (2018), *A scalable Laplace approximation for neural networks*,
    section 3.1; Immer et al. (2021), *Scalable marginal likelihood estimation for model selection
    in deep learning*, section 3 (eigenvalues in place of damped factors).

    Example:
        >>> block = Kronecker(torch.eye(1), 3 * torch.eye(2), bias=False)
        >>> block.log_determinant(torch.tensor(1.0), torch.ones(2)).exp()
        tensor(16.)
    """

    def __init__(
        self, outer: Float[Tensor, "out out"], inner: Float[Tensor, "in in"], bias: bool
    ) -> None:
        super().__init__()
        self.bias = bias
        for name, matrix in (("outer", outer), ("inner", inner)):
            values, vectors = torch.linalg.eigh(matrix.double())
            self.register_buffer(f"{name}_values", values.clamp_min(0).to(matrix))
            self.register_buffer(f"{name}_vectors", vectors.to(matrix))
        values = torch.ones(len(outer), len(inner)).to(outer)
        self.register_buffer("scale", values)

    def log_determinant(self, factor: Tensor, prior: Tensor) -> Tensor:
        """The sum of logarithms of the eigenvalues."""
        return (factor * self._values() + prior[0]).log().sum()

    def settle(self, factor: Tensor, prior: Tensor) -> None:
        """Keep the standard deviations along the eigenvectors."""
        self.get_buffer("scale").copy_((factor * self._values() + prior[0]).rsqrt())

    def draw(self, noise: Tensor) -> Tensor:
        """Noise along the eigenvectors; first the weights, row by row, then the bias."""
        scale = self.get_buffer("scale")
        along = noise.unflatten(-1, scale.shape) * scale
        vectors: Any = (self.get_buffer("outer_vectors"), self.get_buffer("inner_vectors"))
        matrix = vectors[0] @ along @ vectors[1].mT
        if not self.bias:
            return matrix.flatten(-2)
        return torch.cat([matrix[..., :-1].flatten(-2), matrix[..., -1]], -1)

    def _values(self) -> Tensor:
        outer, inner = self.get_buffer("outer_values"), self.get_buffer("inner_values")
        return outer.unsqueeze(-1) * inner
