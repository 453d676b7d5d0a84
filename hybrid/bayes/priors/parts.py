"""Different priors for different parameters (floor 2)."""

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.bayes.priors.normal import Normal
from hybrid.bayes.priors.prior import Draws, PriorDensity

__all__ = ["Parts", "split_by_stated"]


class Parts(nn.Module):
    """Independent priors over parts of one flat vector of weights.

    Args:
        weights: All parameters by name, in their order in the vector.
        parts: Pairs of parameter names, in that order too, and the `PriorDensity` over them.

    Example:
        >>> weights = {"weight": torch.zeros(3), "bias": torch.zeros(1)}
        >>> parts = [(["weight"], Normal(1.0)), (["bias"], Normal(10.0))]
        >>> made = [(names, prior.over({k: weights[k] for k in names})) for names, prior in parts]
        >>> Parts(weights, made).surprisal(torch.zeros(5, 4)).shape
        torch.Size([5])
    """

    def __init__(
        self, weights: Mapping[str, Tensor], parts: Iterable[tuple[Iterable[str], nn.Module]]
    ) -> None:
        super().__init__()
        sizes = [value.numel() for value in weights.values()]
        device = next(iter(weights.values())).device
        places = torch.arange(sum(sizes), device=device).split(sizes)
        where = dict(zip(weights, places, strict=True))
        self.parts = nn.ModuleList()
        for number, (names, density) in enumerate(parts):
            index = torch.cat([where[name] for name in names])
            self.register_buffer(f"index{number}", index, persistent=False)
            self.parts.append(density)

    def divergence_of(
        self, mean: Float[Tensor, "weights"], scale: Float[Tensor, "weights"], draws: Draws
    ) -> Tensor:
        """Sum of the parts' divergences."""

        def chosen(index: Tensor) -> Draws:
            return lambda: draws()[..., index]

        total = mean.new_zeros(())
        for index, density in self._each():
            total = total + density.divergence_of(mean[index], scale[index], chosen(index))
        return total

    def surprisal(self, weights: Float[Tensor, "*draws weights"]) -> Tensor:
        """Sum of the parts' surprisals."""
        total = weights.new_zeros(weights.shape[:-1])
        for index, density in self._each():
            total = total + density.surprisal(weights[..., index])
        return total

    def _each(self) -> Iterable[tuple[Tensor, PriorDensity]]:
        for number, density in enumerate(self.parts):
            yield self.get_buffer(f"index{number}"), cast("PriorDensity", density)


def split_by_stated(
    weights: Mapping[str, Tensor],
    stated: Mapping[str, float] | None,
    make: Callable[[Mapping[str, Tensor]], nn.Module],
) -> nn.Module:
    """The prior that ``make`` gives, but normal where a layer stated a scale of its own.

    Example:
        >>> angles = {"angle": torch.zeros(2)}
        >>> density = split_by_stated(angles, {"angle": 3.0}, Normal(1.0).over)
        >>> density.scale
        tensor(3.)
    """
    own = {name: value for name, value in weights.items() if name not in (stated or {})}
    others = {name: value for name, value in weights.items() if name not in own}
    if not others:
        return make(own)
    normal = Normal().over(others, stated)
    return Parts(weights, [(own, make(own)), (others, normal)]) if own else normal
