"""One optimisation step: evaluate, look once whether all is finite, update (floor 3)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hybrid.coverage import needs_closure
from hybrid.guard import NonFiniteError, bad_gradient, bad_input, bad_part, dense
from hybrid.loss import Loss
from hybrid.snapshot import Snapshot

__all__ = ["Stepper", "evaluate"]

_COPIED = 100_000  # numbers a snapshot may copy per step on average: a few per cent of its cost


def evaluate(objective: Callable[[Any], Any], batch: Any) -> Loss:
    """The objective's loss, checked to be one real number with named scalar parts.

    Raises:
        TypeError: The objective returned no real tensor, or parts that are no scalar tensors.
        ValueError: The total is not a scalar.

    Example:
        >>> import torch
        >>> evaluate(lambda batch: (batch**2).mean(), torch.ones(3)).total
        tensor(1.)
        >>> evaluate(lambda batch: batch**2, torch.ones(3))
        Traceback (most recent call last):
        ValueError: the objective returned a tensor of shape (3,): a loss is one number, take ...
    """
    result = objective(batch)
    total, parts = (result, {}) if isinstance(result, Tensor) else _unpack(result)
    if total.dim():
        raise ValueError(
            f"the objective returned a tensor of shape {tuple(total.shape)}: a loss is one number, "
            "take its mean()"
        )
    if total.is_complex() or not total.is_floating_point():
        raise TypeError(
            f"the objective returned {total.dtype}: a loss is a real floating number (for a "
            "complex one take .real or .abs())"
        )
    return Loss(total, parts)


def _unpack(result: Any) -> tuple[Tensor, dict[str, Tensor]]:
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Tensor)):
        raise TypeError(
            "an objective returns a scalar tensor or hybrid.objectives.Loss(total, parts), got "
            f"{type(result).__name__}"
        )
    total, parts = result
    for name, part in parts.items():
        if not isinstance(part, Tensor) or part.dim() or part.is_complex():
            raise TypeError(f"part '{name}' of the loss must be a real scalar tensor, got {part!r}")
    return total, parts


class Stepper:
    """Does the steps of one training and keeps the last good state.

    Before anything is updated, every step looks once at the loss, its parts and the sum of each
    gradient, which a single NaN or infinity spoils. The state in which all of them were finite is
    copied: at every step for models with up to some 30,000 parameters, less often for larger ones,
    so that the copying stays a few per cent of the work.

    Args:
        objective: The module in training.
        optimizers: Its optimisers, as `coverage.optimizers_for` returns them.
        call: What evaluates the objective, if not itself (a wrapped module).
        backward: What runs the backward pass, if not ``Tensor.backward``.
        wrapped: The optimisers to step, if not themselves.

    Example:
        >>> import torch
        >>> class Distance(torch.nn.Linear):
        ...     def forward(self, batch):
        ...         return super().forward(batch).square().mean()
        >>> objective = Distance(1, 1)
        >>> step = Stepper(objective, (torch.optim.SGD(objective.parameters(), 0.1),))
        >>> first, second = (step(torch.ones(2, 1), epoch=1)[0] for _ in range(2))
        >>> first > second
        True
    """

    def __init__(
        self,
        objective: nn.Module,
        optimizers: tuple[Optimizer, ...],
        *,
        call: Callable[[Any], Any] | None = None,
        backward: Callable[[Tensor], Any] | None = None,
        wrapped: tuple[Any, ...] | None = None,
    ) -> None:
        self.objective = objective
        self.done = 0
        self._call = objective if call is None else call
        self._backward = torch.Tensor.backward if backward is None else backward
        self._parameters = [p for p in objective.parameters() if p.requires_grad]
        steppers = optimizers if wrapped is None else wrapped
        self._plain = [w for o, w in zip(optimizers, steppers, strict=True) if not needs_closure(o)]
        self._closing = [w for o, w in zip(optimizers, steppers, strict=True) if needs_closure(o)]
        self._snapshot = Snapshot(objective, optimizers)
        self._interval = 1 + self._snapshot.elements // _COPIED
        self._devices = sorted({p.device.index for p in self._parameters if p.is_cuda})
        self._names: tuple[str, ...] | None = None

    def __call__(
        self, batch: Any, epoch: int, row: Callable[[int], int] = lambda row: row
    ) -> list[float]:
        """One step on ``batch``; returns the total loss and its parts, in order of `names`.

        Raises:
            NonFiniteError: A number was not finite; the last good state has been restored.
        """
        if not self.done:  # evaluation may write to buffers, before anything is known to be finite
            self._snapshot.take()
        if not self._closing:
            numbers = self._evaluate(batch, epoch, row)
            self._keep()
        else:
            numbers = self._close(batch, epoch, row)
        for optimizer in self._plain:
            optimizer.step()
        self.done += 1
        return numbers

    def check(self, epoch: int) -> None:
        """Look at the parameters, which the last update may have spoiled.

        Raises:
            NonFiniteError: One is not finite; the last good state has been restored.
        """
        if not all(map(math.isfinite, map(abs, _floats([p.sum() for p in self._parameters])))):
            culprit = bad_input(self.objective, ())
            if culprit is not None:  # else only the sum was too large
                raise self._stop(culprit, epoch, self.done)

    def validate(self, batch: Any, epoch: int, row: Callable[[int], int]) -> float:
        """The loss of one batch of validation data.

        Raises:
            NonFiniteError: It is not finite; the last good state has been restored.
        """
        total, parts = evaluate(self._call, batch)
        number = float(total)
        if not math.isfinite(number):
            culprit = bad_input(self.objective, batch, row) or bad_part(total, parts)
            raise self._stop(f"validation: {culprit}", epoch, self.done)
        return number

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts of the loss."""
        return self._names or ()

    def _keep(self) -> None:
        if self.done % self._interval == 0:
            self._snapshot.take()

    def _evaluate(self, batch: Any, epoch: int, row: Callable[[int], int]) -> list[float]:
        """Loss and gradients, all finite."""
        for parameter in self._parameters:
            parameter.grad = None
        try:
            total, parts = evaluate(self._call, batch)
        except (ValueError, ArithmeticError, RuntimeError, Warning) as error:
            # distributions refuse parameters that are NaN in their own way
            culprit = bad_input(self.objective, batch, row, infinite=False)
            if culprit is None:
                raise
            raise self._stop(culprit, epoch) from error
        if self._names is None:
            self._first(total, parts)
        elif tuple(parts) != self._names:
            raise ValueError(
                f"the objective's loss had the parts {self._names} and now {tuple(parts)}: every "
                "call must return the same"
            )
        self._backward(total)
        gradients = [dense(p.grad) for p in self._parameters if p.grad is not None]
        numbers = _floats([total, *parts.values(), *(g.sum() for g in gradients)])
        if not all(map(math.isfinite, map(abs, numbers))):
            culprit = bad_input(self.objective, batch, row)
            culprit = culprit or bad_part(total, parts) or bad_gradient(self.objective)
            if culprit is not None:  # else only the sum was too large
                raise self._stop(culprit, epoch)
        return [number.real for number in numbers[: 1 + len(parts)]]

    def _close(self, batch: Any, epoch: int, row: Callable[[int], int]) -> list[float]:
        """Step the optimisers that evaluate again, each time with the same random numbers."""
        before = self._random_state()
        numbers = self._evaluate(batch, epoch, row)
        after = self._random_state()
        self._keep()

        def closure() -> Tensor:
            self._set_random_state(before)
            return torch.tensor(self._evaluate(batch, epoch, row)[0])

        for optimizer in self._closing:
            optimizer.step(closure)
        self._set_random_state(after)
        return numbers

    def _first(self, total: Tensor, parts: dict[str, Tensor]) -> None:
        if not total.requires_grad:
            raise ValueError(
                f"the loss of {type(self.objective).__name__} does not depend on its trainable "
                "parameters (was it detached, made under no_grad, or from numpy?)"
            )
        self._names = tuple(parts)

    def _stop(self, culprit: str, epoch: int, step: int | None = None) -> NonFiniteError:
        self._snapshot.restore()
        for parameter in self._parameters:
            parameter.grad = None
        return NonFiniteError(culprit, epoch=epoch, step=self.done + 1 if step is None else step)

    def _random_state(self) -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(d) for d in self._devices)]

    def _set_random_state(self, state: list[Tensor]) -> None:
        torch.set_rng_state(state[0])
        for device, part in zip(self._devices, state[1:], strict=True):
            torch.cuda.set_rng_state(part, device)


def _floats(scalars: list[Tensor]) -> list[Any]:
    """The tensors as numbers, with one transfer where they are on an accelerator."""
    device = next((tensor.device for tensor in scalars if not tensor.is_cpu), None)
    if device is None:
        return [tensor.item() for tensor in scalars]
    kind = torch.complex128 if any(t.is_complex() for t in scalars) else torch.float64
    flat = torch.stack([tensor.detach().to(device, kind) for tensor in scalars])
    numbers: list[Any] = flat.tolist()
    return numbers
