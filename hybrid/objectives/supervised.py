"""Training a law or a plain network by a loss (floor 1)."""

from collections.abc import Callable
from typing import Any, SupportsIndex

import torch
import torch.distributions as td
from torch import Tensor, nn

from causal.draws import divergence, fixed
from causal.law import law_at
from hybrid.bayes.batching import in_dtype_of, is_random
from hybrid.loss import Loss, whole
from hybrid.objectives.pairs import data_pair, described

__all__ = ["Supervised"]


class Supervised(nn.Module):
    r"""Mean loss of a law's or a network's predictions, plus the divergence of random weights.

    .. math:: \frac{1}{SB} \sum_{s, i} \ell(f_{w_s}(x_i), y_i)
        + \frac{1}{N} KL(q(w) \,\|\, p(w)), \qquad w_s \sim q

    With random weights and a loss that is no likelihood this is the generalised variational bound
    (Knoblauch, Jewson & Damoulas 2022, *An optimization-centric view on Bayes' rule*, eq. 10).

    Args:
        model: A Law, whose distribution is what the loss sees, or any Layer, whose tensor it sees.
        loss: ``loss(predicted, y)``, one number per row or their mean: a function or module of
            `hybrid.losses`, or of torch (``torch.nn.MSELoss()``). A module's parameters are
            trained too.
        data_size: N, the rows of the whole training data; needed where weights are random.
        draws: S, the number of weight sets drawn per call.
        seed: A number draws the same weights in every call and leaves torch's global state alone.

    Raises:
        TypeError: ``model`` is no module, ``loss`` not callable, or the batch not a pair.
        ValueError: Weights are random and ``data_size`` is missing.

    Example:
        >>> from hybrid.losses import focal
        >>> objective = Supervised(torch.nn.Linear(3, 4), focal)
        >>> loss = objective((torch.zeros(8, 3), torch.zeros(8, dtype=torch.long)))
        >>> list(loss.parts), loss.total.shape
        (['loss'], torch.Size([]))
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Any, Tensor], Tensor],
        *,
        data_size: SupportsIndex | None = None,
        draws: SupportsIndex = 1,
        seed: SupportsIndex | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module: got {type(model).__name__}")
        if not callable(loss) or isinstance(loss, type):
            raise TypeError(f"loss must be a function or a module of (predicted, y): got {loss!r}")
        if is_random(model) and data_size is None:
            raise ValueError(
                f"{type(model).__name__} has random weights: give data_size=, the number of "
                "training rows, by which their divergence is divided"
            )
        self.model = model
        self.loss = loss
        self.data_size = None if data_size is None else whole("data_size", data_size)
        self.draws = whole("draws", draws)
        self.seed = None if seed is None else whole("seed", seed, least=None)

    def forward(self, batch: Any) -> Loss:
        """The loss of one batch ``(x, y)``."""
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise TypeError(f"Supervised takes a batch (x, y), not {described(batch)}")
        if not is_random(self.model):
            mean = self._mean(*self._predicted(*batch))
            return Loss(mean, {"loss": mean})
        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        with fixed(self.model, self.draws, generator):
            mean = self._mean(*self._drawn(*batch))
            distance = divergence(self.model).to(mean) / (self.data_size or 1)
        return Loss(mean + distance, {"loss": mean, "divergence": distance})

    def extra_repr(self) -> str:
        """The numbers the objective was made with."""
        name = "" if isinstance(self.loss, nn.Module) else f"loss={_name(self.loss)}, "
        return f"{name}data_size={self.data_size}, draws={self.draws}, seed={self.seed}"

    def _predicted(self, x: Any, y: Any) -> tuple[Any, Tensor]:
        if hasattr(self.model, "support"):
            x, y = data_pair(self.model, x, y)
            return law_at(self.model, x) if x.dim() == 2 else self.model(x), y
        return self.model(in_dtype_of(self.model, x)), y

    def _drawn(self, x: Any, y: Any) -> tuple[Any, Tensor]:
        """Predictions and values with the axis of draws; a network's has it in the batch."""
        law = hasattr(self.model, "support")
        given, values = data_pair(self.model, x, y) if law else (in_dtype_of(self.model, x), y)
        plain = law and given.dim() == 2
        found: Any = (law_at if plain else _called)(self.model, given.unsqueeze(0))
        lifted = values.expand(self.draws, *values.shape)
        if isinstance(found, td.Distribution):
            rows = torch.Size((self.draws, *found.batch_shape[1:]))
            return found.expand(rows), lifted
        return found.flatten(0, 1), lifted.flatten(0, 1)

    def _mean(self, predicted: Any, y: Tensor) -> Tensor:
        each = self.loss(predicted, y)
        return each if not each.dim() else each.mean()


def _called(model: Any, x: Tensor) -> Any:
    return model(x)


def _name(loss: Any) -> str:
    return getattr(loss, "__name__", type(loss).__name__)
