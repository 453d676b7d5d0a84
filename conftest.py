"""What every test and doctest shares: one seed, Pyro's store left clean, seconds per folder."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# Seconds on two cores that each folder's tests and doctests may take; the run prints both.
BUDGETS = {
    "causal": 60,
    "docs": 45,
    "hybrid": 60,
    "quantum": 30,
    "README.md": 45,
    "tests": 90,
    "tests/causal": 300,
    "tests/hybrid": 420,
    "tests/quantum": 420,
}
ROOT = Path(__file__).parent
SECONDS = pytest.StashKey[dict[str, float]]()


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Start each test from seed 0; see that it leaves global settings as they were."""
    torch.manual_seed(0)
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    yield
    assert torch.get_default_dtype() == dtype, "the test changed torch's default dtype"
    assert torch.get_num_threads() == threads, "the test changed torch's thread count"
    if "pyro" in sys.modules:
        sys.modules["pyro"].clear_param_store()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SECONDS] = defaultdict(float)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    path = item.path.relative_to(ROOT)
    parts = path.parts[:-1] or path.parts
    folder = "/".join(parts[:2]) if parts[0] == "tests" else parts[0]
    item.config.stash[SECONDS][folder] += report.duration
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    seconds = terminalreporter.config.stash[SECONDS]
    terminalreporter.section("seconds per folder")
    for folder in sorted(seconds):
        budget = BUDGETS.get(folder)
        note = "" if budget is None or seconds[folder] <= budget else "  OVER BUDGET"
        terminalreporter.line(f"{folder:16} {seconds[folder]:7.1f} of {budget}{note}")
