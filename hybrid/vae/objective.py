"""The negative evidence lower bound of a variational autoencoder, to be minimised (floor 2)."""

from collections.abc import Callable
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from causal.draws import divergence, fixed
from hybrid.bayes.batching import is_random
from hybrid.loss import Loss, whole
from hybrid.objectives.pairs import described
from hybrid.vae.likelihood import summed
from hybrid.vae.prior import StandardNormal
from hybrid.vae.terms import Terms, averaged, normal_of, rates, terms_of

__all__ = ["EvidenceBound"]

Scheduled = float | Callable[[int], float]


class EvidenceBound(nn.Module):
    r"""Negative evidence lower bound per row of a `hybrid.VAE`; made by ``vae.objective()``.

    .. math:: \frac1B \sum_i \Big[ -\frac1K \sum_k \log p(x_i \mid z_{ik}, c_i) \Big]
        + \beta \sum_j \max\Big(\lambda, \frac1B \sum_i KL_{ij}\Big) + \frac1N KL(q(w) \| p(w)),
        \qquad z_{ik} \sim q(z \mid x_i, c_i)

    or, with ``importance``, the importance-weighted bound in place of the first two terms,

    .. math:: -\frac1B \sum_i \log \frac1K \sum_k w_{ik}, \qquad
        w_{ik} = \frac{p(x_i \mid z_{ik}, c_i)\, p(z_{ik} \mid c_i)}{q(z_{ik} \mid x_i, c_i)} .

    The divergence KL of the codes is in closed form where there is one (two normal laws), else the
    mean over the drawn codes. Entries j are told apart where encoder and prior are vectors of
    independent normal numbers; else λ times the number of entries counts for the whole code.

    A batch is a tensor of rows, or a pair (context, rows) for a conditional autoencoder. With a
    schedule the objective is also a callback that counts the steps:
    ``hybrid.fit(objective, data, callbacks=[objective])``.

    Args:
        vae: The autoencoder, a `hybrid.VAE`.
        beta: β, a number or a function of the number of steps done, such as
            `hybrid.objectives.Ramp`; 1 for the evidence lower bound.
        free_bits: λ in nats, a number or such a function.
        samples: K, codes per row.
        importance: Whether the bound is the importance-weighted one, which needs β = 1 and λ = 0.
        doubly: Whether the encoder is trained by the doubly reparameterised gradient, which has
            less noise, none for K = 1 where the encoder is the exact posterior. It needs β = 1 and
            λ = 0, and draws the divergence.
        data_size: N, the rows of the whole training data; needed where weights are random.
        draws: The number of weight sets drawn per call, where weights are random.
        seed: A number draws the same codes and weights in every call and leaves torch's global
            state alone.

    Raises:
        ValueError: A number is out of range, options exclude each other, or ``data_size`` is
            missing; at the call, rows or contexts do not fit.
        TypeError: The batch is neither a tensor nor a pair.

    Source: β: Higgins et al., beta-VAE (2017), eq. 4; λ: Kingma et al., Improved variational
    inference with inverse autoregressive flow (2016), eq. 15; importance weights: Burda, Grosse &
    Salakhutdinov (2016), eq. 8; doubly reparameterised: Tucker et al., Doubly reparameterized
    gradient estimators for Monte Carlo objectives (2019), eq. 8.

    Example:
        >>> import hybrid
        >>> linear, heads = torch.nn.Linear, hybrid.heads
        >>> vae = hybrid.VAE(
        ...     heads.Normal(linear(3, 8), event=2), heads.Normal(linear(2, 8), event=3)
        ... )
        >>> loss = EvidenceBound(vae, beta=hybrid.objectives.Ramp(0.0, 1.0, steps=100))(
        ...     torch.zeros(5, 3)
        ... )
        >>> list(loss.parts), bool(loss.total == loss.parts["reconstruction"])
        (['reconstruction', 'rate'], True)
    """

    step: Tensor

    def __init__(
        self,
        vae: nn.Module,
        *,
        beta: Scheduled = 1.0,
        free_bits: Scheduled = 0.0,
        samples: SupportsIndex = 1,
        importance: bool = False,
        doubly: bool = False,
        data_size: SupportsIndex | None = None,
        draws: SupportsIndex = 1,
        seed: SupportsIndex | None = None,
    ) -> None:
        super().__init__()
        self.vae = vae
        self.beta, self.free_bits = beta, free_bits
        self.samples = whole("samples", samples)
        self.importance, self.doubly = importance, doubly
        self.data_size = None if data_size is None else whole("data_size", data_size)
        self.draws = whole("draws", draws)
        self.seed = None if seed is None else whole("seed", seed, least=None)
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._plain = _number(beta) == 1.0 and _number(free_bits) == 0.0
        self._now("beta", beta)
        self._now("free_bits", free_bits)
        if (importance or doubly) and not self._plain:
            raise ValueError(
                f"beta={beta} and free_bits={free_bits} weigh a divergence that the importance-"
                "weighted bound and the doubly reparameterised gradient do not have apart: leave "
                "them out, or importance and doubly"
            )
        self._random = is_random(vae)
        if self._random and data_size is None:
            raise ValueError(
                "the autoencoder has random weights: give data_size=, the number of training rows, "
                "by which their divergence is divided"
            )

    def forward(self, batch: Any) -> Loss:
        """The loss of one batch: rows, or (context, rows)."""
        x, context = self._rows(batch)
        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        if not self._random or self.data_size is None:
            return self._loss(x, context, None, generator)
        with fixed(self.vae, self.draws, generator):
            loss = self._loss(x.unsqueeze(0), context.unsqueeze(0), self.draws, generator)
            distance = divergence(self.vae).to(loss.total) / self.data_size
        return Loss(loss.total + distance, {**loss.parts, "divergence": distance})

    def on_step_end(self, state: Any) -> None:
        """Take over the number of steps done: the objective is a callback of its own training."""
        self.step.fill_(state.step)

    def on_epoch_end(self, state: Any) -> None:
        """Do nothing between epochs."""

    def extra_repr(self) -> str:
        """The settings the objective was made with."""
        return (
            f"beta={self.beta}, free_bits={self.free_bits}, samples={self.samples}, "
            f"importance={self.importance}, doubly={self.doubly}, data_size={self.data_size}, "
            f"draws={self.draws}, seed={self.seed}"
        )

    def _rows(self, batch: Any) -> tuple[Tensor, Tensor]:
        vae: Any = self.vae
        if isinstance(batch, Tensor):
            return vae.rows(batch)
        if isinstance(batch, tuple | list) and len(batch) in (1, 2):
            return vae.rows(batch[-1], batch[0] if len(batch) == 2 else None)
        raise TypeError(
            "the objective of a VAE takes a tensor of rows, or a pair (context, rows), not "
            f"{described(batch)}"
        )

    def _loss(
        self, x: Tensor, context: Tensor, draws: int | None, generator: torch.Generator | None
    ) -> Loss:
        vae: Any = self.vae
        many = self.samples if self.samples > 1 or self.importance else None
        weighing = self.importance or self.doubly
        terms = terms_of(
            vae,
            x,
            context,
            samples=many,
            draws=draws,
            generator=generator,
            ratio=weighing,
            stopped=self.doubly,
        )
        if weighing:
            return _weighed(terms, draws, many, importance=self.importance, doubly=self.doubly)
        if draws is None and many is None:
            reconstruction = (
                summed(terms.decoded, terms.rows) / -terms.posterior.batch_shape.numel()
            )
        else:
            reconstruction = -terms.likelihood().mean()
        rate = self._rate(terms, context)
        beta = self._now("beta", self.beta)
        total = reconstruction + (rate if beta == 1.0 else beta * rate)
        return Loss(total, {"reconstruction": reconstruction, "rate": rate})

    def _rate(self, terms: Terms, context: Tensor) -> Tensor:
        """Mean divergence of the codes from their prior, what is free of it left out."""
        law: Any = self.vae.prior
        free = self._now("free_bits", self.free_bits)
        plain = isinstance(law, StandardNormal) and normal_of(terms.posterior) is not None
        prior: Any = None if plain else law(context)
        each, entries = rates(terms.posterior, prior) or (None, False)
        code, width = terms.code, terms.code.shape[-1]
        if each is None:
            each = terms.posterior.log_prob(code) - prior.log_prob(code)
        if not free:
            return each.sum() / (each.numel() // width if entries else each.numel())
        if entries:
            return each.flatten(0, -2).mean(0).clamp_min(free).sum()
        return each.mean().clamp_min(free * width)

    def _now(self, name: str, value: Scheduled) -> float:
        """A setting at the present step."""
        number = float(value(int(self.step)) if callable(value) else value)
        if not 0 <= number < float("inf"):
            raise ValueError(f"{name} must be a finite number from 0, it is {number}")
        return number


def _weighed(
    terms: Terms, draws: int | None, samples: int | None, *, importance: bool, doubly: bool
) -> Loss:
    """The negative bound as one number, from importance weights."""
    weights = terms.log_weights()
    axis = 0 if draws is None else 1
    shares = None
    if importance:
        shares = weights.detach().softmax(axis)
        bound = averaged(weights, axis).mean()
    else:
        bound = weights.mean()
    if doubly and shares is not None and terms.code.requires_grad:
        inside = draws is not None and samples is not None
        first = (shares.movedim(0, 1) if inside else shares).unsqueeze(-1)
        terms.code.register_hook(lambda gradient: gradient * first)
    return Loss(-bound, {"bound": bound})


def _number(value: Scheduled) -> float | None:
    return None if callable(value) else float(value)
