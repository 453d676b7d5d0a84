"""A backbone and a Bayesian network on top of it, as one law (floor 1)."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.distributions import constraints

from causal.draws import fixed
from hybrid.bayes.batching import batched, in_dtype_of, is_random
from hybrid.pgm.networks.network import BayesianNetwork
from hybrid.pgm.networks.nodes import Contextual
from hybrid.pgm.structured.labelling import Labelling, stacked_labels

__all__ = ["Structured"]


class Structured(nn.Module):
    r"""Law of several labels of one input: a backbone, then a Bayesian network of the labels.

    .. math:: p(y \mid x) = \prod_v p(y_v \mid y_{pa(v)}, \phi(x))

    The backbone φ runs once per row; `Contextual` laws of the network read its result after their
    parents' columns, all other nodes tie labels to each other. The distribution is a `Labelling`:
    labels of −1 are summed over exactly, so that partly labelled rows train everything they can.
    `hybrid.objectives.ELBO` trains backbone, laws and tables together; `hybrid.bayes.variational`
    makes the backbone random.

    Args:
        body: A Layer from contexts ``(*batch, *row)`` to features ``(*batch, width)``.
        network: A network of finite variables in which some node is `Contextual`.

    Raises:
        ValueError: No node reads a context, a variable is continuous, or the network is random.

    Source: Koller & Friedman, "Probabilistic graphical models" (2009), section 5.6 (conditional
    Bayesian networks); likelihood of incomplete rows: section 19.1.

    Example:
        >>> from causal.graph import Graph
        >>> from hybrid.heads.classes import Categorical
        >>> head = Contextual(Categorical(torch.nn.Linear(8, 8), states=3))
        >>> nodes = {"kind": head, "striped": [[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]]}
        >>> network = BayesianNetwork(Graph.parse("kind -> striped"), nodes)
        >>> law = Structured(torch.nn.Linear(5, 8), network)
        >>> labels = law.labels({"striped": torch.tensor([1, 1, 0])})
        >>> law(torch.zeros(3, 5)).log_prob(labels).shape
        torch.Size([3])
        >>> law(torch.zeros(3, 5)).marginals()["kind"].shape
        torch.Size([3, 3])
    """

    def __init__(self, body: nn.Module, network: BayesianNetwork) -> None:
        super().__init__()
        if network.structure.leaves:
            raise ValueError(
                f"labels are finite, but {list(network.structure.leaves)} are continuous: leave "
                "them out, or train the network itself on columns"
            )
        if not any(isinstance(node, Contextual) for node in network.laws.values()):
            raise ValueError(
                "no node of the network reads the body's features: wrap a law in Contextual"
            )
        if is_random(network):
            raise ValueError(
                "the network has random weights: give it plain laws and make the whole law random, "
                "hybrid.bayes.variational(Structured(body, network))"
            )
        self.body = body
        self.network = network

    @property
    def names(self) -> tuple[str, ...]:
        """The labels, in the order of a value's last axis."""
        return self.network.structure.names

    @property
    def event_shape(self) -> torch.Size:
        """``(labels,)``."""
        return torch.Size((len(self.names),))

    @property
    def support(self) -> constraints.Constraint:
        """State numbers of each label."""
        highest = torch.tensor(self.network.structure.cardinalities) - 1
        return constraints.independent(constraints.integer_interval(0, highest), 1)

    def labels(self, columns: Mapping[str, Any]) -> Tensor:
        """Columns of state numbers by name as one value; −1 where a name has no column.

        Raises:
            ValueError: An unknown name, or no column.
        """
        return stacked_labels(self.names, columns)

    def link(self, features: Tensor) -> Labelling:
        """The distribution at given features."""
        return Labelling(self.network, features)

    def forward(
        self, context: Shaped[Tensor, "*batch width"], draws: int | None = None
    ) -> Labelling:
        """The distribution of labels given ``context``.

        Args:
            context: ``(*batch, *row)``, whatever rows the body takes; with a leading axis of S or 1
                inside ``fixed(law, S)``.
            draws: The number S of weight sets for a context without a draws axis.
        """
        context = in_dtype_of(self, context)
        if draws is not None:
            with fixed(self, draws):
                found: Any = self(context.unsqueeze(0))
                return found.expand((draws, *found.batch_shape[1:]))
        with fixed(self) as current:
            features = self.body(context) if current is None else batched(self.body, {}, context)
        return self.link(features)
