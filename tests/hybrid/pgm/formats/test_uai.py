import numpy as np
import pytest
from network_files import made_up, shipped

from hybrid.pgm.formats.uai import parse_uai, write_uai

# The child of each function stands last, and its state goes fastest; parents are in no order.
TEXT = """BAYES # a comment
3
2 2 3
3
1 1
3 1 0 2
2 1 0

2
 0.436 0.564
12
 0.210 0.333 0.457
 0.811 0.000 0.189
 0.1 0.2 0.7
 1 0 0
4
 0.128 0.872
 0.920 0.080
"""


def test_parents_keep_the_order_of_the_scope():
    network = parse_uai(TEXT)
    assert network.parents == {"var_0": ("var_1",), "var_1": (), "var_2": ("var_1", "var_0")}
    assert network.states["var_2"] == ("0", "1", "2")
    assert network.tables["var_0"].tolist() == [[0.128, 0.872], [0.920, 0.080]]
    assert network.tables["var_2"][1, 0].tolist() == [0.1, 0.2, 0.7]


@pytest.mark.parametrize("name", ["asia", "child", "made up"])
def test_round_trip_but_for_names(name):
    network = made_up(3, list("abcdefghij")) if name == "made up" else shipped(name)
    again = parse_uai(write_uai(network))
    number = {name: f"var_{i}" for i, name in enumerate(network.states)}
    for old, new in number.items():
        assert again.parents[new] == tuple(number[parent] for parent in network.parents[old])
        assert again.tables[new].tobytes() == network.tables[old].tobytes()
    assert write_uai(again) == write_uai(network)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("BAYES", "MARKOV", "line 1: this is a Markov network: .* only BAYES is read"),
        ("BAYES", "LIMID", "line 1: expected BAYES, got 'LIMID'"),
        ("\n3\n2 2 3", "\nx\n2 2 3", "line 2: expected the number of variables, a whole number"),
        ("2 2 3\n3", "2 2 3\n2", "line 4: expected 3 tables, one for each variable"),
        ("2 1 0\n", "2 1 2\n", "line 7: var_2 is the last variable of two tables"),
        ("2 1 0\n", "2 1 1\n", "line 7: a table over no variable, or over one twice"),
        ("2 1 0\n", "2 1 3\n", "line 7: expected a variable, a whole number below 3, got '3'"),
        ("\n12\n", "\n11\n", "line 11: expected 12 entries for var_2"),
        ("0.457", "z", "line 12: expected a probability of var_2, got 'z'"),
        ("0.457", "-1", "line 12: expected a probability of var_2, got -1"),
        ("0.080", "", "line 18: the text ends here: expected a probability of var_0"),
        ("0.080", "0.080 1", "line 18: expected the end after the last table, got '1'"),
        ("2 2 3", "2 0 3", "line 3: var_1 has no states"),
    ],
)
def test_errors_have_a_line(old, new, message):
    with pytest.raises(ValueError, match=message):
        parse_uai(TEXT.replace(old, new))


def test_numbers_are_read_to_the_last_bit():
    value = float(np.nextafter(0.1, 1))
    network = parse_uai(f"BAYES 1 2 1 1 0 2 {value!r} 9e-1")
    assert network.tables["var_0"].tolist() == [value, 0.9]
