"""The bridges from Laws to Pyro and to columns."""

from types import SimpleNamespace

import pyro
import pyro.distributions as dist
import pytest
import torch
import torch.distributions as td
import zuko
from torch.distributions import constraints

from causal.law import (
    Law,
    as_pyro,
    columns_of,
    draw_from,
    encode,
    is_integer,
    law_at,
    log_probability_of,
    states_of,
    width_of,
)


def law(event=(), support=constraints.real, **more):
    return SimpleNamespace(event_shape=torch.Size(event), support=support, **more)


class Custom(td.Normal):
    """A user's own class."""


N = torch.zeros(4, 3)
PLAIN = {
    "normal": td.Normal(N, 1.0),
    "independent": td.Independent(td.Normal(N, 1.0), 1),
    "transformed": td.TransformedDistribution(td.Normal(N, 1.0), [td.ExpTransform()]),
    "lognormal": td.LogNormal(N, 1.0),
    "mixture": td.MixtureSameFamily(td.Categorical(torch.ones(4, 3)), td.Normal(N, 1.0)),
    "categorical": td.Categorical(torch.ones(4, 3)),
    "bernoulli": td.Bernoulli(torch.full((4,), 0.4)),
    "multivariate": td.MultivariateNormal(N, torch.eye(3)),
    "student": td.StudentT(3.0, N, 1.0),
    "uniform": td.Uniform(N, 1.0),
    "poisson": td.Poisson(N + 1.0),
    "low rank": td.LowRankMultivariateNormal(N, torch.ones(3, 1), torch.ones(3)),
    "one hot": td.OneHotCategorical(torch.ones(4, 3)),
    "binomial": td.Binomial(5, torch.full((4,), 0.4)),
    "beta": td.Beta(N + 1, N + 2),
    "gamma": td.Gamma(N + 1, N + 2),
    "weibull": td.Weibull(N + 1, N + 2),
    "own class": Custom(N, 1.0),
    "pyro": dist.Normal(N, 1.0),
    "zuko": zuko.flows.NSF(3, 2)(torch.zeros(4, 2)),
}


@pytest.mark.parametrize("name", PLAIN)
def test_as_pyro_is_the_same_distribution(name):
    plain = PLAIN[name]
    mine = as_pyro(plain)
    if name == "pyro":
        assert mine is plain
    assert as_pyro(mine) is mine
    assert (mine.batch_shape, mine.event_shape) == (plain.batch_shape, plain.event_shape)
    value = plain.sample()
    torch.testing.assert_close(mine.log_prob(value), plain.log_prob(value))

    def model():
        with pyro.plate("units", 4, dim=-1 - (len(plain.batch_shape) > 1)):
            return pyro.sample("x", mine)

    trace = pyro.poutine.trace(model).get_trace()
    torch.testing.assert_close(
        trace.log_prob_sum(), plain.log_prob(trace.nodes["x"]["value"]).sum()
    )
    assert draw_from(mine).shape == draw_from(plain).shape == value.shape
    assert mine.expand((2, *mine.batch_shape)).batch_shape == (2, *plain.batch_shape)


def test_as_pyro_keeps_gradients_and_refuses_the_rest():
    loc = torch.zeros(3, requires_grad=True)
    as_pyro(td.Normal(loc, 1.0)).log_prob(torch.ones(3)).sum().backward()
    assert loc.grad.tolist() == [1, 1, 1]
    with pytest.raises(TypeError, match="got Tensor"):
        as_pyro(torch.zeros(2))


