"""Learning rates that start small (floor 1)."""

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, SequentialLR

from hybrid.loss import whole

__all__ = ["warm_up"]


def warm_up(
    steps: int, then: Callable[[Optimizer], Any] | None = None, *, start: float = 0.01
) -> Callable[[Optimizer], Any]:
    """A scheduler that raises the learning rate linearly, and then does what another one does.

    Args:
        steps: How long it rises, in what the `Schedule` counts.
        then: Makes a torch scheduler of an optimiser, for what follows; None keeps the rate.
        start: Share of the learning rate at the first step.

    Raises:
        ValueError: ``steps`` is below 1, or ``start`` not above 0 and at most 1.

    Source: Goyal et al. (2017), *Accurate, large minibatch SGD*, section 2.2.

    Example:
        >>> import torch
        >>> from hybrid.training.callbacks import Schedule
        >>> cosine = lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 900)
        >>> Schedule(warm_up(100, cosine), every="step").every
        'step'
    """
    whole("steps", steps)
    if not 0 < start <= 1:
        raise ValueError(f"start must be above 0 and at most 1: {start}")

    def made(optimizer: Optimizer) -> Any:
        rising = LinearLR(optimizer, start_factor=start, total_iters=steps)
        if then is None:
            return rising
        return SequentialLR(optimizer, [rising, then(optimizer)], milestones=[steps])

    return made
