"""SWAG: a normal distribution read off the path of the optimiser (floor 1)."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal.draws import seeded, standard_normal
from hybrid.bayes.batching import is_random
from hybrid.bayes.conversion import variational
from hybrid.bayes.flat import flattened, unflattened
from hybrid.bayes.members import Members, ensemble
from hybrid.bayes.naming import named_in
from hybrid.bayes.norm_statistics import is_batch_norm, refresh
from hybrid.bayes.posterior import Posterior

__all__ = ["SWAG", "low_rank_normal", "needs_statistics", "with_statistics"]


def low_rank_normal(
    mean: Float[Tensor, " weights"],
    variance: Float[Tensor, " weights"],
    deviations: Float[Tensor, "rank weights"],
    diagonal_noise: Float[Tensor, "*draws weights"],
    rank_noise: Float[Tensor, "*draws rank"],
) -> Float[Tensor, "*draws weights"]:
    r"""Draws of :math:`N(\bar\theta, \tfrac12 \Sigma_{diag} + \tfrac{1}{2(K-1)} D D^\top)`.

    Args:
        mean: :math:`\bar\theta`.
        variance: The diagonal of :math:`\Sigma_{diag}`.
        deviations: The K columns of D, as rows; none for the diagonal alone, which then counts
            whole.
        diagonal_noise: Standard normal.
        rank_noise: Standard normal.

    Source: Maddox et al. (2019), *A simple baseline for Bayesian uncertainty in deep learning*,
    eq. 1.

    Example:
        >>> one, noise = torch.ones(2), torch.ones(5, 2)
        >>> low_rank_normal(one, one, torch.zeros(3, 2), noise, torch.ones(5, 3))[0]
        tensor([1.7071, 1.7071])
    """
    rank = len(deviations)
    if rank < 2:
        return mean + variance.sqrt() * diagonal_noise
    low = rank_noise @ deviations / math.sqrt(2 * (rank - 1))
    return mean + math.sqrt(0.5) * variance.sqrt() * diagonal_noise + low


class SWAG:
    r"""Callback of ``hybrid.fit`` that follows the weights; `apply` makes them a posterior.

    It keeps the mean :math:`\bar\theta` and variance of the weights along the path, and the last K
    deviations :math:`\theta_i - \bar\theta_i` from the mean so far. The parameters in training are
    left alone. Let the optimiser stay noisy while weights are collected: a constant, rather large
    learning rate.

    Args:
        rank: The number K of deviations kept; 0 for the diagonal alone.
        after: Epochs that are left out at the start.
        every: "epoch", or a number of steps: when weights are collected.

    Raises:
        ValueError: ``rank`` is 1 or negative, ``after`` negative, or ``every`` neither.

    Source: Maddox et al. (2019), *A simple baseline for Bayesian uncertainty in deep learning*,
    algorithm 1.

    Example:
        >>> import hybrid
        >>> law = hybrid.heads.Normal(nn.Linear(1, 8))
        >>> x = torch.linspace(-1, 1, 64).unsqueeze(-1)
        >>> swag, sgd = SWAG(rank=5, after=2), lambda p: torch.optim.SGD(p, 0.01)
        >>> objective = hybrid.objectives.ELBO(law, data_size=64)
        >>> data = (x, torch.sin(9 * x.squeeze(-1)))
        >>> _ = hybrid.fit(objective, data, optimizer=sgd, batch_size=8, callbacks=[swag])
        >>> swag.count
        8
        >>> hybrid.predict(swag.apply(law), x, draws=30).mean.shape
        torch.Size([64])
    """

    def __init__(
        self, rank: int = 20, after: int = 0, every: Literal["epoch"] | int = "epoch"
    ) -> None:
        if not isinstance(rank, int) or rank < 0 or rank == 1:
            raise ValueError(f"rank is 0 for a diagonal covariance, or at least 2: {rank}")
        if not isinstance(after, int) or after < 0:
            raise ValueError(f"after is a number of epochs: {after}")
        if every != "epoch" and not (isinstance(every, int) and every > 0):
            raise ValueError(f"every is 'epoch' or a positive number of steps: {every!r}")
        self.rank, self.after, self.every = rank, after, every
        self.count = 0
        self._live: dict[str, nn.Parameter] = {}
        self._mean: list[Tensor] = []
        self._squares: list[Tensor] = []
        self._deviations: list[list[Tensor]] = []

    def on_start(self, state: Any) -> None:
        """Forget an earlier training."""
        named = state.objective.named_parameters()
        self._live = {name: value for name, value in named if value.requires_grad}
        self.count, self._mean, self._squares, self._deviations = 0, [], [], []

    def on_step_end(self, state: Any) -> None:
        """Collect the weights where steps are counted."""
        if self.every != "epoch" and state.epoch > self.after and state.step % self.every == 0:
            self._collect()

    def on_epoch_end(self, state: Any) -> None:
        """Collect the weights where epochs are counted."""
        if self.every == "epoch" and state.epoch > self.after:
            self._collect()

    @torch.no_grad()
    def _collect(self) -> None:
        now = [value.detach().clone() for value in self._live.values()]
        self.count += 1
        if self.count == 1:
            self._mean = [value.clone() for value in now]
            self._squares = [torch.zeros_like(value) for value in now]
        before = torch._foreach_sub(now, self._mean)  # Welford: no difference of large numbers
        torch._foreach_add_(self._mean, before, alpha=1 / self.count)
        after = list(torch._foreach_sub(now, self._mean))
        torch._foreach_addcmul_(self._squares, list(before), after)
        if self.rank:
            self._deviations = [*self._deviations, after][-self.rank :]

    def state_dict(self) -> dict[str, Any]:
        """What is needed to resume."""
        return {
            "count": self.count,
            "mean": list(self._mean),
            "squares": list(self._squares),
            "deviations": [list(one) for one in self._deviations],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.count = state["count"]
        self._mean = self._like(state["mean"])
        self._squares = self._like(state["squares"])
        self._deviations = [self._like(one) for one in state["deviations"]]

    def _like(self, values: Sequence[Tensor]) -> list[Tensor]:
        return [v.to(p, copy=True) for v, p in zip(values, self._live.values(), strict=False)]

    def apply(
        self,
        law: nn.Module,
        data: Any = None,
        *,
        scale: float = 1.0,
        draws: int = 30,
        generator: torch.Generator | None = None,
    ) -> nn.Module:
        """The law with these weights: a Law like it, of random weights with divergence 0.

        Running statistics of batch norms belong to one set of weights. Where the law has batch
        norms, ``draws`` sets are therefore drawn now, and for each the statistics are computed anew
        over ``data``; the result is an ensemble of these, whose parameters are frozen.

        Args:
            law: The Law (or Layer, or model of laws) that was trained, or one like it. It is not
                changed.
            data: Inputs, pairs (x, y) or columns for batch norms, at once or in batches.
            scale: Factor of the standard deviation; 1 is the paper's, 0 the averaged weights.
            draws: The number of weight sets, where there are batch norms.
            generator: Source of these; None advances torch's global generator.

        Raises:
            ValueError: Fewer than two weights have been collected, ``law`` has none of the
                parameters, is random already, or has batch norms and there is no data.
        """
        if self.count < 2:
            raise ValueError(
                f"SWAG has collected {self.count} weight sets of at least 2: pass it to hybrid.fit "
                f"as a callback, for more than {self.after + 1} epochs (after={self.after})"
            )
        if not 0 <= scale < math.inf:
            raise ValueError(f"scale is a number from 0: {scale}")
        if is_random(law):
            raise ValueError(f"{type(law).__name__} is already random: give the plain law")
        norms = needs_statistics(law, data)
        plain = copy.deepcopy(law)
        result = self._random(plain, scale)
        if not norms:
            return result
        return with_statistics(plain, _drawn(result, draws, generator), data, generator)

    def _random(self, plain: nn.Module, scale: float) -> nn.Module:
        """``plain`` at the mean, with random weights around it."""
        shapes = {name: value.shape for name, value in self._live.items()}
        names = named_in(plain, self._live, "the collected parameter", shapes)
        table = {}
        for k, own in enumerate(names.values()):
            parameter = plain.get_parameter(own).requires_grad_(True)
            parameter.data.copy_(self._mean[k])
            deviations = [one[k].to(parameter) * scale for one in self._deviations]
            variance = self._squares[k].to(parameter) / self.count * scale**2
            table[id(parameter)] = (variance, deviations)
        return variational(plain, _WeightAverage(table), include=list(names.values()))


class _WeightAverage:
    """The family of variances and deviations, by the identity of the parameters."""

    def __init__(self, table: Mapping[int, tuple[Tensor, Sequence[Tensor]]]) -> None:
        self.table = table

    def spread(
        self,
        means: Mapping[str, nn.Parameter],
        prior_scales: Mapping[str, float],  # noqa: ARG002 (the contract's)
    ) -> nn.Module:
        chosen = [self.table[id(mean)] for mean in means.values()]
        variance = flattened(variance for variance, _ in chosen)
        columns = zip(*(deviations for _, deviations in chosen), strict=True)
        rows = [flattened(column) for column in columns]
        return _Path(variance, torch.stack(rows) if rows else variance.new_zeros(0, len(variance)))


class _Path(nn.Module):
    """What was seen along the path, as a spread of flat weights."""

    variance: Tensor
    deviations: Tensor

    def __init__(self, variance: Tensor, deviations: Tensor) -> None:
        super().__init__()
        self.register_buffer("variance", variance)
        self.register_buffer("deviations", deviations)

    def sample(
        self, means: Mapping[str, Tensor], draws: int | None, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        mean = flattened(means.values())
        lead = () if draws is None else (draws,)
        first = standard_normal((*lead, len(mean)), mean, generator)
        second = standard_normal((*lead, len(self.deviations)), mean, generator)
        flat = low_rank_normal(mean, self.variance, self.deviations, first, second)
        return unflattened(flat, means)

    def divergence_of(self, means: Mapping[str, Tensor]) -> Tensor:
        return next(iter(means.values())).new_zeros(())


def _drawn(random: nn.Module, draws: int, generator: torch.Generator | None) -> dict[str, Tensor]:
    """Draws of all random weights, by the parameters' names in the plain law."""
    tables: dict[str, Tensor] = {}
    for path, part in random.named_modules():
        if isinstance(part, Posterior):
            lead = f"{path}." if path else ""
            drawn = part.weights(draws, generator)
            tables |= {f"{lead}{name}": values.detach() for name, values in drawn.items()}
    return tables


