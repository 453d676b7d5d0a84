import copy
import math
import threading

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import constraints
from pyro.infer import SVI, JitTrace_ELBO, Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.autoguide import AutoDiagonalNormal, AutoMultivariateNormal, AutoNormal
from pyro.nn import PyroModule, PyroSample
from torch import nn

from causal.draws import held, hold
from hybrid.heads.normal import Normal
from hybrid.objectives import ELBO, Loss, Pyro

Y = torch.tensor([0.3, -0.2, 1.1, 0.7], dtype=torch.float64)


class Line(nn.Module):
    """A law with one random number added to its mean."""

    event_shape, support = torch.Size(), constraints.real

    def __init__(self, random=False):
        super().__init__()
        self.body = nn.Linear(2, 1).double()
        self.shift = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.random = random

    def fixed(self, draws, generator=None):
        size = () if draws is None else (draws, 1)
        noise = torch.randn(size, generator=generator, dtype=torch.float64)
        return hold(self, noise * self.random)

    def divergence(self):
        return self.shift.square() * self.random

    def forward(self, context):
        mean = self.body(context).squeeze(-1)
        return dist.Normal(mean + held(self, 0.0) * self.shift, 1.0)


class Two(nn.Module):
    """A joint of independent columns."""

    variables = ("A", "B")

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def log_probability(self, values, given=None):
        one, two = (dist.Normal(m, 1.0) for m in self.mean)
        return one.log_prob(values["A"]) + two.log_prob(values["B"])

    def sample(self, n, given=None):
        return {"A": torch.zeros(n), "B": torch.zeros(n)}


def test_elbo_of_a_deterministic_law_is_maximum_likelihood():
    law, x = Line(), torch.randn(4, 2, dtype=torch.float64)
    loss = ELBO(law, data_size=4)((x, Y))
    expected = -dist.Normal(law.body(x).squeeze(-1), 1.0).log_prob(Y).mean()
    assert torch.allclose(loss.total, expected, atol=1e-12)
    assert loss.parts["divergence"] == 0


def test_elbo_weighs_the_divergence_by_the_data_and_not_by_the_batch():
    law, x = Line(random=True), torch.randn(4, 2, dtype=torch.float64)
    objective = ELBO(law, data_size=50, draws=3, seed=0)
    loss = objective((x, Y))
    assert torch.allclose(loss.parts["divergence"], torch.tensor(0.25 / 50, dtype=torch.float64))
    assert torch.equal(loss.total, loss.parts["likelihood"] + loss.parts["divergence"])
    doubled = objective((x.repeat(2, 1), Y.repeat(2)))
    assert torch.allclose(loss.total, doubled.total)


def test_elbo_likelihood_is_the_mean_over_draws():
    law, x = Line(random=True), torch.randn(4, 2, dtype=torch.float64)
    loss = ELBO(law, data_size=50, draws=3, seed=7)((x, Y))
    noise = torch.randn((3, 1), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    mean = law.body(x).squeeze(-1) + noise * law.shift
    assert torch.allclose(loss.parts["likelihood"], -dist.Normal(mean, 1.0).log_prob(Y).mean())


def test_elbo_with_a_seed_is_deterministic_and_leaves_the_global_state():
    objective = ELBO(Line(random=True), data_size=4, seed=3)
    batch = (torch.randn(4, 2, dtype=torch.float64), Y)
    before = torch.get_rng_state()
    first, second = objective(batch), objective(batch)
    assert torch.equal(first.total, second.total)
    assert torch.equal(before, torch.get_rng_state())


def test_elbo_without_a_seed_draws_anew():
    objective = ELBO(Line(random=True), data_size=4)
    batch = (torch.randn(4, 2, dtype=torch.float64), Y)
    assert not torch.equal(objective(batch).total, objective(batch).total)


def test_elbo_of_a_joint():
    values = {"A": Y, "B": 2 * Y}
    loss = ELBO(Two(), data_size=4)(values)
    assert torch.allclose(loss.total, -Two().log_probability(values).mean())


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.float32, torch.float16])
def test_elbo_casts_data_to_the_laws_dtype(dtype):
    law = Line()
    x, y = torch.ones(4, 2).to(dtype), torch.tensor([0, 1, 1, 0]).to(dtype)
    loss = ELBO(law, data_size=4)((x, y))
    assert loss.total.dtype == torch.float64
    assert torch.allclose(loss.total, ELBO(law, data_size=4)((x.double(), y.double())).total)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.zeros(4, 1), r"y has shape \(4, 1\) but the law is scalar: expected \(4,\), use"),
        (torch.zeros(1), r"y has shape \(1,\)"),
        (torch.zeros(3), r"y has shape \(3,\).*expected \(4,\)"),
    ],
)
def test_elbo_never_broadcasts_data(y, message):
    with pytest.raises(ValueError, match=message):
        ELBO(Line(), data_size=4, draws=3)((torch.zeros(4, 2), y))


