import numpy as np
import pytest
from network_files import equal, made_up, shipped

from hybrid.pgm.formats.description import Description
from hybrid.pgm.formats.xmlbif import parse_xmlbif, write_xmlbif

ODD = ["<5", "Asy/Patch", "two words", 'a "quoted" one', "a&b", "(x|y)", "]]>", "näh", "\\", "a\tb"]
RAIN = """<?xml version="1.0"?>
<!DOCTYPE BIF [
  <!ELEMENT BIF ( NETWORK )*>
  <!ATTLIST BIF VERSION CDATA #REQUIRED>
]>
<BIF VERSION="0.3"><NETWORK><NAME> rain </NAME><PROPERTY>author nobody</PROPERTY>
<VARIABLE TYPE="nature"><NAME>rain</NAME><OUTCOME>yes</OUTCOME><OUTCOME> no </OUTCOME></VARIABLE>
<VARIABLE><NAME>grass</NAME><OUTCOME>wet</OUTCOME><OUTCOME>dry</OUTCOME>
  <PROPERTY>position = (1, 2)</PROPERTY></VARIABLE>
<DEFINITION><FOR>rain</FOR><TABLE>0.2 0.8</TABLE></DEFINITION>
%s
</NETWORK></BIF>
"""
GRASS = """<DEFINITION><FOR>grass</FOR><GIVEN>rain</GIVEN>
  <TABLE>%s</TABLE></DEFINITION>"""


def test_the_variable_itself_goes_fastest():
    network = parse_xmlbif(RAIN % (GRASS % "0.9 0.1 <!-- rain --> 0.3\n0.7"))
    assert network.name == "rain"
    assert network.states == {"rain": ("yes", "no"), "grass": ("wet", "dry")}
    assert network.parents == {"rain": (), "grass": ("rain",)}
    assert network.tables["grass"].tolist() == [[0.9, 0.1], [0.3, 0.7]]
    assert network.properties == {"": ("author nobody",), "grass": ("position = (1, 2)",)}


@pytest.mark.parametrize("name", ["asia", "child"])
def test_round_trip_of_shipped_networks(name):
    network = shipped(name)
    assert equal(parse_xmlbif(write_xmlbif(network)), network)


@pytest.mark.parametrize("seed", range(10))
def test_round_trip_of_odd_names_and_tiny_numbers(seed):
    network = made_up(seed, ODD[seed:] + ODD[:seed])
    assert equal(parse_xmlbif(write_xmlbif(network)), network)


def test_pgmpy_reads_what_is_written():
    from pgmpy.readwrite import XMLBIFReader

    network = shipped("asia")
    theirs = XMLBIFReader(string=write_xmlbif(network)).get_model()
    assert np.array_equal(
        np.moveaxis(theirs.get_cpds("dysp").values, 0, -1), network.tables["dysp"]
    )


@pytest.mark.parametrize("name", ["", " x", "x\n", "a\x00b"])
def test_names_that_xml_loses_are_refused(name):
    network = Description({name: ("0",)}, {name: ()}, {name: np.ones(1)})
    with pytest.raises(ValueError, match="XMLBIF cannot hold the name"):
        write_xmlbif(network)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 6: variable 'grass' is not defined"),
        (GRASS % "0.9 0.1 0.3", "line 12: expected 4 numbers for 'grass', got 3"),
        (GRASS % "0.9 0.1 0.3 x", "line 12: expected a probability in the table of 'grass', got"),
        (GRASS % "0.9 0.1 1.3 -0.3", "expected a probability in the table of 'grass', got -0.3"),
        (GRASS.replace("rain", "hail"), "line 11: 'hail' is not the name of a <VARIABLE>"),
        (GRASS.replace("rain", "grass"), "'grass' names a variable twice"),
        ("<DEFINITION><FOR>rain</FOR><TABLE>1 0</TABLE></DEFINITION>", "'rain' is defined twice"),
        ("<DEFINITION><FOR>grass</FOR></DEFINITION>", "<DEFINITION> needs one <TABLE>, it has 0"),
        ("<VARIABLE><NAME>x</NAME></VARIABLE>", "variable 'x' has no outcomes"),
        (
            "<VARIABLE TYPE='utility'><NAME>x</NAME></VARIABLE>",
            "variable 'x' is of type 'utility'",
        ),
        ("<VARIABLE><NAME>rain</NAME></VARIABLE>", "variable 'rain' is there twice"),
        ("<DEFINITION>", "line 12: no XML: mismatched tag"),
    ],
)
def test_errors_have_a_line(text, message):
    with pytest.raises(ValueError, match=message):
        parse_xmlbif(RAIN % text)


def test_entities_are_refused():
    text = RAIN.replace("<!ELEMENT", '<!ENTITY a "aaaa">\n  <!ELEMENT') % ""
    with pytest.raises(ValueError, match="line 3: the entity 'a' is defined here"):
        parse_xmlbif(text)


def test_other_xml_is_refused():
    with pytest.raises(ValueError, match="needs one <BIF>"):
        parse_xmlbif("<html/>")
