"""Nodes are interned, immutable and survive copies; wrong ones are refused by name."""

import copy
import pickle
import subprocess
import sys

import pytest

from causal.syntax import ONE, At, Probability, Product, Ratio, Sum, subexpressions

JOINT = Probability({"X", "Y"})
NESTED = At(Ratio(Product((JOINT, Probability("Z"))), Sum("Y", JOINT)), [("X", 1)])


def test_equal_nodes_are_one():
    again = At(
        Ratio(Product((Probability(["Y", "X"]), Probability("Z"))), Sum({"Y"}, JOINT)), [("X", 1)]
    )
    assert again is NESTED
    assert Probability("Y", "X") is not Probability("X", "Y")
    assert Probability("Y", (), "X") is not Probability("Y", "X")


@pytest.mark.parametrize("node", [JOINT, ONE, NESTED])
def test_copies_are_the_same_node(node):
    assert copy.copy(node) is node
    assert copy.deepcopy(node) is node
    assert pickle.loads(pickle.dumps(node)) is node


def test_free_names():
    assert NESTED.arguments == {"Y", "Z"}
    assert Sum("Y", JOINT).arguments == {"X"}
    assert Probability("Y", "X", "Z").arguments == {"X", "Y", "Z"}


def test_each_node_once_operands_first():
    found = subexpressions(NESTED)
    assert len(found) == len(set(found)) == 6
    assert found[-1] is NESTED
    for place, node in enumerate(found):
        assert set(node.operands) <= set(found[:place])


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ((("X", "Y"), ("Y",)), r"\['Y'\] in two places of one probability"),
        ((("X",), ("Y",), ("X",)), r"\['X'\] in two places"),
        (((),), "at least one outcome"),
    ],
)
def test_wrong_probabilities_are_refused(sets, message):
    with pytest.raises(ValueError, match=message):
        Probability(*sets)


def test_nodes_are_immutable():
    with pytest.raises(AttributeError, match="immutable"):
        JOINT.outcomes = frozenset("X")


def test_needs_no_torch():
    """The expression files run where neither torch nor Pyro nor numpy is loaded."""
    code = (
        "import sys, causal.syntax, causal.expression, causal.render;"
        "import causal.identification.observational;"
        "print(sorted({'torch', 'pyro', 'numpy', 'networkx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
