"""The distribution of what a hidden Markov chain emits (floor 2 of `hybrid.pgm`)."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from causal.draws import seeded, uniform
from hybrid.pgm.chains import (
    Chain,
    Path,
    best_path,
    draw_paths,
    filtered,
    log_partition,
    marginals,
    pair_marginals,
    refuse_impossible,
)
from hybrid.pgm.chains.layout import ended, joined_shapes, named_row

__all__ = ["ObservedSequence", "Simulated"]


class Simulated(NamedTuple):
    """Sampled sequences with the states behind them.

    Attributes:
        states: ``(n, *batch, steps)``, -1 after the end of a row.
        observations: ``(n, *batch, steps, *event)``.

    Example:
        >>> Simulated(torch.tensor([[0, 1]]), torch.tensor([[0.5, 2.0]])).states
        tensor([[0, 1]])
    """

    states: Tensor
    observations: Tensor


class ObservedSequence(TorchDistribution):
    r"""Sequences that a hidden Markov chain emits, the chain's states summed out.

    .. math:: p(y) = \sum_z p(z_1) \prod_t p(z_{t+1} \mid z_t) \prod_t p(y_t \mid z_t)

    A value is ``(*batch, steps, *event)``. Steps that were not observed are NaN, or -1 where values
    are whole numbers: they are summed out. What follows a row's end is not read.

    Args:
        initial: Log probabilities of the first state, ``(*batch or 1s, K)``.
        transition: Log probabilities of the next state given the one before, ``(*batch or 1s,
            steps - 1 or 1, K, K)``.
        emission: Distribution of one observation, batch shape ``(*batch or 1s, steps or 1, K)``.
        steps: T.
        batch_shape: The rows.
        lengths: The number of steps of each row, ``(*batch,)``; None where all have T.

    Source: Rabiner, A tutorial on hidden Markov models, Proc. IEEE 77 (1989).

    Example:
        >>> import pyro.distributions as dist
        >>> emission = dist.Normal(torch.tensor([[-1.0, 1.0]]), 1.0)
        >>> sequence = ObservedSequence(
        ...     torch.zeros(2) - 0.7, torch.zeros(1, 2, 2) - 0.7, emission, 5
        ... )
        >>> sequence.log_prob(torch.zeros(7, 5)).shape, sequence.sample().shape
        (torch.Size([7]), torch.Size([5]))
    """

    arg_constraints: ClassVar = {}
    has_rsample = False

    def __init__(
        self,
        initial: Float[Tensor, "..."],
        transition: Float[Tensor, "..."],
        emission: Distribution,
        steps: int,
        batch_shape: Sequence[int] = (),
        lengths: Int[Tensor, "..."] | None = None,
    ) -> None:
        kind = torch.promote_types(initial.dtype, transition.dtype)
        self.initial, self.transition = initial.to(kind), transition.to(kind)
        self.emission = emission
        self.lengths = None if lengths is None else lengths.expand(torch.Size(batch_shape))
        event = torch.Size((steps,)) + emission.event_shape
        super().__init__(torch.Size(batch_shape), event, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The emission's support, at each step."""
        single: Any = self.emission.support
        return constraints.independent(single, 1)

    @property
    def steps(self) -> int:
        """T."""
        return self.event_shape[0]

    @property
    def states(self) -> int:
        """K."""
        return self.initial.shape[-1]

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> "ObservedSequence":
        """The same distribution for another batch shape."""
        parts = (self.initial, self.transition, self.emission, self.steps)
        return ObservedSequence(*parts, batch_shape, self.lengths)

    def ending(self, lengths: Int[Tensor, "..."] | None) -> "ObservedSequence":
        """The same distribution with rows of these lengths; None changes nothing."""
        if lengths is None:
            return self
        parts = (self.initial, self.transition, self.emission, self.steps)
        batch = joined_shapes(self.batch_shape, lengths.shape)
        return ObservedSequence(*parts, batch, lengths)

    def chain(self, value: Shaped[Tensor, "..."]) -> Chain:
        """The chain of states given a value.

        Raises:
            ValueError: The value has not the event's shape, or a vector is NaN in part only.
        """
        shape, dims = tuple(value.shape), len(self.event_shape)
        if value.dim() < dims or value.shape[value.dim() - dims :] != self.event_shape:
            raise ValueError(
                f"observations have shape {shape}: expected the sequence's "
                f"{tuple(self.event_shape)} last (steps, then the shape of one observation), "
                f"{tuple(self.batch_shape)} before"
            )
        batch = joined_shapes(value.shape[: value.dim() - dims], self.batch_shape)
        lengths = None if self.lengths is None else self.lengths.expand(batch)
        hidden = self._hidden(value, lengths)
        filled = value if hidden is None else self._filled(value, hidden)
        logs = self.emission.log_prob(filled.unsqueeze(value.dim() - dims + 1))
        unary = logs.expand(*batch, self.steps, self.states)
        if hidden is not None:
            unary = unary.masked_fill(hidden.unsqueeze(-1), 0)
        # One sum over all steps: its gradient needs no copies, those of slices do.
        first = nn.functional.pad(self.initial.to(unary).unsqueeze(-2), (0, 0, 0, self.steps - 1))
        return Chain(unary + first, self.transition.to(unary), lengths)

    def log_prob(self, value: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Log density of the observations; -inf where no path of states can emit them."""
        return log_partition(self.chain(value))

    def marginals(self, value: Shaped[Tensor, "..."]) -> Float[Tensor, "*batch steps states"]:
        """Smoothed states: :math:`p(z_t | y)`.

        Raises:
            ImpossibleSequence: No path of states can emit some row.
        """
        return marginals(self._possible(value))

    def pair_marginals(
        self, value: Shaped[Tensor, "..."]
    ) -> Float[Tensor, "*batch n states states"]:
        """Smoothed pairs of neighbours: :math:`p(z_t, z_{t+1} | y)`."""
        return pair_marginals(self._possible(value))

    def filtered(self, value: Shaped[Tensor, "..."]) -> Float[Tensor, "*batch steps states"]:
        """States given what came so far: :math:`p(z_t | y_1, …, y_t)`; without gradient."""
        return filtered(self._possible(value)).exp()

    def most_probable(self, value: Shaped[Tensor, "..."]) -> Path:
        """The most probable states, with the log density of states and observations together."""
        return best_path(self._possible(value))

    def sample_states(
        self, value: Shaped[Tensor, "..."], n: int, generator: torch.Generator | None = None
    ) -> Int[Tensor, "n *batch steps"]:
        """Independent draws of all states from :math:`p(z | y)`."""
        return draw_paths(self._possible(value), n, generator)

    @torch.no_grad()
    def simulate(
        self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None
    ) -> Simulated:
        """Sequences of states and of what they emit."""
        shape = torch.Size(sample_shape) + self.batch_shape
        states = self._prior_states(shape, generator)
        every = shape + torch.Size((self.steps, self.states))
        with seeded(generator):
            values = self.emission.expand(every).sample()
        dims = len(self.emission.event_shape)
        place = states.clamp_min(0).reshape(*states.shape, *(1,) * (dims + 1))
        place = place.expand(*states.shape, 1, *self.emission.event_shape)
        chosen = values.gather(len(shape) + 1, place).squeeze(len(shape) + 1)
        return Simulated(states, chosen)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Sequences of observations."""
        return self.simulate(sample_shape).observations

    @property
    def mean(self) -> Tensor:
        """Mean of each observation."""
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        """Variance of each observation."""
        return self._moments()[1]

    def state_probabilities(self) -> Float[Tensor, "*batch steps states"]:
        """Probability of each state at each step before anything is observed."""
        matrices = self.transition.exp()
        current = self.initial.exp()
        found = [current]
        for t in range(self.steps - 1):
            matrix = matrices[..., t if matrices.shape[-3] > 1 else 0, :, :]
            current = (current.unsqueeze(-2) @ matrix).squeeze(-2)
            found.append(current)
        batch = self.batch_shape
        return torch.stack([one.expand(*batch, self.states) for one in found], -2)

    def _moments(self) -> tuple[Tensor, Tensor]:
        dims = len(self.emission.event_shape)
        means, variances = self.emission.mean, self.emission.variance
        weights = self.state_probabilities().to(means)
        weights = weights.reshape(*weights.shape, *(1,) * dims)
        mean = (weights * means).sum(-1 - dims)
        second = (weights * (variances + means.square())).sum(-1 - dims)
        return mean, (second - mean.square()).clamp_min(0)

    def _possible(self, value: Tensor) -> Chain:
        chain = self.chain(value)
        refuse_impossible(chain)
        return chain

    def _hidden(self, value: Tensor, lengths: Tensor | None) -> Tensor | None:
        """Steps that say nothing: not observed, or after the end; None where there are none."""
        support: Any = self.emission.support
        dims = len(self.emission.event_shape)
        missing = value.isnan() if value.is_floating_point() else torch.zeros_like(value).bool()
        if support.is_discrete:
            missing = missing | (value == -1)
        each = missing.flatten(-dims) if dims else missing
        hidden = each.all(-1) if dims else each
        over = None if lengths is None else ended(lengths, self.steps)
        _check_symbols(value, support, hidden if over is None else hidden | over)
        partly = each.any(-1) & ~hidden if dims else None
        partly = partly if over is None or partly is None else partly & ~over
        if partly is not None and bool(partly.any()):
            raise ValueError(
                f"{_place(partly)}: the observation is NaN in part; give all of it, "
                "or NaN in every entry for a step that was not observed"
            )
        if over is not None:
            return hidden | over
        return hidden if bool(hidden.any()) else None

    def _filled(self, value: Tensor, hidden: Tensor) -> Tensor:
        """Values with something lawful in place of what is not there; it is not read."""
        batch = joined_shapes(value.shape[: hidden.dim()], hidden.shape)
        value = value.expand(*batch, *value.shape[hidden.dim() :])
        dims = len(self.emission.event_shape)
        with torch.no_grad(), seeded(torch.Generator().manual_seed(0)):
            lawful = self.emission.sample().movedim(-1 - dims, 0)[0].to(value)
        return torch.where(hidden.reshape(*hidden.shape, *(1,) * dims), lawful, value)

    def _prior_states(self, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        """States ``(*shape, T)`` by the inverse of their cdf; the n draws share the laws."""
        noise = uniform((self.steps, *shape), self.initial, generator)
        matrices = self.transition.exp()
        weights = self.initial.exp().expand(*shape, self.states)
        found: list[Tensor] = []
        for t in range(self.steps):
            cdf = weights.cumsum(-1)
            below = (cdf <= noise[t].unsqueeze(-1) * cdf[..., -1:]).sum(-1)
            state = torch.minimum(below, cdf.argmax(-1))
            found.append(state)
            if t + 1 < self.steps:
                matrix = matrices[..., t if matrices.shape[-3] > 1 else 0, :, :]
                matrix = matrix.expand(*shape, *matrix.shape[-2:])
                place = state[..., None, None].expand(*shape, 1, self.states)
                weights = matrix.gather(-2, place).squeeze(-2)
        states = torch.stack(found, -1)
        if self.lengths is None:
            return states
        return states.masked_fill(ended(self.lengths, self.steps), -1)


def _check_symbols(value: Tensor, support: Any, hidden: Tensor) -> None:
    """See that numbers of symbols are among those that can be emitted."""
    if support.event_dim or not hasattr(support, "upper_bound") or not support.is_discrete:
        return
    wrong = ~(support.check(value) | hidden)
    if bool(wrong.any()):
        raise ValueError(
            f"{_place(wrong)}: the symbol is {value.expand(wrong.shape)[wrong][0].item():g}, "
            f"expected a whole number from {support.lower_bound} to {support.upper_bound}, or -1 "
            "where it was not observed"
        )


def _place(wrong: Tensor) -> str:
    row = named_row(wrong.any(-1)) if wrong.dim() > 1 else "0"
    return f"row {row}, step {int(wrong.nonzero()[0][-1])}"