def test_elbo_bad_arguments():
    with pytest.raises(ValueError, match="data_size must be at least 1"):
        ELBO(Line(), data_size=0)
    with pytest.raises(ValueError, match="draws must be at least 1"):
        ELBO(Line(), data_size=1, draws=0)
    with pytest.raises(TypeError, match="one tensor of shape"):
        ELBO(Line(), data_size=1)(torch.zeros(3))
    with pytest.raises(TypeError, match="Line has no log_probability"):
        ELBO(Line(), data_size=1)({"A": Y})
    with pytest.raises(ValueError, match=r"no column 'B': the ELBO of a Two needs all of"):
        ELBO(Two(), data_size=1)({"A": Y})
    with pytest.raises(TypeError, match="3 entries"):
        ELBO(Line(), data_size=1)((Y, Y, Y))


# ---------------------------------------------------------------- Pyro


def model(y):
    mean = pyro.sample("mean", dist.Normal(torch.zeros(2).to(y), 3.0).to_event(1))
    scale = pyro.param("scale", torch.tensor(1.5).to(y), constraint=constraints.positive)
    with pyro.plate("rows", len(y)):
        pyro.sample("y", dist.Normal(mean.sum(-1), scale), obs=y)


def guide(y):
    loc = pyro.param("guide.loc", torch.tensor([0.1, 0.2]).to(y))
    width = pyro.param("width", torch.ones(2).to(y), constraint=constraints.positive)
    pyro.sample("mean", dist.Normal(loc, width).to_event(1))


class Network(PyroModule):
    def __init__(self):
        super().__init__()
        self.inner = PyroModule[nn.Linear](2, 1)
        self.inner.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))
        self.plain = nn.Linear(1, 1)

    def forward(self, x, y):
        mean = self.plain(self.inner(x)).squeeze(-1)
        with pyro.plate("rows", len(x)):
            pyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def test_pyro_equals_svi_step_for_step():
    torch.manual_seed(1)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
    expected = [svi.step(Y) for _ in range(5)]
    store = {name: value.detach().clone() for name, value in pyro.get_param_store().items()}
    pyro.clear_param_store()

    objective = Pyro(model, guide, example=Y)
    optimizer = torch.optim.Adam(objective.parameters(), 0.05)
    torch.manual_seed(1)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = objective(Y)
        loss.total.backward()
        optimizer.step()
        losses.append(loss.total.item())
    assert losses == pytest.approx(expected, abs=1e-12)
    own = dict(objective.store.named_parameters())
    assert torch.allclose(own["scale"].exp(), store["scale"], atol=1e-12)
    assert torch.allclose(own["guide_loc"], store["guide.loc"], atol=1e-12)
    assert torch.allclose(own["width"].exp(), store["width"], atol=1e-12)


