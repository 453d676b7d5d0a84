import numpy as np
import pytest
from network_files import equal, made_up, shipped

from hybrid.pgm.formats.bif import parse_bif, write_bif
from hybrid.pgm.formats.description import Description

ODD = [
    "<5",
    "Asy/Patch",
    "two words",
    'a "quoted" one',
    "a,b;c",
    "(x|y)",
    "table",
    "näh",
    "\\",
    " ",
]
RAIN = """network rain { property author nobody; }
variable rain { type discrete [2] { yes, no }; property position = (1, 2); }
variable grass { type discrete [3] { wet, damp, dry }; }
probability ( rain ) { table 0.2, 0.8; }
"""


@pytest.mark.parametrize("name", ["asia", "child", "alarm", "sachs"])
def test_round_trip_of_shipped_networks(name):
    network = shipped(name)
    assert all(abs(table.sum(-1) - 1).max() < 1e-6 for table in network.tables.values())
    assert equal(parse_bif(write_bif(network)), network)


def test_pgmpy_reads_the_same_from_what_is_written():
    from pgmpy.readwrite import BIFReader

    network = shipped("child")
    theirs = BIFReader(string=write_bif(network)).get_model()
    for name in network.states:
        cpd = theirs.get_cpds(name)
        assert cpd.state_names[name] == list(network.states[name])
        order = [cpd.variables.index(other) for other in (*network.parents[name], name)]
        assert np.array_equal(np.transpose(cpd.values, order), network.tables[name])


@pytest.mark.parametrize("seed", range(10))
def test_round_trip_of_odd_names_and_tiny_numbers(seed):
    network = made_up(seed, ODD[seed:] + ODD[:seed])
    assert equal(parse_bif(write_bif(network)), network)


def test_names_that_differ_by_case_are_different():
    tables = {"a": np.array([0.25, 0.75]), "A": np.array([0.5, 0.5]), "b": np.full((2, 2), 0.5)}
    states = dict.fromkeys(tables, ("0", "1"))
    network = Description(states, {"a": (), "A": (), "b": ("A",)}, tables)
    assert equal(parse_bif(write_bif(network)), network)


def test_whole_table_goes_with_the_variable_slowest():
    text = RAIN + "probability ( grass | rain ) { table 1 2 3 4 5 6; }"
    assert parse_bif(text).tables["grass"].tolist() == [[1, 3, 5], [2, 4, 6]]


def test_default_fills_the_rows_that_are_not_listed():
    text = RAIN + "probability ( grass | rain ) { default 0.1 0.2 0.7; (no) 0 0 1; }"
    assert parse_bif(text).tables["grass"].tolist() == [[0.1, 0.2, 0.7], [0, 0, 1]]


def test_comments_commas_and_quotes():
    text = """// a network { with a mark
    network "x" { } /* of
    two lines } */
    variable "rain"{type discrete[2]{"yes" "no"};}//here
    variable grass {type discrete [ 2 ] { wet dry };}
    probability("grass" "rain"){("yes")0.9 0.1;(no).5,5e-1;}
    probability(rain){table 0.2,0.8;}"""
    network = parse_bif(text)
    assert network.states == {"rain": ("yes", "no"), "grass": ("wet", "dry")}
    assert network.parents == {"rain": (), "grass": ("rain",)}
    assert network.tables["grass"].tolist() == [[0.9, 0.1], [0.5, 0.5]]


def test_unquoted_labels_of_several_words():
    text = """network n {}
    variable light rain { type discrete [ 2 ] { very much, none at all }; }
    variable b { type discrete [ 2 ] { 0, 1 }; }
    probability ( light rain ) { table 0.5, 0.5; }
    probability ( b | light rain ) { (very much) 0.5, 0.5; (none at all) 1, 0; }"""
    network = parse_bif(text)
    assert network.states["light rain"] == ("very much", "none at all")
    assert network.tables["b"].tolist() == [[0.5, 0.5], [1, 0]]


def test_properties_are_kept():
    text = RAIN.replace("author nobody", 'url "a;b" // c') + (
        "probability ( grass | rain ) { table 1 1 0 0 0 0; property source http://here/; }"
    )
    network = parse_bif(text)
    assert network.properties == {
        "": ('url "a;b" // c',),
        "rain": ("position = (1, 2)",),
        "grass": ("source http://here/",),
    }
    assert equal(parse_bif(write_bif(network)), network)


