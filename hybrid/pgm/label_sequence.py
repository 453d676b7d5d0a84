"""The distribution of a conditional random field on a chain (floor 2 of `hybrid.pgm`)."""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from hybrid.pgm.chains import (
    Chain,
    Path,
    best_path,
    clamped,
    draw_paths,
    entropy,
    log_partition,
    marginals,
    pair_marginals,
    refuse_impossible,
    score,
)
from hybrid.pgm.chains.layout import ended, joined_shapes

__all__ = ["LabelSequence"]


class LabelSequence(TorchDistribution):
    r"""Sequences of labels with probabilities :math:`p(z) = w(z) / Z` of a `Chain`.

    A value is ``(*batch, steps)``; a label of -1 was not observed and is summed over, what follows
    a row's end is not read. Sampled sequences are -1 there.

    Args:
        chain: Log weights of single labels and of neighbours.

    Example:
        >>> distribution = LabelSequence(Chain(torch.zeros(7, 5, 3), torch.zeros(1, 3, 3)))
        >>> distribution.batch_shape, distribution.event_shape
        (torch.Size([7]), torch.Size([5]))
        >>> labels = torch.tensor([0, -1, 2, 1, 1]).expand(7, 5)
        >>> distribution.log_prob(labels).exp().reciprocal().round()
        tensor([81., 81., 81., 81., 81., 81., 81.])
    """

    arg_constraints: ClassVar = {}
    has_rsample = False

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        shape = torch.Size((chain.steps,))
        super().__init__(chain.batch_shape, shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Numbers of labels, one per step."""
        return constraints.independent(constraints.integer_interval(0, self.chain.states - 1), 1)

    @functools.cached_property
    def log_partition(self) -> Float[Tensor, "*batch"]:
        """Log of the sum of all sequences' weights.

        Raises:
            ImpossibleSequence: In some row no sequence is possible.
        """
        total = log_partition(self.chain)
        if bool((total.detach() == -torch.inf).any()):
            refuse_impossible(self.chain)
        return total

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> "LabelSequence":
        """The same distribution for another batch shape."""
        return LabelSequence(self.chain.expand(batch_shape))

    def log_prob(self, value: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Log probability of the observed labels of each row.

        Raises:
            ValueError: A value is not the number of a label, or -1, or has not the event's shape.
        """
        chain, labels, free = self._observed(value)
        observed = score(chain, labels) if not free else log_partition(clamped(chain, labels))
        return observed - self.log_partition

    def given(self, labels: Shaped[Tensor, "..."]) -> "LabelSequence":
        """The conditional distribution, given the labels that are not -1."""
        chain, numbers, _ = self._observed(labels)
        return LabelSequence(clamped(chain, numbers))

    def marginals(self) -> Float[Tensor, "*batch steps states"]:
        """Probability of each label at each step; 0 after the end of a row."""
        _ = self.log_partition
        return marginals(self.chain)

    def pair_marginals(self) -> Float[Tensor, "*batch between states states"]:
        """Probability of each pair of neighbouring labels."""
        _ = self.log_partition
        return pair_marginals(self.chain)

    def most_probable(self) -> Path:
        """The most probable sequence of each row and its log probability."""
        path = best_path(self.chain)
        return Path(path.states, path.log_probability - self.log_partition)

    @property
    def mode(self) -> Int[Tensor, "*batch steps"]:
        """The most probable sequence of each row."""
        return self.most_probable().states

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Entropy of the sequences in nats."""
        _ = self.log_partition
        return entropy(self.chain)

    def sample(
        self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None
    ) -> Int[Tensor, "..."]:
        """Independent sequences, exactly distributed."""
        _ = self.log_partition
        shape = torch.Size(sample_shape)
        if not shape.numel():
            return torch.empty(shape + self.batch_shape + self.event_shape, dtype=torch.long)
        drawn = draw_paths(self.chain, shape.numel(), generator)
        return drawn.reshape(shape + drawn.shape[1:])

    def _observed(self, value: Tensor) -> tuple[Chain, Tensor, bool]:
        """The chain for the value's rows, its labels as numbers, and whether some are free."""
        if value.shape[-1:] != self.event_shape:
            raise ValueError(
                f"labels have shape {tuple(value.shape)}: expected the {self.chain.steps} steps of "
                f"the sequence last, {tuple(self.batch_shape + self.event_shape)}"
            )
        labels = value.long()
        if value.is_floating_point() and not bool((labels == value).all()):
            raise ValueError(
                "labels are whole numbers (-1 where not observed), got a fraction or NaN"
            )
        batch = joined_shapes(value.shape[:-1], self.batch_shape)
        chain, labels = self.chain.expand(batch), labels.expand(*batch, -1)
        if chain.lengths is not None:
            labels = labels.masked_fill(ended(chain.lengths, chain.steps), 0)
        return chain, labels, bool((labels == -1).any())
