"""Counterfactual events: what they hold, how they read, and what they refuse."""

import copy
import pickle

import pytest

from causal.graph import Graph
from causal.identification.events import Event, checked_events, probability_of

GRAPH = Graph.parse("X -> M -> Y; X -> Y")


def test_an_event_is_a_value():
    event = Event("Y", 1, do={"X": 0, "M": Event("M", do={"X": 1})})
    same = Event("Y", 1, do=[("M", Event("M", do={"X": 1})), ("X", 0)])
    assert event == same
    assert hash(event) == hash(same)
    assert event != Event("Y", 1, do={"X": 0})
    assert pickle.loads(pickle.dumps(event)) == copy.deepcopy(event) == event
    assert [part.variable for part in event.parts] == ["Y", "M"]
    with pytest.raises(AttributeError):
        event.value = 2


@pytest.mark.parametrize(
    ("event", "text", "latex"),
    [
        (Event("Y", 1), "Y=1", "Y = 1"),
        (Event("Y", "high", do={"X": 0}), "Y_{X=0}=high", r"Y_{X = 0} = \text{high}"),
        (Event("M", do={"X": 1}), "M_{X=1}", "M_{X = 1}"),
        (
            Event("Y1", 0, do={"M": Event("M", do={"X": 1}), "X": 0}),
            "Y1_{M_{X=1}, X=0}=0",
            "{Y_{1}}_{M_{X = 1}, X = 0} = 0",
        ),
        (Event("two words", 0), '"two words"=0', r"\text{two words} = 0"),
    ],
)
def test_an_event_reads_as_in_papers(event, text, latex):
    assert str(event) == text
    assert event.latex() == latex


def test_a_probability_reads_as_in_papers():
    parts = [Event("Y", 1, do={"X": 0})], [Event("X", 1)]
    assert probability_of(*parts) == "P(Y_{X=0}=1 | X=1)"
    assert probability_of(*parts, latex=True) == r"P(Y_{X = 0} = 1 \mid X = 1)"
    assert probability_of([Event("Y", 1), Event("X", 0)]) == "P(Y=1, X=0)"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: Event("", 1), TypeError, "a name, got ''"),
        (lambda: Event("Y", -1), ValueError, "state of 'Y' is a number 0, 1, … or a name, got -1"),
        # Iterators hide what they hold from the type checks of the test run.
        (lambda: Event("Y", 1, do=iter([("X", 0.5)])), TypeError, r"'X'.*0\.5 \(float\)"),
        (lambda: Event("Y", 1, do=iter([("X", None)])), TypeError, "state of 'X'.*None"),
        (lambda: Event("Y", 1, do=iter([(1, 0)])), TypeError, "by strings, got 1"),
        (
            lambda: Event("Y", 1, do={"M": Event("X", do={"X": 0})}),
            ValueError,
            "sets 'M' to a value of 'X'",
        ),
        (
            lambda: Event("Y", 1, do={"M": Event("M", 1, do={"X": 0})}),
            ValueError,
            "states a value.*do={'M': 1}",
        ),
        (lambda: checked_events(GRAPH, []), ValueError, "at least one"),
        (lambda: checked_events(GRAPH, iter([("Y", 1)])), TypeError, "are Events"),
        (lambda: checked_events(GRAPH, Event("Y")), ValueError, "Y has no value"),
        (lambda: checked_events(GRAPH, Event("Q", 1)), ValueError, r"\['Q'\] in Q=1"),
        (
            lambda: checked_events(GRAPH, Event("Y", 1), Event("M", 0, do={"Z": 1})),
            ValueError,
            r"\['Z'\] in M_{Z=1}=0",
        ),
        (
            lambda: checked_events(GRAPH, Event("Y", 1, do={"M": Event("M", do={"W": 0})})),
            ValueError,
            r"\['W'\] in Y_{M_{W=0}}=1",
        ),
        (
            lambda: checked_events(GRAPH, Event("Y", 1, do={"X": "no"}), Event("X", 1)),
            ValueError,
            "'X' by a number and by a name",
        ),
    ],
)
def test_errors_tell_the_mend(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_numbers_of_any_integer_type_and_repeated_events():
    events, given = checked_events(GRAPH, [Event("Y", True), Event("Y", 1)], Event("X", 0))
    assert events == (Event("Y", 1),)
    assert given == (Event("X", 0),)
    assert str(events[0]) == "Y=1"
