"""Ensembles: several networks trained together as one module (floor 1)."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from causal.draws import seeded
from causal.guide import Guide
from hybrid.bayes.batching import is_random
from hybrid.bayes.conversion import variational
from hybrid.bayes.exchange import is_law
from hybrid.bayes.norm_statistics import statistics_of
from hybrid.bayes.posterior import Posterior

__all__ = ["Members", "ensemble", "member", "members_of"]

Module = TypeVar("Module", bound=nn.Module)


def ensemble(
    module: nn.Module,
    members: int,
    *,
    factory: Callable[[], nn.Module] | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    r"""The same Law or Layer as an ensemble: M sets of parameters, each starting on its own.

    .. math:: p(y \mid x) = \frac{1}{M} \sum_{m=1}^M p(y \mid x, w_m)

    All members are one module with stacked parameters ``(members, *shape)``, so that a step of all
    costs little more than one of one. ``law(x, draws=S)`` takes S of them: with S = M each once, in
    order; with fewer, a random choice without repetition; with more, each equally often, and what
    is left over is chosen without repetition. The divergence is 0.

    An objective averages over its draws. Wrapped in `hybrid.objectives.EachMember` it is summed
    over the members, and every one trains as if it were alone. Frozen parameters, and those outside
    of a law's body, are shared by all. Each member has its own running statistics of batch norms.

    Args:
        module: A Law, a module containing Laws (an SCM), or a Layer. It is not changed.
        members: The number M, at least 2.
        factory: Makes a module like this one with fresh parameters; called once per member. None
            calls ``reset_parameters`` of every part that has trainable parameters of its own.
        generator: Source of the initial values; None advances torch's global generator.

    Raises:
        ValueError: ``members`` is below 2, the module is random already, a part has no
            ``reset_parameters``, or the factory makes another module.
        TypeError: ``module`` is no module, or ``members`` no whole number.

    Source: Lakshminarayanan, Pritzel & Blundell (2017), *Simple and scalable predictive uncertainty
    estimation using deep ensembles*, algorithm 1 (without adversarial examples).

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> law = ensemble(Normal(torch.nn.Linear(3, 8)), members=5)
        >>> law(torch.zeros(7, 3), draws=5).batch_shape
        torch.Size([5, 7])
        >>> law.body.spread.get_parameter("members/0/weight").shape
        torch.Size([5, 8, 3])
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"ensemble takes a torch.nn.Module, got {module!r}")
    if isinstance(members, bool) or not isinstance(members, int):
        raise TypeError(f"members is a whole number, got {members!r}")
    if members < 2:
        raise ValueError(f"an ensemble has at least 2 members: {members}")
    if is_random(module):
        raise ValueError(f"{type(module).__name__} is already random: take the plain module")
    lazy = [name for name, value in module.named_parameters() if is_lazy(value)]
    if lazy:
        raise ValueError(f"{lazy} have no shape yet: run the module once before")
    with seeded(generator):
        fresh = [_renewed(module) if factory is None else factory() for _ in range(members)]
    _check_alike(module, fresh)
    template = copy.deepcopy(module)
    tables = [dict(one.named_parameters()) for one in fresh]
    values = {
        id(parameter): torch.stack([table[name].detach() for table in tables]).to(parameter)
        for name, parameter in template.named_parameters()
    }
    result = variational(template, _Ensemble(values))
    buffers = [dict(one.named_buffers()) for one in fresh]
    for path, part in result.named_modules():
        if isinstance(part, Posterior) and isinstance(part.spread, Members):
            lead = f"{path}." if path else ""
            own = statistics_of(part.mean)
            stacked = {n: torch.stack([table[f"{lead}{n}"] for table in buffers]) for n in own}
            part.spread.adopt(part.mean, stacked)
    return result


def members_of(module: nn.Module) -> int | None:
    """The number of members of the ensembles in ``module``; None where there is none.

    Raises:
        ValueError: They have different numbers of members.

    Example:
        >>> members_of(ensemble(torch.nn.Linear(2, 1), members=3))
        3
    """
    counts = {part.count for part in module.modules() if isinstance(part, Members)}
    if len(counts) > 1:
        raise ValueError(f"the ensembles of {type(module).__name__} have {sorted(counts)} members")
    return counts.pop() if counts else None


def member(module: Module, index: int) -> Any:
    """One member as a plain module with parameters of its own, ready to be used or trained alone.

    Args:
        module: What `ensemble` made.
        index: Which member, from 0.

    Raises:
        ValueError: ``module`` is no ensemble.
        IndexError: It has no such member.

    Example:
        >>> member(ensemble(torch.nn.Linear(2, 1), members=3), 0)
        Linear(in_features=2, out_features=1, bias=True)
    """
    count = members_of(module)
    if count is None:
        raise ValueError(
            f"{type(module).__name__} is no ensemble: make one by hybrid.bayes.ensemble"
        )
    if not 0 <= index < count:
        raise IndexError(f"there are members 0 … {count - 1}, got {index}")
    twin = copy.deepcopy(module)
    if isinstance(twin, Posterior):
        return _alone(twin, index)
    for part in list(twin.modules()):
        for name, child in part._modules.items():
            if isinstance(child, Posterior) and isinstance(child.spread, Members):
                part._modules[name] = _alone(child, index)
    return twin


