"""The noise of discrete values under a stated coupling, as functions of tensors (floor 0).

A class does not determine the noise that made it. A coupling says how noise makes classes; what a
class then leaves open is drawn from the noise's law given the class.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from causal.draws import uniform

__all__ = ["binary_noise", "gumbel_noise", "quantile_class", "quantile_noise"]


def _inside(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform noise strictly inside (0, 1)."""
    limits = torch.finfo(like.dtype)
    return uniform(like.shape, like, generator).clamp(limits.tiny, 1 - limits.eps)


def _gumbel(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard Gumbel noise."""
    return -(-_inside(like, generator).log()).log()


def binary_noise(logits: Tensor, value: Tensor, generator: torch.Generator | None = None) -> Tensor:
    r"""Standard logistic noise given :math:`y = 1[\epsilon > -\text{logits}]`.

    The quantile coupling on the logistic scale, on which both tails are exact: the noise is cut at
    −logits, on the side that ``value`` (0 or 1) says.

    Example:
        >>> import torch
        >>> logits = torch.tensor([-30.0, 0.0, 30.0])
        >>> binary_noise(logits, torch.tensor([1.0, 1.0, 1.0])) > -logits
        tensor([True, True, True])
    """
    logits, value = torch.broadcast_tensors(logits, value)
    one = value > 0.5
    # With share = v * p(value) and v uniform, the noise is at the tail probability `share`.
    share = _inside(logits, generator).log() + logsigmoid(torch.where(one, logits, -logits))
    tail = share - torch.log1p(-share.exp())
    edge = -logits
    above = torch.nextafter(edge, torch.full_like(edge, torch.inf))
    return torch.where(one, torch.maximum(-tail, above), torch.minimum(tail, edge))


def quantile_noise(
    logits: Tensor, value: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    r"""Logistic noise whose cdf lies in the observed class's part of [0, 1], classes in order.

    Args:
        logits: Log probabilities up to a constant, (\*batch, states).
        value: Observed classes (\*batch,).
        generator: Source of randomness.

    Example:
        >>> import torch
        >>> logits = torch.tensor([0.2, 0.5, 0.3]).log()
        >>> noise = quantile_noise(logits, torch.tensor([0, 1, 2]))
        >>> quantile_class(logits, noise)
        tensor([0, 1, 2])
    """
    batch = torch.broadcast_shapes(logits.shape[:-1], value.shape)
    probabilities = logits.expand(*batch, -1).double().softmax(-1)
    observed = value.long().expand(batch).unsqueeze(-1)
    upper = probabilities.cumsum(-1).gather(-1, observed).squeeze(-1)
    share = probabilities.gather(-1, observed).squeeze(-1)
    return torch.logit(upper - share * _inside(upper, generator))


def quantile_class(logits: Tensor, noise: Tensor) -> Tensor:
    """The class in whose part of [0, 1] the cdf of ``noise`` lies; inverse of `quantile_noise`.

    Example:
        >>> import torch
        >>> quantile_class(torch.tensor([0.2, 0.5, 0.3]).log(), torch.tensor([-5.0, 0.0, 5.0]))
        tensor([0, 1, 2])
    """
    edges = logits.double().softmax(-1).cumsum(-1)[..., :-1]
    return (torch.sigmoid(noise.double()).unsqueeze(-1) > edges).sum(-1)


def gumbel_noise(logits: Tensor, value: Tensor, generator: torch.Generator | None = None) -> Tensor:
    r"""Gumbel noise :math:`g` given :math:`y = \arg\max_k (\text{logits}_k + g_k)`.

    Drawn from the top down (Maddison, Tarlow & Minka 2014, *A\* sampling*, section 3; Oberst &
    Sontag 2019, section 3.2): the largest sum is Gumbel around :math:`\log\sum\exp` of the logits
    and belongs to the observed class; each other sum is Gumbel around its own logit, cut below it.

    Args:
        logits: Log probabilities up to a constant, (\*batch, states).
        value: Observed classes (\*batch,).
        generator: Source of randomness.

    Example:
        >>> import torch
        >>> logits = torch.tensor([0.2, 0.5, 0.3]).log()
        >>> (logits + gumbel_noise(logits, torch.tensor([0, 1, 2]))).argmax(-1)
        tensor([0, 1, 2])
    """
    batch = torch.broadcast_shapes(logits.shape[:-1], value.shape)
    logits = logits.expand(*batch, -1)
    observed = value.long().expand(batch).unsqueeze(-1)
    top = _gumbel(logits[..., :1], generator) + logits.logsumexp(-1, keepdim=True)
    free = _gumbel(logits, generator)
    below = -torch.logaddexp(-top, -(free + logits)) - logits
    noise = torch.where(torch.isfinite(logits), below, free)
    return noise.scatter(-1, observed, top - logits.gather(-1, observed))
