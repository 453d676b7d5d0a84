"""Sampling as a user calls it: known posteriors, seeds, refusals, and what stays untouched."""

import os
import subprocess
import sys
from pathlib import Path

import posteriors
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from hybrid.bayes import NUTS, ChEES, Draws, sample, variational
from hybrid.heads.normal import Normal
from hybrid.objectives import ELBO

ROOT = Path(__file__).parents[4]
SHORT = {"warmup": 100, "draws": 100}
SIZES = {ChEES: {"warmup": 100, "draws": 100}, NUTS: {"warmup": 100, "draws": 200, "chains": 2}}
TINY = {"warmup": 20, "draws": 10}
METHODS = (ChEES(), ChEES(dense=False), NUTS(), NUTS(dense=False))


def conjugate(y):
    mean = pyro.sample("mean", dist.Normal(torch.tensor(0.0, dtype=torch.float64), 2.0))
    with pyro.plate("rows", len(y)):
        pyro.sample("y", dist.Normal(mean, 1.0), obs=y)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_conjugate_posterior(method) -> None:
    y = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    found = sample(conjugate, y, method=method, **SIZES[type(method)])
    precision = 1 / 4 + 3
    table = found.summary()
    mean, sd = float(y.sum()) / precision, precision**-0.5
    assert abs(float(table["mean"][0]) - mean) < 4 * float(table["mcse_mean"][0])
    assert abs(float(table["sd"][0]) - sd) < 4 * float(table["mcse_sd"][0])
    assert found.facts["gradient"] == "recorded"
    assert not found.diverging.any()


def test_reference_posteriors() -> None:
    """Three of the ten, in a process without type checks in inner loops; the command runs all."""
    command = [
        sys.executable,
        posteriors.__file__,
        "--quick",
        "arK",
        "blr",
        "eight_schools_noncentered",
    ]
    one = {**os.environ, "OMP_NUM_THREADS": "1"}  # small tensors: threads only wait for another
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=one)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("method", [ChEES(), NUTS()], ids=repr)
def test_a_seed_repeats_the_draws_and_nothing_global_moves(method) -> None:
    y = torch.zeros(3, dtype=torch.float64)
    state = torch.get_rng_state()
    one, same, other = (sample(conjugate, y, method=method, seed=s, **TINY) for s in (1, 1, 2))
    assert torch.equal(one["mean"], same["mean"])
    assert not torch.equal(one["mean"], other["mean"])
    assert torch.equal(torch.get_rng_state(), state)
    assert not len(pyro.get_param_store())


def test_models_with_control_flow_are_looped() -> None:
    def model():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.factor("f", -x.square() if x > 0 else torch.zeros(()))

    with pytest.warns(UserWarning, match="cannot be recorded"):
        found = sample(model, method=NUTS(), chains=1, warmup=20, draws=20)
    assert found.facts["gradient"] == "looped"
    assert found["x"].shape == (1, 20)


def test_an_objective_is_sampled_over_its_parameters() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 1, generator=generator, dtype=torch.float64)
    y = 2 * x[:, 0] + 0.5 * torch.randn(30, generator=generator, dtype=torch.float64)
    law = Normal(nn.Linear(1, 4)).double()
    found = sample(ELBO(law, data_size=30), (x, y), chains=16, **SHORT)
    assert found.facts["gradient"] == "recorded"
    assert set(found.draws) == {f"model.{name}" for name, _ in law.named_parameters()}
    random = found.apply(law)
    assert random(x, draws=50).mean.shape == (50, 30)
    middle = random(x, draws=200).mean.median(0).values  # a chain may not have arrived yet
    assert float((middle - 2 * x[:, 0]).abs().mean()) < 0.5


@pytest.mark.parametrize(
    ("model", "args", "options", "message"),
    [
        (lambda: None, (), {}, "no latent site"),
        (conjugate, (torch.zeros(3),), {"chains": 4}, "at least 16 chains"),
        (conjugate, (torch.zeros(3),), {"warmup": 3}, "warm-up"),
        (conjugate, (torch.zeros(3),), {"method": NUTS(), "warmup": 3}, "warm-up"),
        (conjugate, (torch.zeros(3),), {"draws": 0}, "draws must be at least 1"),
        (nn.MSELoss(), (torch.zeros(3),), {}, "target"),
    ],
)
def test_refusals(model, args, options, message) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        sample(model, *args, **options)


def test_objectives_that_are_refused() -> None:
    law = Normal(nn.Linear(1, 4))
    batch = (torch.zeros(5, 1), torch.zeros(5))
    with pytest.raises(ValueError, match="random already"):
        sample(ELBO(variational(law), data_size=5), batch)
    with pytest.raises(ValueError, match="5 rows, data_size is 9"):
        sample(ELBO(law, data_size=9), batch)
    with pytest.raises(ValueError, match="prior_scale"):
        sample(ELBO(law, data_size=5), batch, prior_scale=0.0)


def test_the_verdict_and_the_export() -> None:
    good = Draws({"x": torch.randn(4, 500, 2)})
    assert good.healthy
    assert good.summary().names == ("x[0]", "x[1]")
    bad = Draws({"x": torch.randn(4, 500).cumsum(1)}, torch.ones(4, 500).bool())
    assert not bad.healthy
    assert len(bad.healthy.reasons) == 4
    assert "R-hat of x" in str(bad.healthy)
    with pytest.raises(KeyError, match="no draws of 'z'"):
        bad["z"]


def test_export_to_arviz() -> None:
    pytest.importorskip("arviz_base")
    tree = Draws({"x": torch.randn(4, 50, 2)}, torch.zeros(4, 50).bool()).to_arviz()
    assert tree["posterior"]["x"].shape == (4, 50, 2)
    assert "diverging" in tree["sample_stats"]
