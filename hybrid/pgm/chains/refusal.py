"""Rows that no path can explain are named with the step at which it shows (floor 3)."""

import torch

from hybrid.pgm.chains.layout import Chain, ended, named_row
from hybrid.pgm.chains.partition import filtered

__all__ = ["ImpossibleSequence", "refuse_impossible"]


class ImpossibleSequence(ValueError):  # noqa: N818
    """The observations of a row have probability 0, so that nothing can be said given them.

    Args:
        row: The row, by its number or by one number per axis, as text.
        step: The first step with which the row becomes impossible.

    Example:
        >>> print(ImpossibleSequence("3", 7))
        row 3 has probability 0: nothing that is possible up to step 6 can explain step 7. ...
    """

    def __init__(self, row: str, step: int) -> None:
        super().__init__(row, step)
        self.row, self.step = row, step

    def __str__(self) -> str:
        before = f"that is possible up to step {self.step - 1} " if self.step else ""
        return (
            f"row {self.row} has probability 0: nothing {before}can explain step {self.step}. See "
            "log_probability, which is -inf there; leave the step out (-1, or NaN for real "
            "numbers); or give what is impossible there a small positive probability"
        )


def refuse_impossible(chain: Chain) -> None:
    """See that every row has a path of positive weight.

    Raises:
        ImpossibleSequence: A row has none.

    Example:
        >>> unary = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [-torch.inf, 0.0]]])
        >>> absorbing = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]]).unsqueeze(0)
        >>> refuse_impossible(Chain(unary, absorbing))
        >>> unary[0, 1] = torch.tensor([0.0, -torch.inf])
        >>> refuse_impossible(Chain(unary, absorbing))
        Traceback (most recent call last):
        hybrid.pgm.chains.refusal.ImpossibleSequence: row 0 has probability 0: nothing that is ...
    """
    empty = (filtered(chain) == -torch.inf).all(-1)
    if chain.lengths is not None:
        empty = empty & ~ended(chain.lengths, chain.steps)
    if bool(empty.any()):
        row = named_row(empty.any(-1)) if empty.dim() > 1 else "0"
        raise ImpossibleSequence(row, int(empty.nonzero()[0][-1]))
