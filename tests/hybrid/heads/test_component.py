"""Heads inside heads."""

import pytest
import torch

from hybrid.flows import NeuralSpline
from hybrid.heads.component import link_and_start
from hybrid.heads.empirical import Empirical


def test_flows_can_be_components():
    head, start = link_and_start(lambda body: NeuralSpline(body, transforms=1, bins=4))
    assert head.link(torch.tensor([start])).batch_shape == (1,)


def test_what_is_no_component():
    for wrong in (Empirical, lambda body: NeuralSpline(body, event=2), 3):
        with pytest.raises((TypeError, ValueError)):
            link_and_start(wrong)
