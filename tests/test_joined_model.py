"""All rings in one model: gradients, optimisers, files, Pyro and the axes rules, end to end."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pennylane as qml
import pyro
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

import causal
import hybrid
import quantum

ROWS = 64


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(3))
    return [qml.expval(qml.Z(wire)) for wire in range(3)]


def body(width: int) -> nn.Module:
    layer = quantum.CircuitLayer(circuit, {"weights": (1, 3, 3)}, in_features=3)
    return hybrid.layers.Skip(nn.Sequential(hybrid.backbones.MLP(width, [8], 3), layer))


def data() -> dict[str, Tensor]:
    w = torch.randn(ROWS, 2)
    t = (torch.rand(ROWS) < torch.sigmoid(w[:, 0])).int()
    m = 0.5 * t + w[:, 1] + 0.3 * torch.randn(ROWS)
    y = (m + t + 0.5 * torch.randn(ROWS)).clamp(0.0, 2.0)
    cap = torch.full((ROWS,), 2.0)
    cap[0] = torch.inf  # a row without a cap; and the column is not constant
    return {"W": w, "T": t, "M": m, "Y": y, "cap": cap}


def joined() -> causal.SCM:
    """Backbone, circuit, flow, censored law and posterior in one structural causal model."""
    graph = causal.Graph.parse("W -> T -> M -> Y; W -> M; W -> Y; T -> Y; cap -> Y")
    rows = data()
    laws = {
        "W": hybrid.heads.Empirical(rows["W"]),
        "cap": hybrid.heads.Empirical(rows["cap"]),
        "T": hybrid.heads.Bernoulli(body(2), features=5),
        "M": hybrid.flows.NeuralSpline(hybrid.backbones.MLP(3, [8], 4), features=4, transforms=1),
        "Y": hybrid.heads.Tobit(body(4), features=7, upper=hybrid.heads.Column("cap")),
    }
    return hybrid.bayes.variational(causal.SCM(graph, laws))


def train(scm: causal.SCM, rows: dict[str, Tensor], **options) -> hybrid.History:
    objective = hybrid.objectives.ELBO(scm, data_size=ROWS, draws=2)
    return hybrid.fit(objective, rows, batch_size=32, seed=0, progress=False, **options)


def answers(scm: causal.SCM, rows: dict[str, Tensor]) -> list[Tensor]:
    """Everything a user may ask, from one seed."""
    seed = lambda: torch.Generator().manual_seed(7)  # noqa: E731
    worlds = scm.counterfactual(
        rows, do=[{"T": 0}, {"T": 1}], draws=3, convention="quantile", generator=seed()
    )
    effect = scm.effect(
        "Y", do={"T": 1}, against={"T": 0}, evidence=rows, draws=3, generator=seed()
    )
    return [
        scm.log_probability(rows, draws=3, generator=seed()),
        scm.sample(5, draws=3, generator=seed())["Y"],
        scm.sample(5, do={"T": 1}, generator=seed())["M"],
        worlds["Y"],
        effect.draws,
    ]


def test_every_parameter_gets_a_gradient_and_changes_under_one_optimiser() -> None:
    scm, rows = joined(), data()
    names = {name for name, _ in scm.named_parameters()}
    for part in ("weights", "0.weight", "scale"):  # circuit, backbone, posterior
        assert any(part in name for name in names)
    objective = hybrid.objectives.ELBO(scm, data_size=ROWS, draws=2)
    objective(rows).total.backward()
    silent = [n for n, p in scm.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not silent
    assert not [n for n, p in scm.named_parameters() if not p.grad.any()]
    before = {name: parameter.detach().clone() for name, parameter in scm.named_parameters()}
    scm.zero_grad()
    history = train(scm, rows, epochs=5, optimizer=lambda p: torch.optim.Adam(p, 1e-2))
    same = [name for name, p in scm.named_parameters() if torch.equal(p, before[name])]
    assert not same
    assert history.loss[-1] < history.loss[0]


COPIES: dict[str, Callable[[causal.SCM, Path], causal.SCM]] = {
    "deepcopy": lambda scm, _: copy.deepcopy(scm),
    "pickle": lambda scm, _: pickle.loads(pickle.dumps(scm)),
}


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("way", [*COPIES, "files"])
def test_copies_answer_the_same_bits(way: str, trained: bool, tmp_path: Path) -> None:
    scm, rows = joined(), data()
    if trained:
        train(scm, rows, epochs=1)
    expected = answers(scm, rows)
    if way == "files":
        hybrid.save(scm, tmp_path / "model")
        other = joined()
        hybrid.load(tmp_path / "model", into=other)
    else:
        other = COPIES[way](scm, tmp_path)
    for one, two in zip(expected, answers(other, rows), strict=True):
        assert torch.equal(one, two)


def test_one_seed_one_result() -> None:
    rows, losses = data(), []
    for _ in range(2):
        torch.manual_seed(3)
        losses.append(train(joined(), rows, epochs=2).loss)
    assert losses[0] == losses[1]


def test_our_elbo_is_pyros() -> None:
    """Same model, same posterior: minus the ELBO per unit, within Monte Carlo error."""
    scm, rows = joined(), data()
    objective = hybrid.objectives.ELBO(scm, data_size=ROWS)
    with torch.no_grad():
        ours = torch.stack([objective(rows).total for _ in range(100)])
        loss = Trace_ELBO()
        pyros = [loss.loss(scm, scm.empty_guide, rows) / ROWS for _ in range(100)]
    pyros = torch.tensor(pyros)
    error = (ours.var() / 100 + pyros.var() / 100).sqrt()
    assert (ours.mean() - pyros.mean()).abs() < 4 * error


def test_elbo_equals_an_independent_pyro_program_with_a_guide() -> None:
    """The same Bayesian regression written by hand in Pyro, weights as sample sites."""
    x, y = torch.randn(40, 2).double(), torch.randn(40).double()
    law = hybrid.heads.Normal(nn.Linear(2, 4), features=4).double()
    means = {name: p.detach().clone() for name, p in law.body.named_parameters()}
    law = hybrid.bayes.variational(law, family=hybrid.bayes.MeanField(scale=0.3))
    plain = hybrid.heads.Normal(nn.Linear(2, 4), features=4).double()

    def model(x: Tensor, y: Tensor) -> None:
        weights = {
            name: pyro.sample(name, pyro.distributions.Normal(torch.zeros_like(m), 1.0).to_event())
            for name, m in means.items()
        }
        features = torch.func.functional_call(plain.body, weights, (x,))
        with pyro.plate("units", len(x)):
            pyro.sample("y", plain.link(features), obs=y)

    def guide(x: Tensor, y: Tensor) -> None:
        for name, m in means.items():
            scale = torch.full_like(m, 0.3)
            pyro.sample(name, pyro.distributions.Normal(m, scale).to_event())

    objective = hybrid.objectives.ELBO(law, data_size=40)
    with torch.no_grad():
        ours = torch.stack([objective((x, y)).total for _ in range(400)])
        loss = Trace_ELBO()
        pyros = torch.tensor([loss.loss(model, guide, x, y) / 40 for _ in range(400)])
    error = (ours.var() / 400 + pyros.var() / 400).sqrt()
    assert (ours.mean() - pyros.mean()).abs() < 4 * error


def mean_loss(scm: causal.SCM, rows: dict[str, Tensor]) -> float:
    objective = hybrid.objectives.ELBO(scm, data_size=ROWS, draws=100)
    with torch.no_grad():
        return objective(rows).total.item()


def test_svi_trains_everything_to_the_same_loss() -> None:
    rows = data()
    torch.manual_seed(1)
    scm = joined()
    other = copy.deepcopy(scm)
    before = {name: p.detach().clone() for name, p in scm.named_parameters()}
    svi = SVI(scm, scm.empty_guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    for _ in range(80):
        svi.step(rows)
    assert not [n for n, p in scm.named_parameters() if torch.equal(p, before[n])]
    objective = hybrid.objectives.ELBO(other, data_size=ROWS)
    adam = torch.optim.Adam(other.parameters(), 1e-2)
    start = mean_loss(other, rows)
    hybrid.fit(objective, rows, optimizer=adam, epochs=80, batch_size=ROWS, progress=False)
    ours, pyros = mean_loss(other, rows), mean_loss(scm, rows)
    assert abs(ours - pyros) < 0.02 * (start - ours)


def test_factual_worlds_return_the_evidence() -> None:
    scm, rows = joined(), data()
    train(scm, rows, epochs=1)
    for do in ({"T": rows["T"]}, {"W": rows["W"]}, {"M": rows["M"], "T": rows["T"]}):
        world = scm.counterfactual(rows, do=do, draws=4, convention="quantile")
        for name, column in rows.items():
            gap = (world[name] - column).abs().nan_to_num(0.0)
            assert gap.max() <= 1e-6


def test_draws_axis_everywhere_and_absent_without() -> None:
    scm, rows = joined(), data()
    assert scm.log_probability(rows).shape == (ROWS,)
    assert scm.log_probability(rows, draws=5).shape == (5, ROWS)
    assert scm.sample(7, draws=5)["W"].shape == (5, 7, 2)
    assert scm.sample(7)["W"].shape == (7, 2)
    worlds = scm.counterfactual(rows, do=[{"T": 0}, {"T": 1}], draws=5)
    assert worlds["Y"].shape == (5, 2, ROWS)
    assert scm.counterfactual(rows, do={"T": 0})["Y"].shape == (1, ROWS)
    with hybrid.bayes.fixed(scm, 5):
        first, second = scm.log_probability(rows), scm.log_probability(rows)
    assert torch.equal(first, second)
    assert first.shape == (5, ROWS)


def test_queries_with_a_generator_leave_the_global_state() -> None:
    scm, rows = joined(), data()
    before = torch.get_rng_state()
    first = answers(scm, rows)
    assert torch.equal(before, torch.get_rng_state())
    for one, two in zip(first, answers(scm, rows), strict=True):
        assert torch.equal(one, two)


def test_pyro_objective_trains_the_same_model() -> None:
    scm, rows = joined(), data()
    store = set(pyro.get_param_store().keys())
    objective = hybrid.objectives.Pyro(scm, scm.empty_guide, rows)
    assert set(pyro.get_param_store().keys()) == store
    before = {name: p.detach().clone() for name, p in scm.named_parameters()}
    adam = torch.optim.Adam(objective.parameters(), 1e-2)
    for _ in range(2):
        adam.zero_grad()
        loss = objective(rows)
        total = loss.total if isinstance(loss, hybrid.objectives.Loss) else loss
        total.backward()
        adam.step()
    assert not [n for n, p in scm.named_parameters() if torch.equal(p, before[n])]


def test_do_on_the_models_own_pyro_program() -> None:
    scm, rows = joined(), data()
    with causal.do({"T": 1.0}):
        trace = pyro.poutine.trace(scm).get_trace(rows)
    assert (trace.nodes["T"]["value"] == 1).all()
    with torch.no_grad():
        assert torch.isfinite(trace.log_prob_sum())
