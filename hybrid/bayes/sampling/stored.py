"""A Law with given draws of its weights (floor 2)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hybrid.bayes.conversion import variational
from hybrid.bayes.naming import named_in

__all__ = ["with_draws"]


def with_draws(law: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """The same Law, its weights drawn from stored ones.

    ``law(x, draws=S)`` takes S of them at random, without repetition where there are enough. Its
    divergence is 0.

    Args:
        law: A Law of the form ``link(body(context))``, or any Layer.
        weights: Draws ``(count, *shape)`` by the parameters' names in ``law``, or by longer names
            that end with them.

    Raises:
        ValueError: A name fits no parameter of the law, or two, or a shape is another one.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> law = Normal(torch.nn.Linear(2, 8))
        >>> draws = {name: torch.zeros(50, *p.shape) for name, p in law.named_parameters()}
        >>> with_draws(law, draws)(torch.zeros(7, 2), draws=20).batch_shape
        torch.Size([20, 7])
    """
    known = dict(law.named_parameters())
    found: dict[int, Tensor] = {}
    shapes = {name: values.shape[1:] for name, values in weights.items()}
    for name, own in named_in(law, weights, "the draw of", shapes).items():
        found[id(known[own])] = weights[name]
    include = [name for name, value in known.items() if id(value) in found]
    return variational(law, _Stored(found), include=include)


class _Stored:
    """The family of stored draws."""

    def __init__(self, draws: Mapping[int, Tensor]) -> None:
        self.draws = draws

    def spread(
        self,
        means: Mapping[str, nn.Parameter],
        prior_scales: Mapping[str, float],  # noqa: ARG002 (the contract's)
    ) -> nn.Module:
        return _Choice({name: self.draws[id(mean)].to(mean) for name, mean in means.items()})


class _Choice(nn.Module):
    """Stored draws, of which some are chosen at random."""

    def __init__(self, draws: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._keys = {name: f"draws{i}" for i, name in enumerate(draws)}
        for name, values in draws.items():
            self.register_buffer(self._keys[name], values.detach().clone())

    def sample(
        self, means: Mapping[str, Tensor], draws: int | None, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        stored = {name: self.get_buffer(self._keys[name]) for name in means}
        total = len(next(iter(stored.values())))
        device = "cpu" if generator is None else generator.device
        wanted = 1 if draws is None else draws
        if wanted <= total:
            index = torch.randperm(total, generator=generator, device=device)[:wanted]
        else:
            index = torch.randint(total, (wanted,), generator=generator, device=device)
        rows = index if draws is not None else index[0]
        return {name: values[rows.to(values.device)] for name, values in stored.items()}

    def divergence_of(self, means: Mapping[str, Tensor]) -> Tensor:
        return next(iter(means.values())).new_zeros(())
