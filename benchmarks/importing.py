"""What importing costs: ``import hybrid`` and one resolved name, beside ``import torch, pyro``.

``python benchmarks/importing.py`` prints medians and minima of new processes that take turns.
"""

import argparse
import statistics
import subprocess
import sys
import time

REFERENCE = "import torch, pyro"
NAMES = ("fit", "bayes.variational", "heads.Normal", "objectives.ELBO", "predict", "save")


def seconds(code):
    """How long a new process takes that runs ``code``."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    lazy = "import hybrid, causal, quantum"
    codes = {REFERENCE: REFERENCE, lazy: lazy}
    codes |= {f"hybrid.{name}": f"import hybrid; hybrid.{name}" for name in NAMES}
    codes["causal.SCM"] = "import causal; causal.SCM"
    codes["quantum.CircuitLayer"] = "import quantum; quantum.CircuitLayer"
    codes["import torch, pennylane"] = "import torch, pennylane"
    times = {name: [] for name in codes}
    for _ in range(repeats):
        for name, code in codes.items():
            times[name].append(seconds(code))
    middle, least = statistics.median(times[REFERENCE]), min(times[REFERENCE])
    print("| | seconds, minimum / median | of `import torch, pyro` |")
    print("| --- | --- | --- |")
    for name, found in times.items():
        median, minimum = statistics.median(found), min(found)
        print(
            f"| `{name}` | {minimum:.2f} / {median:.2f} "
            f"| {minimum / least:.2f} / {median / middle:.2f} |"
        )


if __name__ == "__main__":
    main()
