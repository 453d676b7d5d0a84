"""Formulas by simulation: closed forms of linear-Gaussian models, tables, gradients, refusals."""

import pytest
import torch
from enumerated import drawn, experiments, joint, truth

from causal.evaluation.simulation import simulated_density, simulated_mean
from causal.factor import Factor
from causal.graph import Graph
from causal.identification.observational import identify
from causal.scm import SCM

FRONTDOOR = Graph.parse("X -> M -> Y; X <-> Y")
BACKDOOR = Graph.parse("Z -> X -> Y; Z -> Y")
NAPKIN = Graph.parse("W -> R -> X -> Y; W <-> X; W <-> Y")
AT = torch.tensor([-1.0, 0.0, 1.5]).double()


def effect(graph, **more):
    return identify(graph, outcomes="Y", treatments="X", **more)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def frontdoor(laws):
    """A fitted P(X) P(M | X) P(Y | M, X), linear and Gaussian."""
    fitted = Graph.parse("X -> M -> Y; X -> Y")
    return SCM(
        fitted, {"X": laws.Linear(0), "M": laws.Linear(1, [0.8]), "Y": laws.Linear(2, [1.2, -0.5])}
    )


def moments(scm):
    """Mean and variance of Y under do(X = AT) in the front-door formula."""
    x, m, y = (scm.law(name) for name in "XMY")
    inner = m.weight[0] * AT + m.bias
    mean = y.weight[0] * inner + y.weight[1] * x.bias + y.bias  # columns M, X
    scales = [law.log_scale.exp() for law in (x, m, y)]
    variance = (y.weight[1] * scales[0]) ** 2 + (y.weight[0] * scales[1]) ** 2 + scales[2] ** 2
    return mean, variance


def test_frontdoor_with_continuous_variables(frontdoor):
    query = effect(FRONTDOOR)
    mean, variance = moments(frontdoor)
    found = simulated_mean(query, frontdoor, {"X": AT}, samples=4000, generator=seeded())
    torch.testing.assert_close(found, mean, rtol=0, atol=0.08)
    y = torch.tensor([0.1, 0.5, 1.0]).double()
    exact = torch.distributions.Normal(mean, variance.sqrt()).log_prob(y).exp()
    rows = {"X": AT, "Y": y}
    found = simulated_density(query, frontdoor, rows, samples=4000, generator=seeded())
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0)


def test_gradients_reach_every_parameter_and_are_right(frontdoor):
    query = effect(FRONTDOOR)
    parameters = [frontdoor.law(name).weight for name in "MY"] + [
        frontdoor.law(name).bias for name in "XMY"
    ]
    mean, variance = moments(frontdoor)
    found = simulated_mean(query, frontdoor, {"X": AT}, samples=20000, generator=seeded())
    exact = torch.autograd.grad(mean[2], parameters, retain_graph=True)
    for got, want in zip(torch.autograd.grad(found[2], parameters), exact, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=0.12)
    y = torch.tensor(0.7).double()
    density = torch.distributions.Normal(mean, variance.sqrt()).log_prob(y).exp()
    rows = {"X": AT, "Y": y}
    found = simulated_density(query, frontdoor, rows, samples=20000, generator=seeded())
    exact = torch.autograd.grad(density[2], parameters)
    for got, want in zip(torch.autograd.grad(found[2], parameters), exact, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=0.03)


def test_backdoor_with_continuous_variables(laws):
    scm = SCM(
        BACKDOOR, {"Z": laws.Linear(0), "X": laws.Linear(1), "Y": laws.Linear(2, [1.5, -2.0])}
    )
    z, y = scm.law("Z"), scm.law("Y")
    mean = y.weight[0] * AT + y.weight[1] * z.bias + y.bias  # columns X, Z
    found = simulated_mean(effect(BACKDOOR), scm, {"X": AT}, samples=4000, generator=seeded())
    torch.testing.assert_close(found, mean, rtol=0, atol=0.1)


def test_napkin_with_continuous_variables(laws):
    fitted = Graph.parse("W -> R -> X -> Y; W -> X; W -> Y; R -> Y")
    weights = {
        "R": [0.7],
        "X": [0.9, 0.6],
        "Y": [0.0, 1.1, -0.8],
    }  # columns sorted: R, W and R, W, X
    scm = SCM(
        fitted, {"W": laws.Linear(0)} | {n: laws.Linear(len(w), w) for n, w in weights.items()}
    )
    query = effect(NAPKIN)
    w, x, y = (scm.law(name) for name in "WXY")
    for r in (0.0, 1.0):  # X, Y under do(R = r): jointly Gaussian through W
        noise = w.log_scale.exp() ** 2
        mean_x = x.weight[0] * r + x.weight[1] * w.bias + x.bias
        slope = x.weight[1] * noise / (x.weight[1] ** 2 * noise + x.log_scale.exp() ** 2)
        mean_w = w.bias + slope * (AT - mean_x)  # of W given X
        mean = y.weight[0] * r + y.weight[1] * mean_w + y.weight[2] * AT + y.bias
        found = simulated_mean(
            query, scm, {"X": AT}, free={"R": r}, samples=4000, generator=seeded()
        )
        torch.testing.assert_close(found, mean, rtol=0, atol=0.12)


