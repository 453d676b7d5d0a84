"""Counterfactuals against closed forms, and the laws of abduct, act, replay."""

import pickle

import pyro.distributions as dist
import pytest
import torch
import torch.distributions as td
from torch import nn
from torch.distributions import constraints

from causal.graph import Graph
from causal.noise import NoiseNotRecoverable
from causal.scm import SCM

GRAPH = Graph.parse("W -> X -> M -> Y; X -> Y; W -> Y; Z -> Y")


@pytest.fixture
def scm(laws):
    widths = {"W": 0, "Z": 0, "X": 1, "M": 1, "Y": 4}
    return SCM(GRAPH, {name: laws.Linear(width) for name, width in widths.items()})


@pytest.fixture
def data(scm):
    return scm.sample(50)


def test_linear_gaussian_closed_form(scm, data):
    m = scm.law("M").weight[0]
    wm, _, wx, _ = scm.law("Y").weight  # columns M, W, X, Z
    shift = torch.linspace(-2, 2, 50).double()
    worlds = scm.counterfactual(data, do=[{"X": data["X"] + shift}, {"X": 1.5}])
    moved = torch.stack([shift, 1.5 - data["X"]])
    torch.testing.assert_close(worlds["M"], data["M"] + m * moved, rtol=0, atol=1e-12)
    expected = data["Y"] + (wm * m + wx) * moved
    torch.testing.assert_close(worlds["Y"], expected, rtol=0, atol=1e-12)
    for name in "WZ":
        assert torch.equal(worlds[name], data[name].expand(2, 50))
    both = scm.counterfactual(data, do={"X": 1.5, "M": -1.0})
    torch.testing.assert_close(both["Y"][0], data["Y"] + wm * (-1 - data["M"]) + wx * moved[1])


def test_factual_worlds_return_the_evidence_exactly(scm, data):
    worlds = scm.counterfactual(data, do=[{"X": data["X"]}, {}, {"W": data["W"], "M": data["M"]}])
    for name in scm.variables:
        assert torch.equal(worlds[name], data[name].expand(3, 50))
    half = torch.where(torch.arange(50) % 2 == 0, data["X"], data["X"] + 1)
    worlds = scm.counterfactual(data, do={"X": half})
    assert torch.equal(worlds["Y"][0, ::2], data["Y"][::2])
    assert (worlds["Y"][0, 1::2] != data["Y"][1::2]).all()


def test_worlds_may_differ_in_what_they_change(scm, data):
    together = scm.counterfactual(data, do=[{"X": 0.0}, {"M": 1.0, "Z": 2.0}, {}])
    for k, world in enumerate([{"X": 0.0}, {"M": 1.0, "Z": 2.0}, {}]):
        alone = scm.counterfactual(data, do=world)
        for name in scm.variables:
            torch.testing.assert_close(together[name][k], alone[name][0])


def test_only_what_is_needed_must_be_observed(scm, data):
    some = {name: data[name] for name in "XMWZY"}
    worlds = scm.counterfactual({n: some[n] for n in "MWXYZ"}, do={"M": 0.0})
    few = scm.counterfactual({n: data[n] for n in "WX"} | {"M": data["M"]}, do={"Y": 0.0})
    assert list(few) == ["M", "W", "X", "Y"]
    assert set(worlds) == set("MWXYZ")
    with pytest.raises(ValueError, match=r"missing column\(s\) \['M', 'Y'\]"):
        scm.counterfactual({n: data[n] for n in "WXZ"}, do={"X": 0.0})
    with pytest.raises(ValueError, match=r"missing column\(s\) \['X'\]"):
        scm.counterfactual({n: data[n] for n in "WMZY"}, do={"X": 0.0})
    with pytest.raises(ValueError, match=r"missing column\(s\) \['Y'\]"):
        scm.counterfactual({"Z": data["Z"]}, do=[{"Y": 0.0}, {}])
    with pytest.raises(ValueError, match="at least one world"):
        scm.counterfactual(data, do=[])
    with pytest.raises(ValueError, match="evidence is empty"):
        scm.counterfactual({}, do={"Y": 0.0})


def test_functions_and_distributions_as_actions(scm, data):
    worlds = scm.counterfactual(
        data, do=[{"X": lambda parents: parents["W"] + 1}, {"X": td.Normal(10.0, 0.1)}]
    )
    assert torch.equal(worlds["X"][0], data["W"] + 1)
    assert worlds["X"][1].mean() > 9
    assert len(worlds["X"][1].unique()) == 50


def test_gradients_flow(scm, data):
    scm.counterfactual(data, do={"X": 0.0})["Y"].sum().backward()
    assert scm.law("M").weight.grad.abs().sum() > 0
    assert scm.law("Y").weight.grad.isfinite().all()


class Classed(nn.Module):
    """A chain whose outcome is drawn from classes."""

    def __init__(self, make, event_shape, support, states=None):
        super().__init__()
        self.make, self.event_shape, self.support = make, torch.Size(event_shape), support
        self.states = states

    def forward(self, context):
        return self.make(context)


def three(context):
    slope = torch.tensor([0.0, 0.7, 1.4], dtype=context.dtype)
    return td.Categorical(logits=context.sum(-1, keepdim=True) * slope)


