"""A lower bound of the log density where there are hidden causes (floor 2)."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from causal.ancestral import log_density, simulate
from causal.columns import Mechanisms
from causal.guide import posterior

__all__ = ["lower_bound"]


def lower_bound(
    model: Mechanisms,
    rows: Mapping[str, Tensor],
    wanted: set[str],
    do: Mapping[str, Any],
    draws: int | None,
    samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""An estimate whose mean is a lower bound of the log density of rows, (\*draws, batch).

    .. math:: \log \frac{1}{K} \sum_{k=1}^K \frac{p(u_k)\, p(x \mid u_k)}{q(u_k \mid x)},
        \qquad u_k \sim q(u \mid x)

    With K = 1 the evidence lower bound; its mean rises with K towards :math:`\log p(x)`. It equals
    :math:`\log p(x)` for every draw where the guide is the exact posterior. Under interventions
    their terms are left out, and the guide reads the values that they set.

    Args:
        model: Graph, laws and guide, inside ``fixed(…, draws)``.
        rows: Values of all variables but those intervened on, (batch, \*event).
        wanted: The variables whose terms are summed.
        do: Interventions.
        draws: The number S of draws, or None.
        samples: K, the number of weights that are averaged.
        generator: Source of randomness in interventions.

    Raises:
        ValueError: A variable is missing, there is no guide, or ``samples`` is below 1.

    Source: Burda, Grosse & Salakhutdinov, "Importance weighted autoencoders" (2016), eq. 8.

    Example:
        >>> import torch.distributions as td
        >>> from causal.graph import Graph
        >>> from causal.guide import Guide
        >>> from causal.hidden import Hidden, expanded
        >>> class Around(torch.nn.Module):
        ...     event_shape, support = torch.Size(), td.constraints.real
        ...
        ...     def forward(self, context):
        ...         return td.Normal(context.sum(-1), 1.0)
        >>> class Exact(torch.nn.Module):  # of a standard normal cause seen twice
        ...     event_shape, support = torch.Size([1]), td.constraints.real_vector
        ...
        ...     def forward(self, context):
        ...         mean = context.sum(-1, keepdim=True) / 3
        ...         return td.Independent(td.Normal(mean, 3**-0.5), 1)
        >>> graph = expanded(Graph.parse("X <-> Y"))
        >>> laws = {"X": Around(), "Y": Around(), "X<->Y": Hidden()}
        >>> parents = {"X": ("X<->Y",), "Y": ("X<->Y",), "X<->Y": ()}
        >>> model = Mechanisms(graph, laws, parents, torch.zeros(()), ("X<->Y",), Guide(Exact(), 1))
        >>> rows = {"X": torch.tensor([1.0]), "Y": torch.tensor([-0.5])}
        >>> bound = lower_bound(model, rows, {"X", "Y"}, {}, None)
        >>> covariance = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> exact = td.MultivariateNormal(torch.zeros(2), covariance)
        >>> torch.allclose(bound, exact.log_prob(torch.tensor([1.0, -0.5])))
        True
    """
    if not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples must be a whole number from 1, got {samples!r}")
    missing = sorted(set(model.variables) - set(rows) - set(do))
    if missing:
        raise ValueError(
            f"missing column(s) {missing}: with hidden causes {list(model.hidden)} log_probability "
            "is a bound, for which the guide reads all variables"
        )
    n = len(next(iter(rows.values())))
    lead = () if draws is None else (1,)
    kept = {name: row.unsqueeze(0) if lead else row for name, row in rows.items()}
    full = (n,) if draws is None else (draws, n)
    values = simulate(
        model, full, actions=do, kept=kept, names=model.variables, generator=generator
    )
    drawn = posterior(model, values, n, draws, samples)
    at = len(lead)
    repeated = {name: _repeated(value, at, samples) for name, value in values.items()}
    terms = log_density(
        model, {**repeated, **drawn.values}, wanted | set(model.hidden), (*lead, samples, n)
    )
    weights = terms - drawn.log_density
    return weights.logsumexp(at) - math.log(samples)


def _repeated(value: Tensor, at: int, samples: int) -> Tensor:
    """A value with an axis of samples, all the same."""
    return value.unsqueeze(at).expand(*value.shape[:at], samples, *value.shape[at:])
