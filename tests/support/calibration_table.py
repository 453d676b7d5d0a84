"""Simulation-based calibration of every posterior, as a command that prints a table::

python tests/support/calibration_table.py                  # 1,000 simulations of every method
python tests/support/calibration_table.py ChEES MeanField --simulations 200
"""

import argparse
import sys
import time
from pathlib import Path

from calibrated_posteriors import METHODS
from calibration import Verdict, uniform, verdicts

HEAD = """\
| method | χ², p | ECDF, p | 50 % hold | 90 % hold | sd / right sd | uniform | seconds |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def row(name: str, found: list[Verdict], seconds: float) -> str:
    """The line of a method; in each cell θ₀, θ₁ and the log-likelihood."""
    cells = [
        ", ".join(p_value(one.chi2) for one in found),
        ", ".join(p_value(one.ecdf) for one in found),
        ", ".join(f"{100 * one.half:.1f}" for one in found),
        ", ".join(f"{100 * one.ninety:.1f}" for one in found),
        ", ".join(f"{one.width:.2f}" for one in found if one.width is not None),
        "yes" if uniform(found) else "no",
        f"{seconds:.0f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def p_value(value: float) -> str:
    """Two digits, as far as they mean anything: ECDFs are compared with 2,000 others."""
    return f"{value:.2f}" if value >= 0.005 else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def main() -> int:
    """Print the table; 1 if an exact method fails, or one that is not exact does not."""
    parser = argparse.ArgumentParser(description="Simulation-based calibration.")
    parser.add_argument("methods", nargs="*", metavar="method", help=", ".join(METHODS))
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path)
    chosen = parser.parse_args()
    unknown = set(chosen.methods) - set(METHODS)
    if unknown:
        parser.error(f"unknown methods {sorted(unknown)}: there are {', '.join(METHODS)}")
    table, wrong = [HEAD], []
    print(HEAD, flush=True)
    for name in chosen.methods or METHODS:
        begin = time.perf_counter()
        found = verdicts(METHODS[name].posterior, chosen.simulations, chosen.seed)
        table.append(row(name, found, time.perf_counter() - begin))
        print(table[-1], flush=True)
        if uniform(found) != METHODS[name].uniform:
            wrong.append(name)
    if chosen.markdown is not None:
        chosen.markdown.write_text("\n".join(table) + "\n")
    for name in wrong:
        print(f"{name}: expected {'' if METHODS[name].uniform else 'not '}to be uniform")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
