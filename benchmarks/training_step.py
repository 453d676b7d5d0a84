"""What one training step costs: the loop, the posterior and the circuit, each beside its peer.

Step = forward and gradients of all parameters (and of the inputs for circuits); for the loop one
Adam update as well. One thread; contestants alternate; minimum and median over rounds. The ratio
is ours over the peer's for the loop and the posterior (lower is better), the peer's over ours for
circuits (higher is better).

    python benchmarks/training_step.py
"""

import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import pennylane as qml
import torch
from torch import Tensor, nn

import hybrid
import quantum

Step = Callable[[], object]


def alternate(ours: Step, peer: Step, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each, step by step in turn, after three unmeasured rounds."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 3):
        for step, record in zip((ours, peer), times, strict=True):
            begin = time.perf_counter()
            step()
            if number >= 3:
                record.append(1e3 * (time.perf_counter() - begin))
    return times


def row(name: str, ours: list[float], peer: list[float], *, speedup: bool) -> str:
    """Minimum and median of both, and the ratio of the medians."""
    ratio = statistics.median(ours) / statistics.median(peer)
    ratio = 1 / ratio if speedup else ratio
    figures = [f"{min(t):.3f} / {statistics.median(t):.3f}" for t in (ours, peer)]
    return f"| {name} | {figures[0]} | {figures[1]} | {ratio:.2f}x |"


def loop_rows(rounds: int) -> list[str]:
    """An epoch of `hybrid.fit` beside the same epoch written by hand, MLP 13-50-50-1, batch 128."""
    x, y = torch.randn(12_800, 13), torch.randn(12_800)

    class Squared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = hybrid.backbones.MLP(13, [50, 50], 1)

        def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            return (self.network(batch[0]).squeeze(-1) - batch[1]).square().mean()

    ours, peer = Squared(), Squared()
    adam = torch.optim.Adam(peer.parameters(), 1e-3)

    def by_hand() -> None:
        total = 0.0
        for index in torch.randperm(len(x)).split(128):
            adam.zero_grad()
            loss = peer((x[index], y[index]))
            loss.backward()
            adam.step()
            total += loss.item()

    def fitted() -> None:
        hybrid.fit(ours, (x, y), epochs=1, batch_size=128, progress=False)

    times = alternate(fitted, by_hand, max(rounds // 10, 5))
    return [row("fit, 100 steps / by hand", *times, speedup=False)]


def posterior_rows(rounds: int) -> list[str]:
    """A mean-field network's step beside the point network's, MLP 13-50-50-1, batch 128."""
    x, y, rows = torch.randn(128, 13), torch.randn(128), []
    for draws in (1, 8, 32):
        plain = hybrid.heads.Normal(hybrid.backbones.MLP(13, [50, 50], 8), features=8)
        random = hybrid.bayes.variational(
            hybrid.heads.Normal(hybrid.backbones.MLP(13, [50, 50], 8), features=8)
        )
        point = hybrid.objectives.ELBO(plain, data_size=1000)
        objective = hybrid.objectives.ELBO(random, data_size=1000, draws=draws)
        times = alternate(
            lambda objective=objective: objective((x, y)).total.backward(),
            lambda objective=point: objective((x, y)).total.backward(),
            rounds,
        )
        rows.append(row(f"variational, {draws} draws / point network", *times, speedup=False))
    return rows


def entangling(wires: int) -> Callable[[Tensor, Tensor], list[object]]:
    """Angle embedding, entangling layers, ⟨Z⟩ on all wires."""

    def circuit(inputs: Tensor, weights: Tensor) -> list[object]:
        qml.AngleEmbedding(inputs, wires=range(wires), rotation="Y")
        qml.StronglyEntanglingLayers(weights, wires=range(wires))
        return [qml.expval(qml.Z(wire)) for wire in range(wires)]

    return circuit


def circuit_rows(rounds: int) -> list[str]:
    """A circuit layer beside PennyLane's own torch layer on default.qubit with backprop."""
    rows = []
    for wires, layers, batch in ((4, 2, 32), (6, 3, 256), (8, 4, 256)):
        circuit = entangling(wires)
        shapes = {"weights": (layers, wires, 3)}
        ours = quantum.CircuitLayer(circuit, shapes, in_features=wires)
        device = qml.device("default.qubit", wires=wires)
        node = qml.QNode(circuit, device, interface="torch", diff_method="backprop")
        peer = qml.qnn.TorchLayer(node, shapes)
        x = torch.randn(batch, wires, requires_grad=True)
        times = alternate(
            lambda layer=ours, x=x: layer(x).sum().backward(),
            lambda layer=peer, x=x: layer(x).sum().backward(),
            max(rounds // 5, 5),
        )
        rows.append(
            row(f"TorchLayer / circuit, {wires} wires, batch {batch}", *times, speedup=True)
        )
    return rows


def main() -> None:
    """Print the table with versions and machine."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    packages = ("torch", "pennylane", "pyro-ppl", "borromean")
    print(", ".join(f"{name} {version(name)}" for name in packages))
    print(f"Python {platform.python_version()}, {platform.machine()}, one thread\n")
    print("| step | ours, ms (min / median) | peer, ms (min / median) | ratio |")
    print("| --- | --- | --- | --- |")
    for rows in (loop_rows, posterior_rows, circuit_rows):
        for line in rows(100):
            print(line, flush=True)


if __name__ == "__main__":
    main()
