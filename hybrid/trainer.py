"""The one training loop: any objective, any data, any optimiser (floor 4)."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, SupportsIndex, runtime_checkable

import torch
from torch import nn
from tqdm.auto import tqdm

from causal.draws import seeded
from hybrid.batches import Loaded, Stored, batches_of, rows_of, to_device
from hybrid.callbacks import Callback, TrainingState
from hybrid.coverage import optimizers_for
from hybrid.guard import limit_columns
from hybrid.history import History
from hybrid.loss import whole
from hybrid.runtime import Runtime, call_of, device_of, dtype_of, fabric_of
from hybrid.step import Stepper

__all__ = ["Objective", "fit"]


@runtime_checkable
class Objective(Protocol):
    """What can be minimised: a module that turns a batch into a scalar or `objectives.Loss`.

    Its own parameters are what is trained.

    Example:
        >>> import torch
        >>> class Supervised(torch.nn.Module):
        ...     def __init__(self, network):
        ...         super().__init__()
        ...         self.network = network
        ...
        ...     def forward(self, batch):
        ...         x, y = batch
        ...         return torch.nn.functional.mse_loss(self.network(x), y)
        >>> isinstance(Supervised(torch.nn.Linear(1, 1)), Objective)
        True
    """

    def __call__(self, batch: Any) -> Any:
        """The loss of one batch."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is trained."""
        ...


def fit(
    objective: nn.Module,
    data: Any,
    *,
    optimizer: Any = None,
    epochs: SupportsIndex = 10,
    batch_size: SupportsIndex = 256,
    validation: Any = None,
    callbacks: Sequence[Callback] = (),
    seed: SupportsIndex | None = None,
    progress: bool = True,
    runtime: Runtime | None = None,
) -> History:
    """Train ``objective`` in place on ``data``.

    Args:
        objective: A module with ``objective(batch) → Loss`` or a scalar tensor. All its trainable
            parameters are trained. It is in training mode meanwhile, and in its own again after.
        data: A tuple of tensors (batches are such tuples), one tensor, a mapping of columns or a
            DataFrame (batches are ``{name: column}``), a torch Dataset or a DataLoader. Data in
            memory is checked once and shuffled every epoch. Batches are moved to the device of
            the objective's parameters. Arrays and DataFrames of floats are read in its dtype.
        optimizer: A callable of a list of parameters such as
            ``lambda p: torch.optim.Adam(p, 1e-3)`` (the default), an Optimizer, or a mapping from
            name patterns (shell style) to either. Every trainable parameter must be in exactly
            one. Optimisers that need closures (L-BFGS) evaluate on one batch with the same random
            numbers in each of their evaluations.
        epochs: Passes over the data.
        batch_size: Rows per batch; a DataLoader brings its own.
        validation: Data of any of these kinds; its loss is computed after every epoch in
            evaluation mode, with the same random numbers each time.
        callbacks: Objects with ``on_epoch_end(state)``: `EarlyStopping`, `Schedule`, your own.
        seed: A number makes the training reproducible to the bit and leaves torch's global random
            state as it was; None draws from the global state.
        progress: Show a bar with the loss on a terminal or in a notebook.
        runtime: Device, precision and strategy; see `Runtime`.

    Raises:
        NonFiniteError: A NaN or an infinity appeared in the data, loss (the one of the validation
            data too), parameters or gradients; the last good state has been restored.
        TypeError: Data, optimiser or objective are of no known kind.
        ValueError: The data is empty, has NaN or constant columns; the optimiser does not cover
            the parameters; the loss is not a scalar or depends on no parameter.

    Example:
        >>> import torch
        >>> class Distance(torch.nn.Linear):
        ...     def forward(self, batch):
        ...         x, y = batch
        ...         return (super().forward(x) - y).square().mean()
        >>> x = torch.linspace(-1, 1, 64).unsqueeze(-1)
        >>> objective = Distance(1, 1)
        >>> adam = lambda p: torch.optim.Adam(p, 0.1)
        >>> history = fit(objective, (x, 3 * x), optimizer=adam, epochs=200, batch_size=32, seed=0)
        >>> f"{history.loss[-1]:.1g}, {objective.weight.item():.2f}"
        '..., 3.00'
    """
    if not isinstance(objective, nn.Module):
        raise TypeError(f"objective must be a torch.nn.Module, got {type(objective).__name__}")
    epochs, batch_size = whole("epochs", epochs), whole("batch_size", batch_size)
    if seed is not None:
        seed = whole("seed", seed, least=None)
    if not isinstance(runtime, Runtime | None):
        raise TypeError(f"runtime must be a hybrid.Runtime, got {runtime!r}")
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks must be a list of callbacks, got {callbacks!r}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callback {callback!r} has no on_epoch_end(state)")
    optimizers = optimizers_for(objective, optimizer)
    limits = limit_columns(objective)
    dtype = dtype_of(objective)
    train = batches_of(data, batch_size, dtype, limits=limits)
    valid = None
    if validation is not None:
        valid = batches_of(validation, batch_size, dtype, constant=True, what="validation")
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    with _modes_kept(objective), seeded(generator):
        loop = _Loop(objective, optimizers, train, valid, tuple(callbacks), runtime or Runtime())
        return loop.run(epochs, progress)


