"""Tables, noisy or, deterministic nodes: what they say, and what is refused by name."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

import causal
from hybrid.heads import Normal
from hybrid.pgm import BayesianNetwork, Contextual, Deterministic, NoisyOr, Table
from hybrid.testing import check_joint

CHAIN = causal.Graph.parse("X -> Y")
FAIR = [0.5, 0.5]
ROWS = [[0.5, 0.5], [0.2, 0.8]]


def test_kinds_of_tables_are_the_same_network() -> None:
    values = torch.tensor(ROWS).double()
    factor = causal.Factor(("Y", "X"), values.T.contiguous())
    kinds = [ROWS, values, values.float(), values.numpy(), factor, Table(values), Table(factor)]
    kinds += [Table(values, trainable=True), Table(factor, trainable=True)]
    for kind in kinds:
        network = BayesianNetwork(CHAIN, {"X": FAIR, "Y": kind})
        found = network.factors()[1]
        assert found.names == ("X", "Y")
        torch.testing.assert_close(found.values.detach(), values, atol=1e-7, rtol=0)
        check_joint(network, n=100)


def test_python_numbers_keep_double_precision() -> None:
    network = BayesianNetwork(causal.Graph.parse("X"), {"X": [0.1, 0.9]})
    assert network.marginals()["X"].tolist() == [0.1, 0.9]


def test_rounding_is_kept_and_divided_out() -> None:
    third = [0.3333333, 0.3333333, 0.3333333]
    network = BayesianNetwork(causal.Graph.parse("X"), {"X": third})
    assert network.node("X").stored().tolist() == third
    assert float(network.marginals()["X"].sum()) == pytest.approx(1, abs=1e-15)
    assert network.log_probability({"X": 0}).exp().item() == pytest.approx(1 / 3, abs=1e-15)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[0.5, 0.5], [0.9, 0.2]], "table of 'Y' sums to 1.1 at X=1, not to 1"),
        ([[0.5, 0.5], [1.5, -0.5]], "table of 'Y' holds -0.5 at X=1, state 1"),
        ([[0.5, 0.5], [float("nan"), 0.5]], "table of 'Y' holds nan at X=1, state 0"),
        ([[0.5, 0.5]] * 3, r"table of 'Y' has shape \(3, 2\): expected \(2, 2\) for \('X', 'Y'\)"),
        (FAIR, r"table of 'Y' has shape \(2,\): expected \(2, 2\)"),
        (causal.Factor(("Q", "Y"), torch.tensor(ROWS)), r"table of 'Y' is over \['Q', 'Y'\]"),
        (causal.Factor(("Y", "X"), torch.tensor(ROWS)), "'Y' sums to 0.7"),
        (causal.Factor(("X", "Y"), torch.tensor(ROWS).T), "'Y' sums to 0.7 at X=0"),
        (
            Table(causal.Factor(("X", "Y"), torch.tensor(ROWS).T), trainable=True),
            "'Y' sums to 0.7 at X=0",
        ),
        (Deterministic(lambda x: x + 1, states=2), r"'Y' has states 0 … 1, its rule gives 1 to 2"),
        (Deterministic(lambda x: "up", states=("a", "b")), r"the rule of 'Y' gives 'up' at \(0,\)"),
        (Deterministic(lambda x: 0.5, states=2), r"gives 0.5 at \(0,\): expected a state"),
        (Deterministic([0, 1, 1], states=2), r"array of 'Y' has shape \(3,\), its parents have"),
        (NoisyOr({"Z": 0.5}), r"NoisyOr of 'Y' has the causes \['Z'\], the graph gives it"),
        (NoisyOr([0.5, 0.5]), r"NoisyOr of 'Y' has shape \(2, 2, 2\): expected \(2, 2\)"),
    ],
)
def test_wrong_tables_are_named(table, message) -> None:
    with pytest.raises(ValueError, match=message):
        BayesianNetwork(CHAIN, {"X": FAIR, "Y": table})


def test_wrong_networks_are_named() -> None:
    nodes = {"X": FAIR, "Y": ROWS}
    with pytest.raises(ValueError, match=r"hidden common causes \(X <-> Y\)"):
        BayesianNetwork(causal.Graph.parse("X <-> Y"), nodes)
    with pytest.raises(ValueError, match="directed cycle: X -> Y -> X"):
        BayesianNetwork(causal.Graph.parse("X -> Y -> X"), nodes)
    with pytest.raises(ValueError, match=r"no table or law for \['Y'\]"):
        BayesianNetwork(CHAIN, {"X": FAIR})
    with pytest.raises(ValueError, match=r"tables for \['Z'\], which the graph lacks"):
        BayesianNetwork(CHAIN, {**nodes, "Z": FAIR})
    with pytest.raises(ValueError, match="no nodes"):
        BayesianNetwork(causal.Graph.parse(""), {})
    with pytest.raises(TypeError, match="'Y' is a str"):
        BayesianNetwork(CHAIN, {"X": FAIR, "Y": "table"})
    with pytest.raises(TypeError, match=r"the law of 'Y' is no Law: Linear lacks"):
        BayesianNetwork(CHAIN, {"X": FAIR, "Y": nn.Linear(1, 2)})
    with pytest.raises(TypeError, match="'X': a Parameter as a table"):
        BayesianNetwork(CHAIN, {"X": nn.Parameter(torch.tensor(FAIR)), "Y": ROWS})
    with pytest.raises(ValueError, match="'Y' has 2 states: expected that many different strings"):
        BayesianNetwork(CHAIN, nodes, states={"Y": ("a", "b", "c")})
    with pytest.raises(ValueError, match=r"states are given for \['Z'\]"):
        BayesianNetwork(CHAIN, nodes, states={"Z": ("a", "b")})
    labelled = causal.Factor(("X",), torch.tensor(FAIR), {"X": ("a", "b")})
    with pytest.raises(ValueError, match=r"'X' has the states \['a', 'b'\] in the table of 'X'"):
        BayesianNetwork(CHAIN, {"X": labelled, "Y": ROWS}, states={"X": ("b", "a")})
    with pytest.raises(TypeError, match="Contextual takes a Law"):
        Contextual(nn.Linear(2, 2))


def test_labels_come_from_everywhere() -> None:
    labelled = causal.Factor(("X",), torch.tensor(FAIR), {"X": ("a", "b")})
    rule = Deterministic(lambda x: "hi" if x else "lo", states=("lo", "hi"))
    network = BayesianNetwork(CHAIN, {"X": labelled, "Y": rule})
    assert network.states == {"X": ("a", "b"), "Y": ("lo", "hi")}
    assert network.factor().states == network.states
    assert network.marginals({"Y": "hi"})["X"].tolist() == [0.0, 1.0]
    plain = BayesianNetwork(CHAIN, {"X": FAIR, "Y": ROWS})
    assert plain.states == {"X": ("0", "1"), "Y": ("0", "1")}
    assert plain.factor().states == {}


def test_deterministic_equals_its_rule() -> None:
    graph = causal.Graph.parse("A -> S; B -> S")
    third = torch.full((3,), 1 / 3).double()
    by_rule = Deterministic(lambda a, b: a + b, states=5)
    by_array = Deterministic(np.add.outer(np.arange(3), np.arange(3)), states=5)
    for node in (by_rule, by_array):
        network = BayesianNetwork(graph, {"A": third, "B": third, "S": node})
        found = network.marginals()["S"]
        torch.testing.assert_close(found, torch.tensor([1, 2, 3, 2, 1]).double() / 9)
        copy.deepcopy(network)


@pytest.mark.parametrize("trainable", [False, True])
def test_noisy_or_equals_its_formula(trainable) -> None:
    graph = causal.Graph.parse("A -> Y; B -> Y; C -> Y")
    chances, leak = {"C": 0.3, "A": 0.9, "B": 0.6}, 0.05
    nodes = dict.fromkeys("ABC", FAIR)
    node = NoisyOr(chances, leak, trainable=trainable)
    network = BayesianNetwork(graph, {**nodes, "Y": node})
    for cell in itertools.product(range(2), repeat=3):
        row = dict(zip("ABC", cell, strict=True))
        wanted = (1 - leak) * np.prod([1 - chances[k] for k, state in row.items() if state])
        found = network.log_probability({"Y": 0}, row).exp().item()
        assert found == pytest.approx(wanted, abs=1e-14)
    assert len(list(network.parameters())) == int(trainable)
    if trainable:
        network.log_probability({"Y": 1}).backward()
        assert bool((node.logits.grad != 0).all())


def test_noisy_or_errors() -> None:
    with pytest.raises(ValueError, match=r"from 0 to 1: got \[1.5\]"):
        NoisyOr([1.5])
    with pytest.raises(ValueError, match=r"16 causes would be a table of 2\^17 cells"):
        NoisyOr([0.5] * 16)
    with pytest.raises(ValueError, match="on the border"):
        NoisyOr([0.5], trainable=True)
    ternary = {"X": [0.2, 0.3, 0.5], "Y": NoisyOr([0.5])}
    with pytest.raises(ValueError, match=r"NoisyOr of 'Y' has shape \(2, 2\): expected \(3, 2\)"):
        BayesianNetwork(CHAIN, ternary)


def test_trained_tables_may_be_used_again() -> None:
    table = Table(causal.Factor(("Y", "X"), torch.tensor(ROWS).T), trainable=True)
    network = BayesianNetwork(CHAIN, {"X": FAIR, "Y": table})
    with torch.no_grad():
        table.logits.add_(torch.randn(2, 2))
    acted = network.do({"X": 1})
    torch.testing.assert_close(acted.marginals()["Y"], table.probabilities()[1])


def test_names_that_modules_do_not_take() -> None:
    graph = causal.Graph.parse('keys -> "a.b"; keys -> values')
    network = BayesianNetwork(graph, {"keys": FAIR, "a.b": ROWS, "values": Normal(nn.Linear(1, 2))})
    assert network.marginals({"a.b": 1})["keys"].shape == (2,)
    assert network.node("a.b").states == 2
    with pytest.raises(ValueError, match="unknown node"):
        network.node("c")
