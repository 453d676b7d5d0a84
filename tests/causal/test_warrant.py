"""Formulas and hedges of answers, and who is warned."""

import pickle
import warnings

import pytest
import torch

from causal.graph import Graph
from causal.identification.conflict import Conflict
from causal.identification.refusal import Hedge
from causal.scm import SCM
from causal.warrant import (
    UnidentifiedWarning,
    Warrant,
    warn_if_unidentified,
    warrant_of,
    warrant_of_worlds,
)

BOW = Graph.parse("X -> Y; X <-> Y")
FRONT_DOOR = Graph.parse("X -> M -> Y; X <-> Y")
ARMS = [{"X": 1}, {"X": 0}]


@pytest.fixture
def bow(laws):
    return SCM(BOW, {"X": laws.Linear(1), "Y": laws.Linear(2)}, guide=laws.Gaussian(2))


@pytest.fixture
def front_door(laws):
    parts = {"X": laws.Linear(1), "M": laws.Linear(1), "Y": laws.Linear(2)}
    return SCM(FRONT_DOOR, parts, guide=laws.Gaussian(3))


def test_an_unidentified_effect_warns_and_names_the_hedge(bow):
    with pytest.warns(
        UnidentifiedWarning, match="join X, Y.*rests on the form of the laws"
    ) as seen:
        effect = bow.effect("Y", do={"X": 1.0}, against={"X": 0.0})
    assert seen[0].filename == __file__
    assert effect.hedge == Hedge(frozenset("XY"), frozenset("Y"), frozenset("Y"))
    assert seen[0].message.hedge == effect.hedge
    assert "no formula" in effect.identified
    # The laws say what it is all the same: X's own coefficient.
    torch.testing.assert_close(effect.value, bow.law("Y").weight[0].detach())


def test_an_identified_effect_carries_its_formula(front_door):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        effect = front_door.effect("Y", do={"X": 1.0}, against={"X": 0.0})
        data = front_door.sample(3)
        worlds = front_door.counterfactual(data, do=[{"X": 0.0}, {"M": 0.0}])
    assert effect.identified == "P(Y | do(X)) = sum_{M} P(M | X) sum_{X'} P(Y | M, X') P(X')"
    assert effect.hedge is None
    assert worlds.identified.startswith("P(Y | do(M)) = sum_{X} P(Y | M, X) P(X); P(M, Y | do(X))")


def test_unidentified_counterfactuals_warn(bow):
    data = bow.sample(3)
    with pytest.warns(UnidentifiedWarning, match="join X, Y") as seen:
        worlds = bow.counterfactual(data, do={"X": 0.0})
    assert seen[0].filename == __file__
    assert "no formula" in worlds.identified
    assert worlds.conventions == {"X<->Y": "guide"}
    quiet = bow.counterfactual(data, do={"Y": 0.0})  # nothing that a hidden cause reaches moves
    assert quiet.identified == ""
    assert quiet.conventions == {}
    with pytest.warns(UnidentifiedWarning) as seen:
        bow.effect("Y", do={"X": 1.0}, against={"X": 0.0}, evidence=data, individual=True)
    assert len(seen) == 1


def test_conditions_are_part_of_the_question():
    graph = Graph.parse("X -> Y; Z -> Y; X <-> Z")
    assert warrant_of(graph, "Y", ARMS).hedge is None
    assert warrant_of(graph, "Y", ARMS, {"Z": 0}).text == "P(Y | do(X), Z) = P(Y | X, Z)"
    # P(Y | do(X)) has a formula, but not where Y's other cause is confounded with it.
    harder = Graph.parse("X -> Y; X -> Z; X <-> Z; Z <-> Y")
    assert warrant_of(harder, "Y", ARMS).hedge is None
    unclear = warrant_of(harder, "Y", ARMS, {"Z": 0})
    assert unclear.hedge is not None
    assert warrant_of(graph, "Z", ARMS, {"Z": 0}).hedge is None


def test_a_condition_on_the_treatment_is_counterfactual():
    treated = warrant_of(FRONT_DOOR, "Y", ARMS, {"X": torch.tensor(1.0)})
    first, second = treated.text.split("; ")
    assert first == "P(Y_{X=1}=y | X=1) = P(Y=y | X=1)"
    assert second == "P(Y_{X=0}=y | X=1) = sum_{M} P(M | X=0) P(Y=y | M, X=1)"
    assert isinstance(warrant_of(BOW, "Y", ARMS, {"X": 1}).hedge, Conflict)
    # Values that are no states are no equal ones.
    rows = torch.zeros(3)
    assert warrant_of(BOW, "Y", [{"X": rows}], {"X": rows}).hedge is not None
    assert warrant_of(BOW, "Y", [{"X": -0.5}], {"X": -0.5}).hedge is None


def test_worlds():
    graph = Graph.parse("X -> Y -> Z; Y <-> Z")
    assert warrant_of_worlds(graph, [{"X": 0}, {"X": 1}, {}]).hedge is None
    assert warrant_of_worlds(graph, [{"X": 0}, {"Y": 1}]).hedge is not None
    assert warrant_of_worlds(graph, [{"Z": 0}]) == Warrant("")


def test_the_warning_survives_pickling():
    hedge = Hedge(frozenset("XY"), frozenset("Y"), frozenset("Y"))
    again = pickle.loads(pickle.dumps(UnidentifiedWarning("why", hedge)))
    assert str(again) == "why"
    assert again.hedge == hedge
    with pytest.warns(UnidentifiedWarning) as seen:
        warn_if_unidentified(Warrant("why", hedge))
    assert seen[0].filename == __file__
