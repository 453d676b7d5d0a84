"""The error of a broken contract, and what the checks share (floor 3)."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from causal.draws import seeded

__all__ = ["ContractError"]

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class ContractError(AssertionError):
    """An implementation does not keep a clause of its contract.

    Attributes:
        subject: The class that was checked.
        clause: The clause, in a few words.

    Example:
        >>> str(ContractError("Slow", "same bits twice", "results differ by 0.1"))
        'Slow breaks the clause "same bits twice": results differ by 0.1'
    """

    def __init__(self, subject: str, clause: str, detail: str) -> None:
        super().__init__(f'{subject} breaks the clause "{clause}": {detail}')
        self.subject = subject
        self.clause = clause


class Clauses:
    """Reports the broken clauses of one subject."""

    def __init__(self, subject: object) -> None:
        self.subject = type(subject).__name__
        self._is_module = isinstance(subject, nn.Module)

    def module(self) -> None:
        """Require a torch module."""
        self.require(self._is_module, "a torch.nn.Module", f"it is a {self.subject}")

    def require(self, condition: bool, clause: str, detail: str) -> None:
        """Raise unless the condition holds."""
        if not condition:
            raise ContractError(self.subject, clause, detail)

    @contextmanager
    def within(self, clause: str) -> Iterator[None]:
        """Any error inside means that the clause is broken."""
        try:
            yield
        except ContractError:
            raise
        except Exception as error:
            raise ContractError(self.subject, clause, f"{type(error).__name__}: {error}") from error

    def close(self, clause: str, first: Tensor, second: Tensor) -> None:
        """Require equal shapes and values that differ by rounding only."""
        self.require(
            first.shape == second.shape,
            clause,
            f"shapes {tuple(first.shape)} and {tuple(second.shape)}",
        )
        real = first.real.dtype if first.is_complex() else first.dtype
        tolerance = 100 * torch.finfo(real).eps
        if not torch.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=False):
            self.require(False, clause, f"values differ by {(first - second).abs().max().item()}")

    def gradients(self, clause: str, named: dict[str, Tensor], result: Tensor) -> None:
        """Require a finite gradient of ``result`` for every tensor."""
        self.require(result.requires_grad, clause, "the result has no gradient at all")
        found = torch.autograd.grad(result, list(named.values()), allow_unused=True)
        for name, gradient in zip(named, found, strict=True):
            self.require(gradient is not None, clause, f"none reaches {name}")
            finite = gradient is not None and bool(gradient.isfinite().all())
            self.require(finite, clause, f"the one of {name} is not finite")


def fresh(module: AnyModule) -> AnyModule:
    """A copy to experiment on, in evaluation mode."""
    return copy.deepcopy(module).eval()


@contextmanager
def own_randomness(seed: int) -> Iterator[torch.Generator]:
    """Draw from a generator, and leave torch's global random state as it was."""
    generator = torch.Generator().manual_seed(seed)
    with seeded(generator):
        yield generator


def trainable(module: nn.Module) -> dict[str, Tensor]:
    """Parameters that want a gradient, by readable name."""
    return {f"parameter '{n}'": p for n, p in module.named_parameters() if p.requires_grad}


def flat(result: Any) -> Tensor:
    """The real numbers of a tensor, for comparisons of complex results too."""
    tensor: Tensor = torch.view_as_real(result) if result.is_complex() else result
    return tensor
