"""One optimisation step: evaluate, look once whether all is finite, update (floor 2)."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hybrid.loss import Loss
from hybrid.random_state import random_state, set_random_state
from hybrid.training.batches import rows_of
from hybrid.training.coverage import needs_closure
from hybrid.training.diagnosis import bad_module
from hybrid.training.evaluation import evaluate
from hybrid.training.guard import NonFiniteError, bad_gradient, bad_input, bad_part, dense
from hybrid.training.processes import Processes
from hybrid.training.snapshot import Snapshot

__all__ = ["Joined", "Stepper"]

_COPIED = 100_000  # numbers a snapshot may copy per step on average: a few per cent of its cost


class Joined(NamedTuple):
    """Batches of one step, evaluated one after the other; their gradients are averaged.

    Attributes:
        batches: The batches.
        rows: Tells for each the row in the data of one of its rows.
        weights: Of each in the average; they add up to 1.

    Example:
        >>> Joined.of([("a", 3, int), ("b", 1, int)]).weights
        (0.75, 0.25)
    """

    batches: tuple[Any, ...]
    rows: tuple[Callable[[int], int], ...]
    weights: tuple[float, ...]

    @staticmethod
    def of(members: Sequence[tuple[Any, int, Callable[[int], int]]]) -> "Joined":
        """Batches with their number of rows, by which they are weighted, and their `rows`."""
        total = sum(count for _, count, _ in members)
        return Joined(
            tuple(batch for batch, _, _ in members),
            tuple(row for _, _, row in members),
            tuple(count / total for _, count, _ in members),
        )


class _Bad(Exception):  # noqa: N818 (never leaves this file)
    """Something that is not finite, named, before anything was restored."""


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
        skip: Whether a batch whose loss or gradients are not finite is skipped, not an error.
        on_gradients: Called between the gradients and the update.
        processes: Those that share every batch.

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
        skip: bool = False,
        on_gradients: Callable[[], None] | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.objective = objective
        self.done = 0
        self.skipped: NonFiniteError | None = None
        self._on_gradients = on_gradients
        self._processes = processes or Processes()
        self._call = objective if call is None else call
        self._backward = torch.Tensor.backward if backward is None else backward
        self._parameters = [p for p in objective.parameters() if p.requires_grad]
        steppers = optimizers if wrapped is None else wrapped
        self._plain = [w for o, w in zip(optimizers, steppers, strict=True) if not needs_closure(o)]
        self._closing = [w for o, w in zip(optimizers, steppers, strict=True) if needs_closure(o)]
        self._observing = [o for o in optimizers if callable(getattr(o, "observe", None))]
        self._snapshot = Snapshot(objective, optimizers)
        self._interval = 1 + self._snapshot.elements // _COPIED
        self._buffers = Snapshot(objective, parameters=False) if skip else None
        if skip and self._closing:
            self._interval = 1  # what a closure has changed already must be taken back
        self._devices = sorted({p.device.index for p in self._parameters if p.is_cuda})
        self._names: tuple[str, ...] | None = None

    def __call__(
        self, batch: Any, epoch: int, row: Callable[[int], int] = lambda row: row
    ) -> list[float] | None:
        """One step on ``batch``; the total loss and its parts, in order of `names`.

        None where the batch was skipped; `skipped` says why then.

        Raises:
            NonFiniteError: A number was not finite; the last good state has been restored.
        """
        joined = batch if isinstance(batch, Joined) else Joined((batch,), (row,), (1.0,))
        if not self._snapshot.taken:  # evaluation may write to buffers, before all is finite
            self._snapshot.take()
        if self._buffers is not None:
            self._buffers.take()
        self._processes.same_random_state(self._devices)
        before = random_state(self._devices) if self._observing else []
        try:
            numbers = self._close(joined) if self._closing else self._open(joined)
            if self._observing:
                self._show(joined, before)
        except _Bad as bad:
            error = self._refuse(bad, epoch)
            if error is not None:
                raise error from bad.__cause__
            return None
        try:
            for optimizer in self._plain:
                optimizer.step()
        except ArithmeticError as error:  # a step that is not finite
            raise self._stop(str(error), epoch) from error
        self.done += 1
        return numbers

    def resume(self, done: int, names: Sequence[str]) -> None:
        """Go on after ``done`` steps, with the parameters as they are."""
        self.done = done
        self._names = tuple(names) if done else None
        self._snapshot.take()

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
        share = self._processes.share(batch, rows_of(batch), row)
        with share.noise:
            total, parts = evaluate(self._call, share.batch)
        number = self._processes.added([share.weight * float(total)], total.device)[0]
        if not math.isfinite(number):
            culprit = bad_input(self.objective, batch, row) or bad_part(total, parts)
            raise self._stop(f"validation: {culprit}", epoch, self.done)
        return number

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts of the loss."""
        return self._names or ()

    def _open(self, joined: Joined) -> list[float]:
        """Loss and gradients for optimisers that need no closure."""
        numbers = self._evaluate(joined)
        self._keep()
        if self._on_gradients is not None:
            self._on_gradients()
        return numbers

    def _show(self, joined: Joined, before: list[Tensor]) -> None:
        """Show the batches to optimisers that look at them, with the random numbers they had."""
        after = random_state(self._devices)
        set_random_state(before, self._devices)
        try:
            for optimizer in self._observing:
                look: Any = optimizer
                look.observe(*joined.batches, weights=joined.weights)
        except ArithmeticError as error:
            raise _Bad(str(error)) from error
        finally:
            set_random_state(after, self._devices)

    def _keep(self) -> None:
        if self.done % self._interval == 0:
            self._snapshot.take()

    def _evaluate(self, joined: Joined) -> list[float]:
        """Loss and gradients, all finite."""
        for parameter in self._parameters:
            parameter.grad = None
        losses = [self._add(batch, row, weight) for batch, row, weight in zip(*joined, strict=True)]
        if self._processes.count > 1:
            losses = self._shared(losses)
        gradients = [dense(p.grad) for p in self._parameters if p.grad is not None]
        scalars = [x for total, parts in losses for x in (total, *parts.values())]
        numbers = _floats([*scalars, *(g.sum() for g in gradients)])
        if not all(map(math.isfinite, map(abs, numbers))):
            for batch, row, loss in zip(joined.batches, joined.rows, losses, strict=True):
                culprit = bad_input(self.objective, batch, row) or bad_part(*loss)
                if culprit is not None:
                    raise _Bad(self._deeper(culprit, batch))
            culprit = bad_gradient(self.objective)
            if culprit is not None:  # else only the sum was too large
                raise _Bad(culprit)
        width = len(scalars) // len(losses)
        if len(losses) == 1:
            return [number.real for number in numbers[:width]]
        return [
            sum(w * numbers[k * width + i].real for k, w in enumerate(joined.weights))
            for i in range(width)
        ]

    def _add(self, batch: Any, row: Callable[[int], int], weight: float) -> Loss:
        """The loss of one batch; its gradient is added to those of the parameters."""
        share = self._processes.share(batch, rows_of(batch), row)
        batch, row, weight = share.batch, share.row, weight * share.weight
        try:
            with share.noise:
                loss = evaluate(self._call, batch)
        except (ValueError, ArithmeticError, RuntimeError, Warning) as error:
            # distributions refuse parameters that are NaN in their own way
            culprit = bad_input(self.objective, batch, row, infinite=False)
            culprit = culprit or self._deeper("", batch)
            if not culprit:
                raise
            raise _Bad(culprit) from error
        if self._names is None:
            self._first(*loss)
        elif tuple(loss.parts) != self._names:
            raise ValueError(
                f"the objective's loss had the parts {self._names} and now {tuple(loss.parts)}: "
                "every call must return the same"
            )
        self._backward(loss.total if weight == 1.0 else loss.total * weight)
        return loss if share.weight == 1.0 else Loss(*_times(loss, share.weight))

    def _deeper(self, culprit: str, batch: Any) -> str:
        """The submodule that made the first bad number, where what is bad is the loss alone."""
        if culprit and " loss" not in culprit:
            return culprit
        after = random_state(self._devices)
        try:
            return bad_module(self.objective, lambda: self._call(batch)) or culprit
        finally:
            set_random_state(after, self._devices)

    def _shared(self, losses: list[Loss]) -> list[Loss]:
        """The losses and gradients of whole batches, of which each process has a part."""
        self._processes.add_gradients(self._parameters)
        flat = _floats([x for total, parts in losses for x in (total, *parts.values())])
        sums = iter(self._processes.added(flat, losses[0].total.device))
        return [
            Loss(_double(next(sums)), {name: _double(next(sums)) for name in loss.parts})
            for loss in losses
        ]

    def _close(self, joined: Joined) -> list[float]:
        """Step the optimisers that evaluate again, each time with the same random numbers."""
        before = random_state(self._devices)
        numbers = self._evaluate(joined)
        after = random_state(self._devices)
        self._keep()

        def closure() -> Tensor:
            set_random_state(before, self._devices)
            return torch.tensor(self._evaluate(joined)[0])

        try:
            for optimizer in self._closing:
                optimizer.step(closure)
        finally:
            set_random_state(after, self._devices)
        if self._plain and self._on_gradients is not None:
            self._on_gradients()
        return numbers

    def _first(self, total: Tensor, parts: dict[str, Tensor]) -> None:
        if not total.requires_grad:
            raise ValueError(
                f"the loss of {type(self.objective).__name__} does not depend on its trainable "
                "parameters (was it detached, made under no_grad, or from numpy?)"
            )
        self._names = tuple(parts)

    def _refuse(self, bad: _Bad, epoch: int) -> NonFiniteError | None:
        """The error that ends the training; None where the batch is skipped."""
        if self._buffers is None or bad_input(self.objective, ()) is not None:
            return self._stop(str(bad), epoch)
        if self._closing and self._snapshot.taken:
            self._snapshot.restore()
        self._buffers.restore()
        for parameter in self._parameters:
            parameter.grad = None
        self.skipped = NonFiniteError(str(bad), epoch=epoch, step=self.done + 1)
        return None

    def _stop(self, culprit: str, epoch: int, step: int | None = None) -> NonFiniteError:
        self._snapshot.restore()
        for parameter in self._parameters:
            parameter.grad = None
        return NonFiniteError(culprit, epoch=epoch, step=self.done + 1 if step is None else step)


def _double(number: float) -> Tensor:
    return torch.tensor(number, dtype=torch.float64)


def _times(loss: Loss, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
    parts = {name: part.detach() * weight for name, part in loss.parts.items()}
    return loss.total.detach() * weight, parts


def _floats(scalars: list[Tensor]) -> list[Any]:
    """The tensors as numbers, with one transfer where they are on an accelerator."""
    device = next((tensor.device for tensor in scalars if not tensor.is_cpu), None)
    if device is None:
        return [tensor.item() for tensor in scalars]
    kind = torch.complex128 if any(t.is_complex() for t in scalars) else torch.float64
    flat = torch.stack([tensor.detach().to(device, kind) for tensor in scalars])
    numbers: list[Any] = flat.tolist()
    return numbers
