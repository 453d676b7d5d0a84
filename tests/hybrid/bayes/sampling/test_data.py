"""A Pyro model's log likelihood and replicates under draws."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from hybrid.bayes import Draws, log_likelihood, sample
from hybrid.bayes.sampling.data import replicate


def regression(x, y):
    slope = pyro.sample("slope", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    scale = pyro.sample("scale", dist.HalfNormal(1.0))
    mean = pyro.deterministic("line", x @ slope)
    pyro.factor("penalty", -scale)
    with pyro.plate("rows", len(y)):
        pyro.sample("y", dist.Normal(mean, scale), obs=y)


def branching(y):
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    scale = 1.0 if mean > 0 else 2.0  # cannot be recorded
    with pyro.plate("rows", len(y)):
        pyro.sample("y", dist.Normal(mean, scale), obs=y)


X, Y = torch.randn(6, 2), torch.randn(6)


def drawn(chains=3, draws=5):
    torch.manual_seed(0)
    return Draws(
        {
            "slope": torch.randn(chains, draws, 2),
            "scale": torch.rand(chains, draws) + 0.5,
            "line": torch.zeros(chains, draws, 6),
        }
    )


def test_log_likelihood_is_that_of_the_law():
    draws = drawn()
    terms = log_likelihood(draws, regression, X, Y)
    assert set(terms) == {"y", "penalty"}
    mean = torch.einsum("rk,cdk->cdr", X, draws["slope"])
    wanted = dist.Normal(mean, draws["scale"][..., None]).log_prob(Y)
    torch.testing.assert_close(terms["y"], wanted)
    torch.testing.assert_close(terms["penalty"], -draws["scale"][..., None])


def test_control_flow_that_follows_values():
    means = torch.tensor([[-1.0, 1.0], [0.5, -0.5]])
    terms = log_likelihood(Draws({"mean": means}), branching, Y)["y"]
    scale = torch.where(means > 0, 1.0, 2.0)
    torch.testing.assert_close(terms, dist.Normal(means[..., None], scale[..., None]).log_prob(Y))


def test_draws_of_several_dtypes():
    draws = drawn()
    mixed = Draws({**draws.draws, "scale": draws["scale"].double()})
    terms = log_likelihood(mixed, regression, X, Y)["y"]
    torch.testing.assert_close(terms.float(), log_likelihood(draws, regression, X, Y)["y"])


def test_sampled_and_exported():
    pytest.importorskip("arviz_base")
    draws = sample(regression, X, Y, chains=16, warmup=20, draws=16)
    terms = log_likelihood(draws, regression, X, Y)
    tree = draws.to_arviz(log_likelihood=terms)
    assert tree["log_likelihood"]["y"].shape == (16, 16, 6)
    assert "log_likelihood" not in draws.to_arviz()


def test_replicates_follow_the_law():
    torch.manual_seed(0)
    draws = Draws({"mean": torch.full((2, 50), 3.0)})
    replicated, observed = replicate(draws, branching, (Y,), 400)
    assert replicated["y"].shape == (400, 6)
    assert torch.equal(observed["y"], Y)
    assert replicated["y"].mean() == pytest.approx(3.0, abs=0.1)
    assert replicated["y"].std() == pytest.approx(1.0, abs=0.06)


def test_replicates_of_few_draws_use_them_evenly():
    means = torch.arange(4.0).reshape(1, 4) * 100 + 50
    replicated, _ = replicate(Draws({"mean": means}), branching, (Y,), 8)
    nearest = (replicated["y"].mean(1) / 100).floor()
    assert nearest.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    replicated, _ = replicate(Draws({"mean": means}), branching, (Y,), 2)
    assert (replicated["y"].mean(1) / 100).floor().tolist() == [0, 2]


def test_what_is_computed_inside_a_plate_is_not_drawn():
    def hierarchical(y):
        scale = pyro.sample("scale", dist.HalfNormal(1.0))
        with pyro.plate("rows", len(y)):
            raw = pyro.sample("raw", dist.Normal(0.0, 1.0))
            theta = pyro.deterministic("theta", scale * raw)
            pyro.sample("y", dist.Normal(theta, 0.01), obs=y)

    draws = Draws({"scale": torch.full((2, 3), 2.0), "raw": torch.arange(6.0).expand(2, 3, 6)})
    replicated, observed = replicate(draws, hierarchical, (Y,), 4)
    assert torch.equal(observed["y"], Y)
    torch.testing.assert_close(
        replicated["y"], 2 * torch.arange(6.0).expand(4, 6), atol=0.1, rtol=0
    )


def test_errors_tell_the_mend():
    def silent(y):
        pyro.sample("mean", dist.Normal(0.0, 1.0))

    draws = Draws({"mean": torch.zeros(2, 5)})
    for call in (
        lambda model, *args: log_likelihood(draws, model, *args),
        lambda model, *args: replicate(draws, model, args, 3),
    ):
        with pytest.raises(ValueError, match=r"without draws of \['slope', 'scale'\]"):
            call(regression, X, Y)
        with pytest.raises(ValueError, match="silent observes nothing"):
            call(silent, Y)
        with pytest.raises(ValueError, match="no latent site"):
            call(lambda y: y, Y)
