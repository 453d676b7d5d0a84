"""The circuit layer on one GPU, beside default.qubit with torch on the same GPU.

Step and loss are those of `quantum_layer.py`, the circuit is its entangling circuit. Both run in
one process and alternate; every step ends with a synchronisation. The limit is measured in the same
run: float32 matrix products (no TF32) and copies in the GPU's memory. States do not stay in any
cache here, so bytes always count: each of three passes a layer reads and writes 8 bytes per
amplitude. The largest case does not fit with default.qubit, which keeps a state for every gate.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --quick       # checks the script, not the speed
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import torch
from peers.borromean_layer import circuit_layer
from peers.cases import Case
from peers.default_qubit import forward
from peers.torch_step import Arguments, training_step
from torch import Tensor

_CASES = (
    Case("entangling", 10, 6, 16384),
    Case("entangling", 16, 6, 512),
    Case("entangling", 20, 6, 64),
    Case("entangling", 28, 6, 1),
)
_QUICK = (Case("entangling", 4, 2, 32), Case("entangling", 10, 2, 8))
_GOAL = 20.0  # times as fast as default.qubit


def _waited(work: Callable[[], Any], device: str) -> float:
    """Seconds of one call, to the end of what it started."""
    if device != "cpu":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def _limits(device: str) -> tuple[float, float]:
    """flop/s of a float32 matrix product, and bytes/s of a copy."""
    torch.backends.cuda.matmul.allow_tf32 = False
    size = 8192 if device != "cpu" else 512
    square = torch.randn(size, size, device=device)
    product = min(_waited(lambda: square @ square, device) for _ in range(6))
    source = torch.randn(2**28 if device != "cpu" else 2**22, device=device)
    target = torch.empty_like(source)
    copied = min(_waited(lambda: target.copy_(source), device) for _ in range(6))
    return 2 * size**3 / product, 2 * source.nbytes / copied


def _shortest(case: Case, limits: tuple[float, float]) -> float:
    """Seconds that a step takes at least."""
    traffic = 48 * 2**case.wires * case.batch * case.layers
    return max(machine.flops(case) / limits[0], traffic / limits[1])


def _build(name: str, case: Case, device: str) -> tuple[Callable[[], Tensor], Arguments]:
    """The step of a contestant and the leaves that hold its gradients."""
    if name == "default.qubit":
        arguments = Arguments(case, "single", device=device)
        return training_step(forward(case), arguments), arguments
    layer = circuit_layer(case, "single").to(device)
    arguments = Arguments(case, "single", layer.weights, device)
    return training_step(lambda inputs, _: layer(inputs), arguments), arguments


def _measure(case: Case, device: str, seconds: float) -> dict[str, Any]:
    """Both contestants on one case: times, peak bytes, and how far their answers are apart."""
    steps: dict[str, Callable[[], Tensor]] = {}
    times: dict[str, list[float]] = {}
    answers: dict[str, list[Tensor]] = {}
    row: dict[str, Any] = {"case": case.name}
    for name in ("ours", "default.qubit"):
        try:
            step, arguments = _build(name, case, device)
            if device != "cpu":
                torch.cuda.reset_peak_memory_stats()
            out = step()
            found = (out.detach(), arguments.weights.grad, arguments.inputs.grad)
            answers[name] = [tensor.double() for tensor in found if tensor is not None]
            if device != "cpu":
                row[f"{name} peak bytes"] = torch.cuda.max_memory_allocated()
            steps[name], times[name] = step, []
        except torch.OutOfMemoryError as error:
            row[f"{name} failure"] = str(error).splitlines()[0]
            torch.cuda.empty_cache()
    begin = time.perf_counter()
    while steps and time.perf_counter() - begin < seconds:
        for name, step in steps.items():
            times[name].append(_waited(step, device))
    for name, taken in times.items():
        row[f"{name} ms"] = [1e3 * min(taken), 1e3 * statistics.median(taken)]
    if len(answers) == 2:
        pairs = zip(*answers.values(), strict=True)
        row["largest difference"] = max(
            float((a - b).abs().max() / b.abs().max().clamp_min(1.0)) for a, b in pairs
        )
    return row


def _line(row: dict[str, Any], limit: float) -> str:
    ours, theirs = row.get("ours ms"), row.get("default.qubit ms")
    shown = [
        f"{pair[0]:.3g} / {pair[1]:.3g}" if pair else row.get(f"{name} failure", "–")
        for name, pair in (("ours", ours), ("default.qubit", theirs))
    ]
    share = f"{1e3 * limit / ours[1]:.2f}" if ours else "–"
    ratio = f"{theirs[1] / ours[1]:.3g}" if ours and theirs else "–"
    apart = f"{row['largest difference']:.0e}" if "largest difference" in row else "–"
    return f"| {row['case']} | {shown[0]} | {shown[1]} | {ratio} | {share} | {apart} |"


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--seconds", type=float, default=10.0, help="a case")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    device = arguments.device
    name = machine.describe() if device == "cpu" else torch.cuda.get_device_name()
    limits = _limits(device)
    print(f"{name}, torch {torch.__version__}; {limits[0] / 1e12:.3g} Tflop/s in a float32 matrix")
    print(f"product, {limits[1] / 1e9:.0f} GB/s in a copy; goal: ratio ≥ {_GOAL:g}")
    print("min / median; ratio and fraction of the limit by medians\n")
    head = ("case", "ours, ms", "default.qubit, ms", "ratio", "of the limit", "apart")
    print(f"| {' | '.join(head)} |\n{'| --- ' * len(head)}|")
    rows = []
    for case in _QUICK if arguments.quick else _CASES:
        rows.append(_measure(case, device, 1.0 if arguments.quick else arguments.seconds))
        print(_line(rows[-1], _shortest(case, limits)), flush=True)
    if arguments.output is not None:
        held = {"device": name, "flops": limits[0], "bandwidth": limits[1], "rows": rows}
        arguments.output.write_text(json.dumps(held, indent=1))


if __name__ == "__main__":
    main()
