"""The Pyro programs of models with hidden causes."""

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO

from causal.graph import Graph
from causal.hidden import Hidden
from causal.intervention import do
from causal.scm import SCM

GRAPH = Graph.parse("X -> M -> Y; X <-> Y; M <-> Y")


@pytest.fixture(autouse=True)
def _own_store():
    pyro.clear_param_store()
    yield
    pyro.clear_param_store()


def build(laws, guide=None, random=False):
    parts = {"X": laws.Linear(2), "M": laws.Linear(2), "Y": laws.Linear(4)}
    if random:
        parts["M"] = laws.Random(2, spread=0.1)
    return SCM(GRAPH, parts, hidden={("X", "Y"): Hidden(2)}, guide=guide)


@pytest.fixture
def scm(laws):
    return build(laws, laws.Gaussian(3, 3))


def test_hidden_causes_are_sites(scm):
    data = scm.sample(5)
    trace = poutine.trace(scm).get_trace(data)
    assert trace.nodes["X<->Y"]["value"].shape == (5, 2)
    assert trace.nodes["M<->Y"]["value"].shape == (5,)
    assert not trace.nodes["X<->Y"]["is_observed"]
    trace.compute_log_prob()
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(trace.nodes["M<->Y"]["value"])
    torch.testing.assert_close(trace.nodes["M<->Y"]["log_prob"], prior)
    assert set(scm(data)) == {"X", "M", "Y"}
    assert scm(n=4)["Y"].shape == (4,)
    with do({"X": 1.0}):
        assert (scm(n=4)["X"] == 1).all()


def test_the_guide_has_their_density_once(scm):
    data = scm.sample(5)
    trace = poutine.trace(scm.pyro_guide).get_trace(data)
    trace.compute_log_prob()
    sites = {n: site for n, site in trace.nodes.items() if site["type"] == "sample"}
    assert set(sites) == {"units", "hidden", "X<->Y", "M<->Y"}
    context = torch.stack([data[name] for name in "MXY"], -1)
    columns = sites["hidden"]["value"]
    expected = scm.guide.law(context).log_prob(columns)
    torch.testing.assert_close(sites["hidden"]["log_prob"], expected)
    assert torch.equal(sites["M<->Y"]["value"], columns[:, 0])  # sorted edge order
    assert torch.equal(sites["X<->Y"]["value"], columns[:, 1:])
    assert not sites["X<->Y"]["log_prob_sum"]


@pytest.mark.parametrize("vectorised", [False, True])
def test_pyros_bound_is_ours(laws, vectorised):
    scm = build(laws, laws.Gaussian(3, 3))
    data, runs = scm.sample(8), 100
    with torch.no_grad():
        ours = -scm.log_probability(data, draws=runs).sum(-1)
        loss = Trace_ELBO(
            num_particles=runs if vectorised else 1,
            vectorize_particles=vectorised,
            max_plate_nesting=1,
        )
        times = 10 if vectorised else runs
        pyros = torch.tensor([loss.loss(scm, scm.pyro_guide, data) for _ in range(times)])
    error = (ours.var() / runs + pyros.var() / times).sqrt()
    assert (ours.mean() - pyros.mean()).abs() < 4 * error


def test_with_the_exact_posterior_pyros_bound_is_the_likelihood(laws):
    scm = laws.Exact.of_scm(lambda guide: build(laws, guide))
    data = scm.sample(8)
    found = -Trace_ELBO().loss(scm, scm.pyro_guide, data)
    assert abs(found - laws.exact(scm, data).sum().item()) < 1e-9


def test_one_optimiser_trains_laws_weights_and_guide(laws):
    scm = build(laws, laws.Gaussian(3, 3), random=True)
    data = scm.sample(64)
    before = {name: p.detach().clone() for name, p in scm.named_parameters()}
    svi = SVI(scm, scm.pyro_guide, pyro.optim.Adam({"lr": 0.02}), Trace_ELBO())
    with torch.no_grad():
        start = scm.log_probability(data, draws=200).mean()
    for _ in range(30):
        svi.step(data)
    assert not [name for name, p in scm.named_parameters() if torch.equal(p, before[name])]
    with torch.no_grad():
        assert scm.log_probability(data, draws=200).mean() > start


def test_minibatches_are_scaled(scm):
    data = scm.sample(4)
    trace = poutine.trace(scm.pyro_guide).get_trace(data, data_size=40)
    assert trace.nodes["hidden"]["scale"] == 10
    with pytest.raises(ValueError, match="data_size=2 is less than the 4 rows"):
        scm.pyro_guide(data, data_size=2)


def test_programs_that_cannot_run(scm):
    data = scm.sample(4)
    with pytest.raises(ValueError, match=r"missing column\(s\) \['Y'\]"):
        scm.pyro_guide({name: data[name] for name in "XM"})
    with pytest.raises(ValueError, match=r"\['M<->Y', 'X<->Y'\].*use SVI\(scm, scm\.pyro_guide"):
        scm.empty_guide(data)


def test_without_hidden_causes_the_guide_is_empty(laws):
    scm = SCM(Graph.parse("X -> Y"), {"X": laws.Linear(0), "Y": laws.Linear(1)})
    data = scm.sample(4)
    assert len(poutine.trace(scm.pyro_guide).get_trace(data).nodes) == 2  # input and output
    loss = Trace_ELBO().loss(scm, scm.pyro_guide, data)
    assert abs(loss + scm.log_probability(data).sum().item()) < 1e-10