def test_encodings():
    binary = law(support=constraints.boolean)
    three = law(support=constraints.integer_interval(0, 2), states=3)
    two = law(support=constraints.integer_interval(0, 1), states=2)
    image = law(event=(2, 2))
    assert [states_of(x) for x in (law(), binary, three, two)] == [None, 2, 3, 2]
    assert [is_integer(x) for x in (law(), binary, three, two)] == [False, False, True, True]
    assert [width_of(x) for x in (law(), binary, three, two, image)] == [1, 1, 3, 1, 4]
    assert columns_of("a b", three) == ("a b[0]", "a b[1]", "a b[2]")
    assert columns_of("I", image) == ("I[0,0]", "I[0,1]", "I[1,0]", "I[1,1]")
    assert encode(two, torch.tensor([0, 1]), torch.float64).tolist() == [[0], [1]]
    assert encode(law(), torch.tensor([[2.0, 3.0]]), torch.float64).shape == (1, 2, 1)
    assert encode(three, torch.tensor([[2, 0]]), torch.float32).shape == (1, 2, 3)
    assert encode(image, torch.arange(8.0).reshape(2, 2, 2), torch.float32).shape == (2, 4)
    for one in (law(), binary, three, two, image):
        assert len(columns_of("X", one)) == width_of(one)
    with pytest.raises(ValueError, match="states=3 and event_shape"):
        states_of(law(event=(2,), states=3))


def test_the_protocol(laws):
    assert isinstance(laws.Linear(1), Law)
    assert not isinstance(torch.nn.Linear(1, 1), Law)


@pytest.mark.parametrize(
    ("batch", "event", "shape"),
    [((5,), (), (5,)), ((3, 5), (), (1, 5)), ((1, 5), (), (3, 5)), ((1,), (), (5,)),
     ((), (), (5,)), ((5,), (2,), (5, 2)), ((3, 5), (2,), (1, 5, 2))],
)  # fmt: skip
def test_log_probability_takes(batch, event, shape):
    normal = td.Normal(torch.zeros((*batch, *event)), 1.0)
    distribution = td.Independent(normal, len(event))
    result = log_probability_of(distribution, torch.zeros(shape))
    assert result.shape == torch.broadcast_shapes(batch, shape[: len(shape) - len(event)])


@pytest.mark.parametrize(
    ("batch", "event", "shape", "hint"),
    [((5,), (), (5, 1), "squeeze"), ((5, 1), (), (5,), "expected"), ((5,), (), (4,), "expected"),
     ((5,), (), (1,), "expected"), ((5,), (1,), (5,), "unsqueeze"), ((5,), (2,), (5, 3), "vectors"),
     ((3, 5), (), (5,), "expected"), ((3, 5), (), (3, 1), "expected"), ((5,), (2,), (2,), "vec")],
)  # fmt: skip
def test_log_probability_never_broadcasts_data(batch, event, shape, hint):
    normal = td.Normal(torch.zeros((*batch, *event)), 1.0)
    with pytest.raises(ValueError, match=rf"income has shape .*{hint}"):
        log_probability_of(td.Independent(normal, len(event)), torch.zeros(shape), "income")


def test_law_at_checks_the_batch_shape():
    context = torch.zeros(5, 2)

    class Forgot:
        def __call__(self, context):
            return td.Normal(context[..., :1], 1.0)

    with pytest.raises(ValueError, match=r"Forgot returned .*\(5, 1\).*expected \(5,\)"):
        law_at(Forgot(), context)
    with pytest.raises(TypeError, match=r"must return a torch\.distributions"):
        law_at(lambda c: c, context)
    draws = law_at(lambda c: td.Normal(torch.zeros(3, 1), 1.0), torch.zeros(1, 5, 2))
    assert draws.batch_shape == (3, 5)


def test_a_distribution_that_has_its_axis_of_draws_is_not_expanded():
    found = td.Normal(torch.zeros(8, 5), 1.0)
    assert law_at(lambda context: found, torch.zeros(1, 5, 2)) is found  # an expansion costs a step
    narrow = law_at(lambda context: td.Normal(torch.zeros(8, 1), 1.0), torch.zeros(1, 5, 2))
    assert narrow.batch_shape == (8, 5)
    assert law_at(
        lambda context: td.Normal(torch.zeros(8, 1), 1.0), torch.zeros(1, 0, 2)
    ).batch_shape == (8, 0)
