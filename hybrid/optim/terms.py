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

from hybrid.bayes.batching import batched, is_random

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
    size = max(1, sum(p.numel() for p in parameters))
    if term.layer is not None:
        yield from _apart(term, parameters, max(1, _ENTRIES // size))
    elif term.outputs is not None and term.outputs.requires_grad:
        yield from _along(term, parameters, max(1, _ENTRIES // size))


def _apart(term: Term, parameters: Sequence[Tensor], most: int) -> Iterator[Tensor]:
    """Every row has weights of its own, and one backward pass derives all rows."""
    layer, inputs = term.layer, term.inputs
    if layer is None or inputs is None:
        raise ValueError("a term with a layer needs its inputs")
    names = list(layer.named_parameters(remove_duplicate=False))
    wanted = {id(p) for p in parameters} & {id(p) for _, p in names}
    if not wanted:
        return
    for start in range(0, len(inputs), most):
        rows = inputs[start : start + most]
        directions = term.directions[start : start + most]
        own = {
            id(p): p.detach().expand(len(rows), *p.shape).requires_grad_()
            for _, p in names
            if id(p) in wanted
        }
        weights = {name: own[id(p)] for name, p in names if id(p) in own}
        with torch.enable_grad():
            outputs = batched(layer, weights, rows.unsqueeze(1))
            outputs = outputs.expand(len(rows), *outputs.shape[1:]).reshape(directions[:, 0].shape)
        for k in range(directions.shape[1]):
            found = torch.autograd.grad(
                outputs,
                list(own.values()),
                directions[:, k],
                retain_graph=k + 1 < directions.shape[1],
                allow_unused=True,
            )
            yield _joined(dict(zip(own, found, strict=True)), parameters, len(rows))


def _along(term: Term, parameters: Sequence[Tensor], most: int) -> Iterator[Tensor]:
    """One backward pass of the whole graph for each row, several of them together."""
    outputs = term.outputs
    if outputs is None:
        raise ValueError("a term without a layer needs outputs")
    count = term.directions.shape[1]
    # Each of some rows has a backward pass over all rows: fewer of them are held together.
    most = max(1, min(most, term.height, 1 + most // max(1, len(outputs))))
    for start in range(0, term.height, most):
        places = torch.arange(start, min(start + most, term.height), device=outputs.device)
        along = outputs.new_zeros(len(places), *outputs.shape)
        line, which = places // count, places % count
        along[torch.arange(len(places)), line] = term.directions[line, which]
        yield _joined(_derived(outputs, parameters, along), parameters, len(places))


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


def _joined(found: dict[int, Tensor | None], parameters: Sequence[Tensor], count: int) -> Tensor:
    """Derivatives by each parameter as one flat row each; zeros where there is none."""
    parts = []
    for parameter in parameters:
        part = found.get(id(parameter))
        if part is None:
            part = parameter.new_zeros(count, parameter.numel())
        parts.append(part.reshape(count, -1))
    return torch.cat(parts, -1)
