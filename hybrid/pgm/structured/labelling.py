"""The distribution of a row's labels, a Bayesian network at the features of that row (floor 0)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from hybrid.pgm.networks.ancestral import sampled_rows
from hybrid.pgm.networks.model import Model
from hybrid.pgm.networks.network import BayesianNetwork
from hybrid.pgm.networks.observation import Observed
from hybrid.pgm.networks.questions import best_states, log_evidence, restored, set_marginals

__all__ = ["Labelling", "stacked_labels"]


class Labelling(TorchDistribution):
    r"""Labels of rows with the probabilities of a network, :math:`p(y \mid \phi)`, at features φ.

    A value is ``(*batch, labels)``, state numbers in the order of `names`; −1 is a label that
    nobody gave, and is summed over.

    Args:
        network: A network of finite variables, of which some read the row's context.
        features: That context, ``(*batch, width)``.
        known: Labels ``(*batch, labels)`` that are given, −1 where they are not; None for none.

    Example:
        >>> from causal.graph import Graph
        >>> from hybrid.heads.classes import Categorical
        >>> from hybrid.pgm.networks.nodes import Contextual
        >>> law = Contextual(Categorical(torch.nn.Linear(4, 8), states=3))
        >>> nodes = {"kind": law, "striped": [[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]]}
        >>> network = BayesianNetwork(Graph.parse("kind -> striped"), nodes)
        >>> found = Labelling(network, torch.zeros(5, 4))
        >>> found.names, found.log_prob(torch.tensor([2, -1])).shape
        (('kind', 'striped'), torch.Size([5]))
        >>> found.given(torch.tensor([-1, 0])).marginals()["kind"][0, 2]
        tensor(0., dtype=torch.float64, grad_fn=<SelectBackward0>)
    """

    arg_constraints: ClassVar = {}
    has_rsample = False

    def __init__(
        self,
        network: BayesianNetwork,
        features: Float[Tensor, "*batch width"],
        known: Int[Tensor, "*batch labels"] | None = None,
    ) -> None:
        self.network, self.features, self.known = network, features, known
        self.names = network.structure.names
        shape = torch.Size((len(self.names),))
        super().__init__(features.shape[:-1], shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """State numbers of each label."""
        sizes = self.network.structure.cardinalities
        highest = torch.tensor(sizes, device=self.features.device) - 1
        return constraints.independent(constraints.integer_interval(0, highest), 1)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> "Labelling":
        """The same distribution for another batch shape."""
        features = self.features.expand(*batch_shape, self.features.shape[-1])
        known = None if self.known is None else self.known.expand(*batch_shape, len(self.names))
        return Labelling(self.network, features, known)

    def log_prob(self, value: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Log probability of the labels that are not −1, given those that are known.

        Raises:
            ValueError: A label is no state of its variable, or the shape is another.
        """
        labels, batch = self._whole(value)
        logs = self._log_evidence(labels, batch)
        if self.known is None:
            return logs
        known = self.known.expand(labels.shape)
        clash = ((labels >= 0) & (known >= 0) & (labels != known)).any(-1)
        both = self._log_evidence(torch.where(known >= 0, known, labels), batch)
        return torch.where(clash, -torch.inf, both - self._log_evidence(known, batch))

    def given(self, labels: Shaped[Tensor, "..."]) -> "Labelling":
        """The conditional distribution, given the labels that are not −1."""
        numbers, batch = self._whole(labels)
        if self.known is not None:
            numbers = torch.where(numbers >= 0, numbers, self.known.expand(numbers.shape))
        return Labelling(self.network, self.expand(batch).features, numbers)

    def marginals(self) -> dict[str, Tensor]:
        """The distribution of each label, ``{name: (*batch, states)}``.

        Raises:
            ImpossibleEvidence: The known labels of a row have probability 0.
        """
        lead, found = set_marginals(*self._at_work(self.known, self.batch_shape), None)
        tables = [restored(table, lead, None, self.batch_shape) for table in found]
        return dict(zip(self.names, tables, strict=True))

    @property
    def mode(self) -> Int[Tensor, "*batch labels"]:
        """The labels that are most probable together."""
        lead, states, _ = best_states(*self._at_work(self.known, self.batch_shape), 1)
        return restored(states[:, 0], lead, None, self.batch_shape)

    @torch.no_grad()
    def sample(
        self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None
    ) -> Int[Tensor, "..."]:
        """Independent labels, exactly distributed."""
        shape = torch.Size(sample_shape)
        model, seen = self._at_work(self.known, self.batch_shape)
        found = sampled_rows(model, seen, shape.numel(), generator)
        states = torch.stack([found[name][0] for name in self.names], -1)
        return states.reshape(shape + self.batch_shape + self.event_shape)

    def _at_work(self, labels: Tensor | None, batch: Sequence[int]) -> tuple[Model, Observed]:
        """The network on rows; weights are drawn by whoever made the features."""
        columns = {}
        if labels is not None:
            columns = {name: labels[..., k] for k, name in enumerate(self.names)}
        features = self.features.expand(*batch, self.features.shape[-1])
        return self.network.at_work(columns, features, None)

    def _log_evidence(self, labels: Tensor, batch: Sequence[int]) -> Tensor:
        logs = log_evidence(*self._at_work(labels, batch))
        return restored(logs.reshape(-1), 1, None, tuple(batch))

    def _whole(self, value: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Labels as whole numbers for the joint batch shape."""
        if value.shape[-1:] != self.event_shape:
            raise ValueError(
                f"labels have shape {tuple(value.shape)}: expected one for each of "
                f"{list(self.names)} last, {tuple(self.batch_shape + self.event_shape)}"
            )
        numbers = value.long()
        if value.is_floating_point() and not bool((numbers == value).all()):
            raise ValueError("labels are state numbers (−1 where not given), got a fraction or NaN")
        batch = tuple(torch.broadcast_shapes(numbers.shape[:-1], self.batch_shape))
        return numbers.expand(*batch, len(self.names)), batch


def stacked_labels(names: Sequence[str], columns: Mapping[str, Any]) -> Tensor:
    """Columns of state numbers as one tensor (*rows, names); −1 where a name has no column.

    Raises:
        ValueError: An unknown name, or no column.

    Example:
        >>> stacked_labels(["kind", "striped"], {"striped": [1, 0]})
        tensor([[-1,  1],
                [-1,  0]])
    """
    unknown = sorted(set(columns) - set(names))
    if unknown or not columns:
        raise ValueError(f"labels are columns of {list(names)}, got {unknown or 'none'}")
    found = {name: torch.as_tensor(column).long() for name, column in columns.items()}
    absent = torch.full_like(next(iter(found.values())), -1)
    return torch.stack([found.get(name, absent) for name in names], -1)
