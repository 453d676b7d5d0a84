"""Leave-one-out cross-validation from one posterior, without fitting again (floor 1).

ArviZ does the Pareto smoothing.
"""

import dataclasses
import math
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hybrid.bayes.sampling.diagnostics import effective_size
from hybrid.bayes.sampling.result import Health

__all__ = ["Comparison", "LeaveOneOut", "compare", "loo"]

_FEWEST_DRAWS = 100
_FEWEST_ROWS = 100


@dataclasses.dataclass(frozen=True)
class LeaveOneOut:
    """What a model is expected to predict of rows that it has not seen.

    Attributes:
        pointwise: Log predictive density of each row given all others, ``(rows,)``.
        pareto_k: Shape of the tail of each row's importance weights, ``(rows,)``: below
            `threshold` the estimate of that row can be trusted.
        in_sample: Log predictive density of each row given all, itself too, ``(rows,)``.
        draws: How many draws of the posterior there were.

    Example:
        >>> zeros = torch.zeros(3)
        >>> found = LeaveOneOut(zeros - 1.0, zeros, zeros - 0.5, draws=1000)
        >>> found.elpd, found.p_loo, bool(found.healthy)
        (tensor(-3.), tensor(1.5000), True)
    """

    pointwise: Float[Tensor, "rows"]
    pareto_k: Float[Tensor, "rows"]
    in_sample: Float[Tensor, "rows"]
    draws: int

    @property
    def elpd(self) -> Tensor:
        """Expected log pointwise predictive density of as many new rows: the sum."""
        return self.pointwise.sum()

    @property
    def standard_error(self) -> Tensor:
        """Standard error of `elpd`, for the rows are a sample."""
        return self.pointwise.std() * math.sqrt(len(self.pointwise))

    @property
    def p_loo(self) -> Tensor:
        """Effective number of parameters: how much more a row's own presence tells."""
        return (self.in_sample - self.pointwise).sum()

    @property
    def threshold(self) -> float:
        """Largest `pareto_k` to trust, min(1 − 1 / log₁₀ draws, 0.7)."""
        return min(1 - 1 / math.log10(self.draws), 0.7)

    @cached_property
    def healthy(self) -> Health:
        """One verdict: true where no row's weights have too heavy a tail, else the reason."""
        bad = (~(self.pareto_k <= self.threshold)).nonzero().flatten().tolist()
        if not bad:
            return Health(())
        worst = int(self.pareto_k.nan_to_num(torch.inf).argmax())
        rows = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
        reason = (
            f"Pareto k is above {self.threshold:.2f} in {len(bad)} of {len(self.pareto_k)} rows "
            f"({rows}; {float(self.pareto_k[worst]):.2f} in row {worst}): these rows change the "
            "posterior too much for it to speak of itself without them. Fit again without each of "
            "them, or see whether the model allows such values"
        )
        return Health((reason,))

    def __str__(self) -> str:
        return (
            f"elpd {float(self.elpd):.1f} ± {float(self.standard_error):.1f}, "
            f"p_loo {float(self.p_loo):.1f}, largest Pareto k {float(self.pareto_k.max()):.2f} "
            f"({self.healthy})"
        )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How much better one model is expected to predict than another.

    Attributes:
        difference: The first model's expected log predictive density less the second's.
        standard_error: Of the difference, from the rows' own differences.
        healthy: True where nothing speaks against this, else the reasons.

    Example:
        >>> str(Comparison(torch.tensor(8.0), torch.tensor(2.0), Health(())))
        'elpd difference 8.0 ± 2.0 (healthy)'
    """

    difference: Float[Tensor, ""]
    standard_error: Float[Tensor, ""]
    healthy: Health

    def __str__(self) -> str:
        return (
            f"elpd difference {float(self.difference):.1f} ± {float(self.standard_error):.1f} "
            f"({self.healthy})"
        )


@torch.no_grad()
def loo(log_likelihood: Float[Tensor, "..."]) -> LeaveOneOut:
    r"""Leave-one-out cross-validation by Pareto-smoothed importance sampling (PSIS-LOO).

    .. math:: \mathrm{elpd}_{loo} = \sum_i \log p(y_i \mid y_{-i}), \qquad
        p(y_i \mid y_{-i}) \approx \frac{\sum_s w_{is}\, p(y_i \mid \theta_s)}{\sum_s w_{is}}

    with :math:`w_{is} \propto 1 / p(y_i \mid \theta_s)`, whose largest are smoothed by a
    generalised Pareto distribution. Its shape k tells whether the row can be trusted. The draws are
    taken for the posterior's own: those of an approximation (variational, Laplace, an ensemble) add
    its error, which k does not show.

    Args:
        log_likelihood: Log density of each row under each draw, ``(draws, rows)`` or ``(chains,
            draws, rows)``, the latter with account of the chains' autocorrelation. Of a Law
            ``hybrid.predict(law, x, draws=1000).log_likelihood(y)``, of an SCM
            ``scm.log_probability(data, draws=1000)``, of a Pyro model
            ``hybrid.bayes.log_likelihood(draws, model, …)["site"]``.

    Raises:
        ValueError: The shape is another one, there are fewer than 100 draws or 2 rows, or a number
            is not finite.
        ImportError: ArviZ is not installed (the extra ``bayes``).

    Source: Vehtari, Gelman & Gabry (2017), *Practical Bayesian model evaluation using leave-one-out
    cross-validation and WAIC*, eqs. 4, 10; Vehtari et al. (2024), *Pareto smoothed importance
    sampling*.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> y = torch.randn(50, generator=generator)
        >>> mean = y.mean() + torch.randn(1000, 1, generator=generator) / 50**0.5
        >>> found = loo(torch.distributions.Normal(mean, 1.0).log_prob(y))
        >>> bool(found.healthy), round(float(found.p_loo), 1)
        (True, 1.2)
    """
    table = _checked(log_likelihood)
    total = table.shape[0] * table.shape[1]
    efficiency = _efficiency(table) if log_likelihood.dim() == 3 else 1.0
    smoothed = _smoothing()
    rows = [_row(terms, efficiency, smoothed) for terms in table.movedim(-1, 0).contiguous()]
    pointwise, pareto_k = torch.tensor(rows, dtype=table.dtype).to(log_likelihood).unbind(-1)
    in_sample = table.logsumexp((0, 1)) - math.log(total)
    return LeaveOneOut(pointwise, pareto_k, in_sample.to(log_likelihood), total)


def compare(first: LeaveOneOut, second: LeaveOneOut) -> Comparison:
    r"""Difference of two models' expected log predictive densities on the same rows, paired.

    .. math:: \sum_i d_i, \qquad \mathrm{se} = \sqrt{n\, \mathrm{Var}(d_i)}, \qquad
        d_i = \log p_1(y_i \mid y_{-i}) - \log p_2(y_i \mid y_{-i})

    Both must be densities of the same values in the same unit. The standard error is too small
    where the rows are few or the models much alike: do not read a difference below 4 as one.

    Args:
        first: One model.
        second: The other, of the same rows in the same order.

    Raises:
        ValueError: The numbers of rows differ.

    Source: Vehtari, Gelman & Gabry (2017), eq. 24; Sivula, Magnusson, Matamoros & Vehtari (2020),
    *Uncertainty in Bayesian leave-one-out cross-validation based model comparison*, section 6.

    Example:
        >>> k, zeros = torch.zeros(200), torch.zeros(200)
        >>> better = LeaveOneOut(torch.linspace(-2, 0, 200), k, zeros, draws=1000)
        >>> worse = LeaveOneOut(torch.linspace(-3, 0, 200), k, zeros, draws=1000)
        >>> print(compare(better, worse))
        elpd difference 100.0 ± 4.1 (healthy)
    """
    rows = len(first.pointwise)
    if rows != len(second.pointwise):
        raise ValueError(
            f"two models of the same rows are compared, got {rows} and {len(second.pointwise)} rows"
        )
    each = first.pointwise - second.pointwise
    reasons = [
        f"{name} model: {reason}"
        for name, model in (("first", first), ("second", second))
        for reason in model.healthy.reasons
    ]
    if rows < _FEWEST_ROWS:
        reasons.append(
            f"there are {rows} rows: below {_FEWEST_ROWS} the standard error is too small"
        )
    return Comparison(each.sum(), each.std() * math.sqrt(rows), Health(tuple(reasons)))


def _checked(log_likelihood: Tensor) -> Tensor:
    """The table ``(chains, draws, rows)`` in double precision."""
    shape = tuple(log_likelihood.shape)
    if len(shape) not in (2, 3):
        raise ValueError(
            "log_likelihood is (draws, rows) or (chains, draws, rows), one number for each row: "
            f"got shape {shape}"
        )
    table = log_likelihood.detach().cpu().double()
    table = table if len(shape) == 3 else table.unsqueeze(0)
    draws, rows = table.shape[0] * table.shape[1], table.shape[2]
    if draws < _FEWEST_DRAWS or rows < 2:
        raise ValueError(
            f"leave-one-out needs at least {_FEWEST_DRAWS} draws of 2 rows, got {draws} of {rows} "
            "(the rows of a Pyro model are those of its plates)"
        )
    bad = (~table.isfinite()).flatten(0, 1).any(0).nonzero().flatten().tolist()
    if bad:
        raise ValueError(
            f"log_likelihood is not finite in {len(bad)} rows, the first is {bad[0]}: is the value "
            "outside the law's support in some draw?"
        )
    return table


def _smoothing() -> Any:
    try:
        from arviz_stats.base import array_stats
    except ImportError as error:
        raise ImportError("loo needs ArviZ: pip install 'borromean[bayes]'") from error
    return array_stats


def _efficiency(table: Tensor) -> float:
    """Effective draws per draw, of the rows' likelihoods: the mean over the rows that vary."""
    total = table.shape[0] * table.shape[1]
    found = []
    for rows in table.split(16, -1):  # memory grows with the rows at a time
        scaled = (rows - rows.amax((0, 1))).exp()
        kept = scaled[:, :, scaled.flatten(0, 1).std(0) > 0]
        if kept.shape[-1]:
            found.append(effective_size(kept).clamp_max(total))
    return float(torch.cat(found).mean()) / total if found else 1.0


def _row(terms: Tensor, efficiency: float, smoothing: Any) -> tuple[float, float]:
    """One row's log predictive density given the others, and k."""
    if bool((terms == terms[0, 0]).all()):
        return float(terms[0, 0]), 0.0
    try:
        density, k, _ = smoothing.loo(terms.numpy(), 0, 1, r_eff=efficiency)
    except ValueError:  # the largest weights are all equal: there is no tail to fit
        return math.log(terms.numel()) - float((-terms).logsumexp((0, 1))), math.inf
    return float(density), float(k)
