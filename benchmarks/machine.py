"""The machine: its load, what it is, and the limits of one core that a step is compared with.

The work of one step of the entangling circuit (wires n, layers L, batch B), counted as the cheapest
way we know does it, forward and adjoint, a multiplication or an addition as one flop. In each layer
all rotations around z make one diagonal that the batch shares, so per amplitude

- one pass over the state: a real RY per wire (6 n) and the diagonal (6);
- three passes: the state forward, then state and cotangent backwards;
- gradients: ⟨λ|Y|ψ⟩ per wire (4 n), and the diagonal's, all wires at once (4).

That is 22 (n + 1) per amplitude and layer. The first layer starts from a product state, which with
its gradient costs 36, and values, cotangent state and products with it cost 20:

    flops = 2^n B [22 (n + 1) (L − 1) + 56]

Bytes count only where state and cotangent of one row do not fit the last cache together: then each
pass reads and writes 8 bytes per amplitude, 2^n B L · 3 · 16. The limit is the longer of
flops / (flop/s) and bytes / (bytes/s), both measured.
"""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from peers.cases import Case
from peers.protocol import environment

__all__ = ["Limits", "cache_bytes", "describe", "flops", "load", "measure", "pinned"]

_GEMM = """
import time, torch
a = torch.randn(1024, 1024)
best = 0.0
for _ in range(8):
    begin = time.perf_counter()
    a @ a
    best = max(best, 2 * 1024**3 / (time.perf_counter() - begin))
b, c = torch.randn(2**25), torch.randn(2**25)
rate = 0.0
for _ in range(5):
    begin = time.perf_counter()
    torch.add(b, c, alpha=3.0, out=b)
    rate = max(rate, 12 * 2**25 / (time.perf_counter() - begin))
print(best, rate)
"""


@dataclass(frozen=True)
class Limits:
    """What one core does per second.

    Args:
        multiply_add: flop/s of chains of float32 multiply-adds in registers; 0: no C compiler.
        product: flop/s of torch's float32 matrix product, 1024 × 1024.
        bandwidth: bytes/s between a core and main memory.
        cache: bytes of the last cache.
    """

    multiply_add: float
    product: float
    bandwidth: float
    cache: int

    def best(self, other: "Limits") -> "Limits":
        """The higher of two measurements: other work on the machine only ever lowers them."""
        return Limits(
            max(self.multiply_add, other.multiply_add),
            max(self.product, other.product),
            max(self.bandwidth, other.bandwidth),
            self.cache,
        )

    def seconds(self, case: Case) -> float:
        """The shortest time that a step of the entangling circuit can take."""
        amplitudes = 2**case.wires * case.batch
        spills = 2 * 8 * 2**case.wires > self.cache
        traffic = 48 * amplitudes * case.layers if spills else 0
        return max(
            flops(case) / max(self.multiply_add, self.product), traffic / max(self.bandwidth, 1.0)
        )


def flops(case: Case) -> float:
    """Floating point operations of one step, see above."""
    return 2**case.wires * case.batch * (22 * (case.wires + 1) * (case.layers - 1) + 56)


def load() -> float:
    """Processes that want to run, per core, averaged over the last minute."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def pinned(command: list[str], cores: list[int]) -> list[str]:
    """``command`` bound to these cores, where the system can."""
    if shutil.which("taskset") is None:
        return command
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


def describe() -> str:
    """Processor and cores in one line."""
    name = platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                name = f"{line.partition(':')[2].strip()} ({name})"
                break
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def cache_bytes() -> int:
    """Size of the largest cache of the first core; 32 MiB where the system does not tell."""
    units = {"K": 1024, "M": 1024**2}
    found = [
        path.read_text().strip()
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    ]
    sizes = [int(text[:-1]) * units[text[-1]] for text in found if text[-1:] in units]
    return max(sizes, default=32 * 1024**2)


def measure(core: int, cache: Path) -> Limits:
    """Measure the limits of a core now.

    Args:
        core: Which core.
        cache: Where the compiled program is kept.
    """
    torch_run = pinned([sys.executable, "-c", _GEMM], [core])
    product, bandwidth = _two_numbers(torch_run)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return Limits(0.0, product, bandwidth, cache_bytes())
    cache.mkdir(parents=True, exist_ok=True)
    program = cache / "limit"
    source = Path(__file__).with_name("limit.c")
    subprocess.run([compiler, "-O3", "-march=native", str(source), "-o", str(program)], check=True)
    multiply_add, streamed = _two_numbers(pinned([str(program)], [core]))
    return Limits(multiply_add, product, max(bandwidth, streamed), cache_bytes())


def _two_numbers(command: list[str]) -> tuple[float, float]:
    done = subprocess.run(
        command,
        env={**os.environ, **environment(1)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.split()
    return float(first), float(second)
