"""The column of a context that says which steps a row has (floor 0 of `hybrid.pgm`)."""

from torch import Tensor

__all__ = ["split_mask"]


def split_mask(context: Tensor, position: int | None) -> tuple[Tensor, Tensor | None]:
    """The context without its mask, and the mask; None where there is none.

    What follows the end of a row becomes 0, so that no NaN there reaches a gradient.

    Raises:
        ValueError: There is no such column, or it holds other numbers than 0 and 1.

    Example:
        >>> import torch
        >>> rest, mask = split_mask(torch.tensor([[5.0, 1.0], [float("nan"), 0.0]]), 1)
        >>> rest.tolist(), mask
        ([[5.0], [0.0]], tensor([ True, False]))
    """
    if position is None:
        return context, None
    width = context.shape[-1]
    if not -width <= position < width:
        raise ValueError(f"mask={position}, but the context has {width} columns")
    column = context[..., position]
    wrong = (column != 0) & (column != 1)
    if bool(wrong.any()):
        raise ValueError(
            f"column {position} of the context is the mask: expected 1 on a row's steps and 0 "
            f"after its end, got {float(column[wrong][0]):g}"
        )
    kept = [k for k in range(width) if k != position % width]
    mask = column.bool()
    return context[..., kept].masked_fill(~mask.unsqueeze(-1), 0), mask
