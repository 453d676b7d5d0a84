"""Laws of every head and flow: shapes, gradients, copies, Pyro and torch, dtypes, bad input."""

import copy
import pickle
from functools import partial

import pyro
import pytest
import torch
from torch import nn

from causal.draws import fixed
from causal.law import Law, log_probability_of
from causal.noise import NoiseNotRecoverable, abduct, replay
from hybrid.backbones import MLP
from hybrid.bayes import variational
from hybrid.flows import NeuralSpline
from hybrid.heads import (
    AdaptiveRobust,
    Bernoulli,
    Beta,
    Categorical,
    Column,
    Empirical,
    Hurdle,
    Laplace,
    LogNormal,
    MixtureDensity,
    NegativeBinomial,
    Normal,
    Ordinal,
    Poisson,
    Quantile,
    Student,
    Tobit,
)

WIDTH = 3


def mlp(width=WIDTH):
    return MLP(width, [8], 6)


HEADS = {
    "normal": lambda body: Normal(body),
    "normal vector": lambda body: Normal(body, event=2),
    "bernoulli": lambda body: Bernoulli(body),
    "categorical": lambda body: Categorical(body, states=4),
    "ordinal": lambda body: Ordinal(body, states=4),
    "student": lambda body: Student(body),
    "student of known df": lambda body: Student(body, event=2, df=3.0),
    "laplace": lambda body: Laplace(body),
    "log-normal": lambda body: LogNormal(body),
    "log-normal vector": lambda body: LogNormal(body, event=2),
    "beta": lambda body: Beta(body),
    "poisson": lambda body: Poisson(body),
    "poisson vector": lambda body: Poisson(body, event=2),
    "negative binomial": lambda body: NegativeBinomial(body),
    "hurdle": lambda body: Hurdle(body),
    "hurdle of counts": lambda body: Hurdle(body, positive=NegativeBinomial),
    "mixture": lambda body: MixtureDensity(body, components=3),
    "mixture of vectors": lambda body: MixtureDensity(body, component=partial(Normal, event=2)),
    "quantile": lambda body: Quantile(body, levels=[0.1, 0.4, 0.6, 0.9]),
    "quantile vector": lambda body: Quantile(body, event=2),
    "adaptive robust": lambda body: AdaptiveRobust(body, alpha=1.2),
    "tobit": lambda body: Tobit(body),
    "tobit two limits": lambda body: Tobit(body, lower=-0.5, upper=0.5),
    "spline": lambda body: NeuralSpline(body, transforms=2, hidden=(8,)),
    "spline without hidden": lambda body: NeuralSpline(body, transforms=2, hidden=()),
    "spline vector": lambda body: NeuralSpline(body, event=2, transforms=2, hidden=(8,)),
    "spline vector of one": lambda body: NeuralSpline(body, event=1, transforms=2, hidden=(8,)),
}
CONVENTION = {
    "bernoulli": "quantile",
    "categorical": "gumbel",
    "ordinal": "quantile",
    "poisson": "quantile",
    "poisson vector": "quantile",
    "negative binomial": "quantile",
    "hurdle": "quantile",
    "hurdle of counts": "quantile",
}
ELEMENTWISE = {"normal vector", "student of known df", "log-normal vector", "quantile vector"}
every_head = pytest.mark.parametrize("name", HEADS)


def law_and_value(name, lead=(5,), dtype=torch.float64):
    law = HEADS[name](mlp()).to(dtype)
    context = torch.randn(*lead, WIDTH, dtype=dtype)
    return law, context, law(context).sample()


@every_head
def test_is_a_law_with_the_batch_shape_of_its_context(name):
    for lead in [(), (5,), (2, 5)]:
        law, context, value = law_and_value(name, lead)
        assert isinstance(law, Law)
        distribution = law(context)
        assert distribution.batch_shape == lead
        assert distribution.event_shape == law.event_shape
        assert value.shape == (*lead, *law.event_shape)
        assert log_probability_of(distribution, value).shape == lead
        assert law.support.check(value).all()


@every_head
def test_draws_axis_and_the_form_of_queries(name):
    law, context, value = law_and_value(name)
    assert law(context, draws=4).batch_shape == (4, 5)
    plain = law(context).log_prob(value)
    torch.testing.assert_close(law(context, draws=4).log_prob(value), plain.expand(4, 5))
    with fixed(law, 4):
        lifted = law(context.unsqueeze(0)).log_prob(value.unsqueeze(0))
    torch.testing.assert_close(lifted, plain.unsqueeze(0))
    random = variational(law)
    assert random.event_shape == law.event_shape
    assert random(context, draws=4).batch_shape == (4, 5)
    assert random(context).batch_shape == (5,)
    scores = random(context, draws=4).log_prob(value)
    assert scores.shape == (4, 5)
    assert not torch.allclose(scores[0], scores[1])


