"""A linear Gaussian autoencoder, whose evidence and posterior are known in closed form."""

import math

import torch
import torch.distributions as td
from torch import nn


class LinearNormal(nn.Module):
    """A Law with mean Wc + b and one scale for all entries, or one for each."""

    support = td.constraints.real_vector

    def __init__(self, weight, bias, scale):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.log_scale = nn.Parameter(torch.as_tensor(scale, dtype=weight.dtype).log())
        self.event_shape = torch.Size((len(weight),))

    def forward(self, context):
        mean = context @ self.weight.mT + self.bias
        return td.Independent(td.Normal(mean, self.log_scale.exp().expand_as(mean)), 1)


class FullNormal(nn.Module):
    """A Law with mean Wc + b and a covariance."""

    support = td.constraints.real_vector

    def __init__(self, weight, bias, covariance):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.factor = nn.Parameter(torch.linalg.cholesky(covariance))
        self.event_shape = torch.Size((len(weight),))

    def forward(self, context):
        mean = context @ self.weight.mT + self.bias
        return td.MultivariateNormal(mean, scale_tril=self.factor.tril())


def evidence(decoder):
    """The distribution of x."""
    w = decoder.weight.detach()
    covariance = w @ w.mT + torch.eye(len(w), dtype=w.dtype) * decoder.log_scale.detach().exp() ** 2
    return td.MultivariateNormal(decoder.bias.detach(), covariance)


def exact_posterior(decoder):
    """Tipping & Bishop (1999), eq. 8: weight, bias and covariance of the mean's linear map."""
    w, noise = decoder.weight.detach(), decoder.log_scale.detach().exp() ** 2
    inverse = torch.linalg.inv(w.mT @ w + noise * torch.eye(w.shape[1], dtype=w.dtype))
    weight = inverse @ w.mT
    return weight, -weight @ decoder.bias.detach(), noise * inverse


def decoder_with(weight, scale=0.5):
    """A decoder around the mean 1."""
    return LinearNormal(weight, torch.ones(len(weight), dtype=weight.dtype), scale)


def maximum_likelihood(x, latent):
    """Tipping & Bishop (1999), eq. 7 and 8 of section 3.2: covariance and mean log likelihood."""
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(centred.mT @ centred / len(x))
    noise = values[:-latent].mean()
    main = vectors[:, -latent:]
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    covariance = main @ torch.diag(values[-latent:] - noise) @ main.mT + noise * eye
    d = x.shape[1]
    likelihood = -0.5 * (d * math.log(2 * math.pi) + torch.logdet(covariance) + d)
    return covariance, likelihood
