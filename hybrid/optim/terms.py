"""The outputs of a model on one batch, and rows of their derivatives by its parameters (floor 1).

A `Term` is a tensor of outputs, one line for each row of data, and directions in which they are
derived. Where the rows do not meet in the layer that computes them, they are derived all at once,
each by weights of its own; else one after the other along the graph.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.bayes.batching import is_random
from hybrid.bayes.curvature.rows import joined, row_gradients

__all__ = ["Term", "meets_rows", "rows_of"]

_ENTRIES = 2**24  # numbers of a chunk of rows


class Term(NamedTuple):
    """Outputs of a batch, and the directions along which their derivatives are wanted.

    Attributes:
        directions: ``(rows, count, outputs)``.
        outputs: ``(rows, outputs)`` with their graph; None if the layer is to be run.
        layer: Computes the outputs of each row from this row of ``inputs`` alone.
        inputs: ``(rows, *event)`` for the layer.

    Example:
        >>> layer = torch.nn.Linear(2, 1)
        >>> term = Term(torch.ones(3, 1, 1), None, layer, torch.ones(3, 2))
        >>> next(rows_of(term, list(layer.parameters())))
        tensor([[1., 1., 1.],
                [1., 1., 1.],
                [1., 1., 1.]])
    """

    directions: Float[Tensor, "rows count outputs"]
    outputs: Float[Tensor, "rows outputs"] | None
    layer: nn.Module | None = None
    inputs: Tensor | None = None

    def scaled(self, factor: float) -> "Term":
        """The same outputs with ``factor`` times the directions."""
        return self._replace(directions=self.directions * factor)

    @property
    def height(self) -> int:
        """How many rows of derivatives there are."""
        return self.directions.shape[0] * self.directions.shape[1]


def meets_rows(layer: nn.Module) -> bool:
    """Whether a layer's rows may depend on each other, or on random numbers.

    Example:
        >>> meets_rows(torch.nn.Linear(1, 1)), meets_rows(torch.nn.BatchNorm1d(1))
        (False, True)
    """
    return is_random(layer) or any(
        (
            isinstance(part, nn.modules.batchnorm._NormBase)
            and (part.training or not part.track_running_stats)
        )
        or (isinstance(part, nn.modules.dropout._DropoutNd) and part.training and part.p > 0)
        for part in layer.modules()
    )


def rows_of(term: Term, parameters: Sequence[Tensor]) -> Iterator[Float[Tensor, "some parameters"]]:
    """The derivatives of the outputs along the directions, some rows at a time.

    Args:
        term: What is derived.
        parameters: By what; those that play no part get zeros.

    Example:
        >>> slope = torch.ones(2, requires_grad=True)
        >>> term = Term(torch.ones(3, 1, 1), (torch.eye(3)[:, :2] @ slope).unsqueeze(-1))
        >>> torch.cat(list(rows_of(term, [slope])))
        tensor([[1., 0.],
                [0., 1.],
                [0., 0.]])
    """
    if term.layer is not None:
        if term.inputs is None:
            raise ValueError("a term with a layer needs its inputs")
        yield from row_gradients(term.layer, parameters, term.inputs, term.directions)
    elif term.outputs is not None and term.outputs.requires_grad:
        yield from _along(term.outputs, term.directions, parameters)


def _along(outputs: Tensor, directions: Tensor, parameters: Sequence[Tensor]) -> Iterator[Tensor]:
    """One backward pass of the whole graph for each row, several of them together."""
    height, count = directions.shape[0] * directions.shape[1], directions.shape[1]
    most = max(1, _ENTRIES // max(1, sum(p.numel() for p in parameters)))
    # Each of some rows has a backward pass over all rows: fewer of them are held together.
    most = max(1, min(most, height, 1 + most // max(1, len(outputs))))
    for start in range(0, height, most):
        places = torch.arange(start, min(start + most, height), device=outputs.device)
        along = outputs.new_zeros(len(places), *outputs.shape)
        line, which = places // count, places % count
        along[torch.arange(len(places)), line] = directions[line, which]
        yield joined(_derived(outputs, parameters, along), parameters, len(places))


def _derived(
    outputs: Tensor, parameters: Sequence[Tensor], along: Tensor
) -> dict[int, Tensor | None]:
    keys = [id(p) for p in parameters]
    if len(along) > 1:
        try:
            found = torch.autograd.grad(
                outputs,
                list(parameters),
                along,
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=True,
            )
        except RuntimeError:  # a backward pass that vmap does not know
            pass
        else:
            return dict(zip(keys, found, strict=True))
    each = [
        torch.autograd.grad(outputs, list(parameters), one, retain_graph=True, allow_unused=True)
        for one in along
    ]
    columns = zip(*each, strict=True)
    return {
        key: None if column[0] is None else torch.stack(column)
        for key, column in zip(keys, columns, strict=True)
    }
