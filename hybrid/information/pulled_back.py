"""Information in the raw numbers that a link makes a distribution of (floor 2)."""

import math
from collections.abc import Callable

import torch
import torch.distributions as td
from jaxtyping import Float
from torch import Tensor

from causal.draws import seeded
from hybrid.information.roots import Information, exact_information

__all__ = ["behind_link", "pulled_back"]


def pulled_back(
    found: Information, raw: Float[Tensor, "rows raw"]
) -> Float[Tensor, "rows count raw"]:
    r"""A root of the information in ``raw``, of which the numbers of ``found`` were made.

    .. math:: J^T R^T R J, \qquad J = \partial \text{outputs} / \partial \text{raw},

    row by row: numbers of one row are made of this row of ``raw`` alone.

    Example:
        >>> from hybrid.information.roots import information
        >>> raw = torch.zeros(3, 1, requires_grad=True)
        >>> pulled_back(information(td.Poisson(raw.squeeze(-1).exp())), raw).flatten()
        tensor([1., 1., 1.])
    """
    outputs, root = found
    if not outputs.requires_grad:
        return raw.new_zeros(len(raw), 0, raw.shape[-1])
    each = []
    for along in root.to(outputs.dtype).unbind(-2):
        (gradient,) = torch.autograd.grad(
            outputs, raw, along, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        each.append(gradient)
    return torch.stack(each, 1)


def behind_link(
    link: Callable[[Tensor], td.Distribution],
    raw: Float[Tensor, "rows raw"],
    samples: int = 64,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "rows count raw"]:
    r"""Vectors whose outer products add up to the Fisher information in raw numbers, for each row.

    .. math:: \sum_r a_r a_r^\top = E_y[\nabla \log p(y)\, \nabla \log p(y)^\top]

    Exact where `hybrid.information.roots.exact_information` is, else a mean over samples. Vectors
    that are zero for all rows are left out.

    Args:
        link: Raw numbers → distribution, row by row.
        raw: The numbers, a row each.
        samples: The number of samples where the information is not known.
        generator: Source of these; None advances torch's global generator.

    Raises:
        ValueError: The distribution's batch shape is not that of the rows.

    Source: Martens (2020), *New insights and perspectives on the natural gradient method*, section
    8 (the generalised Gauss–Newton matrix is the Fisher information).

    Example:
        >>> link = lambda raw: td.Normal(raw.squeeze(-1), 0.5)
        >>> behind_link(link, torch.zeros(2, 1)).flatten()
        tensor([2., 2.])
    """
    with torch.enable_grad():
        given = raw.detach().requires_grad_()
        distribution = link(given)
        if distribution.batch_shape != raw.shape[:1]:
            raise ValueError(
                f"the law's link made a distribution of batch shape "
                f"{tuple(distribution.batch_shape)} of {len(raw)} rows: expected ({len(raw)},)"
            )
        known = exact_information(distribution)
        if known is None:
            with seeded(generator), torch.no_grad():
                values = distribution.sample(torch.Size((samples,)))
            found = _scores(link, raw.detach(), values) / math.sqrt(samples)
        else:
            found = pulled_back(known, given)
    return found[:, (found != 0).any(-1).any(0)]


def _scores(link: Callable[[Tensor], td.Distribution], raw: Tensor, values: Tensor) -> Tensor:
    """The gradients ``(rows, samples, raw)`` of the log densities of ``(samples, rows, *event)``.

    Every sample has a row of raw numbers of its own, so that one backward pass serves all.
    """
    samples, rows = values.shape[:2]
    given = raw.expand(samples, *raw.shape).flatten(0, 1).clone().requires_grad_()
    logs = link(given).log_prob(values.flatten(0, 1))
    if not logs.requires_grad:
        return raw.new_zeros(rows, 0, raw.shape[-1])
    (gradient,) = torch.autograd.grad(logs.sum(), given, allow_unused=True, materialize_grads=True)
    return gradient.unflatten(0, (samples, rows)).transpose(0, 1)
