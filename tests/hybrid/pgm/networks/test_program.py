"""The network as a Pyro program: its density, particles, latent context and tables, posteriors."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO
from torch import nn

import causal
import hybrid
from hybrid.heads import Bernoulli
from hybrid.pgm import BayesianNetwork, Contextual, Table

GRAPH = causal.Graph.parse("Z -> X; Z -> W")
ROWS = {"X": torch.tensor([0, 1, 1, -1]), "W": torch.tensor([0, 2, -1, 1])}


def network(seed: int = 0) -> BayesianNetwork:
    torch.manual_seed(seed)
    nodes = {
        "Z": Table([0.4, 0.6], trainable=True),
        "X": Contextual(Bernoulli(nn.Linear(1 + 2, 3))),
        "W": Table([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]], trainable=True),
    }
    return BayesianNetwork(GRAPH, nodes).double()


def test_density_is_the_marginal_likelihood() -> None:
    made, x = network(), torch.randn(4, 2).double()
    trace = poutine.trace(made.pyro_model()).get_trace(ROWS, x)
    wanted = made.log_probability(ROWS, context=x).sum()
    torch.testing.assert_close(trace.log_prob_sum(), wanted)
    assert {"network.evidence", "network$$$tables.of_Z.logits"} <= set(trace.nodes)
    pyro.clear_param_store()
    scaled = poutine.trace(made.pyro_model()).get_trace(ROWS, x, data_size=40)
    torch.testing.assert_close(scaled.log_prob_sum(), 10 * wanted)


def test_svi_trains_the_modules_own_parameters() -> None:
    made, x = network(), torch.randn(4, 2).double()
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    svi = SVI(made.pyro_model(), lambda *_: None, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
    losses = [svi.step(ROWS, x) for _ in range(30)]
    assert losses[-1] < losses[0]
    assert all(not torch.equal(before[name], p) for name, p in made.named_parameters())


def test_latent_context_gets_the_gradient_of_the_posterior() -> None:
    """z ~ N(0, 1) per row feeds the context: with a point guide the ELBO is log p(z, e)."""
    made = network()
    block = made.pyro_model(rows=False, register=False)

    def model(rows):
        with pyro.plate("units", 4):
            z = pyro.sample("z", dist.Normal(torch.zeros(4, 2).double(), 1).to_event(1))
            block(rows, z)

    def guide(rows):
        place = pyro.param("place", torch.full((4, 2), 0.3).double())
        with pyro.plate("units", 4):
            pyro.sample("z", dist.Delta(place, event_dim=1))

    loss = Trace_ELBO().differentiable_loss(model, guide, ROWS)
    place = pyro.param("place")
    (found,) = torch.autograd.grad(loss, place)
    free = place.detach().clone().requires_grad_()
    joint = made.log_probability(ROWS, context=free).sum() - 0.5 * free.square().sum()
    (wanted,) = torch.autograd.grad(-joint, free)
    torch.testing.assert_close(found, wanted)


def test_vectorised_particles() -> None:
    made = network()
    block = made.pyro_model(rows=False, register=False)

    def model(rows):
        with pyro.plate("units", 4):
            z = pyro.sample("z", dist.Normal(torch.zeros(4, 2).double(), 1).to_event(1))
            block(rows, z)

    def guide(rows):
        spread = pyro.param("spread", torch.ones(4, 2).double())
        with pyro.plate("units", 4):
            pyro.sample("z", dist.Normal(torch.zeros(4, 2).double(), spread).to_event(1))

    elbo = Trace_ELBO(num_particles=7, vectorize_particles=True, max_plate_nesting=1)
    loss = elbo.differentiable_loss(model, guide, ROWS)
    loss.backward()
    assert bool(loss.isfinite())


def test_tables_from_a_prior() -> None:
    made, x = network(), torch.zeros(4, 2).double()

    def model(rows):
        table = pyro.sample("table", dist.Dirichlet(torch.ones(2, 3).double()).to_event(1))
        made.pyro_model(register=False)(rows, x, tables={"W": table})

    table = torch.tensor([[0.1, 0.1, 0.8], [0.3, 0.3, 0.4]]).double().requires_grad_()
    trace = poutine.trace(poutine.condition(model, {"table": table})).get_trace(ROWS)
    site = trace.nodes["network.evidence"]
    nodes = {"Z": made.node("Z"), "X": made.node("X"), "W": table.detach()}
    wanted = BayesianNetwork(GRAPH, nodes).log_probability(ROWS, context=x)
    torch.testing.assert_close(site["fn"].log_prob(site["value"]), wanted)
    (grad,) = torch.autograd.grad(trace.log_prob_sum(), table)
    assert bool((grad != 0).any())
    each = table.expand(4, 2, 3)
    torch.testing.assert_close(made.log_probability(ROWS, context=x, tables={"W": each}), wanted)
    with pytest.raises(ValueError, match=r"table of 'W' has shape \(3,\): expected \(2, 3\)"):
        made.log_probability(ROWS, context=x, tables={"W": table[0]})


def test_latent_sites_are_exact_posterior_draws() -> None:
    made, x, n = network(), torch.zeros(2000, 2).double(), 2000
    rows = {"X": torch.ones(n).long()}
    trace = poutine.trace(made.pyro_model(latent="Z")).get_trace(rows, x)
    drawn = trace.nodes["Z"]["value"]
    wanted = made.marginals(rows, x)["Z"][0, 1].item()
    assert drawn.double().mean().item() == pytest.approx(wanted, abs=5 * 0.5 / n**0.5)
    torch.testing.assert_close(trace.log_prob_sum(), made.log_probability(rows, context=x).sum())
    some = Predictive(made.pyro_model(latent="Z"), num_samples=3)({"X": rows["X"][:5]}, x[:5])
    assert some["Z"].shape == (3, 5)
    with pytest.raises(ValueError, match=r"latent names \['Q'\]"):
        made.pyro_model(latent=["Q"])


def test_random_weights_enter_with_their_divergence() -> None:
    nodes = {"Z": [0.4, 0.6], "X": Bernoulli(nn.Linear(1, 2)), "W": [[0.2, 0.3, 0.5]] * 2}
    made = hybrid.bayes.variational(BayesianNetwork(GRAPH, nodes))
    with causal.draws.fixed(made):
        trace = poutine.trace(made.pyro_model()).get_trace(ROWS)
        wanted = made.log_probability(ROWS).sum() - causal.draws.divergence(made)
        torch.testing.assert_close(trace.log_prob_sum(), wanted)


def test_another_networks_parameters_are_refused() -> None:
    first, second, x = network(), network(1), torch.zeros(4, 2).double()
    first.pyro_model()(ROWS, x)
    with pytest.raises(RuntimeError, match="another module named 'network'"):
        second.pyro_model()(ROWS, x)
    second.pyro_model(name="second")(ROWS, x)
    with pytest.raises(ValueError, match="less than the 4 rows"):
        first.pyro_model()(ROWS, x, data_size=3)
    with pytest.raises(ValueError, match="rows=True"):
        first.pyro_model(rows=False)(ROWS, x, data_size=8)
