"""Several processes that train one model: each has its rows, the gradients are added (floor 1).

Every process reads the same batches and takes its own rows of them. The gradient is that of the
whole batch: a mean over rows becomes a mean of means, weighted by rows.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.distributed as group
from torch import Tensor, nn

from hybrid.random_state import random_state, set_random_state
from hybrid.training.row_noise import RowNoise

__all__ = ["Processes", "Share"]


class Share(NamedTuple):
    """The part of a batch that one process evaluates.

    Attributes:
        batch: Its rows.
        row: Tells the row in the data of one of them.
        weight: Its share of the batch's rows.
        noise: A context in which random numbers belong to these rows.

    Example:
        >>> Share("batch", int, 1.0, nullcontext()).weight
        1.0
    """

    batch: Any
    row: Callable[[int], int]
    weight: float
    noise: AbstractContextManager[Any]


class Processes:
    """The processes of one training; a single one needs none of this.

    Args:
        rank: The number of this process, from 0.
        count: How many there are.

    Example:
        >>> share = Processes(1, 2).share((torch.arange(5),), 5, lambda row: row)
        >>> share.batch, share.row(0), share.weight
        ((tensor([3, 4]),), 3, 0.4)
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and shows."""
        return self.rank == 0

    def share(self, batch: Any, rows: int, row: Callable[[int], int]) -> Share:
        """The rows of this process; one row with weight 0 where there are too few for all."""
        if self.count == 1:
            return Share(batch, row, 1.0, nullcontext())
        start = min(self.rank * -(-rows // self.count), rows)
        stop = min(start + -(-rows // self.count), rows)
        weight = (stop - start) / rows
        if start == stop:
            start, stop = 0, 1
        own = _rows(batch, rows, slice(start, stop))
        return Share(own, lambda k: row(start + k), weight, RowNoise(start, stop, rows))

    def same_random_state(self, devices: Sequence[int] = ()) -> None:
        """Take over the first process's random state."""
        if self.count == 1:
            return
        states = random_state(devices)
        for state in states:
            self._broadcast(state)
        set_random_state(states, devices)

    @torch.no_grad()
    def same_parameters(self, module: nn.Module) -> None:
        """Take over the first process's parameters and buffers."""
        if self.count > 1:
            for tensor in (*module.parameters(), *module.buffers()):
                self._broadcast(tensor.detach())

    def wait(self) -> None:
        """Wait for the others."""
        if self.count > 1:
            group.barrier()

    def added(self, numbers: Sequence[float], device: torch.device | None = None) -> list[float]:
        """Sums of numbers over all processes."""
        if self.count == 1:
            return list(numbers)
        flat = torch.tensor(numbers, dtype=torch.float64, device=device)
        group.all_reduce(flat)
        result: list[float] = flat.tolist()
        return result

    @torch.no_grad()
    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes, in one exchange per dtype."""
        if self.count == 1:
            return
        kinds: dict[tuple[torch.dtype, torch.device], list[nn.Parameter]] = {}
        for parameter in parameters:
            kinds.setdefault((parameter.dtype, parameter.device), []).append(parameter)
        for members in kinds.values():
            flat = torch.cat([_gradient(parameter).reshape(-1) for parameter in members])
            group.all_reduce(torch.view_as_real(flat) if flat.is_complex() else flat)
            for parameter, part in zip(
                members, flat.split([p.numel() for p in members]), strict=True
            ):
                if parameter.grad is not None or part.any():
                    parameter.grad = part.view_as(parameter).clone()

    def _broadcast(self, tensor: Tensor) -> None:
        if tensor.numel() and tensor.layout is torch.strided:
            same = tensor.contiguous()
            moved = same.to("cuda") if group.get_backend() == "nccl" else same
            group.broadcast(moved, src=0)
            if moved is not tensor:
                tensor.copy_(moved)


def _gradient(parameter: nn.Parameter) -> Tensor:
    gradient = parameter.grad
    if gradient is None:
        return torch.zeros_like(parameter)
    return gradient.to_dense() if gradient.is_sparse else gradient


def _rows(batch: Any, rows: int, chosen: slice) -> Any:
    """The chosen rows of every tensor that has as many."""
    if isinstance(batch, Tensor):
        return batch[chosen] if batch.dim() and len(batch) == rows else batch
    if isinstance(batch, Mapping):
        return {name: _rows(part, rows, chosen) for name, part in batch.items()}
    if type(batch) in (tuple, list):
        return type(batch)(_rows(part, rows, chosen) for part in batch)
    return batch
