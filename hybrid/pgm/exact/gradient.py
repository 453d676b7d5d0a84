"""The gradient of a partition function from marginals, without a graph of messages (floor 5)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.posterior import derived, plain
from hybrid.pgm.exact.summation import summed
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["log_partition_with_gradient"]

# Cells of factor marginals that are kept for the backward pass; beyond, they are computed again.
_KEPT = 2**24


def log_partition_with_gradient(
    tree: JunctionTree, tables: Sequence[Tensor], evidence: Evidence
) -> Tensor:
    r"""The logarithm of the partition function of each row, to be differentiated.

    .. math:: \frac{\partial \log Z}{\partial f_i(x)} = \frac{p_i(x)}{f_i(x)}

    with the marginal :math:`p_i` of a factor's variables (Darwiche 2003, *A differential approach
    to inference in Bayesian networks*, theorem 1). The quotient says nothing where the factor is
    zero: where one is, messages are recorded and differentiated.

    Args:
        tree: The tree.
        tables: One for each factor, shared or with rows in front.
        evidence: What the rows observe.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> table = torch.tensor([1.0, 3.0], requires_grad=True)
        >>> tree = junction_tree((2,), ((0,),))
        >>> log_partition_with_gradient(tree, [table], Evidence(1)).backward(torch.ones(1))
        >>> table.grad
        tensor([0.2500, 0.2500])
    """
    soft = list(evidence.soft.values())
    live = [values for values in (*tables, *soft) if values.requires_grad]
    transformed = torch._C._functorch.maybe_current_level() is not None
    if transformed or (torch.stack([values.detach().amin() for values in live]) <= 0).any():
        return derived(tree, tables, evidence, ())[0]
    found: Tensor = _LogPartition.apply(tree, evidence, len(tables), *tables, *soft)
    return found


class _LogPartition(torch.autograd.Function):
    """Inputs: tree, evidence, the number of tables, the tables and the likelihoods."""

    @staticmethod
    def forward(ctx: Any, tree: JunctionTree, evidence: Evidence, n: int, *inputs: Tensor) -> Any:
        ctx.tree, ctx.evidence, ctx.n = tree, evidence, n
        wanted = _scopes(tree, evidence, ctx.needs_input_grad[3:])
        cells = sum(torch.Size([tree.cardinalities[v] for v in scope]).numel() for scope in wanted)
        ctx.kept = cells * evidence.rows <= _KEPT
        log_partition, marginals = plain(
            tree, inputs[:n], _with_soft(evidence, inputs[n:]), wanted if ctx.kept else ()
        )
        ctx.save_for_backward(*inputs, *marginals)
        return log_partition

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        tree, n, count = ctx.tree, ctx.n, len(ctx.needs_input_grad) - 3
        inputs, marginals = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        needed = ctx.needs_input_grad[3:]
        evidence = _with_soft(ctx.evidence, inputs[n:])
        wanted = _scopes(tree, evidence, needed)
        if torch.is_grad_enabled():  # the gradient is to be differentiated itself
            marginals = derived(tree, inputs[:n], evidence, wanted)[1]
        elif not ctx.kept and all(_shared(tree, n, inputs, needed)):
            sums = iter(summed(tree, inputs[:n], evidence, wanted, grad)[1])
            pairs = zip(inputs, needed, strict=True)
            return None, None, None, *(next(sums) / x if need else None for x, need in pairs)
        elif not ctx.kept:
            marginals = plain(tree, inputs[:n], evidence, wanted)[1]
        waiting, grads = list(marginals), list[Tensor | None]()
        for place, (values, need) in enumerate(zip(inputs, needed, strict=True)):
            if not need:
                grads.append(None)
                continue
            own = place >= n or values.dim() > len(tree.scopes[place])
            grads.append(_quotient(waiting.pop(0), grad, values, own))
        return None, None, None, *grads


def _shared(
    tree: JunctionTree, n: int, inputs: Sequence[Tensor], needed: Sequence[bool]
) -> list[bool]:
    """Of each input that needs a gradient, whether it is one table for all rows."""
    return [
        place < n and values.dim() == len(tree.scopes[place])
        for place, (values, need) in enumerate(zip(inputs, needed, strict=True))
        if need
    ]


def _scopes(
    tree: JunctionTree, evidence: Evidence, needed: Sequence[bool]
) -> tuple[tuple[int, ...], ...]:
    """The variables of each input that needs a gradient."""
    scopes = (*tree.scopes, *((variable,) for variable in evidence.soft))
    return tuple(scope for scope, need in zip(scopes, needed, strict=True) if need)


def _with_soft(evidence: Evidence, values: Sequence[Tensor]) -> Evidence:
    soft = dict(zip(evidence.soft, values, strict=True))
    return Evidence(evidence.rows, evidence.hard, soft, evidence.observed, evidence.states)


def _quotient(marginal: Tensor, grad: Tensor, values: Tensor, own: bool) -> Tensor:
    if own:
        return marginal * grad.reshape(-1, *[1] * (marginal.dim() - 1)) / values
    return torch.tensordot(grad, marginal, 1) / values
