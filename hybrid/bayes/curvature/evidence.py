"""The marginal likelihood of a law under Laplace's approximation, and its best prior (floor 2)."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.bayes.curvature.noise import KnownNoise
from hybrid.bayes.curvature.spread import Curvature
from hybrid.bayes.posterior import Posterior

__all__ = ["curvatures", "fit_prior", "log_marginal_likelihood", "modes"]


def curvatures(module: nn.Module) -> list[tuple[Posterior, Curvature]]:
    """The posteriors in ``module`` that `laplace` made, with their curvatures.

    Example:
        >>> curvatures(nn.Linear(2, 1))
        []
    """
    return [
        (part, part.spread)
        for part in module.modules()
        if isinstance(part, Posterior) and isinstance(part.spread, Curvature)
    ]


def modes(posterior: Posterior) -> dict[str, Tensor]:
    """The parameters around which a posterior of `laplace` lies, by name.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.bayes.curvature.approximation import laplace
        >>> law = laplace(
        ...     Normal(nn.Linear(1, 4)), (torch.zeros(3, 1), torch.zeros(3)), linearised=False
        ... )
        >>> list(modes(law.body))
        ['0.weight', '0.bias', '1.weight', '1.bias']
    """
    spread = posterior.spread
    names = spread.parameters_of() if isinstance(spread, Curvature) else ()
    return {name: posterior.mean.get_parameter(name) for name in names}


def log_marginal_likelihood(
    law: nn.Module,
    prior_precision: Float[Tensor, ""] | float | None = None,
    noise: Float[Tensor, ""] | float | None = None,
) -> Float[Tensor, ""]:
    r"""How likely the training data are under a law's prior, by Laplace's approximation.

    .. math:: \log p(D) \approx \log p(D \mid \hat\theta) + \log p(\hat\theta \mid \delta)
        + \tfrac{P}{2} \log 2\pi - \tfrac12 \log |H + \delta I|

    Args:
        law: What `laplace` made.
        prior_precision: δ, a number or a scalar tensor, in which this is differentiable; None for
            the present one.
        noise: σ, likewise; only where `laplace` was given one.

    Raises:
        ValueError: ``law`` does not come from `laplace`, or has no free noise.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.bayes.curvature.approximation import laplace
        >>> x = torch.linspace(-1, 1, 20).unsqueeze(-1)
        >>> law = laplace(Normal(nn.Linear(1, 4)), (x, x.squeeze(-1)), "full")
        >>> delta = torch.tensor(1.0, requires_grad=True)
        >>> torch.autograd.grad(log_marginal_likelihood(law, delta), delta)[0].shape
        torch.Size([])
    """
    parts = curvatures(law)
    if not parts:
        raise ValueError(f"{type(law).__name__} does not come from hybrid.bayes.laplace")
    if noise is not None and any(spread.noise is None for _, spread in parts):
        raise ValueError("the law's noise is its own: give laplace(…, noise=) to have a free one")
    total = torch.zeros(())
    for posterior, spread in parts:
        own = spread.prior_precision if prior_precision is None else prior_precision
        free = spread.noise if noise is None else noise
        one = spread.evidence(
            modes(posterior),
            torch.as_tensor(own).to(spread.prior_precision),
            None if free is None else torch.as_tensor(free).to(spread.prior_precision),
        )
        total = total.to(one) + one
    return total


def fit_prior(law: nn.Module, iterations: int = 100) -> nn.Module:
    """The law with the prior precision, and free noise, of the largest marginal likelihood.

    Each law of a model has a precision of its own. The mode stays where it is.

    Args:
        law: What `laplace` made. It is not changed.
        iterations: Of L-BFGS, at most.

    Raises:
        ValueError: ``law`` does not come from `laplace`.

    Source: MacKay (1992); Immer et al. (2021), *Scalable marginal likelihood estimation for model
    selection in deep learning*, section 3.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.bayes.curvature.approximation import laplace
        >>> x = torch.linspace(-1, 1, 20).unsqueeze(-1)
        >>> law = laplace(Normal(nn.Linear(1, 4)), (x, torch.sin(9 * x.squeeze(-1))), noise=1.0)
        >>> better = fit_prior(law)
        >>> bool(log_marginal_likelihood(better) > log_marginal_likelihood(law))
        True
    """
    result = copy.deepcopy(law)
    parts = curvatures(result)
    if not parts:
        raise ValueError(f"{type(law).__name__} does not come from hybrid.bayes.laplace")
    for posterior, spread in parts:
        _fit_one(posterior, spread, iterations)
    if isinstance(result, KnownNoise) and parts[0][1].noise is not None:
        result.noise.copy_(parts[0][1].noise)
    return result


def _fit_one(posterior: Posterior, spread: Curvature, iterations: int) -> None:
    """Climb the evidence in the logarithms of precision and noise."""
    means = {name: value.detach() for name, value in modes(posterior).items()}
    free = [spread.prior_precision] + ([] if spread.noise is None else [spread.noise])
    logs = [number.detach().log().requires_grad_() for number in free]
    optimizer = torch.optim.LBFGS(logs, max_iter=iterations, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        numbers = [log.clamp(-30, 30).exp() for log in logs]
        value = -spread.evidence(means, numbers[0], numbers[1] if len(numbers) > 1 else None)
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    with torch.no_grad():
        for number, log in zip(free, logs, strict=True):
            number.copy_(log.clamp(-30, 30).exp())
    spread.settle(means)
