"""The answer to a causal question, with its uncertainty and its warrant (floor 0)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from causal.identification.conflict import Conflict
from causal.identification.refusal import Hedge

__all__ = ["Effect"]


@dataclass(frozen=True, eq=False)
class Effect:
    r"""An effect, computed once for each draw of the weights.

    Attributes:
        draws: The effect in each draw, (draws, \*shape): shape () for an average, (batch,) for
            individual effects. One draw where none were asked for.
        identified: The formula that makes the effect a function of the observed distribution; where
            there is none, why, and that the effect rests on the form of the laws.
        target: What was asked, in words.
        level: Default probability of `interval`.
        hedge: The witness that there is no formula, else None.

    Example:
        >>> import torch
        >>> effect = Effect(torch.tensor([0.9, 1.0, 1.1]), "P(Y | do(X)) = P(Y | X)", "E[Y]")
        >>> effect.value, effect.standard_error
        (tensor(1.), tensor(0.1000))
        >>> low, high = effect.interval(0.5)
        >>> round(low.item(), 3), round(high.item(), 3)
        (0.95, 1.05)
    """

    draws: Tensor
    identified: str
    target: str
    level: float = 0.9
    hedge: Hedge | Conflict | None = None

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"level is a probability between 0 and 1, got {self.level}")

    @property
    def value(self) -> Tensor:
        """The mean over draws."""
        return self.draws.mean(0)

    @property
    def standard_error(self) -> Tensor:
        """The standard deviation over draws.

        Raises:
            ValueError: There is one draw only.
        """
        self._several()
        return self.draws.std(0)

    def interval(self, level: float | None = None) -> tuple[Tensor, Tensor]:
        """The central interval over draws that holds ``level`` of them: lower and upper end.

        Args:
            level: A probability; None for the effect's own.

        Raises:
            ValueError: There is one draw only, or no probability was given.
        """
        self._several()
        level = self.level if level is None else level
        if not 0 < level < 1:
            raise ValueError(f"level is a probability between 0 and 1, got {level}")
        tail = (1 - level) / 2
        ends = self.draws.new_tensor([tail, 1 - tail])
        lower, upper = torch.quantile(self.draws, ends, dim=0).unbind(0)
        return lower, upper

    def _several(self) -> None:
        if len(self.draws) < 2:
            raise ValueError(
                "one draw has no spread: ask for the effect with draws=… (at least 2) on a model "
                "with random weights"
            )