@every_head
def test_every_parameter_gets_a_finite_gradient(name):
    law, context, value = law_and_value(name, (16,))
    for module in (law, variational(law)):
        module.zero_grad()
        module(context, draws=3).log_prob(value).sum().backward()
        for parameter, tensor in module.named_parameters():
            assert tensor.grad is not None, parameter
            assert tensor.grad.isfinite().all(), parameter
        assert any(tensor.grad.abs().sum() > 0 for tensor in module.parameters())


@every_head
def test_copies_files_and_modes_agree_to_the_bit(name):
    law, context, value = law_and_value(name)
    for module in (law, variational(law)):
        generator = torch.Generator().manual_seed(3)
        state = generator.get_state()

        def answer(m, generator=generator, state=state):
            generator.set_state(state)
            with fixed(m, 3, generator):
                return m(context.unsqueeze(0)).log_prob(value.unsqueeze(0))

        expected = answer(module)
        loaded = HEADS[name](mlp()).double()
        loaded = variational(loaded) if module is not law else loaded
        loaded.load_state_dict(module.state_dict())
        for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), loaded):
            assert torch.equal(answer(twin), expected)
            assert twin.support.check(value).all()
        assert torch.equal(answer(module.eval()), expected)
        module.train()


@every_head
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(name, dtype):
    law, context, value = law_and_value(name, dtype=dtype)
    score = variational(law)(context, draws=2).log_prob(value)
    assert score.dtype == dtype
    if value.is_floating_point():
        assert value.dtype == dtype


@every_head
def test_pyro_accepts_the_distribution(name):
    law, context, _ = law_and_value(name)

    def model():
        with pyro.plate("rows", 5):
            return pyro.sample("y", law(context))

    trace = pyro.poutine.trace(model).get_trace()
    assert trace.log_prob_sum().isfinite()
    assert law(context).expand((2, 5)).sample((3,)).shape == (3, 2, 5, *law.event_shape)


@every_head
def test_unconditional_head(name):
    law = HEADS[name](None)
    context = torch.zeros(5, 0)
    value = law(context).sample()
    assert value.shape == (5, *law.event_shape)
    scores = law(context).log_prob(value)
    assert scores.shape == (5,)
    scores.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in law.parameters())
    if any(True for _ in law.body.parameters()):
        assert variational(law)(context, draws=2).log_prob(value).shape == (2, 5)


@every_head
def test_noise_of_a_value_gives_it_back(name):
    law, context, value = law_and_value(name, (50,))
    if name == "mixture of vectors":
        with pytest.raises(NoiseNotRecoverable):
            abduct(law(context), value)
        return
    convention = CONVENTION.get(name, "elementwise" if name in ELEMENTWISE else "triangular")
    distribution = law(context)
    noise = abduct(distribution, value, convention=convention)
    back = replay(distribution, noise, convention=convention)
    torch.testing.assert_close(back.to(value.dtype), value, atol=1e-7, rtol=1e-7)


@every_head
def test_wrong_value_shapes_raise(name):
    law, context, value = law_and_value(name)
    for wrong in (value.unsqueeze(-1), value[:3]):
        with pytest.raises(ValueError, match="has shape"):
            log_probability_of(law(context), wrong)


@every_head
def test_wrong_widths_raise(name):
    with pytest.raises(ValueError, match="takes 3 columns, the context has 4"):
        HEADS[name](mlp())(torch.zeros(5, 4))
    with pytest.raises(ValueError, match="takes 3 columns"):
        variational(HEADS[name](mlp()))(torch.zeros(5, 4), draws=2)


