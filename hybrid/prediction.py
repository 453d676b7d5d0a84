"""What a law predicts, and how sure it is (floor 3)."""

import dataclasses
import math
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from causal.draws import fixed, held, seeded
from causal.law import law_at, log_probability_of, states_of
from hybrid.backbones.folded import row_dims
from hybrid.bayes.batching import in_dtype_of, is_random
from hybrid.bayes.chunks import chunked
from hybrid.bayes.members import members_of

__all__ = ["Prediction", "predict"]


@dataclasses.dataclass(frozen=True)
class Prediction:
    r"""The mixture of a law's distributions over S draws of its weights, row by row.

    The law of total variance splits the variance: :math:`\mathrm{Var}(y) = E_w[\mathrm{Var}(y \mid
    w)] + \mathrm{Var}_w(E[y \mid w])`, aleatoric and epistemic. For classes the entropy is split
    likewise (Depeweg et al. 2018, *Decomposition of uncertainty in Bayesian deep learning*,
    section 3). Closed forms are used where the distribution has them, else its ``samples``.

    Args:
        distribution: The law's distribution, batch shape ``(S, *batch)``.
        states: The number of classes of a finite law, else None.
        samples: Values ``(samples, S, *batch, *event)`` where a closed form is missing, else None.

    Example:
        >>> import torch
        >>> normal = torch.distributions.Normal(torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
        >>> prediction = Prediction(normal)
        >>> prediction.mean, prediction.aleatoric, prediction.epistemic
        (tensor([0.]), tensor([1.]), tensor([1.]))
        >>> prediction.quantile(0.5).round(decimals=4).abs()
        tensor([0.])
    """

    distribution: Distribution
    states: int | None = None
    samples: Tensor | None = None

    @property
    def draws(self) -> int:
        """The number S of draws."""
        return self.distribution.batch_shape[0]

    @property
    def mean(self) -> Tensor:
        """Mean of the mixture, ``(*batch, *event)``."""
        return self._moments()[0].mean(0)

    @property
    def aleatoric(self) -> Tensor:
        """Variance that stays when the weights are known: the mean of the variances."""
        return self._moments()[1].mean(0)

    @property
    def epistemic(self) -> Tensor:
        """Variance of the means over the weights (divisor S).

        From samples, the means' own Monte Carlo variance is taken off.
        """
        means, variances = self._moments()
        spread = means.var(0, correction=0)
        if self.samples is None or _closed_moments(self.distribution) is not None:
            return spread
        noise = variances.mean(0) / len(self.samples) * (1 - 1 / len(means))
        return (spread - noise).clamp_min(0)

    @property
    def variance(self) -> Tensor:
        """Aleatoric plus epistemic variance."""
        return self.aleatoric + self.epistemic

    @property
    def probabilities(self) -> Tensor:
        """Class probabilities ``(*batch, states)``, averaged over the draws."""
        return self._classes("probabilities").mean(0)

    @property
    def entropy(self) -> Tensor:
        """Entropy of `probabilities`, in nats."""
        return _entropy(self._classes("entropy").mean(0))

    @property
    def aleatoric_entropy(self) -> Tensor:
        """Mean over the draws of the entropies, in nats."""
        return _entropy(self._classes("aleatoric_entropy")).mean(0)

    @property
    def mutual_information(self) -> Tensor:
        """Entropy less aleatoric entropy: what the weights would tell about the class, in nats."""
        each = self._classes("mutual_information")
        return (_entropy(each.mean(0)) - _entropy(each).mean(0)).clamp_min(0)

    def quantile(self, q: float) -> Tensor:
        """Smallest value with cumulative probability ``q`` or more, entry by entry.

        Args:
            q: A probability strictly between 0 and 1.

        Raises:
            ValueError: ``q`` is outside.
        """
        if not 0 < q < 1:
            raise ValueError(f"a quantile needs a probability between 0 and 1, got {q}")
        if self.states is not None:
            reached = self.probabilities.cumsum(-1) >= q
            reached[..., -1] = True  # whatever the rounding
            values = _values(self.distribution)
            return values[reached.to(torch.uint8).argmax(-1)]
        if self.samples is not None and not _has_quantiles(self.distribution):
            return _sample_quantile(self.samples, q)
        return _mixture_quantile(_entries(self.distribution), q)

    def log_probability(self, y: Tensor) -> Tensor:
        r"""Log predictive density (or probability) of values, row by row.

        .. math:: \log \frac1S \sum_s p(y_i \mid x_i, w_s)

        Args:
            y: Values ``(*batch, *event)``, never broadcast.

        Raises:
            ValueError: ``y`` has another shape, or values that the law does not have.

        Example:
            >>> normal = torch.distributions.Normal(torch.zeros(4, 2), 1.0)
            >>> Prediction(normal).log_probability(torch.tensor([0.0, 2.0]))
            tensor([-0.9189, -2.9189])
        """
        return self.log_likelihood(y).logsumexp(0) - math.log(self.draws)

    def log_likelihood(self, y: Tensor) -> Tensor:
        r"""Log density (or probability) of values under each draw, ``(S, *batch)``.

        Args:
            y: Values ``(*batch, *event)``, never broadcast.

        Raises:
            ValueError: ``y`` has another shape, or values that the law does not have.

        Example:
            >>> normal = torch.distributions.Normal(torch.zeros(4, 2), 1.0)
            >>> Prediction(normal).log_likelihood(torch.tensor([0.0, 2.0])).shape
            torch.Size([4, 2])
        """
        shape = self.distribution.batch_shape[1:] + self.distribution.event_shape
        if y.shape != shape:
            raise ValueError(
                f"y has shape {tuple(y.shape)}, the prediction is for {tuple(shape)}: they must "
                "agree, data is never broadcast"
            )
        return log_probability_of(self.distribution, y.expand(self.draws, *y.shape), "y")

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Central interval (lower, upper) that holds a share ``level`` of the mixture."""
        if not 0 < level < 1:
            raise ValueError(f"level is a probability between 0 and 1, got {level}")
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of each draw's distribution, ``(S, *batch, *event)``."""
        if self.states is not None and not _values(self.distribution).is_floating_point():
            raise AttributeError("classes have no mean or variance: use probabilities and entropy")
        closed = _closed_moments(self.distribution)
        if closed is not None:
            return closed
        if self.samples is None:
            raise AttributeError(
                f"{type(self.distribution).__name__} has no mean and variance in closed form: "
                "give samples, as hybrid.predict does"
            )
        return self.samples.mean(0), self.samples.var(0)

    def _classes(self, name: str) -> Tensor:
        """Class probabilities of each draw, ``(S, *batch, states)``."""
        if self.states is None:
            raise AttributeError(
                f"{name} is for laws with classes; {type(self.distribution).__name__} has mean, "
                "variance, quantile and interval"
            )
        values = _values(self.distribution)
        shaped = values.reshape(-1, *[1] * len(self.distribution.batch_shape))
        return self.distribution.log_prob(shaped).exp().movedim(0, -1)


