"""The distribution of what a variational autoencoder makes (floor 1)."""

from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from causal.law import law_at
from hybrid.heads.head import checking
from hybrid.vae.likelihood import belongs
from hybrid.vae.terms import Parts, averaged, beside, terms_of

__all__ = ["Generative", "Marginal"]

Result = TypeVar("Result")


@runtime_checkable
class Generative(Parts, Protocol):
    """What the distribution reads of the module that made it.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.vae.autoencoder import VAE
        >>> linear = torch.nn.Linear
        >>> vae: Generative = VAE(Normal(linear(3, 8), event=2), Normal(linear(2, 8), event=3))
    """

    samples: int

    @property
    def event_shape(self) -> torch.Size:
        """Shape of one value."""
        ...

    @property
    def support(self) -> constraints.Constraint:
        """Where the values lie."""
        ...

    def noise(self) -> tuple[torch.Generator | None, bool]:
        """Source of the codes' noise, and whether all rows share it."""
        ...


class Marginal(TorchDistribution):
    r"""Law of :math:`x \sim \int p(x \mid z, c)\, p(z \mid c)\, dz` for a context c.

    ``sample`` is exact. ``log_prob`` is an estimate: its mean is a lower bound of the log density,
    which rises to it with the number K of samples,

    .. math:: \log \frac1K \sum_{k=1}^K \frac{p(x \mid z_k, c)\, p(z_k \mid c)}{q(z_k \mid x, c)},
        \qquad z_k \sim q(z \mid x, c) .

    Mean, variance and quantiles have no closed form.

    Args:
        model: Encoder, decoder and prior, with the number of ``samples``.
        context: Contexts (\*batch, width), with an axis of draws in front where there are draws.
        draws: The number S of weight sets that are held, or None.
        scope: What is held for the model, where its weights are random.

    Source: Burda, Grosse & Salakhutdinov, Importance weighted autoencoders (2016), eq. 8.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.vae.autoencoder import VAE
        >>> linear = torch.nn.Linear
        >>> vae = VAE(Normal(linear(3, 8), event=2), Normal(linear(2, 8), event=3))
        >>> marginal = Marginal(vae, torch.zeros(5, 0), None)
        >>> marginal.sample((4,)).shape, marginal.log_prob(torch.zeros(5, 3)).shape
        (torch.Size([4, 5, 3]), torch.Size([5]))
    """

    arg_constraints: ClassVar = {}
    has_rsample = False

    def __init__(
        self, model: Generative, context: Tensor, draws: int | None, scope: Context | None = None
    ) -> None:
        self.model, self.context, self.draws = model, context, draws
        self._scope = scope
        batch = context.shape[:-1] if draws is None else (draws, *context.shape[1:-1])
        super().__init__(torch.Size(batch), model.event_shape, validate_args=False)
        checking(self)

    @property
    def support(self) -> constraints.Constraint:
        """The decoder's."""
        return self.model.support

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "Marginal":
        """The same law for another batch shape."""
        shape = torch.Size(batch_shape)
        if shape == self.batch_shape:
            return self
        if self.draws is not None and (len(shape) != len(self.batch_shape)):
            raise NotImplementedError(
                f"no axis can come in front of that of {self.draws} draws: got {tuple(shape)} for "
                f"the batch shape {tuple(self.batch_shape)}"
            )
        wide = self.context.expand(*shape, self.context.shape[-1])
        return Marginal(self.model, wide, self.draws, self._scope)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Values, by way of codes from the prior."""
        with torch.no_grad():
            return self._inside(self._sample, torch.Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """The importance-weighted bound, an estimate."""
        return self._inside(self._bound, value)

    def _inside(self, function: Callable[..., Result], argument: Any) -> Result:
        """Run where the same weights are held as when the distribution was made."""
        if self._scope is None:
            return function(argument)
        return self._scope.copy().run(function, argument)

    def _sample(self, shape: torch.Size) -> Tensor:
        model, context = self.model, self.context
        prior = model.prior(context)
        lead = torch.broadcast_shapes(prior.batch_shape, self.batch_shape)
        code = prior.expand(lead).sample(torch.Size((shape.numel(),)))
        if self.draws is not None:
            code, context = code.movedim(0, 1), context.unsqueeze(1)
        found = law_at(model.decoder, beside(code, context))
        values = found.sample()
        if self.draws is not None:
            values = values.movedim(1, 0)
        return values.reshape(shape + self.batch_shape + self.event_shape)

    def _bound(self, value: Tensor) -> Tensor:
        event = len(self.event_shape)
        own = self.context.shape[:-1]
        rows = torch.broadcast_shapes(value.shape[: value.dim() - event], own)
        front = len(rows) - len(own)
        if self._validate_args and not belongs(value, self.support):
            raise ValueError(
                f"the value is outside of the support {self.support}, or missing (NaN)"
            )
        x = value.expand(*rows, *self.event_shape)
        context = self.context.expand(*rows, self.context.shape[-1])
        if self.draws is not None and front:  # draws come before all others
            x, context = x.movedim(front, 0), context.movedim(front, 0)
        generator, shared = self.model.noise()
        found = terms_of(
            self.model,
            x,
            context,
            samples=self.model.samples,
            draws=self.draws,
            generator=generator,
            shared=shared,
        )
        bound = averaged(found.log_weights(), 0 if self.draws is None else 1)
        return bound.movedim(0, front) if self.draws is not None and front else bound