class Opaque(nn.Module):
    """A body whose widths are not known."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 6)

    def forward(self, inputs):
        return self.layer(inputs)


def test_features_known_wrong_or_missing():
    with pytest.raises(ValueError, match=r"returns 6 features.*features=5"):
        Normal(mlp(), features=5)
    with pytest.raises(ValueError, match="features= is needed"):
        Normal(Opaque())
    with pytest.raises(ValueError, match=r"returned 6 features.*features=5"):
        Normal(Opaque(), features=5)(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="without a body"):
        Normal(None, features=5)
    with pytest.raises(ValueError, match="event"):
        Normal(mlp(), event=0)
    assert Normal(Opaque(), features=6)(torch.zeros(2, 3)).batch_shape == (2,)


@every_head
def test_readouts_follow_the_body(name):
    law = HEADS[name](mlp().double())
    assert {parameter.dtype for parameter in law.parameters()} == {torch.float64}


def test_bodies_without_parameters():
    for make in (
        Normal,
        NeuralSpline,
        lambda body, features: NeuralSpline(body, features=3, event=2),
    ):
        law = make(nn.Tanh(), features=3)
        assert law(torch.randn(5, 3)).sample().shape == (5, *law.event_shape)


def test_image_bodies_take_part_in_draws():
    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4))
    law = Categorical(body, states=3)
    images = torch.randn(5, 1, 4, 4)
    law.eval()
    with fixed(law, 3):
        assert law(images.unsqueeze(0)).batch_shape == (1, 5)
    with fixed(variational(law), 3):
        pass
    random = variational(law)
    with fixed(random, 3):
        assert random(images.unsqueeze(0)).batch_shape == (3, 5)


def test_starts_are_sane():
    context = torch.randn(100, WIDTH)
    normal = Normal(mlp())(context)
    assert normal.mean.abs().max() < 0.2
    assert (normal.stddev - 1).abs().max() < 0.2
    assert (Bernoulli(mlp())(context).probs - 0.5).abs().max() < 0.1
    spline = NeuralSpline(mlp())(context)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(torch.zeros(()))
    assert (spline.log_prob(torch.zeros(100)) - normal).abs().max() < 0.2


def test_states():
    assert Bernoulli(None).states == 2
    assert Categorical(None, states=4).states == 4
    assert Normal(None).states is None
    with pytest.raises(ValueError, match="2 states"):
        Categorical(None, states=1)


def test_one_column_limit_in_a_random_law():
    law = variational(Tobit(mlp(), upper=Column(1)))
    context = torch.randn(5, WIDTH + 1)
    context[:, 1] = torch.tensor([1.0, 2.0, 3.0, torch.inf, torch.inf])
    distribution = law(context, draws=4)
    assert torch.equal(distribution.upper, context[:, 1].expand(4, 5))
    value = distribution.sample()[0]
    distribution.log_prob(value).sum().backward()
    assert all(p.grad.isfinite().all() for p in law.parameters())


def test_empirical_takes_a_draws_axis():
    law = Empirical(torch.randn(7))
    assert law(torch.zeros(5, 0), draws=3).sample().shape == (3, 5)


def test_values_outside_the_support_raise_but_not_under_vmap():
    x = torch.randn(5, WIDTH)
    bad = {
        Bernoulli(nn.Linear(WIDTH, 4)): 2.0,
        Categorical(nn.Linear(WIDTH, 4), states=3): 3,
        Normal(nn.Linear(WIDTH, 4)): float("nan"),
        NeuralSpline(nn.Linear(WIDTH, 4)): float("nan"),
    }
    for law, value in bad.items():
        with pytest.raises(ValueError, match="support"):
            law(x).log_prob(torch.full((5,), value))
    law = Normal(nn.Linear(WIDTH, 4))
    each = torch.func.vmap(lambda row, value: law(row).log_prob(value))(x, torch.zeros(5))
    assert torch.allclose(each, law(x).log_prob(torch.zeros(5)))


def test_contexts_are_cast_and_only_real_tensors_taken():
    law = Normal(nn.Linear(WIDTH, 4))
    rows = torch.tensor([[1, 0, 1]])
    for x in (rows, rows.double(), rows.bool(), rows.to(torch.int8)):
        assert torch.equal(law(x).loc, law(rows.float()).loc)
    embedding = Normal(nn.Sequential(nn.Embedding(2, 4), nn.Flatten(-2)), features=12)
    assert embedding(rows).batch_shape == (1,)
    for wrong in ([[1.0, 0.0, 1.0]], rows + 0j):
        with pytest.raises(TypeError, match="context"):
            law(wrong)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"body": nn.Linear}, TypeError),
        ({"body": 8}, TypeError),
        ({"body": nn.Linear(3, 4), "features": 0}, ValueError),
        ({"body": nn.Linear(3, 4), "event": True}, ValueError),
    ],
)
def test_bad_arguments_are_named(arguments, error):
    with pytest.raises(error, match=r"body|features|event"):
        Normal(**arguments)
