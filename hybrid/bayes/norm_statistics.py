"""Running statistics of batch norms that differ from one weight set to the next (floor 1).

Buffers take part in `hybrid.bayes.batching.batched` like weights, by their names. Where each weight
set has its own statistics, batch norm also works in training mode under several of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.bayes.batching import Weights, batching_rule, in_dtype_of

__all__ = ["is_batch_norm", "refresh", "statistics_of"]

_BatchNorm = nn.modules.batchnorm._BatchNorm


def is_batch_norm(module: nn.Module) -> TypeGuard[Any]:
    """Whether ``module`` is a batch norm with running statistics.

    Example:
        >>> is_batch_norm(nn.BatchNorm1d(3)), is_batch_norm(nn.LayerNorm(3))
        (True, False)
    """
    return isinstance(module, _BatchNorm) and module.running_mean is not None


def statistics_of(module: nn.Module) -> dict[str, Tensor]:
    """Running means and variances of all batch norms, by buffer name.

    Example:
        >>> list(statistics_of(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))))
        ['1.running_mean', '1.running_var']
    """
    return dict(_statistics(module))


def _statistics(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for path, part in module.named_modules():
        if is_batch_norm(part):
            for leaf in ("running_mean", "running_var"):
                yield (f"{path}.{leaf}" if path else leaf), getattr(part, leaf)


@torch.no_grad()
def refresh(module: nn.Module, data: Any) -> None:
    """Compute the running statistics of all batch norms anew, as averages over the batches.

    Everything else is in evaluation mode meanwhile. A batch of one row has no variance: after other
    ones it is left out.

    Args:
        module: A Law or a Layer, or a Joint.
        data: Inputs as one tensor, a tuple ``(x, y)`` of which x is used, columns ``{name:
            column}`` for a Joint; or an iterable of such batches, a list or DataLoader for one.

    Raises:
        ValueError: There is no batch.

    Example:
        >>> norm = nn.BatchNorm1d(1)
        >>> refresh(norm, torch.tensor([[1.0], [3.0]]))
        >>> norm.running_mean, norm.running_var
        (tensor([2.]), tensor([2.]))
    """
    modes = {part: part.training for part in module.modules()}
    norms = {part: part.momentum for part in module.modules() if is_batch_norm(part)}
    single = isinstance(data, Tensor | Mapping) or _is_pair(data)
    try:
        module.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        count = 0
        for batch in (data,) if single else data:
            if count and _is_row(batch):
                continue
            _run(module, batch)
            count += 1
        if not count:
            raise ValueError("data has no batch, from which batch norms could take statistics")
    finally:
        for norm, momentum in norms.items():
            norm.momentum = momentum
        for part, mode in modes.items():
            part.training = mode


def _is_pair(data: Any) -> bool:
    return isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], Tensor)


def _is_row(batch: Any) -> bool:
    """Whether a batch has a single row, as the last one of a loader may."""
    first = next(iter(batch.values())) if isinstance(batch, Mapping) else batch
    x = first if isinstance(first, Tensor) else first[0]
    return len(x) == 1


def _run(module: Any, batch: Any) -> None:
    if isinstance(batch, Mapping):
        module.log_probability(batch)
    else:
        module(in_dtype_of(module, batch if isinstance(batch, Tensor) else batch[0]))


@batching_rule(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def _batch_norm(module: Any, weights: Weights, inputs: Tensor) -> Any:
    """All weight sets side by side as channels, where each has its own statistics."""
    mean = weights.get("running_mean")
    if mean is None or inputs.dim() < 3:
        return NotImplemented
    variance, draws = weights["running_var"], len(mean)
    wide = inputs.expand(draws, *inputs.shape[1:]).transpose(0, 1).flatten(1, 2)
    factor = module.momentum
    if module.training:
        module.num_batches_tracked.add_(1)
        if factor is None:
            factor = 1.0 / float(module.num_batches_tracked)
    affine: list[Tensor | None] = []
    for name in ("weight", "bias"):
        own = getattr(module, name)
        value = weights.get(name, None if own is None else own.unsqueeze(0))
        affine.append(None if value is None else value.expand(draws, -1).flatten())
    flat_mean, flat_variance = (part.detach().flatten().clone() for part in (mean, variance))
    outputs = F.batch_norm(
        wide,
        flat_mean,
        flat_variance,
        affine[0],
        affine[1],
        module.training,
        factor or 0.0,
        module.eps,
    )
    if module.training:  # in place: the weights hold the members' own buffers
        mean.copy_(flat_mean.view_as(mean))
        variance.copy_(flat_variance.view_as(variance))
    return outputs.unflatten(1, (draws, -1)).transpose(0, 1)
