"""Derivatives of a layer's outputs row by row, by weights of each row's own (floor 0)."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.bayes.batching import batched

__all__ = ["joined", "row_gradients"]

_ENTRIES = 2**24  # numbers of a chunk of rows


def row_gradients(
    layer: nn.Module,
    parameters: Sequence[Tensor],
    inputs: Tensor,
    directions: Float[Tensor, "rows count outputs"],
    entries: int = _ENTRIES,
) -> Iterator[Float[Tensor, "some parameters"]]:
    r"""Gradients :math:`J_n^\top a_{nr}` by the parameters, for every row and direction.

    Every row has weights of its own, and one backward pass derives all rows along one direction.

    Args:
        layer: A Layer whose rows do not depend on each other.
        parameters: By what; those that play no part get zeros.
        inputs: ``(rows, *in)``.
        directions: Vectors in the space of its outputs.
        entries: How many numbers are returned at one time, at most.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> inputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> next(row_gradients(layer, [layer.weight], inputs, torch.ones(2, 1, 1)))
        tensor([[1., 2.],
                [3., 4.]])
    """
    names = list(layer.named_parameters(remove_duplicate=False))
    wanted = {id(p) for p in parameters} & {id(p) for _, p in names}
    if not wanted or not directions.numel():
        return
    height = sum(p.numel() for p in parameters) * directions.shape[1]  # numbers of one row
    most = max(1, entries // max(1, height))
    for rows, along in zip(inputs.split(most), directions.split(most), strict=True):
        own = {
            id(p): p.detach().expand(len(rows), *p.shape).requires_grad_()
            for _, p in names
            if id(p) in wanted
        }
        weights = {name: own[id(p)] for name, p in names if id(p) in own}
        with torch.enable_grad():
            outputs = batched(layer, weights, rows.unsqueeze(1))
            outputs = outputs.expand(len(rows), *outputs.shape[1:]).reshape(along[:, 0].shape)
        found = [
            torch.autograd.grad(
                outputs, list(own.values()), one, retain_graph=True, allow_unused=True
            )
            for one in along.unbind(1)
        ]
        each = [dict(zip(own, one, strict=True)) for one in found]
        yield torch.cat([joined(one, parameters, len(rows)) for one in each])


def joined(
    found: Mapping[int, Tensor | None], parameters: Sequence[Tensor], count: int
) -> Float[Tensor, "count parameters"]:
    """Derivatives ``(count, *shape)`` as one flat row each; zeros where there is none.

    Args:
        found: Derivatives by the identity of the parameter.
        parameters: All parameters, in order.
        count: The number of rows.

    Example:
        >>> one, two = torch.zeros(2), torch.zeros(1)
        >>> joined({id(two): torch.ones(3, 1)}, [one, two], 3)[0]
        tensor([0., 0., 1.])
    """
    parts = []
    for parameter in parameters:
        part = found.get(id(parameter))
        if part is None:
            part = parameter.new_zeros(count, parameter.numel())
        parts.append(part.reshape(count, -1))
    return torch.cat(parts, -1)