def with_statistics(
    plain: nn.Module,
    weights: Mapping[str, Tensor],
    data: Any,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """An ensemble of given weight sets, each with batch norm statistics computed over ``data``.

    Args:
        plain: A Law, or any module.
        weights: Weight sets ``(draws, *shape)`` by the parameters' names.
        data: See `hybrid.bayes.norm_statistics.refresh`.
        generator: Source of what is drawn while ``data`` runs through.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
        >>> drawn = {name: torch.randn(3, *value.shape) for name, value in net.named_parameters()}
        >>> with_statistics(net, drawn, torch.randn(8, 1)).eval()(torch.zeros(5, 1), draws=3).shape
        torch.Size([3, 5, 1])
    """
    draws = len(next(iter(weights.values())))
    made = []
    for index in range(draws):
        twin = copy.deepcopy(plain)
        for name, values in weights.items():
            twin.get_parameter(name).data.copy_(values[index])
        with seeded(generator):  # a law may draw where it is run
            refresh(twin, data)
        made.append(twin)
    turn = iter(made)
    result = ensemble(plain, draws, factory=lambda: next(turn))
    for part in result.modules():
        if isinstance(part, Members):
            part.requires_grad_(False)
    return result


def needs_statistics(law: nn.Module, data: Any) -> bool:
    """Whether the law has batch norms, which have to be given ``data``.

    Raises:
        ValueError: It has, and there is none.

    Example:
        >>> needs_statistics(nn.Linear(2, 1), None)
        False
    """
    norms = any(is_batch_norm(part) for part in law.modules())
    if norms and data is None:
        raise ValueError(
            f"{type(law).__name__} has batch norms, whose statistics must be computed anew for "
            "every weight set: give data="
        )
    return norms