@torch.no_grad()
def predict(
    law: nn.Module,
    x: Shaped[Tensor, "*rows"],
    draws: int | None = None,
    generator: torch.Generator | None = None,
    *,
    samples: int | None = None,
    chunk: int | None = None,
) -> Prediction:
    """Predict with a Law: mean, variance and its split, quantiles; probabilities for classes.

    Nothing is switched to evaluation mode: call ``law.eval()`` where dropout or batch norm should
    be still. No gradient is recorded.

    Args:
        law: Any Law.
        x: Contexts ``(*batch, width)``, cast to the law's dtype; ``(*batch, *row)`` where the body
            says that its rows have more axes (images, sequences).
        draws: The number S of weight sets; None for the members of an ensemble, for 100 where the
            law is random otherwise, for 1 where it is not, for what is held inside
            ``hybrid.bayes.fixed``.
        generator: Source of randomness; None advances torch's global generator.
        samples: Values drawn per weight set where mean, variance or quantile has no closed form;
            None for 4096 in all, but at least 32 each.
        chunk: How many weight sets run through the random layers at one time: memory for their
            activations grows with it, not with ``draws``. None for as many as make 65,536 rows. The
            weights do not depend on it.

    Raises:
        ValueError: The law's distributions do not fit ``x``, or a number is below 1.
        TypeError: ``law`` is no Law, or ``x`` is not a tensor of real numbers.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.bayes.conversion import variational
        >>> prediction = predict(variational(Normal(torch.nn.Linear(3, 8))), torch.zeros(5, 3))
        >>> prediction.draws, prediction.mean.shape
        (100, torch.Size([5]))
        >>> lower, upper = prediction.interval(0.9)
        >>> bool((lower < prediction.mean).all() and (prediction.mean < upper).all())
        True
    """
    if samples is not None and samples < 2:
        raise ValueError(f"samples must be at least 2: {samples}")
    if not (hasattr(law, "support") and hasattr(law, "event_shape")):
        raise TypeError(f"predict takes a Law such as hybrid.heads.Normal(body), got {law!r}")
    x = in_dtype_of(law, x)
    random = is_random(law)
    if draws is None and not any(held(part) for part in law.modules()):
        draws = members_of(law) or (100 if random else 1)
    dims = row_dims(law)
    with chunked(chunk), fixed(law, draws, generator) as current:
        lead = random and current is not None
        given = x.unsqueeze(0) if lead else x
        plain = dims == 1 and not (lead and x.dim() == 1)
        distribution = law_at(law, given) if plain else law(given)
    distribution = distribution.expand(torch.Size((current or 1, *x.shape[: x.dim() - dims])))
    states = states_of(law)
    drawn = None
    if states is None and not (_closed_moments(distribution) and _has_quantiles(distribution)):
        count = samples or max(32, -(-4096 // distribution.batch_shape[0]))
        with seeded(generator):
            drawn = distribution.sample(torch.Size((count,)))
    return Prediction(distribution, states, drawn)


def _values(distribution: Any) -> Tensor:
    """The values of a finite distribution, in order."""
    return distribution.enumerate_support(expand=False).flatten()


def _entries(distribution: Any) -> Any:
    """The distribution of single entries of a vector of independent ones."""
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return distribution


def _closed_moments(distribution: Any) -> tuple[Tensor, Tensor] | None:
    try:
        return distribution.mean, distribution.variance
    except (AttributeError, NotImplementedError):
        return None


def _has_quantiles(distribution: Any) -> bool:
    entries = _entries(distribution)
    if tuple(entries.event_shape):
        return False
    try:
        entries.cdf(entries.icdf(torch.tensor(0.5)))
    except (AttributeError, NotImplementedError):
        return False
    return True


def _sample_quantile(samples: Tensor, q: float) -> Tensor:
    flat = samples.flatten(0, 1)
    return flat.kthvalue(min(max(math.ceil(q * len(flat)), 1), len(flat)), dim=0).values


def _mixture_quantile(entries: Any, q: float) -> Tensor:
    """Bisection of the mean of the draws' cdfs between their smallest and largest quantile."""
    each = entries.icdf(torch.tensor(q, dtype=torch.float64))
    low, high = each.amin(0), each.amax(0)
    if len(each) == 1:
        return low

    def reached(value: Tensor) -> Tensor:
        return entries.cdf(value.unsqueeze(0)).mean(0) >= q

    high = torch.where(reached(low), low, high)  # an atom
    for _ in range(64 if each.dtype == torch.float64 else 40):
        middle = low + (high - low) / 2
        enough = reached(middle)
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high


def _entropy(probabilities: Tensor) -> Tensor:
    return torch.special.entr(probabilities).sum(-1)
