"""A step of ``hybrid.fit`` beside a hand-written loop: MLP, batches of 128 from memory.

``python benchmarks/training_loop.py`` prints medians and minima of interleaved runs. Peers that are
installed join in: Lightning's Trainer (``lightning``) and skorch. With progress and history on.
"""

import contextlib
import io
import logging
import statistics
import time
import warnings

import torch
from torch import nn

import hybrid

ROWS, BATCH, EPOCHS, REPEATS = 12_800, 128, 2, 7
STEPS = ROWS // BATCH * EPOCHS


class Squares(nn.Module):
    """Mean squared distance."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, batch):
        """The loss of a batch."""
        x, y = batch
        return (self.network(x).squeeze(-1) - y).square().mean()


def network(width):
    """The same network for every contestant."""
    torch.manual_seed(0)
    return hybrid.backbones.MLP(10, [width, width], 1)


def data():
    """The same rows for every contestant."""
    x = torch.randn(ROWS, 10, generator=torch.Generator().manual_seed(0))
    return x, x.sum(-1)


def by_hand(width):
    """The loop that one would write."""
    model, (x, y) = network(width), data()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(EPOCHS):
        total = 0.0
        for index in torch.randperm(ROWS).split(BATCH):
            optimizer.zero_grad()
            loss = (model(x[index]).squeeze(-1) - y[index]).square().mean()
            loss.backward()
            optimizer.step()
            total += loss.item()


def by_fit(width):
    """Ours, with its bar drawn to nowhere."""
    with contextlib.redirect_stderr(io.StringIO()):
        hybrid.fit(Squares(network(width)), data(), epochs=EPOCHS, batch_size=BATCH)


def by_lightning(width):
    """Lightning's Trainer, without checkpoints and loggers."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.objective = Squares(network(width))

        def training_step(self, batch, _):
            loss = self.objective(batch)
            self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-3)

    rows = torch.utils.data.TensorDataset(*data())
    loader = torch.utils.data.DataLoader(rows, BATCH, shuffle=True)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        trainer.fit(Module(), loader)


def by_skorch(width):
    """A skorch regressor."""
    import skorch

    x, y = data()
    net = skorch.NeuralNetRegressor(
        network(width), optimizer=torch.optim.Adam, lr=1e-3, batch_size=BATCH, train_split=None,
        max_epochs=EPOCHS, iterator_train__shuffle=True,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        net.fit(x, y.unsqueeze(-1))


def main():
    """Time all of them in turns."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    ways = {"by hand": by_hand, "hybrid.fit": by_fit}
    for name, way in (("lightning", by_lightning), ("skorch", by_skorch)):
        try:
            __import__(name)
            ways[name] = way
        except ImportError:
            print(f"{name} is not installed")
    for width in (64, 256):
        times = {name: [] for name in ways}
        for repeat in range(REPEATS + 1):
            for name, way in ways.items():
                start = time.perf_counter()
                way(width)
                if repeat:  # the first run warms up
                    times[name].append((time.perf_counter() - start) / STEPS * 1e6)
        hand = statistics.median(times["by hand"]), min(times["by hand"])
        for name, found in times.items():
            middle, least = statistics.median(found), min(found)
            print(
                f"width {width}, {name}: median {middle:.0f} µs a step ({middle / hand[0]:.2f}×), "
                f"minimum {least:.0f} ({least / hand[1]:.2f}×)"
            )


if __name__ == "__main__":
    main()
