"""What a chain is: potentials of single steps and of neighbouring steps, in logs (floor 0).

Every computation on chains runs in one private layout, time first: ``unary (T, G, N, K)`` and
``pairwise (P, G, K, K)``. The G groups have potentials of their own between neighbours, which the N
rows of a group share; P is T - 1, or 1 where all steps share them.
"""

import dataclasses
import functools
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Chain", "Grouped", "ended", "joined_shapes", "lengths_of", "named_row"]


@dataclasses.dataclass(frozen=True)
class Grouped:
    """A chain in the private layout.

    Attributes:
        unary: ``(T, G, N, K)``.
        pairwise: ``(P, G, K, K)``, from the state before (rows) to the state after (columns).
        lengths: ``(G, N)``, or None where every row has T steps.

    Example:
        >>> import torch
        >>> chain = Chain(torch.zeros(7, 5, 3), torch.zeros(1, 3, 3)).grouped
        >>> chain.unary.shape, chain.pairwise.shape
        (torch.Size([5, 1, 7, 3]), torch.Size([1, 1, 3, 3]))
    """

    unary: Tensor
    pairwise: Tensor
    lengths: Tensor | None

    @property
    def steps(self) -> int:
        """T."""
        return self.unary.shape[0]

    def between(self, step: int) -> int:
        """Which of the P matrices leads from ``step`` to the one after."""
        return step if self.pairwise.shape[0] > 1 else 0

    @functools.cached_property
    def ended(self) -> Tensor | None:
        """Which steps lie after a row's end, ``(T, G, N)``; None where no row ends early."""
        return None if self.lengths is None else ended(self.lengths, self.steps).movedim(-1, 0)


