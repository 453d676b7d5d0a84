"""The loop of one training: epochs, steps, validation, callbacks, checkpoints (floor 4)."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from causal.draws import seeded
from hybrid.random_state import random_state, set_random_state
from hybrid.storage.archive import CheckpointError
from hybrid.storage.checkpoint import gathered
from hybrid.training.batches import Loaded, Stored, rows_of, to_device
from hybrid.training.callbacks import Callback, TrainingState
from hybrid.training.history import History
from hybrid.training.interruption import deferred
from hybrid.training.processes import Processes
from hybrid.training.progress import Options, Progress
from hybrid.training.record import Record
from hybrid.training.runs import Run
from hybrid.training.runtime import Runtime, call_of, device_of, fabric_of
from hybrid.training.step import Joined, Stepper

__all__ = ["Loop", "modes_kept"]


class Loop:
    """One call of ``fit``.

    Args:
        objective: The module to train.
        optimizers: Its optimisers.
        train: The data.
        valid: Validation data, or None.
        callbacks: Who looks on.
        runtime: Where it runs and what it keeps.
        options: How it goes.

    Example:
        >>> class Size(nn.Linear):
        ...     def forward(self, batch):
        ...         return (super().forward(batch) ** 2).mean()
        >>> objective = Size(1, 1)
        >>> sgd = torch.optim.SGD(objective.parameters(), 0.1)
        >>> data = Stored(torch.ones(4, 1), batch_size=2)
        >>> len(Loop(objective, (sgd,), data, None, (), Runtime(), Options(epochs=3)).run())
        3
    """

    def __init__(
        self,
        objective: nn.Module,
        optimizers: tuple[torch.optim.Optimizer, ...],
        train: Stored | Loaded,
        valid: Stored | Loaded | None,
        callbacks: tuple[Callback, ...],
        runtime: Runtime,
        options: Options,
    ) -> None:
        self.objective, self.optimizers = objective, optimizers
        self.train, self.valid, self.callbacks = train, valid, callbacks
        self.options, self.progress = options, Progress()
        self.device = device_of(objective)
        self.on_step = self._hooks("on_step_end")
        asked: dict[str, Any] = {"skip": options.skip}
        if self._hooks("on_gradients"):
            asked["on_gradients"] = lambda: self._tell("on_gradients", self._state())
        self.processes = Processes()
        if runtime.asks:
            fabric = fabric_of(runtime, self.device or torch.device("cpu"))
            self.device = fabric.device
            if fabric.world_size > 1:
                self.processes = Processes(fabric.global_rank, fabric.world_size)
                objective.to(self.device)
                self.processes.same_parameters(objective)
                self.processes.same_random_state()
                asked |= {"call": call_of(fabric, runtime, objective, objective)}
            else:
                made = fabric.setup(objective, *optimizers)
                asked["call"] = call_of(fabric, runtime, objective, made[0])
                asked |= {"backward": fabric.backward, "wrapped": made[1:]}
        asked["processes"] = self.processes
        self.step = Stepper(objective, optimizers, **asked)
        order, self.same = torch.randint(2**62, (2,)).tolist()  # with or without validation data
        self.order = torch.Generator().manual_seed(order)
        self.devices = sorted({p.device.index for p in objective.parameters() if p.is_cuda})
        self.begun: dict[str, Any] = {}
        policy, self.resume = runtime.checkpoints, runtime.resume
        self.policy, self.kept = policy, None if policy is None else Run(policy)
        self.record = Record(objective, optimizers, callbacks)

    def run(self) -> History:
        """All epochs, or those that are left of a training that is resumed."""
        begun = self._resumed()
        epochs, steps = self.options.epochs, self.train.steps
        with (
            tqdm(
                total=None if steps is None else steps * epochs,
                initial=self._batches(steps),
                disable=None if self.options.progress and self.processes.first else True,
                unit="batch" if self.options.accumulate > 1 else "step",
                leave=True,
            ) as bar,
            deferred(self.kept is not None) as caught,
        ):
            while self.progress.epoch <= epochs and not self.progress.stopped:
                self._epoch(bar, caught, begun)
                begun = None
                if caught:
                    self._keep_and_say(bar)
                    break
        if caught:  # whoever handles the signal let the process live
            raise KeyboardInterrupt
        self._tell("on_end", self._at_end())
        return self.progress.history(self.step.names)

    # ------------------------------------------------------------------ one epoch

    def _epoch(self, bar: Any, caught: list[int], begun: dict[str, Any] | None) -> None:
        """What is left of the present epoch; stops early where a signal was caught."""
        now, epoch = self.progress, self.progress.epoch
        clock = time.perf_counter() - now.seconds
        self.objective.train()
        for members in self._groups(begun):
            self._step(members, epoch)
            now.seconds = time.perf_counter() - clock
            bar.update(len(members))
            if self._due(now.steps) or caught:
                self._keep()
            if caught:
                return
        if not now.count:
            if self.step.skipped is not None:
                raise self.step.skipped
            raise ValueError("data has no rows: the first epoch gave no batch")
        self.step.check(epoch)
        validation = None if self.valid is None else self._validate(self.valid, epoch)
        now.finish(validation, time.perf_counter() - clock)
        state = self._at_end()
        bar.set_postfix_str(_postfix(state, self.options.epochs), refresh=False)
        now.stopped = any(self._tell("on_epoch_end", state))
        now.begin_next()
        self._keep_epoch(epoch, state)

    def _groups(self, begun: dict[str, Any] | None) -> Iterator[list[Any]]:
        """The batches of each step that is left of the epoch: (batch, rows, row)."""
        if begun is None:
            self.begun = self._beginning() if self.kept is not None else {}
            batches = self.train.epoch(self.order)
        else:  # the epoch is begun as it was, and what was done of it is passed over
            now = self._beginning()["random"]
            self._begin(begun)
            batches = self.train.epoch(self.order)
            for _ in islice(batches, self.progress.batches):
                pass
            set_random_state(now, self.devices)
        while True:
            members = []
            for batch in islice(batches, self.options.accumulate):
                moved = batch if self.device is None else to_device(batch, self.device)
                members.append((moved, rows_of(moved), self.train.row))
            if not members:
                return
            yield members

    def _step(self, members: list[Any], epoch: int) -> None:
        """One step, and its losses added up."""
        now = self.progress
        if len(members) == 1:
            batch, rows, row = members[0]
            numbers = self.step(batch, epoch, row)
        else:
            rows = sum(member[1] for member in members)
            numbers = self.step(Joined.of(members), epoch)
        now.batches += len(members)
        if numbers is None:
            now.skipped += len(members)
            return
        now.add(numbers, rows)
        now.steps = self.step.done
        for hook in self.on_step:
            hook(self._state())

    @torch.no_grad()
    def _validate(self, valid: Stored | Loaded, epoch: int) -> float:
        """Mean loss on the validation data, with the same random numbers after every epoch."""
        total, count = 0.0, 0
        with modes_kept(self.objective), seeded(torch.Generator().manual_seed(self.same)):
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

    # ---------------------------------------------------------------- checkpoints

    def _resumed(self) -> dict[str, Any] | None:
        """Open the checkpoint, tell the callbacks, restore; how a half-done epoch was begun."""
        opened: Any = None
        if not self.processes.first:  # the first tidies the folder
            self.processes.wait()
        if self.kept is not None:
            opened = self.kept.open(self.resume)
        elif not isinstance(self.resume, bool):
            opened = Run.anywhere(self.resume)
        if self.processes.first:
            self.processes.wait()
        self.processes.wait()  # nobody writes before all have read
        if opened is None:
            self._tell("on_start", self._state(epoch=0))
            return None
        path, groups, contents = opened
        if "progress" in (contents.get("training") or {}):
            self._compare(path, contents["training"]["same"])
            self.progress = Progress(**contents["training"]["progress"])
        self._tell("on_start", self._state(epoch=len(self.progress.finished)))
        training = self.record.restore(path, groups, contents)
        self.same = training["validation"]
        self.step.resume(self.progress.steps, self.progress.names)
        self._begin(training["begun"])
        set_random_state(training["random"], self.devices)
        return training["begun"] if self.progress.batches else None

    def _compare(self, path: Path, there: dict[str, Any]) -> None:
        for name, here in self.options.same.items():
            if name in there and there[name] != here:
                raise CheckpointError(
                    f"the training at {path} had {name} = {there[name]}, this one has {here}: "
                    "resume with the same, or start anew in another folder"
                )

    def _beginning(self) -> dict[str, Any]:
        """The random states on which the order of an epoch's data depends."""
        loader = self.train.generator
        return {
            "order": self.order.get_state(),
            "loader": None if loader is None else loader.get_state(),
            "random": random_state(self.devices),
        }

    def _begin(self, begun: dict[str, Any]) -> None:
        self.begun = begun
        self.order.set_state(begun["order"])
        if self.train.generator is not None and begun["loader"] is not None:
            self.train.generator.set_state(begun["loader"])
        set_random_state(begun["random"], self.devices)

    def _due(self, step: int) -> bool:
        each = None if self.policy is None else self.policy.steps
        return each is not None and step > 0 and step % each == 0

    def _keep(self) -> None:
        """Write a checkpoint of this moment."""
        if self.kept is None or not self.processes.first:
            return
        self.progress.names = list(self.step.names)
        training = {
            "progress": asdict(self.progress),
            "same": self.options.same,
            "validation": self.same,
            "begun": self.begun if self.progress.batches else self._beginning(),
            "random": random_state(self.devices),
        }
        self.kept.keep(self.progress.steps, *self.record.capture(training))

    def _keep_epoch(self, epoch: int, state: TrainingState) -> None:
        """Write what is due after an epoch; the best first, so that it is never older."""
        if self.policy is None or self.kept is None:
            return
        loss = state.loss if state.validation is None else state.validation
        if loss is not None and loss < self.progress.best:
            self.progress.best = loss
            if self.policy.best and self.processes.first:
                self.kept.keep_best(*gathered(self.objective))
        last = self.progress.stopped or epoch >= self.options.epochs
        if last or epoch % self.policy.epochs == 0:
            self._keep()

    def _keep_and_say(self, bar: Any) -> None:
        """Say that the training was interrupted; a step that was going on was finished."""
        if not self.progress.batches and self.kept is not None:
            self._keep()
        if not bar.disable and self.kept is not None:
            bar.write(
                f"interrupted after step {self.progress.steps}: the same call with "
                f"Runtime(checkpoint={str(self.kept.folder)!r}, resume=True) goes on from there",
                file=sys.stderr,
            )

    # -------------------------------------------------------------------- telling

    def _batches(self, steps: int | None) -> int:
        """Batches done so far."""
        return self.progress.batches + (self.progress.epoch - 1) * (steps or 0)

    def _hooks(self, method: str) -> list[Any]:
        hooks = [getattr(callback, method, None) for callback in self.callbacks]
        return [hook for hook in hooks if callable(hook)]

    def _tell(self, method: str, state: TrainingState) -> list[Any]:
        return [hook(state) for hook in self._hooks(method)]

    def _state(self, epoch: int | None = None) -> TrainingState:
        now = self.progress
        return TrainingState(
            now.epoch if epoch is None else epoch, now.steps, self.objective, self.optimizers
        )

    def _at_end(self) -> TrainingState:
        """The state after the last epoch that is finished."""
        means, validation, seconds, skipped = self.progress.finished[-1]
        names = self.step.names or tuple(self.progress.names)
        return TrainingState(
            len(self.progress.finished),
            self.progress.steps,
            self.objective,
            self.optimizers,
            loss=means[0],
            parts=dict(zip(names, means[1:], strict=True)),
            validation=validation,
            seconds=seconds,
            skipped=skipped,
        )


@contextmanager
def modes_kept(module: nn.Module) -> Iterator[None]:
    """Give every part its own training mode back afterwards.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> with modes_kept(layer):
        ...     _ = layer.eval()
        >>> layer.training
        True
    """
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _postfix(state: TrainingState, epochs: int) -> str:
    shown = {"loss": state.loss, **(state.parts or {}), "validation": state.validation}
    shown["skipped"] = state.skipped or None
    numbers = ", ".join(f"{k} {v:.4g}" for k, v in shown.items() if v is not None)
    return f"epoch {state.epoch}/{epochs}, {numbers}"
