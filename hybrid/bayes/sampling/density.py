"""What a sampler is given: a density on flat vectors, and its gradient for many chains (floor 1).

A model is turned into a `Density`, a function of one unconstrained vector. `potential` records its
operations once, batches the record over chains by vmap and records the gradient of that, so that no
Python of the model is left in the chains' inner loop.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad_and_value, vmap

from hybrid.bayes.sampling.arrays import array_function
from hybrid.bayes.sampling.factorisation import without_failure
from hybrid.bayes.sampling.recording import Record, Unrecordable, record

__all__ = ["Density", "Potential", "potential", "spread_out"]

_ATTEMPTS = 100
_COMPARED, _SOUGHT = 2, 8  # positions that a record is compared at, and among how many


def _no_reason(position: Tensor) -> str:
    """Say that nothing is known of why the density is not finite at ``position``."""
    return f"the density is zero or not a number at {position.tolist()[:5]}"


@dataclass(frozen=True)
class Density:
    r"""A density :math:`\pi(q) \propto e^{-U(q)}` on unconstrained vectors, from some model.

    Attributes:
        energy: :math:`U`, from a vector ``(dim,)`` to a scalar; where a matrix cannot be
            factorised there is no density.
        example: A vector; its dtype and device are the chains'.
        starts: ``starts(chains, generator)`` proposes first positions ``(chains, dim)``.
        named: From a vector ``(dim,)`` to the model's own values by name.
        complaint: What to tell a user whose density is finite nowhere, given a vector.

    Example:
        >>> normal = Density(
        ...     energy=lambda q: 0.5 * q.square().sum(),
        ...     example=torch.zeros(3),
        ...     starts=lambda chains, generator: torch.randn(chains, 3, generator=generator),
        ...     named=lambda q: {"x": q},
        ... )
        >>> normal.energy(torch.ones(3))
        tensor(1.5000)
    """

    energy: Callable[[Tensor], Tensor]
    example: Tensor
    starts: Callable[[int, torch.Generator], Tensor]
    named: Callable[[Tensor], dict[str, Tensor]]
    complaint: Callable[[Tensor], str] = _no_reason


@dataclass(frozen=True)
class Potential:
    """An energy for positions of one fixed shape, with its gradient.

    Attributes:
        both: Positions ``(chains, dim)`` to energies ``(chains,)`` and gradients ``(chains, dim)``.
        gradient: The gradients alone, which is cheaper.
        batched: Whether it takes many positions at once; else one ``(dim,)``.
        route: How it is computed: "recorded", or "looped" over chains through the model itself.
        reason: Why it could not be recorded.
        arrays: Gradients and energies of an array of positions, where NumPy is the faster.

    Example:
        >>> energy = lambda q: 0.5 * q.square().sum()
        >>> found = potential(energy, torch.zeros(4, 2))
        >>> found.route, found.both(torch.ones(4, 2))[0]
        ('recorded', tensor([1., 1., 1., 1.]))
    """

    both: Callable[[Tensor], tuple[Tensor, Tensor]]
    gradient: Callable[[Tensor], Tensor]
    batched: bool
    route: str
    reason: str = ""
    arrays: Callable[[Any], tuple[Any, ...]] | None = None


def potential(energy: Callable[[Tensor], Tensor], example: Tensor) -> Potential:
    """The energy and its gradient for positions like ``example``, recorded if that can be done.

    A record is compared with the function itself at other positions before it is trusted.

    Args:
        energy: From a vector ``(dim,)`` to a scalar.
        example: Positions ``(chains, dim)``, or one position ``(dim,)``.

    Example:
        >>> found = potential(lambda q: q.exp().sum(), torch.zeros(2))
        >>> found.both(torch.zeros(2))
        (tensor(2.), tensor([1., 1.]))
    """
    batched = example.dim() == 2
    one = example[0] if batched else example
    try:
        single = record(without_failure(energy), one).function()
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*performance drop.*")  # a loop inside vmap
            kept = _kept(single, example)
        _compare(energy, kept, example)
    except (Unrecordable, RuntimeError, NotImplementedError, UserWarning) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        warnings.warn(
            f"the model cannot be recorded and runs in Python for every gradient, which is slow: "
            f"{reason}",
            UserWarning,
            stacklevel=2,
        )
        return _looped(energy, batched, reason)
    values = kept.function()

    def both(positions: Tensor) -> tuple[Tensor, Tensor]:
        gradient, value = values(positions)
        return value, gradient

    arrays, slopes = _in_arrays(kept, example), array_function(kept, example, 0)
    if not batched or arrays is None or slopes is None:
        return Potential(both, kept.function(0), batched, "recorded", "", arrays)

    def all_at_once(positions: Tensor) -> tuple[Tensor, Tensor]:
        gradient, value = arrays(positions.numpy())
        return torch.from_numpy(value), torch.from_numpy(gradient)

    def slopes_at_once(positions: Tensor) -> Tensor:
        return torch.from_numpy(slopes(positions.numpy())[0])

    return Potential(all_at_once, slopes_at_once, batched, "recorded", "", arrays)


def _kept(single: Callable[[Tensor], Tensor], example: Tensor) -> Record:
    """The record of gradients and energies, first by the way that loads and costs least."""
    try:
        mapped = vmap(single) if example.dim() == 2 else single
        return record(_slope(mapped), example, in_place=False)
    except Unrecordable:
        body = grad_and_value(single)
        return record(vmap(body) if example.dim() == 2 else body, example)


def _in_arrays(kept: Record, example: Tensor) -> Callable[[Any], tuple[Any, ...]] | None:
    """The record on NumPy's arrays, where that is of use and gives the same numbers."""
    function = array_function(kept, example)
    if function is None:
        return None
    position = example + 0.1
    try:
        found = function(position.numpy())
        for ours, theirs in zip(found, kept.function()(position), strict=True):
            _same(torch.as_tensor(ours, dtype=example.dtype), theirs.to(example.dtype))
    except (Unrecordable, AttributeError, RuntimeError, TypeError, ValueError, IndexError):
        return None
    return function


