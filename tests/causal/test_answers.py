"""Effects against closed forms and simulation."""

import pytest
import torch
import torch.distributions as td
from torch import nn
from torch.distributions import constraints

from causal.effect import Effect
from causal.graph import Graph
from causal.scm import SCM

GRAPH = Graph.parse("W -> X -> M -> Y; X -> Y; W -> Y")


@pytest.fixture
def scm(laws):
    widths = {"W": 0, "M": 1, "Y": 3}
    parts = {name: laws.Linear(width) for name, width in widths.items()}
    return SCM(GRAPH, {**parts, "X": laws.Binary(1)})


def total(scm):
    m, _, x = scm.law("Y").weight
    return (scm.law("M").weight[0] * m + x).detach()


ARMS = {"do": {"X": 1}, "against": {"X": 0}}


def test_linear_gaussian_effect(scm):
    data = scm.sample(30)
    effect = scm.effect("Y", **ARMS, evidence=data)
    # The same random numbers serve both arms, so that additive noise cancels.
    torch.testing.assert_close(effect.value, total(scm))
    torch.testing.assert_close(scm.effect("Y", **ARMS).value, total(scm))
    torch.testing.assert_close(scm.effect("Y", **ARMS, given={"X": 1}).value, total(scm))
    single = scm.effect("Y", **ARMS, evidence=data, individual=True)
    torch.testing.assert_close(single.value, total(scm).expand(30))
    assert not effect.value.requires_grad
    assert scm.effect("W", **ARMS, evidence=data).value == 0
    direct = scm.effect("Y", do={"X": 1, "M": 0.0}, against={"X": 0, "M": 0.0}, evidence=data)
    torch.testing.assert_close(direct.value, scm.law("Y").weight[2].detach())
    one_sided = scm.effect("Y", do={"X": 1}, against={}, evidence=data)
    expected = (total(scm) * (1 - data["X"])).mean()
    # Without intervention, X keeps its rows and M is simulated with the same random numbers.
    torch.testing.assert_close(one_sided.value, expected)


def test_only_needed_columns_are_asked_for(scm):
    data = scm.sample(30)
    effect = scm.effect("Y", **ARMS, evidence={"W": data["W"]})
    torch.testing.assert_close(effect.value, total(scm))
    with pytest.raises(ValueError, match=r"missing column\(s\) \['W'\]"):
        scm.effect("Y", **ARMS, evidence={"X": data["X"]})
    with pytest.raises(ValueError, match=r"missing column\(s\) \['M', 'W'"):
        scm.effect("Y", **ARMS, evidence={"X": data["X"]}, individual=True)


class Curved(nn.Module):
    """A mean that is not linear in mediator and covariate; optionally one that it cannot say."""

    event_shape, support = torch.Size(), constraints.real

    def __init__(self, mean=True):
        super().__init__()
        self.known = mean

    def forward(self, context):  # M, W, X
        m, w, x = context.unbind(-1)
        law = td.Normal(m**2 * (1 + x) + w * x, 0.5)
        return law if self.known else td.TransformedDistribution(law, [])


@pytest.mark.parametrize("mean", [True, False])
def test_nonlinear_effects_against_simulation(laws, mean):
    widths = {"W": 0, "M": 1}
    parts = {name: laws.Linear(width) for name, width in widths.items()}
    scm = SCM(GRAPH, {**parts, "X": laws.Binary(1), "Y": Curved(mean)})
    # M = 0.5 x + 0.3 + 0.7 e: E[M²] = 0.49 + (0.5 x + 0.3)²; W has mean 0.3.
    squares = [0.49 + (0.5 * x + 0.3) ** 2 for x in (0, 1)]
    data = scm.sample(2000)
    effect = scm.effect("Y", **ARMS, evidence=data, samples=50)
    expected = 2 * squares[1] - squares[0] + data["W"].mean()
    torch.testing.assert_close(effect.value, expected, atol=0.05, rtol=0)
    effect = scm.effect("Y", **ARMS, samples=64)
    assert abs(effect.value - (2 * squares[1] - squares[0] + 0.3)) < 0.05
    # The treated have another W: E[W | X = 1] by simulation.
    treated = scm.sample(200_000)
    shift = treated["W"][treated["X"] == 1].mean()
    effect = scm.effect("Y", **ARMS, given={"X": 1}, samples=64)
    assert abs(effect.value - (2 * squares[1] - squares[0] + shift)) < 0.05


