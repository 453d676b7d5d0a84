import math

import pytest
import torch

from causal.graph import Graph
from hybrid.pgm import BayesianNetwork
from hybrid.pgm.learning.comparison import relative_entropy

EDGE = Graph.parse("B -> A")


def test_the_sum_over_all_states():
    p = BayesianNetwork(EDGE, {"B": [0.3, 0.7], "A": [[0.2, 0.8], [1.0, 0.0]]})
    q = BayesianNetwork(EDGE, {"B": [0.6, 0.4], "A": [[0.5, 0.5], [0.9, 0.1]]})
    one, two = p.factor().values, q.factor().values
    wanted = torch.special.xlogy(one, one.where(one > 0, 1.0) / two).sum()
    assert relative_entropy(p, q) == pytest.approx(float(wanted), abs=1e-14)
    assert relative_entropy(p, p) == 0
    assert relative_entropy(q, p) == math.inf


def test_other_networks_are_refused():
    p = BayesianNetwork(EDGE, {"B": [0.3, 0.7], "A": [[0.2, 0.8], [1.0, 0.0]]})
    q = BayesianNetwork(Graph(nodes=["A", "B"]), {"B": [0.3, 0.7], "A": [0.2, 0.8]})
    with pytest.raises(ValueError, match="networks of one graph"):
        relative_entropy(p, q)
