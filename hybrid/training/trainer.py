"""The one training loop: any objective, any data, any optimiser (floor 5)."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol, SupportsIndex, runtime_checkable

import torch
from torch import nn
from torch.utils.data import DataLoader

from causal.draws import seeded
from hybrid.loss import whole
from hybrid.training.batches import batches_of
from hybrid.training.callbacks import Callback
from hybrid.training.coverage import optimizers_for
from hybrid.training.guard import limit_columns
from hybrid.training.history import History
from hybrid.training.loop import Loop, modes_kept
from hybrid.training.progress import Options
from hybrid.training.runtime import Runtime, dtype_of

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
    accumulate: SupportsIndex = 1,
    nonfinite: Literal["stop", "skip"] = "stop",
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
        callbacks: Objects with ``on_epoch_end(state)``: `EarlyStopping`, `Schedule`, `Clip`,
            `Average`, `Log`, your own.
        seed: A number makes the training reproducible to the bit and leaves torch's global random
            state as it was; None draws from the global state.
        progress: Show a bar with the loss on a terminal or in a notebook.
        runtime: Device, precision, strategy and checkpoints; see `Runtime`. Where checkpoints are
            kept, Ctrl-C and SIGTERM wait for the end of the step and keep one more; a training
            that goes on from a checkpoint ends with the same bits as one that was never stopped.
        accumulate: Batches per update; their gradients are averaged, weighted by rows.
        nonfinite: "stop" at the first NaN or infinity, or "skip" batches whose loss or gradients
            are not finite, and count them in the history.

    Raises:
        NonFiniteError: A NaN or an infinity appeared in the data, loss (the one of the validation
            data too), parameters or gradients; the last good state has been restored. With
            ``nonfinite="skip"``: in the parameters or the validation loss, or in every batch of
            an epoch.
        CheckpointError: The checkpoint to go on from is damaged or of another training, or the
            folder has checkpoints and nothing is said about them.
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
    if nonfinite not in ("stop", "skip"):
        raise ValueError(f"nonfinite must be 'stop' or 'skip': {nonfinite!r}")
    accumulate = whole("accumulate", accumulate)
    optimizers = optimizers_for(objective, optimizer)
    limits = limit_columns(objective)
    dtype = dtype_of(objective)
    train = batches_of(data, batch_size, dtype, limits=limits)
    valid = None
    if validation is not None:
        valid = batches_of(validation, batch_size, dtype, constant=True, what="validation")
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    same: dict[str, Any] = {"seed": seed, "accumulate": accumulate}
    if not isinstance(data, DataLoader):
        same["batch_size"] = batch_size
    same["batches per epoch"] = train.steps
    options = Options(epochs, progress, accumulate, nonfinite == "skip", same)
    with modes_kept(objective), seeded(generator):
        loop = Loop(
            objective, optimizers, train, valid, tuple(callbacks), runtime or Runtime(), options
        )
        return loop.run()
