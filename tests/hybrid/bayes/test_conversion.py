"""`variational` gives the same law, network or model back, with random weights."""

import pytest
import torch
from torch import nn

from causal.draws import divergence, fixed
from causal.graph import Graph
from causal.scm import SCM
from hybrid.backbones import MLP
from hybrid.bayes import MeanField, Posterior, variational
from hybrid.heads import Bernoulli, Empirical, Normal
from hybrid.objectives import ELBO


def law():
    return Normal(MLP(3, [8], 4))


def model():
    """What a model with several laws looks like from outside."""
    shared = law()
    return nn.ModuleDict(
        {
            "root": Empirical(torch.randn(7)),
            "inner": nn.ModuleDict({"one": shared, "again": shared}),
            "other": Bernoulli(MLP(3, [8], 4)),
        }
    )


def test_a_law_stays_the_same_law_and_is_not_changed():
    original = law()
    names = list(dict(original.named_parameters()))
    random = variational(original)
    assert type(random) is Normal
    assert isinstance(random.body, Posterior)
    assert not isinstance(original.body, Posterior)
    assert list(dict(original.named_parameters())) == names
    assert {id(p) for p in original.parameters()} < {id(p) for p in random.parameters()}
    x = torch.randn(5, 3)
    assert random(x, draws=4).batch_shape == (4, 5)
    assert random(x).batch_shape == (5,)
    tight = variational(original, MeanField(scale=1e-7))
    torch.testing.assert_close(tight(x, draws=2).mean[1], original(x).mean)


def test_a_model_has_each_law_converted_once():
    original = model()
    random = variational(original)
    assert isinstance(random["inner"]["one"].body, Posterior)
    assert random["inner"]["one"] is random["inner"]["again"]
    assert random["root"] is original["root"]
    assert not isinstance(original["other"].body, Posterior)
    scales = [n for n, _ in random.named_parameters() if "raw_scale" in n]
    assert len(scales) == len(list(original.parameters()))
    with fixed(random, 3) as draws:
        assert draws == 3
        assert random["other"](torch.zeros(1, 5, 3)).batch_shape == (3, 5)
    total = sum(part.divergence() for part in random.modules() if isinstance(part, Posterior))
    torch.testing.assert_close(divergence(random), total)


def test_patterns():
    partly = variational(law(), include="body.1.*")
    assert set(partly.body.weights()) == {"1.weight", "1.bias"}
    without = variational(law(), exclude=["*.bias"])
    assert set(without.body.weights()) == {"0.0.weight", "0.2.weight", "1.weight"}
    inside = variational(model(), include="other.*")
    assert isinstance(inside["other"].body, Posterior)
    assert not isinstance(inside["inner"]["one"].body, Posterior)
    layer = variational(MLP(3, [8], 4), exclude="0.*")
    assert set(layer.weights()) == {"2.weight", "2.bias"}


def test_what_is_refused():
    with pytest.raises(ValueError, match="already random"):
        variational(variational(law()))
    with pytest.raises(ValueError, match="already random"):
        variational(variational(model(), include="other.*"))
    with pytest.raises(ValueError, match="'nope' matches no parameter"):
        variational(law(), include="nope")
    with pytest.raises(ValueError, match="no law of Normal"):
        variational(law(), exclude="*")
    with pytest.raises(ValueError, match="no trainable"):
        variational(nn.ReLU())


def test_prior_may_be_given_beside_the_family():
    plain = law()
    random = variational(plain, MeanField(prior_scale=2.0, scale=0.3), prior="initial")
    expected = variational(plain, MeanField(prior_scale=2.0, scale=0.3, prior="initial"))
    assert torch.equal(divergence(random), divergence(expected))
    assert not torch.equal(divergence(random), divergence(variational(plain)))


def test_what_cannot_be_converted_is_named():
    class Whole(nn.Module):
        event_shape, support = torch.Size(), torch.distributions.constraints.real

        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 1)

        def forward(self, context):
            return torch.distributions.Normal(self.net(context).squeeze(-1), 1.0)

    with pytest.raises(ValueError, match="link"):
        variational(Whole())
    backbone = nn.Linear(3, 4)
    pair = nn.ModuleDict({"a": Normal(backbone), "b": Normal(backbone)})
    with pytest.raises(ValueError, match=r"'a' and 'b' share.*body\.0\.weight"):
        variational(pair)
    random = variational(pair, exclude="*.body.0.*")  # now only the readouts
    assert random["a"](torch.zeros(1, 3), draws=2).batch_shape == (2, 1)
    with pytest.raises(TypeError, match="family"):
        variational(law(), MeanField)
    with pytest.raises(TypeError, match="include"):
        variational(law(), include=3)
    with pytest.raises(TypeError, match=r"[Mm]odule"):
        variational(3)


def test_the_guide_of_hidden_causes_stays_as_it_is():
    body = MLP(2, [4], 3)  # the guide may share it
    scm = SCM(
        Graph.parse("X -> Y; X <-> Y"),
        {"X": Normal(MLP(1, [4], 3)), "Y": Normal(body)},
        guide=Normal(body, event=1),
    )
    random = variational(scm)
    names = {name for name, _ in random.named_parameters()}
    assert not [name for name in names if name.startswith("guide") and "spread" in name]
    assert random.guide is scm.guide
    assert [name for name in names if name.startswith("laws.of_Y") and "spread" in name]
    objective = ELBO(random, data_size=8, draws=3)
    objective(random.sample(8)).total.backward()
    assert not [name for name, p in random.named_parameters() if p.grad is None]
    with pytest.raises(ValueError, match="already random"):
        variational(random)
    with pytest.raises(ValueError, match="no law of SCM has a parameter to make random"):
        variational(scm, include="guide.law.body.1.*")
