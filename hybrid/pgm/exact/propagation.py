"""Messages along a junction tree, in PyTorch (floor 1).

Values of a clique have one axis per variable and the rows last. A clique in which no row differs
has one row only, until something that differs reaches it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.pgm.exact.layout import messages
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["Collected", "collect", "distribute"]

# A clique is scaled again after so many factors: with fewer, only tables that are themselves
# extreme can leave the range of floating point.
_TERMS_BETWEEN_SCALINGS = 16


@dataclass(frozen=True, eq=False)
class Collected:
    r"""A tree after all cliques have sent a message to their parents.

    Args:
        values: Of each clique, all messages of its children included, (\*sizes, rows or 1); those
            of roots sum to one unless gradients are recorded.
        sent: What each clique sent, before scaling, along the child's axes; None for roots.
        log_partition: (rows or 1,); −inf where it is zero.
        reliable: (rows or 1,); False where a sum came near the ends of the range of floating point,
            zero included: such a row is better computed with logarithms.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2,), ((0,),))
        >>> with torch.no_grad():
        ...     collect(tree, [[torch.tensor([[1.0], [3.0]])]]).values[0].flatten()
        tensor([0.2500, 0.7500])
    """

    values: list[Tensor]
    sent: list[Tensor | None]
    log_partition: Tensor
    reliable: Tensor


class _Product:
    """A clique's product, scaled now and then; in place where no gradient can notice."""

    def __init__(self, shape: tuple[int, ...], like: Tensor, scales: list[Tensor]) -> None:
        self.shape, self.scales = shape, scales
        self.value, self.own, self.count = like.new_ones((1,) * len(shape) + (1,)), False, 0

    def times(self, term: Tensor) -> None:
        if self.count == 0:
            self.value = term
        elif self.own and self._holds(term) and not torch.is_grad_enabled():
            self.value.mul_(term)
        else:
            self.value, self.own = self.value * term, True
        self.count += 1
        if self.count % _TERMS_BETWEEN_SCALINGS == 0:
            self.value = self.value / self._scale()

    def _holds(self, term: Tensor) -> bool:
        return all(a >= b for a, b in zip(self.value.shape, term.shape, strict=True))

    def _scale(self) -> Tensor:
        scale = self.value.detach().flatten(0, -2).amax(0)
        self.scales.append(scale)
        return scale.clamp_min(torch.finfo(scale.dtype).tiny)

    def full(self) -> Tensor:
        """The product with all axes of the clique."""
        return self.value.expand(*self.shape, self.value.shape[-1])


def collect(tree: JunctionTree, terms: Sequence[Sequence[Tensor]]) -> Collected:
    r"""Send messages from the leaves to the roots.

    A clique's message is the sum of its product over what the separator lacks,
    :math:`m_{c}(s) = \sum_{x_c \setminus s} \prod_i f_i \prod_{k} m_k` (Lauritzen and Spiegelhalter
    1988), scaled to sum to one; the scales' logarithms are added up. Scales are constants to
    autograd, the result is differentiable all the same, as often as one likes.

    Args:
        tree: The tree.
        terms: What is multiplied in each clique, as from `hybrid.pgm.exact.layout.terms`.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 2, 3), ((0, 1), (1, 2)))
        >>> ones = [[torch.ones(2, 3, 1)], [torch.ones(2, 2, 1)]]
        >>> collect(tree, ones).log_partition.exp()
        tensor([12.])
    """
    like = next(term for factors in terms for term in factors)
    tiny = torch.finfo(like.dtype).tiny
    scales: list[Tensor] = []
    products = [_Product(tree.sizes(c), like, scales) for c in range(len(tree.cliques))]
    for product, factors in zip(products, terms, strict=True):
        for term in factors:
            product.times(term)
    sent: list[Tensor | None] = [None] * len(products)
    for way in reversed(messages(tree)):
        value = products[way.child].full()
        message = value.sum(way.down.rest) if way.down.rest else value
        sent[way.child] = message
        scale = message.detach().flatten(0, -2).sum(0)
        scales.append(scale)
        message = message / scale.clamp_min(tiny)
        products[way.parent].times(message.reshape(*way.up.shape, message.shape[-1]))
    totals = []
    for root in (clique for clique, parent in enumerate(tree.parents) if parent < 0):
        total = products[root].full().flatten(0, -2).sum(0)
        if not torch.is_grad_enabled():
            products[root].value = products[root].value / total.clamp_min(tiny)
        totals.append(total)
    log_partition, reliable = _joined(totals, scales)
    return Collected([product.full() for product in products], sent, log_partition, reliable)


def _joined(totals: list[Tensor], scales: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Sum of the logarithms, and whether all numbers are of a safe size."""
    rows = max(value.shape[-1] for value in (*totals, *scales))
    ends = torch.stack([total.expand(rows) for total in totals])
    constants = torch.stack([value.expand(rows) for value in (*scales, totals[0].detach())])[:-1]
    limit = torch.finfo(ends.dtype).tiny ** 0.5
    seen = torch.cat([constants, ends.detach()])
    reliable = ((seen > limit) & (seen < 1 / limit)).all(0)
    # A zero gets the logarithm of one and no gradient; it is put to −inf afterwards.
    positive = seen > 0
    logs = torch.where(ends > 0, ends, 1).log().sum(0)
    logs = logs + torch.where(constants > 0, constants, 1).log().sum(0)
    return torch.where(positive.all(0), logs, -torch.inf), reliable


def distribute(
    tree: JunctionTree, collected: Collected, wanted: Collection[int]
) -> dict[int, Tensor]:
    r"""Send messages from the roots to the leaves; not for gradients.

    A clique becomes its belief :math:`p(x_c \mid e)`: its values times the parent's belief of the
    separator over what it had sent (Jensen, Lauritzen and Olesen 1990, *Bayesian updating in causal
    probabilistic networks by local computations*, section 4), 0/0 being 0.

    Args:
        tree: The tree.
        collected: From `collect`, made without recording gradients.
        wanted: The cliques whose beliefs are asked for.

    Returns:
        The beliefs of the cliques that are wanted or on the way to one, (\*sizes, rows or 1).

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 2, 3), ((0, 1), (1, 2)))
        >>> ones = [[torch.ones(2, 3, 1)], [torch.ones(2, 2, 1)]]
        >>> with torch.no_grad():
        ...     beliefs = distribute(tree, collect(tree, ones), {1})
        >>> beliefs[1].flatten()
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    reached = _with_ancestors(tree, wanted)
    beliefs = {clique: collected.values[clique] for clique in reached}
    for way in messages(tree):
        sent = collected.sent[way.child]
        if way.child in reached and sent is not None:
            above = beliefs[way.parent]
            below = above.sum(way.up.rest) if way.up.rest else above
            ratio = torch.where(sent > 0, below / sent, 0)
            ratio = ratio.reshape(*way.down.shape, ratio.shape[-1])
            beliefs[way.child] = collected.values[way.child] * ratio
    return beliefs


def _with_ancestors(tree: JunctionTree, cliques: Collection[int]) -> set[int]:
    reached: set[int] = set()
    for clique in cliques:
        while clique >= 0 and clique not in reached:
            reached.add(clique)
            clique = tree.parents[clique]
    return reached