def test_pyro_with_an_autoguide_equals_svi():
    torch.manual_seed(1)
    own = AutoNormal(model)
    own(Y)
    start = {n: p.detach().clone() for n, p in own.named_parameters()}
    torch.manual_seed(2)
    svi = SVI(model, own, pyro.optim.Adam({"lr": 0.05}), TraceMeanField_ELBO())
    expected = [svi.step(Y) for _ in range(3)]
    pyro.clear_param_store()

    objective = Pyro(model, AutoNormal(model), Y, loss=TraceMeanField_ELBO())
    objective.guide.load_state_dict(start)
    optimizer = torch.optim.Adam(objective.parameters(), 0.05)
    torch.manual_seed(2)
    for number in expected:
        optimizer.zero_grad()
        loss = objective(Y).total
        loss.backward()
        optimizer.step()
        assert loss.item() == pytest.approx(number, abs=1e-12)


def test_pyro_leaves_the_global_store_alone_and_reads_nothing_from_it():
    pyro.param("scale", torch.tensor(7.0), constraint=constraints.positive)
    objective = Pyro(model, guide, example=Y)
    objective(Y)
    store = pyro.get_param_store()
    assert list(store.keys()) == ["scale"]
    assert store["scale"].item() == pytest.approx(7.0)
    assert objective.store.scale.exp().item() == pytest.approx(1.5)


def test_two_pyro_objectives_do_not_share():
    first, second = Pyro(model, guide, Y), Pyro(model, guide, Y)
    with torch.no_grad():
        first.store.scale.fill_(3.0)
    assert second.store.scale.exp().item() == pytest.approx(1.5)
    assert {id(p) for p in first.parameters()}.isdisjoint({id(p) for p in second.parameters()})


