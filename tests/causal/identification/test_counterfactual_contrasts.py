"""Effect on the treated and natural effects: values by enumeration, errors."""

import pytest
from counterfactual_queries import MEDIATION, NDE, E, check_values

from causal.graph import Graph
from causal.identification.counterfactual_contrasts import (
    effect_on_treated,
    natural_direct_effect,
    natural_indirect_effect,
)

CONTRASTS = [effect_on_treated, natural_direct_effect, natural_indirect_effect]


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("available", ["experiments", "observations"])
def test_contrasts_equal_enumeration(contrast, available):
    graph = Graph.parse("C -> X; C -> M; C -> Y; X -> M -> Y; X -> Y; X -> N -> Y; N -> M")
    effect = contrast(graph, E("Y", 1), do={"X": 1}, against={"X": 0}, available=available)
    for part in (effect.first, effect.second):
        check_values(part, 5)
    mediators = {name: E(name, do={"X": 0}) for name in ("M", "N")}
    if contrast is natural_direct_effect:
        assert effect.first.events == (E("Y", 1, {"X": 1, **mediators}),)
    assert r"\\" in effect.latex()
    assert str(effect).count("P(Y_{") == 2


def test_contrasts_tell_the_mend():
    graph, outcome = Graph.parse(MEDIATION), E("Y", 1)
    for contrast in CONTRASTS:
        with pytest.raises(ValueError, match="same variables"):
            contrast(graph, outcome, do={"X": 1}, against={"M": 0})
        with pytest.raises(ValueError, match="'Y' is the outcome"):
            contrast(graph, outcome, do={"Y": 1}, against={"Y": 0})
        with pytest.raises(ValueError, match="without do"):
            contrast(graph, NDE, do={"X": 1}, against={"X": 0})
        with pytest.raises(ValueError, match="unknown node"):
            contrast(graph, outcome, do={"Q": 1}, against={"Q": 0})
    with pytest.raises(ValueError, match=r"\['X'\] are the treatment"):
        natural_direct_effect(graph, outcome, do={"X": 1}, against={"X": 0}, mediators={"X", "M"})


def test_a_name_that_is_free_in_neither_formula_is_refused():
    effect = effect_on_treated(Graph.parse("X -> Y"), E("Y", 1), do={"X": 1}, against={"X": 0})
    with pytest.raises(ValueError, match=r"\['Q'\] are free in neither formula"):
        effect.evaluate(free={"Q": 0})
