"""The evidence lower bound of a Law or a Joint (floor 1)."""

from collections.abc import Mapping
from typing import Any, SupportsIndex

import torch
import torch.distributions as td
from torch import Tensor, nn

from causal.draws import divergence, fixed
from causal.law import law_at, log_probability_of
from hybrid.loss import Loss, whole
from hybrid.objectives.pairs import data_pair, described

__all__ = ["ELBO"]


class ELBO(nn.Module):
    r"""Negative evidence lower bound per unit of data, of a Law or a Joint.

    .. math:: -\frac{1}{SB} \sum_{s=1}^S \sum_{i=1}^B \log p(y_i \mid x_i, w_s)
        + \frac{1}{N} KL(q(w) \,\|\, p(w)), \qquad w_s \sim q

    Its minimum does not depend on the batch size B, and N times it is the negative ELBO of the
    whole data. Without random weights the divergence is 0 and this is maximum likelihood. The
    weights are drawn once per call and serve the whole batch.

    Args:
        model: A Law, for batches ``(x, y)``; or a Joint, for batches ``{name: column}``.
        data_size: N, the number of units (rows) in the whole training data.
        draws: S, the number of weight sets drawn per call.
        seed: None draws new weights in each call, from torch's global generator. A number draws
            the same weights in every call (common random numbers) and leaves the global state
            alone: the objective is then a deterministic function, as line searches want.

    Raises:
        ValueError: ``data_size`` or ``draws`` is below 1, ``y`` does not have the law's shape or is
            none of its classes, or a variable of the Joint has no column.
        TypeError: The batch is neither a pair nor a mapping, or complex; ``model`` is no module.

    Source: Blundell et al., Weight Uncertainty in Neural Networks, ICML 2015, eq. 2 and 8.

    Example:
        >>> import pyro.distributions as dist, torch
        >>> class Line(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.body = torch.nn.Linear(1, 1)
        ...
        ...     def forward(self, context):
        ...         return dist.Normal(self.body(context).squeeze(-1), 1.0)
        >>> objective = ELBO(Line(), data_size=100)
        >>> loss = objective((torch.zeros(8, 1), torch.zeros(8)))
        >>> sorted(loss.parts)
        ['divergence', 'likelihood']
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        data_size: SupportsIndex,
        draws: SupportsIndex = 1,
        seed: SupportsIndex | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"model must be a Law or Joint, a torch.nn.Module: got {type(model).__name__}"
            )
        self.model = model
        self.data_size = whole("data_size", data_size)
        self.draws = whole("draws", draws)
        self.seed = None if seed is None else whole("seed", seed, least=None)

    def forward(self, batch: Any) -> Loss:
        """The loss of one batch: ``(x, y)`` for a Law, ``{name: column}`` for a Joint."""
        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        with fixed(self.model, self.draws, generator):
            likelihood = -self._log_probability(batch).mean()
            distance = divergence(self.model).to(likelihood.device) / self.data_size
        parts = {"likelihood": likelihood, "divergence": distance}
        return Loss(likelihood + distance, parts)

    def _log_probability(self, batch: Any) -> Tensor:
        if isinstance(batch, Mapping):
            joint: Any = self.model
            if not callable(getattr(joint, "log_probability", None)):
                raise TypeError(
                    f"{type(joint).__name__} has no log_probability, so it is no Joint and cannot "
                    "take a batch of named columns: give the batches as (x, y)"
                )
            missing = [repr(name) for name in joint.variables if name not in batch]
            if missing:
                raise ValueError(
                    f"the data has no column {', '.join(missing)}: the ELBO of a "
                    f"{type(joint).__name__} needs all of {list(joint.variables)}"
                )
            result: Tensor = joint.log_probability(batch)
            return result
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise TypeError(
                "ELBO takes a batch (x, y) for a Law or {name: column} for a Joint, not "
                f"{described(batch)}"
            )
        x, y = data_pair(self.model, *batch)
        context = x.unsqueeze(0)  # rule: the leading axis is the draws
        law: Any = self.model
        distribution = law_at(law, context) if x.dim() == 2 else law(context)
        rows, event = distribution.batch_shape[1:], distribution.event_shape
        if y.shape != rows + event:  # complain without the axis of draws, which y does not have
            plain = td.Normal(torch.zeros(rows + event), 1.0)
            log_probability_of(td.Independent(plain, len(event)), torch.zeros(y.shape), "y")
        return log_probability_of(distribution, y.unsqueeze(0), "y")

    def extra_repr(self) -> str:
        """The numbers the objective was made with."""
        return f"data_size={self.data_size}, draws={self.draws}, seed={self.seed}"
