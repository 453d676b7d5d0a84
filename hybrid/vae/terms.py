"""The terms of a row's evidence lower bound, as functions of laws and tensors (floor 0)."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
import torch.distributions as td
from torch import Tensor, nn
from torch.func import functional_call

from causal.draws import seeded, standard_normal
from causal.law import encode, law_at
from causal.noise import replay
from hybrid.vae.likelihood import unchecked

__all__ = [
    "Parts",
    "Terms",
    "averaged",
    "beside",
    "drawn",
    "normal_of",
    "rates",
    "seen_by",
    "terms_of",
]


@runtime_checkable
class Parts(Protocol):
    """Three Laws that make a variational autoencoder.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.vae.autoencoder import VAE
        >>> linear = torch.nn.Linear
        >>> parts: Parts = VAE(Normal(linear(3, 8), event=2), Normal(linear(2, 8), event=3))
    """

    decoder: nn.Module
    prior: nn.Module

    @property
    def posterior(self) -> nn.Module:
        """The encoder."""
        ...


class Terms(NamedTuple):
    r"""What the bound of rows is made of, for each sample z of their hidden codes.

    Attributes:
        decoded: :math:`p(x \mid z)`, batch shape (\*draws, \*samples, \*rows).
        rows: x with an axis for samples.
        posterior: :math:`q(z \mid x)`, batch shape (\*draws, \*rows).
        ratio: :math:`\log p(z) - \log q(z \mid x)`, None where it was not asked for.
        code: z itself, (\*samples, \*draws, \*rows, latent).

    Example:
        >>> normal = td.Independent(td.Normal(torch.zeros(5, 2), 1.0), 1)
        >>> Terms(normal, torch.zeros(5, 2), normal, None, torch.zeros(5, 2)).likelihood().shape
        torch.Size([5])
    """

    decoded: td.Distribution
    rows: Tensor
    posterior: td.Distribution
    ratio: Tensor | None
    code: Tensor

    def likelihood(self) -> Tensor:
        r""":math:`\log p(x \mid z)`, (\*draws, \*samples, \*rows)."""
        return unchecked(self.decoded).log_prob(self.rows)

    def log_weights(self) -> Tensor:
        r""":math:`\log p(x \mid z) p(z) / q(z \mid x)`, (\*draws, \*samples, \*rows).

        Raises:
            ValueError: The ratio was not asked for.
        """
        if self.ratio is None:
            raise ValueError("the ratio of prior and posterior density was not asked for")
        return self.likelihood() + self.ratio


def terms_of(
    parts: Parts,
    x: Tensor,
    context: Tensor,
    *,
    samples: int | None = None,
    draws: int | None = None,
    generator: torch.Generator | None = None,
    shared: bool = False,
    ratio: bool = True,
    stopped: bool = False,
) -> Terms:
    r"""Draw the codes of rows from the encoder, and what the bound needs of them.

    Args:
        parts: Encoder, decoder and prior.
        x: Rows (\*draws, \*rows, \*event) in the decoder's support, the draws' axis 1 or S long.
        context: Contexts (\*draws, \*rows, width), of width 0 where there are none.
        samples: Codes per row, or None for one without an axis.
        draws: The number S of weight sets that are held, or None.
        generator: Source of randomness; None advances torch's global generator.
        shared: Whether all rows get the same noise.
        ratio: Whether the ratio of prior and posterior density is asked for.
        stopped: Whether its posterior's parameters are held fast, so that the encoder is trained
            through the codes alone.

    Raises:
        TypeError: The encoder's distribution has no reparameterised draws.
        ValueError: A law does not fit its context.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.vae.autoencoder import VAE
        >>> linear = torch.nn.Linear
        >>> vae = VAE(Normal(linear(3, 8), event=2), Normal(linear(2, 8), event=3))
        >>> terms_of(vae, torch.zeros(5, 3), torch.zeros(5, 0), samples=4).likelihood().shape
        torch.Size([4, 5])
    """
    seen = beside(seen_by(parts, x, context.dtype), context)
    posterior = law_at(parts.posterior, seen)
    if draws is not None:
        posterior = posterior.expand(torch.Size((draws, *posterior.batch_shape[1:])))
    more = () if samples is None else (samples,)
    code = drawn(posterior, more, context, generator, shared=shared)
    inside = draws is not None and samples is not None  # draws come before samples
    gap = None
    if ratio:
        held = _stopped(parts.posterior, seen) if stopped else posterior
        prior: td.Distribution = parts.prior(context)
        gap = prior.log_prob(code) - held.log_prob(code)
        gap = gap.movedim(0, 1) if inside else gap
    lead = code.movedim(0, 1) if inside else code
    if samples is not None:
        axis = 0 if draws is None else 1
        x, context = x.unsqueeze(axis), context.unsqueeze(axis)
    decoded = law_at(parts.decoder, beside(lead, context))
    return Terms(decoded, x, posterior, gap, code)


def seen_by(parts: Parts, x: Tensor, dtype: torch.dtype) -> Tensor:
    r"""Rows as the encoder's columns (\*batch, width): classes one-hot, all else as numbers.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.vae.autoencoder import VAE
        >>> linear = torch.nn.Linear
        >>> vae = VAE(Normal(linear(3, 8), event=2), Normal(linear(2, 8), event=3))
        >>> seen_by(vae, torch.zeros(5, 3), torch.float32).shape
        torch.Size([5, 3])
    """
    event: Any = parts.decoder.event_shape
    if len(event) == 1 and x.dtype == dtype:
        return x
    return encode(parts.decoder, x, dtype)


def beside(columns: Tensor, context: Tensor) -> Tensor:
    r"""Columns (\*batch, width) and contexts whose axes broadcast to theirs, on one last axis.

    Example:
        >>> beside(torch.zeros(4, 5, 2), torch.zeros(5, 3)).shape
        torch.Size([4, 5, 5])
    """
    if not context.shape[-1]:
        return columns
    lead = torch.broadcast_shapes(columns.shape[:-1], context.shape[:-1])
    return torch.cat([columns.expand(*lead, -1), context.expand(*lead, -1)], -1)


def _stopped(law: nn.Module, context: Tensor) -> td.Distribution:
    """The law's distribution, constant in its parameters."""
    fast = {name: value.detach() for name, value in law.named_parameters()}
    found: td.Distribution = functional_call(law, fast, (context.detach(),))
    return found


