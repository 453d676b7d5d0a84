"""do on Pyro programs, and the SCM as a Pyro program."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pyro
import pyro.distributions as dist
import pytest
import torch
import torch.distributions as td
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO

from causal.draws import divergence
from causal.graph import Graph
from causal.intervention import do
from causal.scm import SCM


def program(n=5, obs=None):
    with pyro.plate("rows", n):
        x = pyro.sample("X", dist.Normal(torch.zeros(n), 1.0), obs=obs)
        m = pyro.sample("M", dist.Normal(2 * x, 1.0))
        v = pyro.sample("V", dist.Normal(torch.zeros(n, 3), 1.0).to_event(1))
        k = pyro.sample("K", dist.Categorical(torch.ones(n, 4)))
        return pyro.sample("Y", dist.Normal(m + v.sum(-1) + k, 1.0))


def trace_of(values, *args):
    with do(values):
        return poutine.trace(program).get_trace(*args)


ROWS = torch.arange(5.0)


@pytest.mark.parametrize(
    ("site", "action", "expected"),
    [
        ("M", 1, torch.ones(5)),
        ("M", torch.tensor(1.5), torch.full((5,), 1.5)),
        ("M", ROWS, ROWS),
        ("K", 3, torch.full((5,), 3)),
        ("V", torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0]).expand(5, 3)),
        ("V", torch.ones(5, 3), torch.ones(5, 3)),
        ("M", lambda seen: seen["X"] + 1, None),
        ("M", td.Uniform(5.0, 6.0), None),
    ],
)
def test_the_term_goes_and_the_value_is_used(site, action, expected):
    trace = trace_of({site: action})
    node = trace.nodes[site]
    if expected is not None:
        assert torch.equal(node["value"], expected)
    assert node["infer"]["_deterministic"]
    trace.compute_log_prob()
    assert (node["log_prob"] == 0).all()
    others = sum(trace.nodes[n]["log_prob"].sum() for n in "XMVKY" if n != site)
    torch.testing.assert_close(trace.log_prob_sum(), others)
    y = trace.nodes["Y"]
    values = {n: trace.nodes[n]["value"] for n in "MVK"}
    torch.testing.assert_close(y["fn"].mean, values["M"] + values["V"].sum(-1) + values["K"])
    if callable(action) and not isinstance(action, td.Distribution):
        assert torch.equal(values["M"], trace.nodes["X"]["value"] + 1)
    if isinstance(action, td.Distribution):
        assert len(values["M"].unique()) == 5


def test_observed_values_are_overridden():
    trace = trace_of({"X": 2.0}, 5, ROWS)
    assert (trace.nodes["X"]["value"] == 2).all()
    with do({"X": 2.0}):
        trace = poutine.trace(poutine.condition(program, {"X": ROWS})).get_trace()
    assert (trace.nodes["X"]["value"] == 2).all()
    with pytest.raises(ValueError, match="'X' is set again by a handler outside"):
        poutine.condition(do({"X": 2.0})(program), {"X": ROWS})()


def test_as_a_decorator_and_nested():
    trace = poutine.trace(do({"X": 2.0})(program)).get_trace()
    assert (trace.nodes["X"]["value"] == 2).all()
    with do({"X": 1.0, "M": 0.0}), do({"X": 2.0}):
        trace = poutine.trace(program).get_trace()
    assert (trace.nodes["X"]["value"] == 2).all()
    assert (trace.nodes["M"]["value"] == 0).all()
    handler = do({"X": 1.0})
    for _ in range(2):
        with handler:
            program()


def test_inside_plates_a_distribution_is_drawn_for_each_row():
    def model():
        with pyro.plate("rows", 6), do({"X": td.Normal(0.0, 1.0)}):
            return pyro.sample("X", dist.Normal(0.0, 1.0))

    assert len(poutine.trace(model).get_trace().nodes["X"]["value"].unique()) == 6


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Q": 1.0}, r"no sample site is called \['Q'\]; the program has \['K', 'M', 'V'"),
        ({"M": torch.zeros(4)}, r"do\('M'\): the value has shape \(4,\).*batch shape \(5,\)"),
        ({"M": torch.zeros(5, 1)}, r"do\('M'\): the value has shape \(5, 1\)"),
        ({"V": 1.0}, r"do\('V'\).*event shape \(3,\)"),
        ({"V": td.Normal(0.0, 1.0)}, r"do\('V'\): the distribution has event shape \(\)"),
    ],
)
def test_errors(values, message):
    with pytest.raises(ValueError, match=message), do(values):
        program()


def test_an_error_inside_passes_through():
    with pytest.raises(RuntimeError, match="mine"), do({"Q": 1.0}):
        raise RuntimeError("mine")


# -- SCM.forward ------------------------------------------------------------------------------

GRAPH = Graph.parse("X -> M -> Y; X -> Y; X -> K -> Y")


@pytest.fixture
def scm(laws):
    return SCM(
        GRAPH,
        {"X": laws.Linear(0), "M": laws.Random(1), "K": laws.Classes(1), "Y": laws.Random(5)},
    )


def test_program_has_the_density_of_the_model(laws):
    parts = {"X": laws.Linear(0), "M": laws.Linear(1), "Y": laws.Linear(5)}
    plain = SCM(GRAPH, {**parts, "K": laws.Classes(1)})
    data = plain.sample(8)
    trace = poutine.trace(plain).get_trace(data)
    torch.testing.assert_close(trace.log_prob_sum(), plain.log_probability(data).sum())
    assert {"X", "M", "K", "Y", "units"} <= set(trace.nodes)
    assert {n for n in trace.nodes if n.startswith("scm$$$")} == {
        f"scm$$${name}" for name, _ in plain.named_parameters()
    }
    scaled = poutine.trace(plain).get_trace(data, data_size=80)
    torch.testing.assert_close(scaled.log_prob_sum(), 10 * trace.log_prob_sum())
    with do({"M": 0.1}):  # not a number of single precision
        acted = poutine.trace(plain).get_trace(data)
    assert acted.nodes["M"]["value"].dtype == torch.float64
    torch.testing.assert_close(
        acted.log_prob_sum(), plain.log_probability(data, do={"M": 0.1}).sum()
    )
    torch.testing.assert_close(
        acted.nodes["Y"]["fn"].log_prob(data["Y"]).sum()
        + plain.log_probability({"X": data["X"], "K": data["K"]}).sum(),
        acted.log_prob_sum(),
    )


def test_divergence_enters_once(scm):
    data = scm.sample(8)
    for size in (None, 80):
        trace = poutine.trace(scm).get_trace(data, data_size=size)
        trace.compute_log_prob()
        torch.testing.assert_close(trace.nodes["divergence"]["log_prob"], -divergence(scm))


def test_forward_samples_and_completes(scm):
    values = scm(n=6)
    assert values["Y"].shape == (6,)
    data = scm.sample(4)
    values = scm({"X": data["X"]})
    assert torch.equal(values["X"], data["X"])
    assert values["Y"].shape == (4,)
    for arguments in ({}, {"data": data, "n": 5}):
        with pytest.raises(ValueError, match="data, or n rows"):
            scm(**arguments)
    with pytest.raises(ValueError, match="data_size=3"):
        scm(data, data_size=3)


def test_svi_trains_every_parameter(scm):
    data = scm.sample(64)
    before = {name: p.detach().clone() for name, p in scm.named_parameters()}
    svi = SVI(scm, scm.empty_guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
    losses = [svi.step(data) for _ in range(30)]
    assert all(torch.isfinite(torch.tensor(losses)))
    for name, parameter in scm.named_parameters():
        assert not parameter.numel() or not torch.equal(parameter, before[name]), name
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize("particles", [1, 7])
def test_elbo_has_the_right_mean(scm, particles):
    data = scm.sample(16)
    loss = Trace_ELBO(num_particles=particles, vectorize_particles=particles > 1)
    mine = -scm.log_probability(data, draws=4000).sum(-1).mean() + divergence(scm)
    runs = 600 // particles
    with torch.no_grad():
        theirs = torch.tensor([loss.loss(scm, scm.empty_guide, data) for _ in range(runs)])
    spread = theirs.std() / runs**0.5
    assert abs(theirs.mean() - mine.item()) < 5 * spread + 0.5


def test_another_models_parameters_in_the_store_are_noticed(scm):
    data = scm.sample(4)
    scm(data)
    other = copy.deepcopy(scm)
    with pytest.raises(RuntimeError, match="parameters of another SCM"):
        other(data)
    pyro.clear_param_store()
    other(data)


def test_queries_do_not_touch_the_store(scm):
    data = scm.sample(4)
    scm.counterfactual(data, do={"X": 0.0}, convention="gumbel")
    scm.effect("Y", do={"X": 1.0}, against={"X": 0.0}, draws=2)
    scm.log_probability(data)
    assert not list(pyro.get_param_store())


def test_frozen_parameters_stay_out(scm):
    scm.law("X").requires_grad_(False)
    trace = poutine.trace(scm).get_trace(scm.sample(4))
    params = {n for n in trace.nodes if n.startswith("scm$$$")}
    assert params == {f"scm$$${n}" for n, p in scm.named_parameters() if p.requires_grad}


def test_threads_wait_or_are_refused():
    def model():
        return pyro.sample("x", dist.Normal(0.0, 1.0))

    def intervened(value):
        found = True
        for _ in range(20):
            with do({"x": float(value)}):
                found = found and bool(model() == value)
        return found

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(intervened, range(8)))
        with do({"x": 1.0}):
            assert model() == 1.0
            with pytest.raises(RuntimeError, match="another thread"):
                pool.submit(model).result()


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [("a", TypeError, "not numeric"), (float("nan"), ValueError, "has NaN")],
)
def test_values_are_numbers(value, kind, text):
    with pytest.raises(kind, match=text), do({"x": value}):
        pyro.sample("x", dist.Normal(0.0, 1.0))


def test_functions_may_return_distributions():
    def model():
        x = pyro.sample("x", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        return pyro.sample("y", dist.Normal(x, 1.0).to_event(1))

    with do({"x": torch.ones(3), "y": lambda x: dist.Delta(2 * x).to_event(1)}):
        assert model().tolist() == [2.0, 2.0, 2.0]
