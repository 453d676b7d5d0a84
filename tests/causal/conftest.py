"""Small laws to build models from: linear-Gaussian, classes, and one with random weights."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
import torch.distributions as td
from torch import nn
from torch.distributions import constraints

from causal.draws import fixed, held, hold, standard_normal


class Linear(nn.Module):
    """y = weight · context + bias + scale · e."""

    event_shape, support = torch.Size(), constraints.real

    def __init__(self, width, weight=None, bias=0.3, scale=0.7):
        super().__init__()
        start = torch.linspace(0.5, 1.5, width) if weight is None else torch.tensor(weight)
        self.weight = nn.Parameter(start.double())
        self.bias = nn.Parameter(torch.tensor(float(bias)).double())
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).double().log())

    def forward(self, context):
        if context.shape[-1] != len(self.weight):
            raise RuntimeError(f"expected {len(self.weight)} columns, got {context.shape[-1]}")
        return td.Normal(context @ self.weight + self.bias, self.log_scale.exp())


class Vector(nn.Module):
    """A vector of independent Gaussians whose means are sums of the context."""

    support = constraints.independent(constraints.real, 1)

    def __init__(self, size):
        super().__init__()
        self.event_shape = torch.Size([size])
        self.mean = nn.Parameter(torch.arange(size).double())

    def forward(self, context):
        return td.Independent(td.Normal(self.mean + context.sum(-1, keepdim=True), 1.0), 1)


class Binary(nn.Module):
    event_shape, support = torch.Size(), constraints.boolean

    def __init__(self, width, bias=0.2):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.6, 1.2, width).double())
        self.bias = nn.Parameter(torch.tensor(bias).double())

    def forward(self, context):
        return td.Bernoulli(logits=context @ self.weight + self.bias)


class Classes(nn.Module):
    event_shape = torch.Size()

    def __init__(self, width, states=3):
        super().__init__()
        self.states, self.support = states, constraints.integer_interval(0, states - 1)
        generator = torch.Generator().manual_seed(states + width)
        weight = torch.randn(width, states, generator=generator, dtype=torch.float64)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.linspace(-0.5, 0.5, states).double())

    def forward(self, context):
        return td.Categorical(logits=context @ self.weight + self.bias)


class Random(nn.Module):
    """Linear-Gaussian with a Gaussian distribution over its one weight and bias."""

    event_shape, support = torch.Size(), constraints.real

    def __init__(self, width, spread=0.5):
        super().__init__()
        self.mean = nn.Parameter(torch.linspace(1.0, 2.0, width + 1).double())
        self.log_spread = nn.Parameter(torch.full((width + 1,), spread).double().log())

    @contextmanager
    def fixed(self, draws, generator=None):
        shape = (() if draws is None else (draws,)) + self.mean.shape
        noise = standard_normal(shape, self.mean, generator)
        with hold(self, self.mean + self.log_spread.exp() * noise):
            yield

    def divergence(self):
        prior = td.Normal(torch.zeros_like(self.mean), 1.0)
        return td.kl_divergence(td.Normal(self.mean, self.log_spread.exp()), prior).sum()

    def forward(self, context):
        weight = held(self)
        if weight is None:
            with fixed(self):
                return self(context)
        bias = weight[..., -1]
        if weight.dim() == 2:  # (draws, width + 1)
            context = context.expand(len(weight), *context.shape[1:])
            extra = context.dim() - 2
            weight = weight.reshape(len(weight), *[1] * extra, -1)
            bias = bias.reshape(len(bias), *[1] * extra)
        return td.Normal((context * weight[..., :-1]).sum(-1) + bias, 1.0)


@pytest.fixture
def laws():
    return SimpleNamespace(
        Linear=Linear, Vector=Vector, Binary=Binary, Classes=Classes, Random=Random
    )
