"""Refusals say what is missing, and travel."""

import pickle

import pytest

from causal.graph import Graph
from causal.identification.observational import identify
from causal.identification.refusal import Hedge, Unidentifiable


def refusal(text, **query):
    with pytest.raises(Unidentifiable) as caught:
        identify(Graph.parse(text), **query)
    return caught.value


def test_message_and_hedge_of_a_bow():
    found = refusal("X -> Y; X <-> Y", outcomes="Y", treatments="X")
    assert str(found) == (
        "P(Y | do(X)) has no formula: it needs the effect of X on Y, and hidden common causes join "
        "X, Y, all ancestors of Y, so that the observed distribution fits models with different "
        "answers"
    )
    assert found.hedge == Hedge(frozenset("XY"), frozenset("Y"), frozenset("Y"))
    assert found.thicket == (found.hedge,)


def test_refusals_are_value_errors_and_pickle():
    found = refusal("X -> Y; X <-> Y", outcomes="Y", treatments="X")
    assert isinstance(found, ValueError)
    copied = pickle.loads(pickle.dumps(found))
    assert str(copied) == str(found)
    assert copied.hedge == found.hedge
