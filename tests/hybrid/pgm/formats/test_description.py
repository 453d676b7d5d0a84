import numpy as np
import pytest

from hybrid.pgm.formats.description import Description

AB = {"A": ("0", "1"), "B": ("0", "1", "2")}
EDGE = {"A": (), "B": ("A",)}
TABLES = {"A": np.full(2, 0.5), "B": np.full((2, 3), 1 / 3)}


def test_shape_has_the_parents_first():
    assert Description(AB, EDGE, TABLES).shape("B") == (2, 3)


@pytest.mark.parametrize(
    ("states", "parents", "tables", "message"),
    [
        (AB, {"A": ()}, TABLES, "variable 'B' has states but no parents"),
        (AB, EDGE, {"A": TABLES["A"]}, "variable 'B' has states but no tables"),
        (AB, EDGE | {"C": ()}, TABLES, "there are parents of 'C', which has no states"),
        (AB | {"A": ()}, EDGE, TABLES, "variable 'A' has no states"),
        (AB | {"A": ("x", "x")}, EDGE, TABLES, "variable 'A' has the state 'x' twice"),
        (AB, EDGE | {"B": ("A", "A")}, TABLES, "variable 'B' has the parent 'A' twice"),
        (AB, EDGE | {"B": ("C",)}, TABLES, "variable 'B': its parent 'C' is no variable"),
        (AB, EDGE | {"B": ("B",)}, TABLES, "variable 'B' is its own parent"),
        (AB, EDGE, TABLES | {"B": np.ones((3, 2))}, r"expected \(2, 3\) for \(A, B\)"),
        (AB, EDGE, TABLES | {"A": np.array([1.5, -0.5])}, r"'A' holds -0.5 at \(1,\)"),
        (AB, EDGE, TABLES | {"A": np.array([1.0, np.nan])}, r"'A' holds nan at \(1,\)"),
    ],
)
def test_errors(states, parents, tables, message):
    with pytest.raises(ValueError, match=message):
        Description(states, parents, tables)


def test_properties_belong_to_a_variable():
    with pytest.raises(ValueError, match="properties of 'C', which has no states"):
        Description(AB, EDGE, TABLES, properties={"C": ("x",)})
