"""Conditional random fields on chains: scores of a backbone as a law of labels (floor 3)."""

from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import constraints

from causal.draws import fixed
from hybrid.bayes.batching import batched, in_dtype_of
from hybrid.heads.head import attach
from hybrid.pgm.chains import Chain, lengths_of
from hybrid.pgm.chains.layout import ended
from hybrid.pgm.label_sequence import LabelSequence
from hybrid.pgm.step_mask import split_mask

__all__ = ["ChainScores", "LinearChainCRF"]

Scores = tuple[Tensor, Tensor, Tensor, Tensor]


class ChainScores(nn.Module):
    """A body, its readout, and the scores of neighbours: everything a field's weights are made of.

    Args:
        body: A Layer, per step or (with ``steps``) per row, or None.
        states: The number of labels K.
        features: Width of what the body returns; read from it where that is possible.
        steps: The number of labels that one row of the body stands for; None for one.
        pairwise: Whether the body also scores pairs of neighbours.

    Example:
        >>> scores = ChainScores(torch.nn.Linear(3, 8), 4)
        >>> unary, pairwise, first, last = scores(torch.zeros(7, 5, 3))
        >>> unary.shape, pairwise.shape, first.shape
        (torch.Size([7, 5, 4]), torch.Size([1, 1, 4, 4]), torch.Size([1, 4]))
    """

    def __init__(
        self,
        body: nn.Module | None,
        states: int,
        features: int | None = None,
        steps: int | None = None,
        *,
        pairwise: bool = False,
    ) -> None:
        super().__init__()
        self.cardinality, self.steps, self.pairwise = states, steps, pairwise
        pairs = 0 if not pairwise else states**2 * (1 if steps is None else steps - 1)
        self.scores = attach(body, features, [0.0] * (states * (steps or 1) + pairs))
        like = next(value for value in self.scores.parameters() if value.is_floating_point())
        self.transition = nn.Parameter(like.new_zeros(states, states))
        self.first = nn.Parameter(like.new_zeros(states))
        self.last = nn.Parameter(like.new_zeros(states))

    def forward(self, context: Float[Tensor, "*batch width"]) -> Scores:
        """Scores of labels, of neighbours, of the first and of the last label."""
        raw, count = self.scores(context), self.cardinality
        single = raw[..., : count * (self.steps or 1)]
        pairs = raw[..., single.shape[-1] :]
        if self.steps is not None:
            single = single.unflatten(-1, (self.steps, count))
        ones = (1,) * (single.dim() - 2)
        between = self.transition.reshape(*ones, 1, count, count)
        if self.pairwise:
            own = pairs[..., 1:, :] if self.steps is None else pairs
            shape = (-1, count, count) if self.steps is not None else (count, count)
            between = between + own.unflatten(-1, shape)
        first, last = (end.reshape(*ones, count) for end in (self.first, self.last))
        return single, between, first, last


