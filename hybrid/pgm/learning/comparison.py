"""How far one network is from another of the same graph (floor 3)."""

import torch

from hybrid.pgm.networks.network import BayesianNetwork

__all__ = ["relative_entropy"]


@torch.no_grad()
def relative_entropy(p: BayesianNetwork, q: BayesianNetwork) -> float:
    r"""The Kullback–Leibler divergence between two networks of one graph, in nats.

    .. math:: D(p \| q) = \sum_v \sum_{z, x} p(z, x) \log \frac{p(x \mid z)}{q(x \mid z)}

    over variables and configurations of their parents; infinite where q excludes what p allows.

    Args:
        p: The network that is taken for the truth; all its nodes have tables, or laws with states.
        q: The network that stands in for it.

    Raises:
        ValueError: Graphs or numbers of states differ.

    Source: Koller & Friedman, "Probabilistic Graphical Models" (2009), proposition 8.5.

    Example:
        >>> from causal.graph import Graph
        >>> made = [BayesianNetwork(Graph(nodes=["C"]), {"C": [a, 1 - a]}) for a in (0.5, 0.25)]
        >>> round(relative_entropy(*made), 6)
        0.143841
    """
    if p.graph != q.graph or p.cardinalities != q.cardinalities:
        raise ValueError("relative_entropy compares networks of one graph and the same states")
    joint = p.expected_statistics()
    total = 0.0
    for mine, theirs in zip(p.factors(), q.factors(), strict=True):
        weights = joint[mine.names[-1]].permute(mine.names).values
        used = weights > 0
        logs = mine.values.where(used, 1.0).log() - theirs.values.where(used, 1.0).log()
        total += float((weights * logs).sum())
    return total
