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


class Gaussian(nn.Module):
    """A guide: independent Gaussians, means linear in the context, scales free."""

    support = constraints.real_vector

    def __init__(self, width, size=1):
        super().__init__()
        self.event_shape = torch.Size([size])
        self.weight = nn.Parameter(torch.linspace(-0.3, 0.4, width * size).double().view(size, -1))
        self.log_scale = nn.Parameter(torch.full((size,), -0.2).double())

    def forward(self, context):
        if context.shape[-1] != self.weight.shape[-1]:
            raise RuntimeError(f"expected {self.weight.shape[-1]} columns")
        normal = td.Normal(context @ self.weight.mT, self.log_scale.exp())
        return td.Independent(normal, 1)


def gaussian(scm):
    """Mean and covariance of a linear-Gaussian SCM: hidden columns first, then variables."""
    hidden, names = list(scm.hidden_columns), list(scm.graph.nodes)
    nodes = hidden + names
    weights = torch.zeros(len(nodes), len(nodes)).double()
    bias, scale = torch.zeros(len(nodes)).double(), torch.ones(len(nodes)).double()
    for name in names:
        row, law = nodes.index(name), scm.law(name)
        columns = [nodes.index(column) for column in scm.columns(name)]
        weights[row, columns] = law.weight.detach()
        bias[row], scale[row] = law.bias.detach(), law.log_scale.detach().exp()
    total = torch.linalg.inv(torch.eye(len(nodes)).double() - weights)
    return total @ bias, (total * scale**2) @ total.mT, len(hidden)


def exact(scm, rows):
    """The log density of rows of a linear-Gaussian SCM with hidden causes."""
    mean, covariance, h = gaussian(scm)
    values = torch.stack([rows[name] for name in scm.graph.nodes], -1)
    return td.MultivariateNormal(mean[h:], covariance[h:, h:]).log_prob(values)


class Exact(nn.Module):
    """The posterior of the hidden causes of a linear-Gaussian SCM, computed from its laws."""

    support = constraints.real_vector

    def __init__(self, size=1):
        super().__init__()
        self.event_shape = torch.Size([size])
        self.of = []  # the SCM, once it is there; in a list, so that it is no submodule

    def forward(self, context):
        if not self.of:
            zeros = context.new_zeros((*context.shape[:-1], *self.event_shape))
            return td.Independent(td.Normal(zeros, 1.0), 1)
        mean, covariance, h = gaussian(self.of[0])
        gain = torch.linalg.solve(covariance[h:, h:], covariance[h:, :h]).mT
        left = covariance[:h, :h] - gain @ covariance[h:, :h]
        shift = (context - mean[h:]) @ gain.mT + mean[:h]
        return td.MultivariateNormal(shift, left)

    @classmethod
    def of_scm(cls, make):
        """``make(guide)`` with its exact posterior as guide."""
        guide = cls(len(make(None).hidden_columns))
        scm = make(guide)
        guide.of.append(scm)
        return scm


@pytest.fixture
def laws():
    return SimpleNamespace(
        Linear=Linear,
        Vector=Vector,
        Binary=Binary,
        Classes=Classes,
        Random=Random,
        Gaussian=Gaussian,
        Exact=Exact,
        gaussian=gaussian,
        exact=exact,
    )
