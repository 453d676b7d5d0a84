"""The table of the documentation is the table that the plan reads."""

from pathlib import Path

from quantum.plan import GRADIENTS, MEASUREMENTS, SIMULATORS, TABLE

PAGE = Path(__file__).parents[2] / "docs" / "quantum.md"
WORDS = {(True, True): "both", (True, False): "exact", (False, True): "shots", (False, False): "–"}


def test_the_documentation_shows_every_cell():
    lines = [["simulator", "gradient", *MEASUREMENTS]]
    for simulator in SIMULATORS:
        for gradient in GRADIENTS:
            cells = [TABLE[simulator, gradient, measurement] for measurement in MEASUREMENTS]
            words = [WORDS[cell.exact, cell.sampled] for cell in cells]
            lines.append([simulator, gradient, *words])
    shown = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and "---" not in line
    ]
    assert shown == lines
