"""The example that trains networks through identified formulas runs, and learns."""

import importlib.util
from pathlib import Path


def test_frontdoor_and_napkin_are_trained_through_their_formulas(capsys):
    place = Path(__file__).parents[2] / "examples" / "frontdoor.py"
    spec = importlib.util.spec_from_file_location("frontdoor_example", place)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    found = example.main(steps=40)
    front, napkin = found["front door"], found["napkin"]
    assert front["formula, trained through it"] < 0.15 < 0.3 < front["regression"]
    assert napkin["formula, trained through it"] < 0.15
    assert front["formula, trained through it"] < front["formula"]
    assert "truth" in capsys.readouterr().out