@dataclasses.dataclass(frozen=True)
class Chain:
    r"""Weights of all paths of K states over T steps, row by row.

    .. math:: w(z) = \exp\Big(\sum_{t=1}^{L} u_t(z_t) + \sum_{t=1}^{L-1} v_t(z_t, z_{t+1})\Big)

    A hidden Markov model is the chain with :math:`u_t(k) = \log p(y_t \mid k)` (at the first step
    plus the log of the initial probability) and v the log transition probabilities; a conditional
    random field has any scores. -inf stands for what cannot be.

    Args:
        unary: u, ``(*batch, steps, states)``.
        pairwise: v, ``(*lead, steps - 1, states, states)``, or 1 in place of ``steps - 1`` where
            all steps share it; ``lead`` broadcasts to the batch. Rows are the state before.
        lengths: L, the number of steps of each row, ``(*batch,)``; None where all have T.

    Raises:
        ValueError: Shapes do not fit, a number is NaN or +inf, or a length is not in 1 … T.

    Example:
        >>> import torch
        >>> Chain(torch.zeros(7, 5, 3), torch.zeros(1, 3, 3)).batch_shape
        torch.Size([7])
        >>> Chain(torch.zeros(7, 5, 3), torch.zeros(1, 2, 2))
        Traceback (most recent call last):
        ValueError: pairwise has shape (1, 2, 2): expected (..., 4 or 1, 3, 3) for 5 steps of 3 ...
    """

    unary: Float[Tensor, "..."]
    pairwise: Float[Tensor, "..."]
    lengths: Int[Tensor, "..."] | None = None

    def __post_init__(self) -> None:
        _check_shapes(self.unary, self.pairwise, self.lengths)
        for name in ("unary", "pairwise"):
            _check_numbers(name, getattr(self, name))
        if self.lengths is not None:
            wrong = (self.lengths < 1) | (self.lengths > self.steps)
            if bool(wrong.any()):
                raise ValueError(
                    f"a row has {int(self.lengths[wrong][0])} steps: lengths lie between 1 and the "
                    f"{self.steps} steps of the data"
                )

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the rows."""
        return self.unary.shape[:-2]

    @property
    def steps(self) -> int:
        """T."""
        return self.unary.shape[-2]

    @property
    def states(self) -> int:
        """K."""
        return self.unary.shape[-1]

    def expand(self, batch_shape: Sequence[int]) -> "Chain":
        """The same weights for another batch shape."""
        batch = torch.Size(batch_shape)
        if batch == self.batch_shape:
            return self
        lengths = None if self.lengths is None else self.lengths.expand(batch)
        return Chain(self.unary.expand(*batch, *self.unary.shape[-2:]), self.pairwise, lengths)

    @functools.cached_property
    def grouped(self) -> Grouped:
        """The same chain in the private layout; numbers are views where that is possible."""
        batch = self.batch_shape
        lead = (1,) * (len(batch) - self.pairwise.dim() + 3) + self.pairwise.shape[:-3]
        own = max((axis + 1 for axis, size in enumerate(lead) if size > 1), default=0)
        groups, rows = batch[:own].numel(), batch[own:].numel()
        unary = self.unary.reshape(groups, rows, self.steps, self.states)
        pairwise = self.pairwise.reshape(*lead[:own], *self.pairwise.shape[-3:])
        pairwise = pairwise.expand(*batch[:own], *pairwise.shape[-3:])
        pairwise = pairwise.reshape(groups, *pairwise.shape[-3:])
        lengths = None if self.lengths is None else self.lengths.reshape(groups, rows)
        return Grouped(unary.movedim(-2, 0), pairwise.movedim(1, 0), lengths)

    def restore(self, grouped: Tensor) -> Tensor:
        """Results ``(G, N, *rest)`` of the private layout as ``(*batch, *rest)``."""
        return grouped.reshape(self.batch_shape + grouped.shape[2:])


def ended(lengths: Int[Tensor, "*batch"], steps: int) -> Bool[Tensor, "*batch steps"]:
    """Which of ``steps`` steps lie after the end of each row.

    Example:
        >>> import torch
        >>> ended(torch.tensor([1, 3]), 3)
        tensor([[False,  True,  True],
                [False, False, False]])
    """
    return torch.arange(steps, device=lengths.device) >= lengths.unsqueeze(-1)


def lengths_of(mask: Bool[Tensor, "*batch steps"]) -> Int[Tensor, "*batch"]:
    """Lengths of rows from a mask that is True on their steps.

    Raises:
        ValueError: A row's mask is not True first and False after, or never True.

    Example:
        >>> import torch
        >>> lengths_of(torch.tensor([[True, False], [True, True]]))
        tensor([1, 2])
    """
    lengths = mask.sum(-1)
    wrong = (ended(lengths, mask.shape[-1]) == mask).any(-1) | (lengths == 0)
    if bool(wrong.any()):
        raise ValueError(
            f"the mask of row {named_row(wrong)} is {mask[wrong][0].tolist()}: it must be True on "
            "the row's steps, which come first, and False after them. An entry not observed "
            "within a row is no end: mark it by -1 (NaN for real numbers)"
        )
    return lengths


def joined_shapes(one: Sequence[int], other: Sequence[int]) -> torch.Size:
    """The shape to which both broadcast, as ``torch.broadcast_shapes`` but without its cost.

    Example:
        >>> joined_shapes((1, 3), (5, 1, 1))
        torch.Size([5, 1, 3])
    """
    wide, narrow = (one, other) if len(one) >= len(other) else (other, one)
    padded = (1,) * (len(wide) - len(narrow)) + tuple(narrow)
    if any(a not in (1, b) and b != 1 for a, b in zip(wide, padded, strict=True)):
        raise ValueError(f"shapes {tuple(one)} and {tuple(other)} do not broadcast")
    return torch.Size(b if a == 1 else a for a, b in zip(wide, padded, strict=True))


def named_row(wrong: Bool[Tensor, "*batch"]) -> str:
    """The first row that is True, as messages name it.

    Example:
        >>> import torch
        >>> named_row(torch.tensor([False, True])), named_row(torch.tensor([[True]]))
        ('1', '(0, 0)')
    """
    place = wrong.nonzero()[0].tolist()
    return str(place[0]) if len(place) == 1 else str(tuple(place))


def _check_shapes(unary: Tensor, pairwise: Tensor, lengths: Tensor | None) -> None:
    if unary.dim() < 2 or 0 in unary.shape[-2:]:
        raise ValueError(
            f"unary has shape {tuple(unary.shape)}: expected (..., steps, states), one or more"
        )
    batch, (steps, states) = unary.shape[:-2], unary.shape[-2:]
    lead, between = pairwise.shape[:-3], pairwise.shape[-3:-2]
    fits = pairwise.dim() >= 3 and pairwise.shape[-2:] == (states, states)
    fits = fits and between[0] in (1, steps - 1) and len(lead) <= len(batch)
    fits = fits and all(a in (1, b) for a, b in zip(lead[::-1], batch[::-1], strict=False))
    if not fits:
        raise ValueError(
            f"pairwise has shape {tuple(pairwise.shape)}: expected (..., {steps - 1} or 1, "
            f"{states}, {states}) for {steps} steps of {states} states, before it axes that "
            f"broadcast to the batch {tuple(batch)}"
        )
    if lengths is not None and lengths.shape != batch:
        raise ValueError(
            f"lengths has shape {tuple(lengths.shape)}: expected one per row, {tuple(batch)}"
        )
    if unary.dtype != pairwise.dtype:
        raise ValueError(
            f"unary is {unary.dtype} and pairwise {pairwise.dtype}: give both in one dtype"
        )


def _check_numbers(name: str, values: Tensor) -> None:
    if values.numel() and not float(values.detach().amax()) < torch.inf:  # NaN is not, either
        wrong = (values.isnan() | (values == torch.inf)).nonzero()[0].tolist()
        raise ValueError(
            f"{name}{wrong} is {float(values[tuple(wrong)].detach())}: log weights are numbers "
            "below +inf (-inf for what cannot be)"
        )