def test_a_property_that_would_end_early_is_refused():
    network = Description({"a": ("0",)}, {"a": ()}, {"a": np.ones(1)}, properties={"a": ("x; y",)})
    with pytest.raises(ValueError, match=r"'x; y' of 'a' has a semicolon"):
        write_bif(network)


GRASS = "probability ( grass | rain ) { "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GRASS + "(yes) 1, 0, 0; }", r"line 5: 1 of the rows of 'grass' are missing, first \(no\)"),
        (GRASS + "(yes) 1, 0, 0; (yes) 1, 0, 0; }", r"line 5: a second row \(yes\) of 'grass'"),
        (GRASS + "\n(yes) 1, 0; }", "line 6: expected 3 numbers for 'grass', got 2"),
        (GRASS + "table 1 0 0; }", "line 5: expected 6 numbers for 'grass', got 3"),
        (GRASS + "(maybe) 1, 0, 0; }", "'maybe' is no state of 'rain', which has yes, no"),
        (GRASS + "(yes, no) 1, 0, 0; }", r"states \(yes, no\): expected a state for each of its"),
        (GRASS + "(yes) 1, 0, x; }", "line 5: expected a probability, got 'x'"),
        (GRASS + "(yes) 1, 0, nan; }", "expected a probability, got nan"),
        (GRASS + "(yes) 1.5, -0.5, 0; }", "expected a probability, got -0.5"),
        (GRASS + "(yes) 1, 0, 0 (no) 1, 0, 0; }", r"line 5: expected ';' after '0', got '\('"),
        (GRASS + "table 1 1 0 0 0 0; table 1 1 0 0 0 0; }", "'grass' has two tables"),
        (GRASS + "default 1 0 0; default 1 0 0; }", "'grass' has two defaults"),
        (GRASS + "default 1 0 0; table 1 1 0 0 0 0; }", "'grass' has a table and rows"),
        (GRASS + "row 1 0 0; }", "line 5: expected 'property …;' or '}', got 'row'"),
        (GRASS + "table 1 1 0 0 0 0;", "line 5: the text ends inside a block"),
        ("", "line 5: variable 'grass' has no probability block"),
        ("probability ( grass | hail ) { }", "'hail' is not the name of a variable block"),
        ("probability ( grass | rain, rain ) { }", "'rain' stands twice"),
        ("probability ( grass rain | rain ) { }", "expected one variable, a bar and its parents"),
        ("probability ( ) { }", "nothing is not the name of a variable"),
        ("probability ( rain ) { table 1, 0; }", "'rain' has a probability block already"),
        ("variable rain { type discrete [1] { a }; }", "line 5: variable 'rain' has a block alr"),
        ("variable x { type discrete [3] { a, b }; }", "'x' has 3 states, but these are listed"),
        ("variable x { type discrete [2] { a, a }; }", "'x' has the state 'a' twice"),
        ("variable x { type continuous; }", "'x' is 'continuous': only discrete"),
        ("variable x { type discrete [b] { a }; }", "states of 'x' is 'b', not a number"),
        ("variable x { }", "variable 'x' has no type"),
        ("variable { }", "a variable without a name"),
        ('variable "x { }', "line 5: '\"' without its partner"),
        ("utility x { }", r"expected a block \(network, variable, probability\), got 'utility'"),
    ],
)
def test_errors_have_a_line(text, message):
    with pytest.raises(ValueError, match=message):
        parse_bif(RAIN + text)


def test_an_empty_text_is_no_network():
    with pytest.raises(ValueError, match="line 1: there is no variable block"):
        parse_bif("")


def test_a_table_that_no_memory_holds_is_refused():
    names = [f"x{i}" for i in range(40)]
    blocks = [f"variable {name} {{ type discrete [2] {{ a, b }}; }}" for name in names]
    head = f"probability ( x0 | {', '.join(names[1:])} ) {{ default 0.5, 0.5; }}"
    with pytest.raises(ValueError, match=r"line 41: the table of 'x0' has 1\.1e\+12 numbers"):
        parse_bif("\n".join([*blocks, head]))
