"""The example of digits from few labels runs, and the answers help."""

import importlib.util
from pathlib import Path


def test_answers_to_simple_questions_teach_digits(capsys) -> None:
    place = Path(__file__).parents[3] / "examples" / "digits.py"
    spec = importlib.util.spec_from_file_location("digits_example", place)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    found = example.main(seeds=1, steps=60)
    accuracy = {model: float(scores["accuracy"]) for model, scores in found.items()}
    assert accuracy["digits only"] < accuracy["answers too"] < accuracy["and at test"]
    assert float(found["answers too"]["NLL"]) < float(found["digits only"]["NLL"])
    assert "NLL, calibrated" in capsys.readouterr().out
