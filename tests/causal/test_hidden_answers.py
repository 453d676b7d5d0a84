"""What models with hidden causes answer, against closed forms of linear-Gaussian ones."""

import pytest
import torch

from causal.draws import fixed
from causal.graph import Graph
from causal.hidden import Hidden
from causal.scm import SCM

FRONT_DOOR = Graph.parse("X -> M -> Y; X <-> Y")
ARMS = {"do": {"X": 1.0}, "against": {"X": 0.0}}


def build(laws, guide=None, size=1):
    widths = {"X": size, "M": 1, "Y": 1 + size}
    parts = {name: laws.Linear(width) for name, width in widths.items()}
    return SCM(FRONT_DOOR, parts, hidden={("Y", "X"): Hidden(size)}, guide=guide)


@pytest.fixture
def scm(laws):
    return laws.Exact.of_scm(lambda guide: build(laws, guide))


@pytest.mark.parametrize("size", [1, 2])
def test_moments(laws, size):
    scm = build(laws, size=size)
    mean, covariance, h = laws.gaussian(scm)
    rows = scm.sample(100_000)
    seen = torch.stack([rows[name] for name in "MXY"])
    torch.testing.assert_close(seen.mean(-1), mean[h:], atol=0.03, rtol=0)
    torch.testing.assert_close(seen.cov(), covariance[h:, h:], atol=0.06, rtol=0)
    # Under do the hidden cause stays, and is no longer joined to X.
    done = scm.sample(100_000, do={"X": 2.0})
    m, y = scm.law("M"), scm.law("Y")
    expected = y.weight[0] * (2 * m.weight[0] + m.bias) + y.bias
    assert abs(done["Y"].mean() - expected) < 0.03
    noise = (y.weight[0] * m.log_scale.exp()) ** 2 + y.log_scale.exp() ** 2
    expected = noise + (y.weight[1:] ** 2).sum()
    assert abs(done["Y"].var() - expected) < 0.06
    both = scm.sample(100_000, do={"X": 2.0, "M": 0.0})
    assert abs(both["Y"].mean() - y.bias) < 0.03


def test_one_draw_serves_a_whole_call(laws):
    """Both ends of an edge see the same numbers: with tiny noise they are functions of them."""
    graph = Graph.parse("X <-> Y; X <-> Z")
    widths = {"X": 2, "Y": 1, "Z": 1}
    parts = {name: laws.Linear(w, scale=1e-9) for name, w in widths.items()}
    rows = SCM(graph, parts).sample(6, draws=4)
    y, z = ((rows[n] - 0.3) / parts[n].weight[0].detach() for n in "YZ")
    expected = parts["X"].weight[0] * y + parts["X"].weight[1] * z + 0.3
    torch.testing.assert_close(rows["X"], expected.detach(), atol=1e-6, rtol=0)
    assert rows["X"].shape == (4, 6)


def test_counterfactuals_have_the_closed_form(scm, laws):
    """Y' − Y is what the change of X sends along M: noise and hidden causes cancel."""
    data = scm.sample(40)
    worlds = scm.counterfactual(data, do=[{"X": 0.0}, {"X": data["X"] + 1}, {}], draws=5)
    assert worlds["Y"].shape == (5, 3, 40)
    m, y = scm.law("M").weight[0], scm.law("Y").weight[0]
    for k, shift in enumerate((-data["X"], torch.ones(40).double(), torch.zeros(40).double())):
        expected = (data["Y"] + y * m * shift).expand(5, 40)
        torch.testing.assert_close(worlds["Y"][:, k], expected, rtol=0, atol=1e-12)
    assert torch.equal(worlds["Y"][:, 2], data["Y"].expand(5, 40))  # the evidence, exactly
    assert worlds.conventions == {"X<->Y": "guide"}
    assert set(worlds) == set("MXY")


class Product(torch.nn.Module):
    """Y = X · u + noise: what the hidden cause does depends on the treatment."""

    event_shape, support = torch.Size(), torch.distributions.constraints.real

    def forward(self, context):
        x, u = context.unbind(-1)
        return torch.distributions.Normal(x * u, 0.5)


@pytest.mark.filterwarnings("ignore::causal.warrant.UnidentifiedWarning")
def test_counterfactuals_where_the_hidden_cause_matters(laws):
    """X = u + e, Y = X u + f: given a row, Y' = y + (x' − x) u with u from its posterior."""

    class Posterior(torch.nn.Module):
        event_shape, support = torch.Size([1]), torch.distributions.constraints.real_vector

        def forward(self, context):
            x, y = context.unbind(-1)
            precision = 1 + 4 + 4 * x**2
            mean = 4 * (x - 0.25 + x * y) / precision
            normal = torch.distributions.Normal(mean.unsqueeze(-1), precision.unsqueeze(-1) ** -0.5)
            return torch.distributions.Independent(normal, 1)

    graph = Graph.parse("X -> Y; X <-> Y")
    scm = SCM(
        graph, {"X": laws.Linear(1, [1.0], bias=0.25, scale=0.5), "Y": Product()}, guide=Posterior()
    )
    data = scm.sample(6)
    # The posterior is exact: the bound has no spread.
    spread = scm.log_probability(data, draws=4).std(0)
    assert spread.max() < 1e-12
    worlds = scm.counterfactual(data, do=[{"X": data["X"] + 1}, {"X": data["X"] - 1}], draws=20_000)
    law = scm.guide.law(torch.stack([data["X"], data["Y"]], -1))
    up, down = worlds["Y"].unbind(1)
    # The same hidden cause in both worlds.
    torch.testing.assert_close(up + down, 2 * data["Y"].expand_as(up), rtol=0, atol=1e-10)
    error = law.stddev[:, 0] / 20_000**0.5
    assert ((up.mean(0) - data["Y"] - law.mean[:, 0]).abs() < 5 * error).all()
    torch.testing.assert_close(up.var(0), law.variance[:, 0], rtol=0.1, atol=0)
    # An effect on these rows averages the same posterior; one in the population has the prior's.
    ask = {"do": {"X": 1.0}, "against": {"X": 0.0}}
    effect = scm.effect("Y", **ask, evidence=data, samples=20_000)
    assert abs(effect.value - law.mean.mean()) < 5 * error.mean()
    assert abs(scm.effect("Y", **ask, samples=64).value) < 0.02
    some = scm.effect("Y", **ask, evidence=data, draws=50)
    assert some.draws.shape == (50,)
    assert some.standard_error > 0