@pytest.mark.parametrize("given", [None, {"X": 1}])
def test_draws_give_the_spread(laws, given):
    scm = SCM(
        Graph.parse("W -> X -> Y; W -> Y"),
        {"W": laws.Linear(0), "X": laws.Binary(1), "Y": laws.Random(2, spread=0.3)},
    )
    effect = scm.effect("Y", **ARMS, given=given, draws=1500 if given is None else 50)
    assert effect.draws.shape == (1500 if given is None else 50,)
    assert abs(effect.value - 1.5) < (0.03 if given is None else 0.2)
    if given is None:
        assert abs(effect.standard_error - 0.3) < 0.03
        low, high = effect.interval()
        assert abs(high - low - 2 * 1.645 * 0.3) < 0.06
    data = scm.sample(7)
    rows = scm.effect("Y", **ARMS, evidence=data, draws=5)
    assert rows.draws.shape == (5,)
    single = scm.effect("Y", **ARMS, evidence=data, draws=5, individual=True)
    assert single.draws.shape == (5, 7)
    assert (
        single.value.shape == single.standard_error.shape == single.interval(0.5)[0].shape == (7,)
    )


def test_binary_and_vector_outcomes(laws):
    parts = {"X": laws.Binary(0), "Y": laws.Binary(1), "V": laws.Vector(2)}
    scm = SCM(Graph.parse("X -> Y; X -> V"), parts)
    p = torch.sigmoid(torch.tensor([0.2, 0.8])).double()
    torch.testing.assert_close(scm.effect("Y", **ARMS).value, p[1] - p[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(scm.effect("V", **ARMS).value, torch.ones(2).double())
    data = scm.sample(9)
    single = scm.effect("Y", **ARMS, evidence=data, individual=True, convention="quantile", draws=3)
    assert set(single.draws.unique().tolist()) <= {0.0, 1.0}


def test_the_answer_says_what_it_is(scm):
    effect = scm.effect("Y", **ARMS, given={"X": 1}, level=0.8)
    assert effect.identified == "P(Y | do(X)) = sum_{W} P(Y | W, X) P(W)"
    assert effect.target == "E[Y | do(X=1)] − E[Y | do(X=0)] in the population given X=1"
    data = scm.sample(5)
    assert "5 rows of evidence" in scm.effect("Y", **ARMS, evidence=data).target
    assert effect.level == 0.8
    with pytest.raises(AttributeError):
        effect.draws = None
    for ask in (lambda: effect.interval(), lambda: effect.standard_error):
        with pytest.raises(ValueError, match="one draw has no spread"):
            ask()
    with pytest.raises(ValueError, match="level"):
        Effect(torch.zeros(3), "", "").interval(1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evidence": {}, "given": {}}, "not both"),
        ({"evidence": {}}, r"missing column\(s\) \['W'\]"),
        ({"individual": True}, "need the evidence"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"outcome": "Q"}, r"unknown node.*\['Q'\]"),
        ({"do": {"Q": 1}}, r"unknown node.*\['Q'\]"),
        ({"do": {}, "against": {}}, "name no variable"),
        ({"outcome": "X"}, "itself intervened on"),
        ({"given": {"M": 1.0}}, r"given \['M'\] are effects of the treatment"),
        ({"given": {"W": 1.0, "Q": 1}}, r"unknown node.*\['Q'\]"),
        ({"do": {"X": 2}}, "'X' must be 0 or 1, got 2"),
        ({"level": 1.0}, "level is a probability"),
    ],
)
def test_questions_without_an_answer(scm, change, message):
    asked = {"outcome": "Y", **ARMS, **change}
    with pytest.raises(ValueError, match=message):
        scm.effect(asked.pop("outcome"), **asked)


def test_no_mean(laws):
    class Heavy(laws.Linear):
        def forward(self, context):
            return td.Cauchy(context.sum(-1), 1.0)

    graph = Graph.parse("X -> Y")
    with pytest.raises(ValueError, match=r"'Y'.*Cauchy.*no finite mean"):
        SCM(graph, {"X": laws.Binary(0), "Y": Heavy(1)}).effect("Y", **ARMS)
    with pytest.raises(ValueError, match="'Y' has more than two classes"):
        SCM(graph, {"X": laws.Binary(0), "Y": laws.Classes(1)}).effect("Y", **ARMS)
