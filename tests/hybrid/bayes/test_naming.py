"""Parameters are found in a law by the end of their names."""

import pytest
import torch
from torch import nn

from hybrid.backbones import MLP
from hybrid.bayes.naming import named_in
from hybrid.heads import Normal
from hybrid.objectives import ELBO


def test_an_objectives_names_are_found_in_its_law():
    law = Normal(MLP(3, [4], 4))
    names = [name for name, _ in ELBO(law, data_size=3).named_parameters()]
    assert list(named_in(law, names).values()) == [name for name, _ in law.named_parameters()]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"parameter 'a\.bias' belongs to nothing in PReLU"):
        named_in(nn.PReLU(), ["a.bias"])
    with pytest.raises(ValueError, match=r"\['a.weight', 'b.weight'\] all fit \['weight'\]"):
        named_in(nn.PReLU(), ["a.weight", "b.weight"])


def test_shapes_that_would_only_broadcast_are_refused():
    law = Normal(nn.Linear(3, 4))
    shapes = {"model.body.0.weight": torch.Size([4, 1])}
    with pytest.raises(ValueError, match=r"weight' has shape \(4, 1\), the law's .* \(4, 3\)"):
        named_in(law, shapes, shapes=shapes)
