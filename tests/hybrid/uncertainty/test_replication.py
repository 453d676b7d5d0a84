"""Posterior predictive checks: laws, joints and Pyro programs; right and wrong models."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import kstest
from torch import nn

import causal
import hybrid
from hybrid.bayes import Draws
from hybrid.uncertainty import PredictiveCheck, posterior_predictive_check


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Known(nn.Module):
    """A law with known parameters."""

    event_shape, support = torch.Size(), torch.distributions.constraints.real

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, context):
        return self.make().expand(context.shape[:-1])


def program(y):
    mean = pyro.sample("mean", dist.Normal(0.0, 5.0))
    pyro.deterministic("double", 2 * mean)
    pyro.factor("nothing", mean * 0)
    with pyro.plate("rows", len(y)):
        pyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def test_p_values_of_the_true_model_are_uniform():
    law, x = Known(lambda: dist.Normal(0.0, 1.0)), torch.zeros(40, 1)
    found = []
    for seed in range(120):
        y = torch.randn(40, generator=seeded(seed))
        check = posterior_predictive_check(law, (x, y), draws=60, generator=seeded(seed + 999))
        found.append(list(check.p_values.values()))
    for column in torch.tensor(found).T:
        assert kstest(column.numpy(), "uniform").pvalue > 1e-3


def test_what_a_model_does_not_know_is_seen():
    y = torch.randn(300, generator=seeded()).clamp_min(0)  # half of them 0
    law = Known(lambda: dist.Normal(y.mean(), y.std()))
    p = posterior_predictive_check(law, (torch.zeros(300, 1), y), generator=seeded()).p_values
    assert list(p) == ["mean", "sd", "min", "max", "share of 0"]
    assert 0.2 < p["mean"] < 0.8
    assert p["share of 0"] == 0.0
    assert p["min"] == 0.0


def test_ties_count_half():
    zeros = torch.zeros(50)
    law = Known(lambda: dist.Delta(torch.tensor(0.0)))
    quantities = {"largest": lambda y: y.max()}
    check = posterior_predictive_check(law, (torch.zeros(50, 1), zeros), quantities=quantities)
    assert check.p_values == {"largest": 0.5}


def test_random_weights_take_part_draw_by_draw():
    torch.manual_seed(0)
    law = hybrid.bayes.variational(
        hybrid.heads.Normal(nn.Linear(2, 2)), family=hybrid.bayes.MeanField(scale=3.0)
    )
    plain = hybrid.heads.Normal(nn.Linear(2, 2))
    x, y = torch.ones(100, 2), torch.zeros(100)
    spread = {
        name: posterior_predictive_check(model, (x, y), generator=seeded()).replicated["mean"].std()
        for name, model in (("random", law), ("plain", plain))
    }
    assert spread["random"] > 5 * spread["plain"]


def test_counts_and_classes():
    counts = torch.poisson(torch.full((200,), 4.0), generator=seeded())
    law = Known(lambda: dist.Poisson(4.0))
    check = posterior_predictive_check(law, (torch.zeros(200, 1), counts.long()))
    assert "share of 0" in check.observed
    heads = hybrid.heads.Categorical(None, states=3)
    y = torch.arange(90) % 3
    check = posterior_predictive_check(heads, (torch.zeros(90, 0), y))
    assert {f"share of {k}" for k in range(3)} <= set(check.observed)


def test_minus_zero_is_zero():
    y = torch.randn(100, generator=seeded()) * (torch.arange(100) % 2)
    check = posterior_predictive_check(hybrid.heads.Normal(None), (torch.zeros(100, 0), y))
    assert check.observed["share of 0"] == 0.5


def test_joints():
    torch.manual_seed(0)
    graph = causal.Graph.parse("X -> Y")
    laws = {
        "X": hybrid.heads.Normal(None),
        "Y": hybrid.bayes.variational(hybrid.heads.Normal(nn.Linear(1, 2))),
    }
    rows = {"X": torch.randn(50), "Y": torch.randn(50) + 30}
    scm = causal.SCM(graph, laws)
    check = posterior_predictive_check(scm, rows, draws=30, generator=seeded())
    assert check.p_values["mean of Y"] == 0.0
    assert check.replicated["sd of X"].shape == (30,)
    table = causal.Factor(("A", "B"), torch.tensor([[0.1, 0.4], [0.3, 0.2]]))
    rows = {"A": torch.tensor([0, 1] * 50), "B": torch.tensor([1, 1, 0, 0] * 25)}
    both = {"agree": lambda rows: (rows["A"] == rows["B"]).double().mean()}
    check = posterior_predictive_check(table, rows, quantities=both, generator=seeded())
    assert check.replicated["agree"].mean() == pytest.approx(0.3, abs=0.02)
    assert check.p_values["agree"] < 0.01


def test_a_pyro_program():
    torch.manual_seed(0)
    y = torch.randn(40, generator=seeded()) * 2
    draws = Draws({"mean": y.mean() + torch.randn(4, 100) / 40**0.5, "double": torch.zeros(4, 100)})
    before = torch.get_rng_state()
    check = posterior_predictive_check(program, (y,), posterior=draws, generator=seeded())
    assert torch.equal(torch.get_rng_state(), before)
    assert list(check.observed) == ["mean of y", "sd of y", "min of y", "max of y"]
    assert 0.2 < check.p_values["mean of y"] < 0.8
    assert check.p_values["sd of y"] < 0.01
    assert not list(pyro.get_param_store().keys())


def test_a_generator_gives_the_same_replicates():
    law, y = hybrid.heads.Normal(None), torch.randn(20)
    runs = [
        posterior_predictive_check(law, (torch.zeros(20, 0), y), draws=7, generator=seeded(3))
        for _ in range(2)
    ]
    assert torch.equal(runs[0].replicated["mean"], runs[1].replicated["mean"])


def test_a_table_is_printed():
    check = PredictiveCheck({"share of 0": torch.linspace(0, 1, 101)}, {"share of 0": 2.0})
    first, second = str(check).splitlines()
    assert first.split() == ["observed", "replicated", "5", "%", "95", "%", "p"]
    assert second.split() == ["share", "of", "0", "2", "0.5", "0.05", "0.95", "0"]


def test_errors_tell_the_mend():
    law, x, y = hybrid.heads.Normal(None), torch.zeros(20, 0), torch.zeros(20)
    table = causal.Factor(("A",), torch.tensor([0.1, 0.9]))
    cases = [
        (ValueError, "must return one number", law, (x, y), {"quantities": {"T": lambda y: y}}),
        (ValueError, "quantities is empty", law, (x, y), {"quantities": {}}),
        (ValueError, r"y has shape \(20, 1\)", law, (x, y[:, None]), {}),
        (ValueError, "y has NaN", law, (x, y / 0), {}),
        (ValueError, "draws must be at least 2", law, (x, y), {"draws": 1}),
        (ValueError, r"\['B'\] are no variables", table, {"B": y}, {}),
        (TypeError, "pair \\(x, y\\)", law, y, {}),
        (TypeError, "name: column", table, y, {}),
        (TypeError, "posterior=", program, (y,), {}),
        (ValueError, r"without draws of \['mean'\]", program, (y,), {"posterior": Draws({"a": y})}),
    ]
    for kind, message, model, data, options in cases:
        with pytest.raises(kind, match=message):
            posterior_predictive_check(model, data, **options)