class LinearChainCRF(nn.Module):
    r"""Law of sequences of labels, a conditional random field on a chain.

    .. math:: p(z \mid x) = \frac{1}{Z(x)} \exp\Big(\sum_t u_t(z_t, x) + \sum_t v(z_t, z_{t+1})
        + a(z_1) + b(z_L)\Big)

    u comes from the body; v, a and b are parameters (with ``pairwise=True`` the body adds a score
    to v at each step). The distribution is a `LabelSequence`: exact log probability (labels of -1
    are summed over), marginals, most probable sequence, samples, entropy. `hybrid.objectives.ELBO`
    trains the law, `hybrid.bayes.variational` makes it random.

    Args:
        body: A Layer from contexts ``(*batch, steps, width)`` to ``(*batch, steps, features)``;
            with ``steps=T`` from ``(*batch, width)`` to ``(*batch, features)``; or None.
        states: The number of labels K.
        features: Width of the body's result; read from the body where that is possible.
        steps: None for sequences as long as their contexts. T for sequences of T labels, all from
            one context without an axis of steps.
        pairwise: Whether the body also scores neighbours.
        mask: Position of a column of the context that is 1 on a row's steps and 0 after its end;
            it is kept from the body. None where all rows are complete.

    Raises:
        ValueError: A number is too small, ``features`` is needed, or ``mask`` goes with ``steps``.

    Source: Lafferty, McCallum, Pereira, Conditional random fields, ICML 2001, eq. 1.

    Example:
        >>> law = LinearChainCRF(torch.nn.Linear(3, 8), states=4)
        >>> distribution = law(torch.zeros(7, 5, 3))
        >>> distribution.log_prob(torch.zeros(7, 5)).shape, distribution.marginals().shape
        (torch.Size([7]), torch.Size([7, 5, 4]))
    """

    def __init__(
        self,
        body: nn.Module | None = None,
        *,
        states: int,
        features: int | None = None,
        steps: int | None = None,
        pairwise: bool = False,
        mask: int | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (("states", states, 2), ("steps", steps, 1)):
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if mask is not None and steps is not None:
            raise ValueError(
                "mask= is a column of contexts with an axis of steps: leave steps= out, or give "
                "the labels that a row does not have as -1, which sums over them"
            )
        self.body = ChainScores(body, states, features, steps, pairwise=pairwise)
        self.cardinality, self.steps, self.mask = states, steps, mask

    @property
    def event_shape(self) -> torch.Size:
        """``(steps,)``."""
        if self.steps is None:
            raise ValueError(
                "a LinearChainCRF without steps= has sequences as long as their contexts: it has "
                "no static event_shape. Give steps=, or ask law(context) for what you need"
            )
        return torch.Size((self.steps,))

    @property
    def support(self) -> constraints.Constraint:
        """Numbers of labels, one per step."""
        return constraints.independent(constraints.integer_interval(0, self.cardinality - 1), 1)

    def link(self, scores: Scores, lengths: Tensor | None = None) -> LabelSequence:
        """The distribution whose log weights are the scores."""
        unary, pairwise, first, last = scores
        steps = unary.shape[-2]
        place = torch.arange(steps, device=unary.device)
        final = place == (steps if lengths is None else lengths.unsqueeze(-1)) - 1
        unary = unary + torch.where((place == 0).unsqueeze(-1), first.unsqueeze(-2), 0)
        unary = unary + torch.where(final.unsqueeze(-1), last.unsqueeze(-2), 0)
        if lengths is not None:
            lengths = lengths.expand(unary.shape[:-2])
            # Whatever a body makes of what follows the end, NaN too, is not read.
            unary = unary.masked_fill(ended(lengths, steps).unsqueeze(-1), 0)
        return LabelSequence(Chain(unary, pairwise, lengths))

    def forward(
        self, context: Shaped[Tensor, "*batch width"], draws: int | None = None
    ) -> LabelSequence:
        """The distribution of labels given ``context``.

        Args:
            context: ``(*batch, steps, width)``, or ``(*batch, width)`` with ``steps=T``; with a
                leading axis of S or 1 inside ``fixed(law, S)``.
            draws: The number S of weight sets for a context without a draws axis.

        Raises:
            ValueError: The context has too few axes, or a mask is not True first and False after.
        """
        context = in_dtype_of(self, context)
        least = 1 if self.steps is not None else 2
        if context.dim() < least:
            raise ValueError(
                f"the context has shape {tuple(context.shape)}: expected "
                + ("(*batch, width)" if least == 1 else "(*batch, steps, width)")
            )
        if draws is not None:
            with fixed(self, draws):
                found: Any = self(context.unsqueeze(0))
                return found.expand((draws, *found.batch_shape[1:]))
        context, mask = split_mask(context, self.mask)
        lengths = None if mask is None else lengths_of(mask)
        with fixed(self) as current:
            scores = self.body(context) if current is None else batched(self.body, {}, context)
        return self.link(scores, lengths)