def _slope(energy: Callable[[Tensor], Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Gradients and energies; chains do not meet, so the gradient of the sum has all of theirs."""

    def both(positions: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = positions.detach().requires_grad_()
            values = energy(leaf)
            (gradient,) = torch.autograd.grad(values, leaf, torch.ones_like(values))
        return gradient, values.detach()

    return both


def _compare(energy: Callable[[Tensor], Tensor], kept: Record, example: Tensor) -> None:
    """Raise where the record and the function disagree: something was computed out of sight."""
    generator = torch.Generator().manual_seed(0)
    shape = (_SOUGHT, *example.shape)
    noise = torch.rand(shape, generator=generator, dtype=example.dtype) - 0.5
    moved = example + noise.to(example.device)
    function, compared = kept.function(), 0
    for positions in moved:
        gradient, value = function(positions)
        row, ours, slope = (
            (positions[0], value[0], gradient[0])
            if example.dim() == 2
            else (positions, value, gradient)
        )
        theirs, expected = _plain(energy, row)
        if theirs.isinf() and theirs == ours:
            continue  # no density here: gradients mean nothing
        compared += 1
        for found, wanted in ((ours, theirs), (slope, expected)):
            _same(found, wanted)
        if compared == _COMPARED:
            return


def _same(found: Tensor, wanted: Tensor) -> None:
    tolerance = 1e-3 if found.dtype == torch.float32 else 1e-6
    scale = wanted.abs().max().clamp_min(1.0)
    if not torch.allclose(found / scale, wanted / scale, tolerance, tolerance, equal_nan=True):
        raise Unrecordable("what was recorded does not repeat the model's numbers")


def _plain(energy: Callable[[Tensor], Tensor], position: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        leaf = position.detach().clone().requires_grad_()
        try:
            value = energy(leaf)
            (gradient,) = torch.autograd.grad(value, leaf)
        except torch.linalg.LinAlgError:
            return position.new_tensor(torch.inf), torch.zeros_like(position)
    return value.detach(), gradient


def _looped(energy: Callable[[Tensor], Tensor], batched: bool, reason: str) -> Potential:
    def both(positions: Tensor) -> tuple[Tensor, Tensor]:
        if not batched:
            return _plain(energy, positions)
        pairs = [_plain(energy, row) for row in positions]
        return torch.stack([u for u, _ in pairs]), torch.stack([g for _, g in pairs])

    return Potential(both, lambda positions: both(positions)[1], batched, "looped", reason)


def spread_out(
    density: Density, found: Potential, chains: int, generator: torch.Generator
) -> Float[Tensor, "chains dim"]:
    """First positions at which energy and gradient are finite.

    Args:
        density: The density; its ``starts`` proposes positions, again where one will not do.
        found: Its potential for positions ``(chains, dim)``, or ``(dim,)`` taken one by one.
        chains: How many positions.
        generator: Source of randomness.

    Raises:
        ValueError: 100 proposals were not enough.

    Example:
        >>> half = Density(
        ...     energy=lambda q: -q.sum().log(),  # positive numbers only
        ...     example=torch.zeros(1),
        ...     starts=lambda chains, generator: torch.randn(chains, 1, generator=generator),
        ...     named=lambda q: {"x": q},
        ... )
        >>> found = potential(half.energy, torch.ones(8, 1))
        >>> bool((spread_out(half, found, 8, torch.Generator().manual_seed(0)) > 0).all())
        True
    """
    positions = density.starts(chains, generator)
    for _ in range(_ATTEMPTS):
        bad = ~_usable(found, positions)
        if not bad.any():
            return positions
        again = density.starts(chains, generator)
        positions = torch.where(bad.unsqueeze(-1), again, positions)
    row = int(bad.nonzero()[0])
    raise ValueError(
        f"no position of finite density was found in {_ATTEMPTS} attempts: "
        f"{density.complaint(positions[row])}. Check the priors' scales and the data"
    )


def _usable(found: Potential, positions: Tensor) -> Tensor:
    if found.batched:
        value, gradient = found.both(positions)
    else:
        pairs = [found.both(row) for row in positions]
        value = torch.stack([u for u, _ in pairs])
        gradient = torch.stack([g for _, g in pairs])
    return value.isfinite() & gradient.isfinite().all(-1)