def normal_of(distribution: Any) -> td.Normal | None:
    """The entries of a vector of independent normal numbers; None for any other distribution.

    Example:
        >>> normal_of(td.Independent(td.Normal(torch.zeros(2), 3.0), 1)).scale
        tensor([3., 3.])
        >>> normal_of(td.Independent(td.Laplace(torch.zeros(2), 3.0), 1)) is None
        True
    """
    if not isinstance(distribution, td.Independent):
        return None
    entries = distribution.base_dist
    vector = distribution.reinterpreted_batch_ndims == 1 and not entries.event_shape
    return entries if vector and isinstance(entries, td.Normal) else None


def drawn(
    distribution: Any,
    shape: Sequence[int],
    like: Tensor,
    generator: torch.Generator | None = None,
    *,
    shared: bool = False,
) -> Tensor:
    r"""Reparameterised draws of a distribution of vectors, (\*shape, \*batch, latent).

    Normal laws (of independent entries, or full) and flows take noise from ``generator`` directly,
    others through torch's global state, which is put back.

    Args:
        distribution: Of vectors.
        shape: Axes in front of the distribution's.
        like: A tensor with the dtype and device of the noise.
        generator: Source of randomness; None advances torch's global generator.
        shared: Whether all rows get the same noise, where the distribution takes it.

    Raises:
        TypeError: The distribution has no reparameterised draws.

    Example:
        >>> normal = td.Independent(td.Normal(torch.tensor([[0.0], [1.0]]), 1.0), 1)
        >>> first, second = drawn(normal, (), torch.zeros(()), shared=True)
        >>> torch.allclose(first + 1, second)
        True
    """
    normal = normal_of(distribution)
    if normal is None and not _maps_noise(distribution):
        if not distribution.has_rsample:
            raise TypeError(
                f"the encoder's {type(distribution).__name__} has no reparameterised draws, "
                "through which its parameters are trained: use a head such as hybrid.heads.Normal "
                "or a flow"
            )
        with seeded(generator):
            return distribution.rsample(torch.Size(shape))
    batch, event = distribution.batch_shape, distribution.event_shape
    rows = (1,) * len(batch) if shared else batch
    noise = standard_normal((*shape, *rows, *event), like, generator)
    if normal is not None:
        return torch.addcmul(normal.loc, normal.scale, noise)
    return replay(distribution, noise.expand(*shape, *batch, *event), convention="triangular")


def _maps_noise(distribution: Any) -> bool:
    """Whether a law of vectors is a known map of standard normal noise: full normal, or a flow."""
    return isinstance(distribution, td.MultivariateNormal) or hasattr(distribution, "noise_of")


def rates(posterior: Any, prior: Any) -> tuple[Tensor, bool] | None:
    r"""KL(q ‖ p) of hidden codes in closed form; None where there is none.

    .. math:: KL_j = \log\frac{s_j}{\sigma_j} + \frac{\sigma_j^2 + (\mu_j - m_j)^2}{2 s_j^2}
        - \frac12

    Args:
        posterior: q.
        prior: p; None for the standard normal law.

    Returns:
        The divergence, and whether its last axis is the entries j, still to be summed, as it is
        for two vectors of independent normal numbers.

    Source: Kingma & Welling, Auto-encoding variational Bayes (2014), appendix B.

    Example:
        >>> q = td.Independent(td.Normal(torch.tensor([0.0, 2.0]), 1.0), 1)
        >>> p = td.Independent(td.Normal(torch.zeros(2), 1.0), 1)
        >>> rates(q, p)
        (tensor([0., 2.]), True)
    """
    q = normal_of(posterior)
    if q is not None and prior is None:
        return 0.5 * (q.scale * q.scale + q.loc * q.loc - 1) - q.scale.log(), True
    p = normal_of(prior)
    if q is not None and p is not None:
        ratio = q.scale / p.scale
        apart = (q.loc - p.loc) / p.scale
        return 0.5 * (ratio * ratio + apart * apart - 1) - ratio.log(), True
    try:
        return td.kl_divergence(posterior, prior), False
    except NotImplementedError:
        return None


def averaged(log_weights: Tensor, axis: int) -> Tensor:
    r"""Logarithm of the mean of weights, :math:`\log \frac1K \sum_k w_k`.

    Source: Burda, Grosse & Salakhutdinov, Importance weighted autoencoders (2016), eq. 8.

    Example:
        >>> averaged(torch.tensor([0.0, 0.0]), 0)
        tensor(0.)
    """
    return log_weights.logsumexp(axis) - math.log(log_weights.shape[axis])