@pytest.mark.parametrize("graph", [FRONTDOOR, BACKDOOR, NAPKIN], ids=str)
def test_on_tables_it_agrees_with_the_exact_value(graph):
    model = drawn(graph, 1)
    exact = truth(model, "Y", "X").permute(("X", "Y")).values
    rows = {"X": torch.tensor([0, 0, 1, 1]), "Y": torch.tensor([0, 1, 0, 1])}
    found = simulated_density(effect(graph), joint(model), rows, samples=4000, generator=seeded())
    torch.testing.assert_close(found, exact.flatten(), rtol=0, atol=0.03)
    mean = simulated_mean(
        effect(graph), joint(model), {"X": [0, 1]}, samples=4000, generator=seeded()
    )
    torch.testing.assert_close(mean, exact[:, 1], rtol=0, atol=0.03)


def test_conditional_effects_and_experiments_on_tables():
    graph = Graph.parse("X -> Z -> Y; X <-> Y; W -> X; W -> Z")
    model = drawn(graph, 3)
    query = effect(graph, given="Z")
    exact = truth(model, "Y", "X", "Z").permute(("X", "Z", "Y")).values
    at = {"X": torch.tensor([0, 1]), "Z": torch.tensor([1, 0])}
    found = simulated_mean(query, joint(model), at, samples=4000, generator=seeded())
    torch.testing.assert_close(found, exact[at["X"], at["Z"], 1], rtol=0, atol=0.04)
    surrogate = Graph.parse("Z -> X -> Y; Z <-> X; Z <-> Y")
    model = drawn(surrogate, 3)
    query = effect(surrogate, experiments=[(), {"Z"}])
    found = simulated_mean(
        query, joint(model), {"X": [0, 1]}, experiments=experiments(model), samples=2000,
        generator=seeded(),
    )  # fmt: skip
    exact = truth(model, "Y", "X").permute(("X", "Y")).values[:, 1]
    torch.testing.assert_close(found, exact, rtol=0, atol=0.04)


def test_randomness_is_the_generators(frontdoor):
    query = effect(FRONTDOOR)
    before = torch.get_rng_state()
    first = simulated_mean(query, frontdoor, {"X": AT}, samples=50, generator=seeded(3))
    second = simulated_mean(query, frontdoor, {"X": AT}, samples=50, generator=seeded(3))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(before, torch.get_rng_state())
    simulated_mean(query, frontdoor, {"X": 1.0}, samples=5)
    assert not torch.equal(before, torch.get_rng_state())


def test_what_is_refused(laws, frontdoor):
    query = effect(FRONTDOOR)
    with pytest.raises(ValueError, match=r"missing \['X'\]"):
        simulated_mean(query, frontdoor, {})
    with pytest.raises(ValueError, match="superfluous"):
        simulated_mean(query, frontdoor, {"X": 0.0, "M": 1.0})
    with pytest.raises(ValueError, match="different lengths"):
        simulated_density(query, frontdoor, {"X": AT, "Y": AT[:2]})
    with pytest.raises(ValueError, match="at least 1"):
        simulated_mean(query, frontdoor, {"X": AT}, samples=0)
    with pytest.raises(ValueError, match="nothing to evaluate"):
        simulated_mean(query, None, {"X": AT})
    with pytest.raises(TypeError, match="Joint"):
        simulated_mean(query, {"X": AT}, {"X": AT})
    with pytest.raises(ValueError, match="not an outcome"):
        simulated_mean(query, frontdoor, {"X": AT}, outcome="M")
    with pytest.raises(ValueError, match="not free"):
        simulated_mean(query, frontdoor, {"X": AT}, free={"M": 0.0})
    # P(Y | X) of a chain has no closed form from conditionals: Y's ancestor M is missing.
    chain = SCM(
        Graph.parse("X -> M -> Y"), {"X": laws.Linear(0), "M": laws.Linear(1), "Y": laws.Linear(1)}
    )
    direct = identify(Graph.parse("X -> Y"), outcomes="Y", treatments="X")
    with pytest.raises(ValueError, match=r"P\(Y \| X\), for which this joint has no density"):
        simulated_density(direct, chain, {"X": AT, "Y": AT})
    both = identify(Graph.parse("X; Y"), outcomes={"X", "Y"}, treatments=())
    with pytest.raises(ValueError, match="which mean"):
        simulated_mean(both, Factor(("X", "Y"), torch.ones(2, 2)), {})