class Members(nn.Module):
    """The stacked parameters of an ensemble, a `hybrid.bayes.Spread`.

    Args:
        values: Parameter name → values ``(members, *shape)``.

    Example:
        >>> spread = Members({"weight": torch.zeros(3, 2)})
        >>> spread.sample({}, 4, None)["weight"].shape
        torch.Size([4, 2])
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.count = len(next(iter(values.values())))
        self._names = tuple(values)
        self._buffered: tuple[str, ...] = ()
        for name, value in values.items():
            self.register_parameter(_key(name), nn.Parameter(value.clone()))

    def adopt(self, layer: nn.Module, statistics: Mapping[str, Tensor]) -> None:
        """Freeze the layer's own parameters; keep statistics ``(members, channels)`` of norms."""
        for name in self._names:
            layer.get_parameter(name).requires_grad_(False)
        for name, value in statistics.items():
            self.register_buffer(_key(name), value.to(layer.get_buffer(name)))
        self._buffered = tuple(statistics)

    def sample(
        self,
        means: Mapping[str, Tensor],  # noqa: ARG002 (the contract's)
        draws: int | None,
        generator: torch.Generator | None,
    ) -> dict[str, Tensor]:
        """Members by parameter name, ``(draws, *shape)``; one without that axis for None."""
        if self._buffered and self.training and draws != self.count:
            raise ValueError(
                f"batch norms of an ensemble are trained with all members: draws={self.count}, got "
                f"{draws}; call .eval() to predict"
            )
        stacked = {name: getattr(self, _key(name)) for name in (*self._names, *self._buffered)}
        if draws == self.count:
            return stacked
        index = self._order(1 if draws is None else draws, generator)
        if draws is None:
            return {name: value[index[0]] for name, value in stacked.items()}
        return {name: value[index.to(value.device)] for name, value in stacked.items()}

    def divergence_of(self, means: Mapping[str, Tensor]) -> Tensor:
        """Zero."""
        return next(iter(means.values())).new_zeros(())

    def put(self, layer: nn.Module, index: int) -> None:
        """Write one member's parameters and statistics into ``layer``."""
        with torch.no_grad():
            for name in self._names:
                parameter = layer.get_parameter(name)
                parameter.copy_(getattr(self, _key(name))[index]).requires_grad_(True)
            for name in self._buffered:
                layer.get_buffer(name).copy_(getattr(self, _key(name))[index])

    def extra_repr(self) -> str:
        """The number of members."""
        return f"{self.count} members"

    def _order(self, draws: int, generator: torch.Generator | None) -> Tensor:
        every, rest = divmod(draws, self.count)
        order = torch.arange(self.count).repeat(every)
        if not rest:
            return order
        device = "cpu" if generator is None else generator.device
        chosen = torch.randperm(self.count, generator=generator, device=device)[:rest]
        return torch.cat([order, chosen.cpu()])


class _Ensemble:
    """The family of stacked values, by the identity of the parameters that they stand for."""

    def __init__(self, values: Mapping[int, Tensor]) -> None:
        self.values = values

    def spread(
        self,
        means: Mapping[str, nn.Parameter],
        prior_scales: Mapping[str, float],  # noqa: ARG002 (the contract's)
    ) -> nn.Module:
        return Members({name: self.values[id(mean)] for name, mean in means.items()})


def _key(name: str) -> str:
    """A legal name with a slash, which no attribute of a module has."""
    return f"members/{name.replace('.', '/')}"


def _alone(posterior: Posterior, index: int) -> nn.Module:
    spread = posterior.spread
    if isinstance(spread, Members):
        spread.put(posterior.mean, index)
    return posterior.mean


def _renewed(module: nn.Module) -> nn.Module:
    """A copy with new initial values."""
    twin = copy.deepcopy(module)
    for name, part in _random_parts(twin):
        if not any(own.requires_grad for own in part._parameters.values() if own is not None):
            continue
        reset: Any = getattr(part, "reset_parameters", getattr(part, "_reset_parameters", None))
        if not callable(reset):
            raise ValueError(
                f"{type(part).__name__} {name!r} has parameters but no reset_parameters(): give it "
                "one, or give ensemble a factory= that makes a whole new module"
            )
        kept = [own.clone() if not own.requires_grad else None for own in _own(part)]
        reset()
        with torch.no_grad():
            for own, value in zip(_own(part), kept, strict=True):
                if value is not None:
                    own.copy_(value)
    return twin


def _random_parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """What members have for themselves: the laws' bodies, or all of a plain layer."""
    if not any(is_law(part) for part in module.modules()):
        yield from module.named_modules()
        return
    seen = {
        id(part)
        for guide in module.modules()
        if isinstance(guide, Guide)
        for part in guide.modules()
    }
    for path, law in module.named_modules():
        for name, part in law.named_modules() if is_law(law) and id(law) not in seen else ():
            if id(part) not in seen:
                seen.add(id(part))
                yield f"{path}.{name}" if path else name, part


def _own(part: nn.Module) -> list[nn.Parameter]:
    return [own for own in part._parameters.values() if own is not None]


def _check_alike(module: nn.Module, fresh: list[nn.Module]) -> None:
    wanted = {name: value.shape for name, value in module.named_parameters()}
    for one in fresh:
        if not isinstance(one, nn.Module):
            raise TypeError(f"factory must make a torch.nn.Module, got {type(one).__name__}")
        found = {name: value.shape for name, value in one.named_parameters()}
        if found != wanted:
            other = sorted({*wanted.items()} ^ {*found.items()})
            raise ValueError(
                f"factory made a {type(one).__name__} whose parameters differ from those of "
                f"{type(module).__name__} in {[name for name, _ in other]}"
            )
    if len(fresh) > 1 and len({id(one) for one in fresh}) < len(fresh):
        raise ValueError("factory returned the same module twice: make a new one in every call")
