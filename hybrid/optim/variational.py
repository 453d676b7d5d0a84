"""The metric of mean-field posteriors: natural-gradient variational inference (floor 3)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.bayes.gaussian import GaussianSpread
from hybrid.bayes.posterior import Posterior

__all__ = ["Variational"]


class Variational:
    r"""The Fisher information of independent normal weights in their means and raw scales.

    .. math:: F_\mu = \frac{1}{N\sigma^2}, \qquad
        F_\rho = \frac{2}{N\sigma^2} \left(\frac{d\sigma}{d\rho}\right)^2,
        \qquad \sigma = \mathrm{softplus}(\rho)

    With it the steps of `NaturalGradient` follow the natural gradient of the ELBO in the space of
    distributions over weights. The objective is the ELBO per row, so the information is one per row
    too: N is the objective's ``data_size``. Useful learning rates are near those of natural
    gradient inference elsewhere, 1 at most.

    Raises:
        ValueError: When called: a parameter is neither a mean nor a raw scale of a `MeanField`.

    Source: Khan & Nielsen (2018), *Fast yet simple natural-gradient descent for variational
    inference in complex models*, section 2; Amari (1998), *Natural gradient works efficiently in
    learning*.

    Example:
        >>> from hybrid.bayes.conversion import variational
        >>> from hybrid.bayes.mean_field import MeanField
        >>> law = variational(nn.Linear(1, 1, bias=False), family=MeanField(scale=0.5))
        >>> Variational()(law, None, list(law.parameters()))
        tensor([4.0000, 1.2385])
    """

    @torch.no_grad()
    def __call__(
        self,
        objective: nn.Module,
        batch: Any,  # noqa: ARG002 (the contract's argument)
        parameters: Sequence[nn.Parameter],
    ) -> Float[Tensor, " parameters"]:
        """The diagonal of the information; no data is looked at."""
        known = dict(_informations(objective))
        names = {id(p): name for name, p in objective.named_parameters()}
        wrong = [f"'{names.get(id(p), '?')}'" for p in parameters if id(p) not in known]
        if wrong:
            raise ValueError(
                f"Variational is for the means and raw scales of MeanField posteriors, and "
                f"{', '.join(wrong)} is none: put it in a group of its own, by hybrid.optim.groups"
            )
        units = _data_size(objective)
        return torch.cat([known[id(p)].reshape(-1) for p in parameters]) / units

    def __repr__(self) -> str:
        return "Variational()"


def _informations(objective: nn.Module) -> Iterator[tuple[int, Tensor]]:
    """Each mean's and raw scale's information, by the parameter's identity."""
    for part in objective.modules():
        spread = part.spread if isinstance(part, Posterior) else None
        if not isinstance(part, Posterior) or not isinstance(spread, GaussianSpread):
            continue
        if spread.mixing is not None:  # correlated weights have another information
            continue
        raws: Any = spread.raw_scale
        for name, raw in zip(part._names, raws.values(), strict=True):
            precision = F.softplus(raw).square().reciprocal()
            yield id(part.mean.get_parameter(name)), precision
            yield id(raw), 2 * precision * torch.sigmoid(raw).square()


def _data_size(objective: nn.Module) -> int:
    """The rows of the whole data, which an objective inside states; 1 if none does."""
    sizes = {
        size
        for part in objective.modules()
        if isinstance(size := getattr(part, "data_size", None), int)
    }
    if len(sizes) > 1:
        raise ValueError(
            f"Variational: parts of the objective state different data sizes, {sorted(sizes)}: "
            "give them the same"
        )
    return sizes.pop() if sizes else 1
