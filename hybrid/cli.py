"""The console command ``borromean`` (floor 4)."""

import argparse
from collections.abc import Sequence
from importlib import metadata

from hybrid.doctor import Report, examine

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Args:
        argv: The arguments; None takes those of the process.

    Example:
        >>> main(["doctor", "--help"])
        Traceback (most recent call last):
        SystemExit: 0
    """
    parser = argparse.ArgumentParser(
        prog="borromean", description="Networks, causal models and circuits in one model."
    )
    parser.add_argument("--version", action="version", version=f"borromean {_own_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser(
        "doctor",
        help="show versions, devices and import-name clashes; exit status 1 if something is wrong",
        description="Show versions, devices and import-name clashes of this installation.",
    )
    parser.parse_args(argv)
    return _doctor(examine())


def _doctor(report: Report) -> int:
    width = max(map(len, report.facts))
    for name, value in report.facts.items():
        print(f"{name:<{width}}  {value}")
    print()
    for problem in report.problems:
        print(f"PROBLEM: {problem}")
    print("healthy" if report.healthy else "not healthy: see above")
    return 0 if report.healthy else 1


def _own_version() -> str:
    try:
        return metadata.version("borromean")
    except metadata.PackageNotFoundError:  # run from its source folder
        return "(not installed)"
