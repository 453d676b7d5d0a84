"""Turn a network, a Law or a whole model into one with random weights (floor 1)."""

import dataclasses
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

from torch import nn

from causal.guide import Guide
from hybrid.bayes.batching import is_random
from hybrid.bayes.exchange import exchanged, is_law
from hybrid.bayes.mean_field import MeanField
from hybrid.bayes.posterior import Family, Posterior
from hybrid.bayes.priors.by_name import ByName
from hybrid.bayes.priors.prior import Prior

__all__ = ["variational"]

Module = TypeVar("Module", bound=nn.Module)


def variational(
    module: nn.Module,
    family: Family | None = None,
    *,
    prior: Literal["zero", "initial"] | Prior | None = None,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
) -> nn.Module:
    """The same module with random weights; its parameters are shared, as the means.

    - A Law of the form ``link(body(context))`` stays the same Law, with its body in a `Posterior`.
    - A module that contains such Laws (an SCM) is copied with each of them converted; Laws whose
      bodies have no chosen parameter stay as they are, and so does the guide of hidden causes,
      which is itself a posterior.
    - Any other Layer becomes a `Posterior`.

    Args:
        module: A Law, a module containing Laws, or a Layer. It is not changed.
        family: The family of distributions; None for ``MeanField()``.
        prior: "zero", "initial" or a prior of `hybrid.bayes.priors`, in place of the family's own
            ``prior``.
        include: Patterns (as in a shell) on names in ``module.named_parameters()``; only matching
            parameters become random.
        exclude: Patterns of parameters that stay ordinary ones.

    Raises:
        ValueError: The module is already random, a pattern matches nothing, nothing is left to be
            made random, a Law has no body and link, or Laws share a parameter.
        TypeError: ``module`` or ``family`` is not what it should be.

    Example:
        >>> import torch
        >>> from hybrid.heads.normal import Normal
        >>> law = variational(Normal(torch.nn.Linear(3, 8)), MeanField(prior_scale=0.5))
        >>> law(torch.zeros(7, 3), draws=5).batch_shape
        torch.Size([5, 7])
        >>> partly = variational(Normal(torch.nn.Linear(3, 8)), exclude="*.bias")
        >>> [name for name, _ in partly.named_parameters() if "raw_scale" in name]
        ['body.spread.raw_scale.0/weight', 'body.spread.raw_scale.1/weight']
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"variational takes a torch.nn.Module, got {module!r}")
    if is_random(module):
        raise ValueError(f"{type(module).__name__} is already random: convert it only once")
    chosen = _chosen(module, _patterns(include), _patterns(exclude))
    family = _family(family, prior)
    by_name = getattr(family, "prior", None)
    if isinstance(by_name, ByName):
        by_name.check([name for name, value in module.named_parameters() if id(value) in chosen])
    if any(is_law(part) for part in module.modules()):
        _check_shared(module, chosen)
        result = _converted(module, family, chosen)
        if result is module:
            raise ValueError(f"no law of {type(module).__name__} has a parameter to make random")
        return result
    if chosen and hasattr(module, "support") and hasattr(module, "event_shape"):
        raise ValueError(
            f"the law {type(module).__name__} cannot be made random as a whole: write it as "
            "link(body(context)), with a Layer `body` that holds the parameters and a method `link`"
        )
    names = [name for name, value in module.named_parameters() if id(value) in chosen]
    return Posterior(module, _inside(family, ""), names=names)


def _family(family: Family | None, prior: Literal["zero", "initial"] | Prior | None) -> Family:
    family = MeanField() if family is None else family
    if isinstance(family, type) or not isinstance(family, Family):
        raise TypeError(f"family is an object such as MeanField(prior_scale=1.0), got {family!r}")
    if prior is None:
        return family
    if not hasattr(family, "prior"):
        raise TypeError(f"{type(family).__name__} has no prior that prior= could replace")
    return _with_prior(family, prior)


def _with_prior(family: Family, prior: Any) -> Family:
    settings: Any = family
    changed: Family = dataclasses.replace(settings, prior=prior)
    return changed


def _inside(family: Family, prefix: str) -> Family:
    """The family for parameters whose names have lost ``prefix``."""
    prior = getattr(family, "prior", None)
    return _with_prior(family, prior.inside(prefix)) if isinstance(prior, ByName) else family


def _check_shared(module: nn.Module, chosen: set[int]) -> None:
    """Raise where two laws would each give the same weight a distribution of its own."""
    owner: dict[int, str] = {}
    guided = {id(part) for guide in _guides(module) for part in guide.modules()}
    laws = (
        (name, part)
        for name, part in module.named_modules()
        if is_law(part) and id(part) not in guided
    )
    for name, law in laws:
        for path, value in law.get_submodule("body").named_parameters():
            other = owner.setdefault(id(value), name)
            if id(value) in chosen and other != name:
                raise ValueError(
                    f"the laws {other!r} and {name!r} share the parameter body.{path}, which would "
                    "get two distributions: leave it out by exclude=, or give each its own body"
                )


def _converted(module: nn.Module, family: Family, chosen: set[int]) -> nn.Module:
    """A shallow copy of ``module`` with its Laws converted; or itself."""
    paths = {id(part): f"{name}." if name else "" for name, part in module.named_modules()}

    def change(part: nn.Module) -> nn.Module | None:
        if isinstance(part, Guide):
            return part
        if not is_law(part):
            return None
        body = part.get_submodule("body")
        names = [name for name, value in body.named_parameters() if id(value) in chosen]
        if not names:
            return part
        random = Posterior(body, _inside(family, f"{paths[id(part)]}body."), names=names)
        return exchanged(part, lambda own: random if own is body else None)

    return exchanged(module, change)


def _guides(module: nn.Module) -> list[Guide]:
    return [part for part in module.modules() if isinstance(part, Guide)]


def _patterns(patterns: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if patterns is None:
        return None
    listed = (patterns,) if isinstance(patterns, str) else patterns
    if not isinstance(listed, Sequence) or not all(isinstance(p, str) for p in listed):
        raise TypeError(f"include and exclude take a name pattern or a list of them: {patterns!r}")
    return tuple(listed)


def _chosen(
    module: nn.Module, include: tuple[str, ...] | None, exclude: tuple[str, ...] | None
) -> set[int]:
    """Identities of the trainable parameters that the patterns choose."""
    names = [name for name, _ in module.named_parameters()]
    for pattern in (*(include or ()), *(exclude or ())):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"pattern {pattern!r} matches no parameter name: {names}")
    return {
        id(value)
        for name, value in module.named_parameters()
        if value.requires_grad
        and (include is None or any(fnmatchcase(name, p) for p in include))
        and not any(fnmatchcase(name, p) for p in exclude or ())
    }