class _Loop:
    """The state of one call of `fit`."""

    def __init__(
        self,
        objective: nn.Module,
        optimizers: tuple[torch.optim.Optimizer, ...],
        train: Stored | Loaded,
        valid: Stored | Loaded | None,
        callbacks: tuple[Callback, ...],
        runtime: Runtime,
    ) -> None:
        self.objective, self.optimizers = objective, optimizers
        self.train, self.valid, self.callbacks = train, valid, callbacks
        self.call: Any = objective
        self.device = device_of(objective)
        if runtime.asks:
            fabric = fabric_of(runtime, self.device or torch.device("cpu"))
            made = fabric.setup(objective, *optimizers)
            self.call, self.device = call_of(fabric, runtime, objective, made[0]), fabric.device
            self.step = Stepper(
                objective, optimizers, call=self.call, backward=fabric.backward, wrapped=made[1:]
            )
        else:
            self.step = Stepper(objective, optimizers)
        order, same = torch.randint(2**62, (2,)).tolist()  # drawn with or without validation data
        self.order = torch.Generator().manual_seed(order)
        self.same = same
        self.hooks = [h for c in callbacks if callable(h := getattr(c, "on_step_end", None))]

    def run(self, epochs: int, progress: bool) -> History:
        """All epochs."""
        rows: list[tuple[list[float], float | None, float]] = []
        self._tell("on_start", self._state(0))
        steps = self.train.steps
        with tqdm(
            total=None if steps is None else steps * epochs,
            disable=None if progress else True,  # None: shown on terminals and in notebooks only
            unit="step",
            leave=True,
        ) as bar:
            for epoch in range(1, epochs + 1):
                start = time.perf_counter()
                means = self._epoch(epoch, bar)
                validation = None if self.valid is None else self._validate(self.valid, epoch)
                rows.append((means, validation, time.perf_counter() - start))
                state = self._state(epoch, means, validation)
                bar.set_postfix_str(_postfix(state, epochs), refresh=False)
                if any(self._tell("on_epoch_end", state)):
                    break
        self._tell("on_end", state)
        return _history(rows, self.step.names)

    def _epoch(self, epoch: int, bar: Any) -> list[float]:
        """Steps over the whole data; means of the loss and its parts, weighted by rows."""
        self.objective.train()
        sums: list[float] = []
        count = 0
        for batch in self.train.epoch(self.order):
            if self.device is not None:
                batch = to_device(batch, self.device)
            numbers = self.step(batch, epoch, self.train.row)
            rows = rows_of(batch)
            sums = sums or [0.0] * len(numbers)
            sums = [total + rows * x for total, x in zip(sums, numbers, strict=True)]
            count += rows
            for hook in self.hooks:
                hook(self._state(epoch))
            bar.update()
        if not count:
            raise ValueError("data has no rows: the first epoch gave no batch")
        self.step.check(epoch)
        return [s / count for s in sums]

    @torch.no_grad()
    def _validate(self, valid: Stored | Loaded, epoch: int) -> float:
        """Mean loss on the validation data, with the same random numbers after every epoch."""
        total, count = 0.0, 0
        with _modes_kept(self.objective), seeded(torch.Generator().manual_seed(self.same)):
            self.objective.eval()
            for batch in valid.epoch(None):
                if self.device is not None:
                    batch = to_device(batch, self.device)
                rows = rows_of(batch)
                total += rows * self.step.validate(batch, epoch, valid.row)
                count += rows
        if not count:
            raise ValueError("validation has no rows: it gave no batch")
        return total / count

    def _state(
        self, epoch: int, means: list[float] | None = None, validation: float | None = None
    ) -> TrainingState:
        parts = None if means is None else dict(zip(self.step.names, means[1:], strict=True))
        loss = None if means is None else means[0]
        return TrainingState(
            epoch, self.step.done, self.objective, self.optimizers, loss, parts, validation
        )

    def _tell(self, method: str, state: TrainingState) -> list[Any]:
        hooks = [getattr(callback, method, None) for callback in self.callbacks]
        return [hook(state) for hook in hooks if callable(hook)]


@contextmanager
def _modes_kept(module: nn.Module) -> Iterator[None]:
    """Give every part its own training mode back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _postfix(state: TrainingState, epochs: int) -> str:
    shown = {"loss": state.loss, **(state.parts or {}), "validation": state.validation}
    numbers = ", ".join(f"{k} {v:.4g}" for k, v in shown.items() if v is not None)
    return f"epoch {state.epoch}/{epochs}, {numbers}"


def _history(
    rows: list[tuple[list[float], float | None, float]], names: tuple[str, ...]
) -> History:
    means = list(zip(*(row[0] for row in rows), strict=True))
    validation = tuple(row[1] for row in rows if row[1] is not None)
    return History(
        epochs=tuple(range(1, len(rows) + 1)),
        loss=means[0],
        parts=dict(zip(names, means[1:], strict=True)),
        validation=validation or None,
        seconds=tuple(row[2] for row in rows),
    )
