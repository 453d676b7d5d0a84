import dataclasses

import pytest

from hybrid.training.history import History

HISTORY = History((1, 2), (3.0, 1.0), {"fit": (2.0, 0.5)}, (4.0, 2.0), (0.5, 0.25))


def test_dataframe():
    frame = HISTORY.to_dataframe()
    assert frame.index.tolist() == [1, 2]
    assert frame.index.name == "epoch"
    assert list(frame.columns) == ["loss", "fit", "validation", "seconds"]
    assert frame.loc[2].tolist() == [1.0, 0.5, 2.0, 0.25]
    plain = dataclasses.replace(HISTORY, validation=None)
    assert "validation" not in plain.to_dataframe()


def test_repr_and_length():
    assert repr(HISTORY) == "History(2 epochs, loss 3 → 1, validation 2, 0.8 s)"
    assert len(HISTORY) == 2
    assert repr(History((), ())) == "History(0 epochs)"


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        HISTORY.loss = ()


def test_a_picture_has_a_line_per_number():
    axes = HISTORY.plot()
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert lines == {"loss": [3.0, 1.0], "fit": [2.0, 0.5], "validation": [4.0, 2.0]}
    assert HISTORY.plot(axes=axes) is axes
