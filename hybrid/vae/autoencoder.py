"""Variational autoencoders: a Law with a hidden code, and its approximate posterior (floor 3)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, SupportsIndex

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from causal.draws import Random, fixed, held, seeded
from causal.guide import Guide
from causal.law import law_at, states_of
from hybrid.bayes.batching import first_real, in_dtype_of, is_random
from hybrid.heads.head import expanded
from hybrid.heads.normal import Normal
from hybrid.layers import out_features_of
from hybrid.loss import whole
from hybrid.objectives.pairs import data_pair
from hybrid.vae.likelihood import belongs
from hybrid.vae.marginal import Marginal
from hybrid.vae.objective import EvidenceBound
from hybrid.vae.prior import StandardNormal
from hybrid.vae.terms import averaged, beside, seen_by, terms_of

__all__ = ["VAE"]


class VAE(nn.Module):
    r"""Variational autoencoder, plain or conditional, made of three Laws.

    .. math:: p(x \mid c) = \int p(x \mid z, c)\, p(z \mid c)\, dz, \qquad
        \log p(x \mid c) \ge E_{q(z \mid x, c)} \log p(x \mid z, c)
        - KL(q(z \mid x, c) \,\|\, p(z \mid c))

    It is a Law itself: ``vae(context)`` is the distribution of x, whose ``log_prob`` is the bound;
    `objective` makes what `hybrid.fit` minimises. So it can be trained by
    `hybrid.objectives.ELBO`, predicted with, and be a mechanism in a `causal.SCM`. A decoder or
    prior may have random weights (`hybrid.bayes.variational`); `hybrid.bayes.variational(vae)`
    leaves the encoder as it is, which is a posterior already.

    Args:
        encoder: :math:`q(z \mid x, c)`, a Law of vectors with reparameterised draws: a head such as
            ``hybrid.heads.Normal(body, event=latent)``, or a flow. Or a Layer, which with
            ``latent`` becomes the body of such a normal head. Its context is x, as columns, and
            then c.
        decoder: :math:`p(x \mid z, c)`, any Law; its context is z and then c.
        latent: The number of entries of z; None to read it from the encoder.
        prior: :math:`p(z \mid c)`, a Law of vectors; None for the standard normal one. With a flow
            or a mixture it is learnt.
        samples: K, codes per row in the importance-weighted bound that ``log_prob`` is.

    Raises:
        TypeError: A part is no Law.
        ValueError: The laws' shapes do not fit, ``latent`` is missing, or the encoder has random
            weights.

    Source: Kingma & Welling, Auto-encoding variational Bayes (2014), eq. 3; conditional: Sohn, Lee
    & Yan, Learning structured output representation using deep conditional generative models
    (2015), eq. 4.

    Example:
        >>> import hybrid
        >>> MLP, heads = hybrid.backbones.MLP, hybrid.heads
        >>> vae = VAE(MLP(5, [16], 8), heads.Normal(MLP(2, [16], 8), event=5), latent=2)
        >>> x = torch.randn(100, 5)
        >>> history = hybrid.fit(vae.objective(), x, epochs=1, progress=False)
        >>> vae.log_probability(x, samples=10).shape, vae.sample(3).shape, vae.encode(x).event_shape
        (torch.Size([100]), torch.Size([3, 5]), torch.Size([2]))
    """

    event_dims = 1  # of a context's rows, whatever the encoder's own are

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        latent: SupportsIndex | None = None,
        prior: nn.Module | None = None,
        samples: SupportsIndex = 1,
    ) -> None:
        super().__init__()
        law = _encoder(encoder, None if latent is None else whole("latent", latent))
        shape: Any = law.event_shape
        size = int(shape[0])
        _check_law("decoder", decoder)
        prior = StandardNormal(size) if prior is None else prior
        _check_law("prior", prior)
        if tuple(prior.event_shape) != (size,):  # type: ignore[arg-type]
            raise ValueError(
                f"the prior has event_shape {tuple(prior.event_shape)}, "  # type: ignore[arg-type]
                f"the encoder ({size},): both are laws of the same code"
            )
        self.encoder = Guide(law, size)
        self.decoder = decoder
        self.prior = prior
        self.samples = whole("samples", samples)

    @property
    def latent(self) -> int:
        """The number of entries of a code."""
        return int(self.posterior.event_shape[0])  # type: ignore[index]

    @property
    def posterior(self) -> nn.Module:
        """The encoder's Law."""
        law: nn.Module = self.encoder.law
        return law

    @property
    def event_shape(self) -> torch.Size:
        """Shape of one row."""
        shape: Any = self.decoder.event_shape
        return torch.Size(shape)

    @property
    def support(self) -> constraints.Constraint:
        """Where the values lie."""
        support: Any = self.decoder.support
        return support

    @property
    def states(self) -> int | None:
        """The number of classes of x, where the decoder is a law of classes."""
        return states_of(self.decoder)

    def forward(
        self, context: Shaped[Tensor, "*batch width"], draws: int | None = None
    ) -> Distribution:
        r"""The distribution of x given c.

        Its ``log_prob`` draws codes: fresh ones in each call, the same ones inside
        ``hybrid.bayes.fixed``. There, in evaluation mode, all rows share their noise (where the
        encoder is normal or a flow), so that a row's estimate does not depend on the rows beside
        it. Being a bound, the estimates for all classes of a law of classes do not sum to one.

        Args:
            context: c, (\*batch, width); width 0 where the autoencoder is not conditional. With a
                leading axis of S or 1 inside ``fixed(vae, S)``.
            draws: The number S of weight sets for a context without an axis of draws.
        """
        context = in_dtype_of(self, context)
        if draws is not None:
            with fixed(self, draws):
                wide = self(context.unsqueeze(0))
                return expanded(wide, (draws, *wide.batch_shape[1:]))
        random = is_random(self)
        if not random and held(self.encoder) is None:
            return Marginal(self, context, None)
        with fixed(self) as current:
            return Marginal(self, context, current if random else None, copy_context())

    def objective(
        self,
        *,
        beta: float | Callable[[int], float] = 1.0,
        free_bits: float | Callable[[int], float] = 0.0,
        samples: SupportsIndex = 1,
        importance: bool = False,
        doubly: bool = False,
        data_size: SupportsIndex | None = None,
        draws: SupportsIndex = 1,
        seed: SupportsIndex | None = None,
    ) -> EvidenceBound:
        """The negative bound per row as an Objective, see `EvidenceBound`.

        Args:
            beta: Weight of the divergence from the prior, or a function of the number of steps.
            free_bits: Nats of each code entry's divergence that cost nothing, or such a function.
            samples: K, codes per row.
            importance: Whether they make the importance-weighted bound, not the mean of K bounds.
            doubly: Whether the encoder's gradient is the doubly reparameterised one.
            data_size: Rows of the whole training data; needed where weights are random.
            draws: Weight sets drawn per call, where weights are random.
            seed: A number draws the same codes and weights in every call.
        """
        return EvidenceBound(
            self,
            beta=beta,
            free_bits=free_bits,
            samples=samples,
            importance=importance,
            doubly=doubly,
            data_size=data_size,
            draws=draws,
            seed=seed,
        )

    def rows(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Rows and contexts as the laws take them, checked.

        Args:
            x: Rows (\*batch, \*event).
            context: Contexts (\*batch, width); None where the autoencoder is not conditional.

        Raises:
            ValueError: Shapes do not fit, a value is missing (NaN) or outside of the decoder's
                support, such as a class that there is none of.
            TypeError: One of them is no tensor of real numbers.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"x must be a tensor of rows, got {type(x).__name__}")
        event = tuple(self.event_shape)
        batch = x.shape[: x.dim() - len(event)]
        if x.shape[len(batch) :] != event or x.dim() < len(event):
            flat = ", use x.flatten(1)" if len(event) == 1 and x[:1].numel() == event[0] else ""
            raise ValueError(
                f"x has shape {tuple(x.shape)}, the decoder's rows have shape {event}: expected "
                f"(*batch, {', '.join(map(str, event))}){flat}"
            )
        if context is None:
            context = x.new_empty((*batch, 0), dtype=_like(self).dtype)
        elif not isinstance(context, Tensor) or context.shape[:-1] != batch:
            shape = tuple(context.shape) if isinstance(context, Tensor) else type(context).__name__
            raise ValueError(
                f"context has shape {shape} for rows {tuple(batch)}: expected one each"
            )
        else:
            _check_known("context", context)
        context, x = data_pair(self, context, x)
        if not belongs(x, self.support):
            _check_known("x", x)
            inside = self.support.check(x).reshape(*batch, -1).all(-1).flatten()
            raise ValueError(
                f"x has values outside of {self.support}, where the decoder "
                f"{type(self.decoder).__name__} is defined: the first in row "
                f"{int((~inside).int().argmax())}"
            )
        return x, context

    def noise(self) -> tuple[torch.Generator | None, bool]:
        """Source of the codes' noise where it is held, and whether all rows share it."""
        seed = held(self.encoder)
        if seed is None:
            return None, False
        return torch.Generator().manual_seed(seed), not self.training

    def encode(self, x: Tensor, context: Tensor | None = None) -> Distribution:
        r"""The approximate posterior :math:`q(z \mid x, c)` of each row, see `rows`."""
        x, context = self.rows(x, context)
        return law_at(self.posterior, beside(seen_by(self, x, context.dtype), context))

    def decode(self, code: Tensor, context: Tensor | None = None) -> Distribution:
        r"""The distribution :math:`p(x \mid z, c)` for codes (\*batch, latent)."""
        if code.shape[-1:] != (self.latent,):
            raise ValueError(
                f"codes have {self.latent} entries, got shape {tuple(code.shape)}: expected "
                f"(*batch, {self.latent})"
            )
        code = in_dtype_of(self, code)
        context = code[..., :0] if context is None else in_dtype_of(self, context)
        return law_at(self.decoder, beside(code, context))

    def reconstruct(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        samples: SupportsIndex | None = None,
        generator: torch.Generator | None = None,
    ) -> Distribution:
        r"""What the decoder makes of the rows' codes: :math:`p(x' \mid z, c)`.

        Args:
            x: Rows (\*batch, \*event).
            context: Contexts (\*batch, width), or None.
            samples: Codes drawn for each row, an axis in front; None for the posterior's mean.
            generator: Source of randomness; None advances torch's global generator.

        Raises:
            ValueError: The posterior has no mean in closed form, and ``samples`` is not given.
        """
        posterior = self.encode(x, context)
        if samples is None:
            try:
                return self.decode(posterior.mean, context)
            except NotImplementedError as error:
                raise ValueError(
                    f"the encoder's {type(posterior).__name__} has no mean in closed form: give "
                    "samples="
                ) from error
        with seeded(generator):
            code = posterior.sample(torch.Size((whole("samples", samples),)))
        return self.decode(code, context)

    def sample(
        self,
        n: SupportsIndex,
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        r"""Draw n rows for each context, (n, \*batch, \*event), with one draw of random weights.

        Args:
            n: The number of rows.
            context: Contexts (\*batch, width); None where the autoencoder is not conditional.
            generator: Source of randomness; None advances torch's global generator.
        """
        context = _like(self).new_zeros(0) if context is None else context
        with self._weights(generator), seeded(generator):
            return self(context).sample(torch.Size((whole("n", n, 0),)))

    def log_probability(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        samples: SupportsIndex | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        r"""An estimate whose mean is a lower bound of :math:`\log p(x \mid c)`, (\*batch).

        The importance-weighted bound, which rises to the log density with the number of samples.

        Args:
            x: Rows (\*batch, \*event).
            context: Contexts (\*batch, width), or None.
            samples: K, codes per row; None for the autoencoder's own number.
            generator: Source of randomness; None advances torch's global generator.

        Raises:
            ValueError: See `rows`.
        """
        x, context = self.rows(x, context)
        count = self.samples if samples is None else whole("samples", samples)
        with self._weights(generator) as draws:
            source, shared = self.noise() if generator is None else (generator, False)
            found = terms_of(
                self, x, context, samples=count, draws=draws, generator=source, shared=shared
            )
        return averaged(found.log_weights(), 0 if draws is None else 1)

    @contextmanager
    def _weights(self, generator: torch.Generator | None) -> Iterator[int | None]:
        """Hold random weights, though not the codes' noise; their number of draws."""
        with fixed(self.prior, None, generator), fixed(self.decoder, None, generator) as draws:
            yield draws if is_random(self) else None


def _encoder(encoder: nn.Module, latent: int | None) -> nn.Module:
    """The encoder as a Law of vectors."""
    if not isinstance(encoder, nn.Module):
        raise TypeError(f"the encoder is a Law or a Layer, a torch.nn.Module: got {encoder!r}")
    if any(isinstance(part, Random) for part in encoder.modules()):
        raise ValueError(
            "the encoder has random weights: give one with ordinary weights, since it is itself "
            "the posterior of the code; decoder and prior may have random ones"
        )
    shape: Any = getattr(encoder, "event_shape", None)
    if shape is None or not hasattr(encoder, "support"):
        if latent is None:
            raise ValueError(
                f"the encoder {type(encoder).__name__} is a Layer: give latent=, the number of "
                "entries of a code, or a Law such as hybrid.heads.Normal(body, event=2)"
            )
        if out_features_of(encoder) is None:
            raise ValueError(
                f"the width of what {type(encoder).__name__} returns is not known: give a Law, "
                f"hybrid.heads.Normal(body, features=…, event={latent})"
            )
        return Normal(encoder, event=latent)
    if len(shape) != 1:
        raise ValueError(
            f"the encoder has event_shape {tuple(shape)}: expected a law of vectors, such as "
            "hybrid.heads.Normal(body, event=2)"
        )
    if latent not in (None, shape[0]):
        raise ValueError(f"latent={latent}, but the encoder is a law of {shape[0]} entries")
    if encoder.support.is_discrete:  # type: ignore[union-attr]
        name = type(encoder).__name__
        raise ValueError(f"the encoder {name} is a law of classes or counts: expected continuous")
    return encoder


def _check_law(name: str, law: Any) -> None:
    lacking = [a for a in ("event_shape", "support") if not hasattr(law, a)]
    if not isinstance(law, nn.Module) or lacking:
        why = f"it lacks {lacking}" if isinstance(law, nn.Module) else f"it is {law!r}"
        raise TypeError(f"the {name} is a Law, such as hybrid.heads.Normal(body, event=5): {why}")


def _check_known(name: str, values: Tensor) -> None:
    """Raise ValueError where a value is missing."""
    missing = values.isnan().nonzero()
    if len(missing):
        place = tuple(missing[0].tolist())
        raise ValueError(
            f"{name} has a missing value (NaN) at {place}: leave the row out or fill it in, since "
            "the encoder reads every entry"
        )


def _like(module: nn.Module) -> Tensor:
    """A tensor with the dtype and device of a module's parameters."""
    found = first_real(module)
    return torch.zeros(()) if found is None else found.detach()