OUTCOMES = {
    "binary": (lambda c: td.Bernoulli(logits=c.sum(-1)), (), constraints.boolean, None, "quantile"),
    "classes, quantile": (three, (), constraints.integer_interval(0, 2), 3, "quantile"),
    "classes, gumbel": (three, (), constraints.integer_interval(0, 2), 3, "gumbel"),
    "vector": (
        lambda c: td.Independent(td.Normal(c.expand(*c.shape[:-1], 2), 1.0), 1),
        (2,), constraints.independent(constraints.real, 1), None, "elementwise",
    ),
    "triangular": (
        lambda c: td.MultivariateNormal(c.expand(*c.shape[:-1], 2), torch.eye(2).to(c)),
        (2,), constraints.independent(constraints.real, 1), None, "triangular",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
@pytest.mark.parametrize("draws", [None, 3])
def test_conventions(laws, name, draws):
    *parts, convention = OUTCOMES[name]
    scm = SCM(Graph.parse("X -> Y"), {"X": laws.Linear(0), "Y": Classed(*parts)})
    data = scm.sample(40)
    with pytest.raises(NoiseNotRecoverable, match=r"counterfactual of 'Y'.*convention=\{'Y'"):
        scm.counterfactual(data, do={"X": 0.0}, draws=draws)
    for asked in (convention, {"Y": convention}):
        worlds = scm.counterfactual(
            data, do=[{"X": 0.0}, {"X": data["X"]}, {"X": 0.0}], draws=draws, convention=asked
        )
        assert worlds.conventions == {"Y": convention}
        shape = (() if draws is None else (3,)) + (3, 40, *scm.law("Y").event_shape)
        assert worlds["Y"].shape == shape
        axis = len(shape) - 2 - len(scm.law("Y").event_shape)
        first, factual, again = worlds["Y"].unbind(axis)
        assert torch.equal(first, again)  # one noise serves all worlds
        assert torch.equal(factual, data["Y"].expand_as(factual))
        assert worlds["Y"].dtype == data["Y"].dtype
    with pytest.raises(NoiseNotRecoverable, match="got 'other'"):
        scm.counterfactual(data, do={"X": 0.0}, convention="other")
    with pytest.raises(ValueError, match="unknown node"):
        scm.counterfactual(data, do={"X": 0.0}, convention={"Q": "quantile"})


def test_undetermined_noise_is_independent_between_draws_and_rows(laws):
    scm = SCM(Graph.parse("X -> Y"), {"X": laws.Linear(0), "Y": laws.Binary(1)})
    data = {"X": torch.zeros(500), "Y": torch.ones(500)}
    y = scm.counterfactual(data, do={"X": -1.0}, convention="quantile", draws=40)["Y"]
    assert 0 < y.mean() < 1
    assert y[:, 0].std(0).mean() > 0.1
    # Monotone coupling: P(Y_x' = 1 | Y_x = 1) = p' / p for p' < p.
    p, q = torch.sigmoid(torch.tensor([0.2, 0.2 - 0.6])).tolist()
    assert abs(y.mean().item() - q / p) < 0.02


def test_laws_without_noise_say_so(laws):
    poisson = Classed(
        lambda c: td.Poisson(c.sum(-1).exp()), (), constraints.nonnegative_integer
    )  # fmt: skip
    scm = SCM(Graph.parse("X -> Y -> Z"), {"X": laws.Linear(0), "Y": poisson, "Z": laws.Linear(1)})
    data = scm.sample(5)
    with pytest.raises(NoiseNotRecoverable, match=r"'Y': Poisson has no recoverable noise"):
        scm.counterfactual(data, do={"X": 0.0}, convention="quantile")
    scm.counterfactual(data, do={"Y": 0.0})  # its noise is not needed here


def test_deterministic_mechanisms(laws):
    double = Classed(lambda c: dist.Delta(2 * c.sum(-1)), (), constraints.real)
    scm = SCM(Graph.parse("X -> D -> Y"), {"X": laws.Linear(0), "D": double, "Y": laws.Linear(1)})
    data = scm.sample(5)
    worlds = scm.counterfactual(data, do={"X": 3.0})
    assert (worlds["D"] == 6).all()
    torch.testing.assert_close(worlds["Y"][0], data["Y"] + 0.5 * (6 - data["D"]))
    with pytest.raises(ValueError, match="counterfactual of 'D': evidence contradicts"):
        scm.counterfactual({**data, "D": data["D"] + 1}, do={"X": 3.0})


def test_shape_changing_scale(laws):
    """A law whose scale depends on the parent: residuals are rescaled, not shifted."""
    positive = Classed(
        lambda c: td.LogNormal(c.sum(-1), 0.5 + c.sum(-1) ** 2), (), constraints.real
    )
    scm = SCM(Graph.parse("X -> Y"), {"X": laws.Linear(0), "Y": positive})
    x, y = torch.tensor([0.5, 1.0]).double(), torch.tensor([2.0, 0.1]).double()
    result = scm.counterfactual({"X": x, "Y": y}, do={"X": 0.0})["Y"][0]
    torch.testing.assert_close(result, (0.5 * (y.log() - x) / (0.5 + x**2)).exp())


def test_result_is_a_frozen_mapping(scm, data):
    worlds = scm.counterfactual(data, do={"X": 0.0})
    assert list(worlds) == list(scm.variables)
    assert len(worlds) == 5
    assert worlds.conventions == {}
    with pytest.raises(AttributeError):
        worlds.columns = {}
    with pytest.raises(KeyError, match="'Q' is not in the result"):
        worlds["Q"]
    detached = scm.counterfactual(data, do={"Z": data["Z"]})
    assert set(pickle.loads(pickle.dumps({k: v.detach() for k, v in detached.items()}))) == set(
        scm.variables
    )