def test_pyro_modules_are_registered_once_and_readably():
    batch = (torch.randn(5, 2), torch.randn(5))
    network = Network()
    objective = Pyro(network, AutoDiagonalNormal(network), example=batch)
    assert sorted(name for name, _ in objective.named_parameters()) == [
        "guide.loc",
        "guide.scale_unconstrained",
        "model.inner.bias",
        "model.plain.bias",
        "model.plain.weight",
    ]
    optimizer = torch.optim.Adam(objective.parameters(), 0.1)
    before = {n: p.detach().clone() for n, p in objective.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        objective(batch).total.backward()
        optimizer.step()
    for name, parameter in objective.named_parameters():
        assert not torch.equal(before[name], parameter), name


@pytest.mark.parametrize("kind", [AutoNormal, AutoDiagonalNormal, AutoMultivariateNormal])
def test_pyro_with_an_autoguide_can_be_copied(kind):
    batch = (torch.randn(5, 2), torch.randn(5))
    network = Network()
    objective = Pyro(network, kind(network), example=batch)
    twin = copy.deepcopy(objective)
    torch.manual_seed(3)
    first = objective(batch).total
    torch.manual_seed(3)
    second = twin(batch).total
    assert torch.equal(first, second)
    assert {id(p) for p in objective.parameters()}.isdisjoint({id(p) for p in twin.parameters()})
    second.backward()
    assert all(p.grad is not None for p in twin.parameters())
    assert all(p.grad is None for p in objective.parameters())
    assert objective.guide.model.args[1] is network  # wrapped for its initial values
    assert twin.guide.model.args[1] is twin.model
    assert set(twin.guide.median(*batch)) == {"inner.weight"}


def test_pyro_of_functions_can_be_copied_and_loaded():
    objective = Pyro(model, guide, example=Y)
    twin = copy.deepcopy(objective)
    with torch.no_grad():
        twin.store.scale.fill_(2.0)
    assert objective.store.scale.exp().item() == pytest.approx(1.5)
    objective.load_state_dict(twin.state_dict())
    torch.manual_seed(0)
    first = objective(Y).total
    torch.manual_seed(0)
    assert torch.equal(first, twin(Y).total)


def test_pyro_refuses_to_copy_modules_it_only_borrows():
    network = nn.Linear(1, 1).double()

    def borrowing(y):
        pyro.module("network", network)
        pyro.sample("y", dist.Normal(network(y.unsqueeze(-1)).squeeze(-1), 1.0).to_event(1), obs=y)

    objective = Pyro(borrowing, lambda y: None, example=Y)
    assert {id(p) for p in objective.parameters()} == {id(p) for p in network.parameters()}
    objective(Y).total.backward()
    assert network.weight.grad is not None
    with pytest.raises(TypeError, match=r"network\$\$\$weight.*only refers to"):
        copy.deepcopy(objective)


def test_pyro_batches_as_pyro_users_expect():
    seen = []

    def recording(*arguments):
        seen.append(arguments)
        pyro.param("p", torch.tensor(1.0))

    objective = Pyro(recording, lambda *arguments: None, example=(Y, Y))
    objective({"A": Y})
    objective(Y)
    assert len(seen[0]) == 2
    assert list(seen[1][0]) == ["A"]
    assert seen[2][0] is Y


def test_pyro_refuses_parameters_that_appear_late():
    def growing(y):
        pyro.param(f"p{len(y)}", torch.tensor(1.0))

    objective = Pyro(growing, lambda y: None, example=Y)
    with pytest.raises(RuntimeError, match=r"'p2'.*example"):
        objective(Y[:2])


def test_pyro_names_that_clash_stay_readable_and_apart():
    def clashing(y):
        for k, name in enumerate(("a.b", "a_b", "training", "$$$")):
            pyro.param(name, torch.tensor(float(k)))

    objective = Pyro(clashing, lambda y: None, example=Y)
    names = [name for name, _ in objective.named_parameters()]
    assert names == ["store.a_b", "store.a_b_", "store.training_", "store.parameter"]
    assert [p.item() for p in objective.parameters()] == [0.0, 1.0, 2.0, 3.0]


def test_pyro_refuses_a_loss_without_a_gradient():
    with pytest.raises(TypeError, match="differentiable_loss"):
        Pyro(model, guide, Y, loss=pyro.infer.TraceGraph_ELBO())


def test_pyro_calls_from_threads_take_turns():
    objective = Pyro(model, guide, example=Y)
    failures = []

    def call():
        try:
            for _ in range(10):
                assert math.isfinite(objective(Y).total.item())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(pyro.get_param_store()) == 0


def test_loss_is_a_pair():
    total, parts = Loss(torch.tensor(1.0), {})
    assert total == 1
    assert parts == {}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"data_size": 2.5}, "data_size"),
        ({"data_size": 5, "draws": 1.5}, "draws"),
        ({"data_size": 5, "seed": "a"}, "seed"),
        ({"data_size": 5, "model": len}, "model"),
    ],
)
def test_the_elbo_names_wrong_arguments(more, message):
    with pytest.raises(TypeError, match=message):
        ELBO(**{"model": Line(), **more})


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, math.nan])
def test_values_that_are_no_class_are_refused(value):
    class Coin(nn.Module):
        event_shape, support = torch.Size(), constraints.boolean

        def forward(self, context):
            return dist.Bernoulli(context.sum(-1).sigmoid())

    objective = ELBO(Coin(), data_size=4)
    assert objective((torch.zeros(2, 1), torch.tensor([True, False]))).total.isfinite()
    with pytest.raises(ValueError, match="y must be 0 or 1"):
        objective((torch.zeros(2, 1), torch.tensor([0.0, value])))


def test_complex_data_is_refused():
    with pytest.raises(TypeError, match="y must be a tensor of real numbers"):
        ELBO(Line(), data_size=4)((torch.zeros(4, 2), Y.to(torch.complex64)))


def test_what_is_no_pyro_pair_is_refused():
    def model(y):
        pyro.sample("y", dist.Normal(0.0, 1.0).expand(y.shape).to_event(1), obs=y)

    with pytest.raises(TypeError, match="guide"):
        Pyro(model, None, Y)
    with pytest.raises(TypeError, match=r"JitTrace_ELBO compiles .* use Trace_ELBO"):
        Pyro(model, lambda y: None, Y, JitTrace_ELBO())


def test_whole_numbers_reach_an_embedding():
    body = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(-2))
    law = Normal(body, features=3)
    x = torch.tensor([[0], [1], [4], [2]])
    loss = ELBO(law, data_size=4)((x, torch.zeros(4)))
    assert loss.total.isfinite()