def test_a_condition_keeps_the_hidden_causes_of_its_rows(laws):
    """E[Y_1 − Y_0 | X = 1] by rejection, against many samples of the whole model."""

    class Chosen(torch.nn.Module):
        event_shape, support = torch.Size(), torch.distributions.constraints.boolean

        def forward(self, context):
            return torch.distributions.Bernoulli(logits=2 * context[..., 0])

    graph = Graph.parse("X -> Y; X <-> Y")
    scm = SCM(graph, {"X": Chosen(), "Y": Product()})
    u = torch.randn(400_000)
    weight = torch.sigmoid(2 * u)
    expected = (weight * u).sum() / weight.sum()
    with pytest.warns(UserWarning, match="in one unit, and no experiment shows both"):
        effect = scm.effect("Y", do={"X": 1}, against={"X": 0}, given={"X": 1}, samples=64)
    assert abs(effect.value - expected) < 0.02


def test_effects_need_only_what_they_read(scm, laws):
    total = (scm.law("M").weight[0] * scm.law("Y").weight[0]).detach()
    torch.testing.assert_close(scm.effect("Y", **ARMS).value, total)
    data = scm.sample(9)
    effect = scm.effect("Y", **ARMS, evidence=data, draws=4, samples=3)
    torch.testing.assert_close(effect.draws, total.expand(4))
    with pytest.raises(ValueError, match=r"missing column\(s\) \['Y'\]"):
        scm.effect("Y", **ARMS, evidence={name: data[name] for name in "XM"})
    # M's effect reads no hidden cause: neither guide nor further columns are asked for.
    plain = build(laws)
    found = plain.effect("M", **ARMS, evidence={"X": data["X"]})
    torch.testing.assert_close(found.value, plain.law("M").weight[0].detach())
    assert plain.counterfactual({n: data[n] for n in "XMY"}, do={"Y": 0.0}).conventions == {}


def test_weights_that_abduct_are_the_weights_that_predict(laws):
    graph = Graph.parse("X -> Y; X <-> Y")
    parts = {"X": laws.Random(1), "Y": laws.Random(2)}
    scm = SCM(graph, parts, guide=laws.Gaussian(2))
    data = scm.sample(7)
    with pytest.warns(UserWarning, match="no formula"):
        worlds = scm.counterfactual(data, do=[{"X": data["X"]}, {"X": data["X"] + 1}], draws=6)
    assert torch.equal(worlds["Y"][:, 0], data["Y"].expand(6, 7))
    change = worlds["Y"][:, 1] - data["Y"]
    torch.testing.assert_close(change, change[:, :1].expand(6, 7))  # one slope for each draw
    assert change[:, 0].std() > 0
    with fixed(scm, 3):
        assert scm.log_probability(data).shape == (3, 7)


def test_the_bound_trains_a_front_door_model(laws):
    """Strong confounding: a regression of Y on X is far off, the fitted model is not."""
    torch.manual_seed(0)
    truth = build(laws)
    with torch.no_grad():
        truth.law("X").weight.fill_(1.0)
        truth.law("Y").weight.copy_(torch.tensor([0.8, -1.2]))
        truth.law("M").weight.fill_(0.9)
    rows = truth.sample(2000)
    naive = torch.cov(torch.stack([rows["X"], rows["Y"]]))
    naive = naive[0, 1] / naive[0, 0]
    expected = 0.8 * 0.9
    assert abs(naive - expected) > 0.5
    scm = build(laws, laws.Gaussian(3))
    optimizer = torch.optim.LBFGS(scm.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure():  # the same draws in every call: a deterministic function
        optimizer.zero_grad()
        same = torch.Generator().manual_seed(1)
        loss = -scm.log_probability(rows, draws=4, generator=same).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    effect = scm.effect("Y", **ARMS)
    assert abs(effect.value - expected) < 0.08
    arm = scm.sample(50_000, do={"X": 1.0})["Y"].mean()
    aim = truth.law("Y").weight[0] * (0.9 + truth.law("M").bias) + truth.law("Y").bias
    assert abs(arm - aim) < 0.1
    # The bound is close to the truth's own likelihood.
    with torch.no_grad():
        gap = laws.exact(truth, rows).mean() - scm.log_probability(rows, draws=20).mean()
    assert abs(gap) < 0.02


def test_every_parameter_gets_a_gradient_through_counterfactuals(laws):
    scm = build(laws, laws.Gaussian(3))
    data = scm.sample(8)
    worlds = scm.counterfactual(data, do={"X": 0.0}, draws=3)
    weight = torch.linspace(-1, 1, 8).double()
    (worlds["Y"] * weight).sum().backward()
    assert scm.law("M").weight.grad.any()
    assert scm.guide.law.weight.grad is not None
