"""The conformance checks, on every implementation of ours and on one broken part per clause."""

import copy

import pennylane as qml
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import constraints

import causal
import hybrid
import quantum
from causal.draws import held, hold
from hybrid.testing import (
    ContractError,
    check_joint,
    check_law,
    check_layer,
    check_objective,
)


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(wire)) for wire in range(2)]


def circuit_layer():
    return quantum.CircuitLayer(circuit, {"weights": (1, 2, 3)}, in_features=2)


def mlp(width=3, features=4):
    return hybrid.backbones.MLP(width, [5], features)


# ---------------------------------------------------------------------- ours: layers

LAYERS = {
    "MLP": (mlp, 3),
    "CircuitLayer": (circuit_layer, 2),
    "backbone and circuit": (lambda: nn.Sequential(mlp(3, 2), circuit_layer()), 3),
    "Skip": (lambda: hybrid.layers.Skip(mlp()), 3),
    "Interaction": (lambda: hybrid.layers.Interaction([0], mlp(2)), 3),
    "Standardize": (lambda: hybrid.layers.Standardize(torch.zeros(3), torch.ones(3)), 3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_our_layers(name):
    make, width = LAYERS[name]
    check_layer(make(), width)


@pytest.mark.parametrize("module", [nn.Linear(3, 2), nn.LayerNorm(3), nn.Dropout(0.5), nn.GELU()])
def test_torch_layers(module):
    check_layer(module, 3)


IMAGES, SEQUENCES = torch.randn(4, 2, 8, 8), torch.randn(4, 5, 3)
BACKBONES = {
    "ConvNet": (lambda: hybrid.backbones.ConvNet(2, [4, 8], 3), IMAGES),
    "ConvNet of signals": (
        lambda: hybrid.backbones.ConvNet(5, [4], 3, activation=nn.PReLU, dims=1, norm=None),
        SEQUENCES,
    ),
    "ResNet": (lambda: hybrid.backbones.ResNet(2, [4, 8], 3, blocks=1), IMAGES),
    "GRU": (lambda: hybrid.backbones.RNN(3, 4, 2), SEQUENCES),
    "LSTM": (
        lambda: hybrid.backbones.RNN(3, 4, 2, cell="lstm", layers=2, bidirectional=True),
        SEQUENCES,
    ),
    "Transformer": (
        lambda: hybrid.backbones.Transformer(3, 2, width=8, heads=2, layers=1),
        SEQUENCES,
    ),
    "Transformer of tokens": (
        lambda: hybrid.backbones.Transformer(
            None, 2, tokens=7, width=8, heads=2, layers=1, positions="learned", max_length=5
        ),
        torch.arange(20).reshape(4, 5) % 7,
    ),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_our_backbones(name):
    make, example = BACKBONES[name]
    check_layer(make(), example=example)


def test_layers_on_images():
    check_layer(nn.Conv2d(2, 3, 3), example=torch.randn(4, 2, 5, 5))


# ------------------------------------------------------------------------ ours: laws

LAWS = {
    "Normal": lambda: hybrid.heads.Normal(mlp()),
    "Normal vector": lambda: hybrid.heads.Normal(mlp(), event=2),
    "Bernoulli": lambda: hybrid.heads.Bernoulli(mlp()),
    "Categorical": lambda: hybrid.heads.Categorical(mlp(), states=3),
    "Ordinal": lambda: hybrid.heads.Ordinal(mlp(), states=4),
    "Student": lambda: hybrid.heads.Student(mlp()),
    "Laplace": lambda: hybrid.heads.Laplace(mlp(), event=2),
    "LogNormal": lambda: hybrid.heads.LogNormal(mlp()),
    "Beta": lambda: hybrid.heads.Beta(mlp()),
    "Poisson": lambda: hybrid.heads.Poisson(mlp()),
    "NegativeBinomial": lambda: hybrid.heads.NegativeBinomial(mlp()),
    "Hurdle": lambda: hybrid.heads.Hurdle(mlp()),
    "Hurdle of counts": lambda: hybrid.heads.Hurdle(mlp(), positive=hybrid.heads.Poisson),
    "MixtureDensity": lambda: hybrid.heads.MixtureDensity(mlp(), components=3),
    "Quantile": lambda: hybrid.heads.Quantile(mlp()),
    "AdaptiveRobust": lambda: hybrid.heads.AdaptiveRobust(mlp()),
    "Tobit": lambda: hybrid.heads.Tobit(mlp(), lower=0.0, upper=1.0),
    "NeuralSpline": lambda: hybrid.flows.NeuralSpline(mlp(), transforms=1, hidden=(8,)),
    "NeuralSpline vector": lambda: hybrid.flows.NeuralSpline(
        mlp(), event=2, transforms=1, hidden=(8,)
    ),
    "circuit": lambda: hybrid.heads.Normal(nn.Sequential(mlp(3, 2), circuit_layer())),
}


@pytest.mark.parametrize("name", LAWS)
def test_our_laws(name):
    check_law(LAWS[name](), 3)


@pytest.mark.parametrize("name", LAWS)
def test_our_laws_with_random_weights(name):
    check_law(hybrid.bayes.variational(LAWS[name]()), 3)


@pytest.mark.parametrize(
    "law",
    [
        hybrid.heads.Normal(None),
        hybrid.heads.Bernoulli(None),
        hybrid.heads.Categorical(None, states=4),
        hybrid.heads.Ordinal(None, states=4),
        hybrid.heads.Student(None),
        hybrid.heads.Hurdle(None),
        hybrid.heads.MixtureDensity(None),
        hybrid.heads.Quantile(None),
        hybrid.heads.Empirical(torch.randn(9)),
        hybrid.heads.Empirical(torch.randn(9, 2)),
        hybrid.flows.NeuralSpline(None, transforms=1, hidden=(8,)),
    ],
    ids=lambda law: type(law).__name__,
)
def test_our_laws_without_context(law):
    check_law(law, 0)


def test_a_law_with_a_limit_per_row():
    context = torch.randn(6, 3)
    context[:, 2] = torch.tensor([1.0, 2.0, torch.inf, 0.5, 3.0, torch.inf])
    law = hybrid.heads.Tobit(mlp(2), upper=hybrid.heads.Column(2))
    check_law(law, context=context)
    check_law(hybrid.bayes.variational(law), context=context)


# ---------------------------------------------------------------------- ours: joints


def finite_scm():
    graph = causal.Graph.parse("A -> B; A -> C; B -> C")
    return causal.SCM(
        graph,
        {
            "A": hybrid.heads.Bernoulli(None),
            "B": hybrid.heads.Categorical(mlp(1), states=3),
            "C": hybrid.heads.Bernoulli(mlp(4)),
        },
    )


def mixed_scm():
    graph = causal.Graph.parse("A -> B")
    return causal.SCM(
        graph, {"A": hybrid.heads.Normal(None), "B": hybrid.heads.Normal(mlp(1), event=2)}
    )


def hidden_scm():
    graph = causal.Graph.parse("A -> B; A <-> B; B <-> C")
    return causal.SCM(
        graph,
        {
            "A": hybrid.heads.Bernoulli(mlp(2)),
            "B": hybrid.heads.Normal(mlp(4)),
            "C": hybrid.heads.Normal(mlp(1), event=2),
        },
        hidden={("A", "B"): causal.Hidden(size=2)},
        guide=hybrid.heads.Normal(mlp(4), event=3),
    )


JOINTS = {
    "Factor": lambda: causal.Factor(("A", "B"), torch.rand(2, 3)),
    "SCM": mixed_scm,
    "SCM with hidden causes": hidden_scm,
    "random SCM with hidden causes": lambda: hybrid.bayes.variational(hidden_scm()),
    "random SCM": lambda: hybrid.bayes.variational(mixed_scm()),
}


@pytest.mark.parametrize("name", JOINTS)
def test_our_joints(name):
    check_joint(JOINTS[name]())


def test_our_finite_joint():
    check_joint(finite_scm())


# ------------------------------------------------------------------ ours: objectives


def normal_model(batch):
    import pyro

    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", len(batch)):
        pyro.sample("y", dist.Normal(mean, 1.0), obs=batch)


def pyro_objective():
    from pyro.infer.autoguide import AutoNormal

    example = torch.zeros(5)
    return hybrid.objectives.Pyro(normal_model, AutoNormal(normal_model), example)


OBJECTIVES = {
    "ELBO of a law": lambda: (
        hybrid.objectives.ELBO(hybrid.heads.Normal(mlp()), data_size=5),
        (torch.randn(5, 3), torch.randn(5)),
    ),
    "ELBO of a random law": lambda: (
        hybrid.objectives.ELBO(hybrid.bayes.variational(LAWS["circuit"]()), data_size=5, draws=3),
        (torch.randn(5, 3), torch.randn(5)),
    ),
    "ELBO of a joint": lambda: (
        hybrid.objectives.ELBO(hybrid.bayes.variational(finite_scm()), data_size=5),
        {"A": torch.tensor([0, 1, 1]), "B": torch.tensor([2, 1, 0]), "C": torch.tensor([1, 0, 0])},
    ),
    "Supervised": lambda: (
        hybrid.objectives.Supervised(mlp(features=1), nn.MSELoss()),
        (torch.randn(5, 3), torch.randn(5, 1)),
    ),
    "Supervised by a loss with parameters": lambda: (
        hybrid.objectives.Supervised(
            nn.Sequential(mlp(features=1), nn.Flatten(-2)), hybrid.losses.AdaptiveRobust()
        ),
        (torch.randn(5, 3), torch.randn(5)),
    ),
    "Supervised of a random law": lambda: (
        hybrid.objectives.Supervised(
            hybrid.bayes.variational(LAWS["Normal"]()), hybrid.losses.crps, data_size=5, draws=3
        ),
        (torch.randn(5, 3), torch.randn(5)),
    ),
    "Weighted": lambda: (
        hybrid.objectives.Weighted(
            {
                "law": hybrid.objectives.ELBO(hybrid.heads.Normal(mlp()), data_size=5),
                "score": hybrid.objectives.Supervised(LAWS["Normal"](), hybrid.losses.crps),
            },
            {"score": 0.5},
        ),
        (torch.randn(5, 3), torch.randn(5)),
    ),
    "Pyro": lambda: (pyro_objective(), torch.randn(5)),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_our_objectives(name):
    check_objective(*OBJECTIVES[name]())


# -------------------------------------------------------------------- broken: layers


class Broken(nn.Linear):
    def __init__(self):
        super().__init__(3, 3)


class FixedRank(Broken):
    def forward(self, x):
        return super().forward(x) if x.dim() == 2 else super().forward(x.reshape(-1, 3))


class MixesRows(Broken):
    def forward(self, x):
        return super().forward(x) - x.mean()


class Rounds(Broken):
    def forward(self, x):
        return super().forward(x).float()


class Stochastic(Broken):
    def forward(self, x):
        return super().forward(x) + 1e-3 * torch.rand(())


class DrawsUnseen(Broken):
    def forward(self, x):
        torch.rand(())
        return super().forward(x)


class AsksValues(Broken):
    def forward(self, x):
        return super().forward(x) if x.sum().item() > -1e9 else x


class Detaches(Broken):
    def forward(self, x):
        return super().forward(x.detach())


class FreezesWeights(Broken):
    def forward(self, x):
        return nn.functional.linear(x, self.weight, self.bias.detach())


class Infinite(Broken):
    def forward(self, x):
        return super().forward(x) + (x * 0).abs().sqrt()


class ForgetsWhenCopied(Broken):
    def __init__(self):
        super().__init__()
        self.shift = 0.0

    def __deepcopy__(self, memo):
        twin = ForgetsWhenCopied()
        twin.load_state_dict(self.state_dict())
        twin.shift = self.shift + 1
        return twin

    def forward(self, x):
        return super().forward(x) + self.shift


class Unpicklable(Broken):
    def __init__(self):
        super().__init__()
        self.function = lambda x: x


class HiddenState(Broken):
    def __init__(self):
        super().__init__()
        self.register_parameter("extra", nn.Parameter(torch.ones(3)))

    def state_dict(self, *arguments, **keywords):
        state = super().state_dict(*arguments, **keywords)
        state["extra"] = state["extra"] * 0
        return state

    def forward(self, x):
        return super().forward(x) + self.extra


@pytest.mark.parametrize(
    ("kind", "clause"),
    [
        (FixedRank, "any leading dimensions"),
        (MixesRows, "any leading dimensions"),
        (Rounds, "the dtype of the input is kept"),
        (Stochastic, "any leading dimensions"),
        (DrawsUnseen, "the same bits twice in evaluation mode"),
        (AsksValues, "vmap over inputs equals a loop"),
        (Detaches, "finite gradients to inputs and every parameter"),
        (FreezesWeights, "finite gradients to inputs and every parameter"),
        (Infinite, "finite gradients to inputs and every parameter"),
        (ForgetsWhenCopied, "the same bits after deepcopy"),
        (Unpicklable, "the same bits after pickle"),
        (HiddenState, "the same bits after state_dict"),
    ],
)
def test_broken_layers(kind, clause):
    with pytest.raises(ContractError) as caught:
        check_layer(kind(), 3)
    assert caught.value.clause == clause
    assert caught.value.subject == kind.__name__


class IgnoresParameters(Broken):
    """Uses a weight that functional_call does not reach."""

    def __init__(self):
        super().__init__()
        self.own = (self.weight,)

    def forward(self, x):
        return nn.functional.linear(x, self.own[0], self.bias) + 0 * self.weight.sum()


def test_parameters_kept_out_of_reach():
    with pytest.raises(ContractError) as caught:
        check_layer(IgnoresParameters(), 3)
    assert caught.value.clause == "vmap over parameters equals a loop"


# ---------------------------------------------------------------------- broken: laws


class Line(nn.Module):
    """A sound law with a random shift; the broken ones change one thing."""

    event_shape, support = torch.Size(), constraints.real

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 1)

    def fixed(self, draws, generator=None):
        size = () if draws is None else (draws, 1)
        return hold(self, torch.randn(size, generator=generator))

    def divergence(self):
        return torch.zeros(())

    def mean(self, context):
        return self.body(context).squeeze(-1) + held(self, torch.zeros(()))

    def forward(self, context):
        return dist.Normal(self.mean(context), 1.0)


class NoSupport(Line):
    support = None


class WrongEvent(Line):
    event_shape = torch.Size([2])


class KeepsColumn(Line):
    def mean(self, context):
        return self.body(context)


class NoDistribution(Line):
    def forward(self, context):
        return self.mean(context)


class OutsideSupport(Line):
    support = constraints.positive


class ForeverNaN(Line):
    def forward(self, context):
        return dist.Normal(self.mean(context) * torch.nan, 1.0, validate_args=False)


class NotNormalised(Line):
    support, states = constraints.integer_interval(0, 1), 2

    def forward(self, context):
        return NotSumming(self.mean(context))


class NotSumming(dist.Categorical):
    def __init__(self, mean):
        super().__init__(logits=torch.stack([mean, -mean], -1))

    def expand(self, shape, _instance=None):
        return NotSumming(self.logits[..., 0].expand(shape))

    def log_prob(self, value):
        return super().log_prob(value) + 0.1


class DrawsEachTime(Line):
    def mean(self, context):
        lead = (3,) if context.dim() == 3 and held(self, torch.zeros(())).dim() else ()
        return self.body(context).squeeze(-1) + torch.randn((*lead, 1))


class GlobalDraws(Line):
    def fixed(self, draws, generator=None):
        size = () if draws is None else (draws, 1)
        return hold(self, torch.randn(size))


class ForgetsDraws(Line):
    def forward(self, context):
        shift = held(self, torch.zeros(()))
        if shift.dim():
            return dist.Normal(self.body(context).squeeze(-1).expand(2, -1), 1.0)
        return super().forward(context)


class DetachedScale(Line):
    def mean(self, context):
        return nn.functional.linear(context, self.body.weight, self.body.bias.detach()).squeeze(-1)


class SugarWithoutAxis(Line):
    def forward(self, context, draws=None):
        return super().forward(context)


@pytest.mark.parametrize(
    ("kind", "clause"),
    [
        (NoSupport, "static event_shape and support"),
        (WrongEvent, "batch and event shapes"),
        (KeepsColumn, "batch and event shapes"),
        (NoDistribution, "batch and event shapes"),
        (OutsideSupport, "samples in the support with finite log probability"),
        (ForeverNaN, "samples in the support with finite log probability"),
        (NotNormalised, "the classes' probabilities sum to one"),
        (DrawsEachTime, "the draws axis inside fixed"),
        (ForgetsDraws, "the draws axis inside fixed"),
        (GlobalDraws, "a generator leaves the global random state alone"),
        (SugarWithoutAxis, "draws= is fixed with a leading axis"),
        (DetachedScale, "finite gradients to every parameter"),
    ],
)
def test_broken_laws(kind, clause):
    with pytest.raises(ContractError) as caught:
        check_law(kind(), 3)
    assert caught.value.clause == clause


def test_the_sound_law_of_the_broken_ones():
    check_law(Line(), 3)


class TakesAnything(dist.Normal):
    """Hides its batch shape, so that nothing can be refused."""

    @property
    def batch_shape(self):
        return torch.Size()

    def expand(self, shape, _instance=None):
        return self

    def log_prob(self, value):
        return super().log_prob(value) if value.shape == self.loc.shape else value * 0


class TakesAnyShape(Line):
    def forward(self, context):
        return TakesAnything(self.mean(context), 1.0, validate_args=False)


def test_a_law_that_takes_any_shape():
    with pytest.raises(ContractError):
        check_law(TakesAnyShape(), 3)


def test_pyro_must_take_it():
    class Opaque(torch.distributions.Normal):
        def rsample(self, sample_shape=()):
            if not sample_shape:
                return super().rsample(sample_shape)
            raise RuntimeError

        def __call__(self, *arguments):
            raise RuntimeError("not for Pyro")

    class Odd(Line):
        def forward(self, context):
            return Opaque(self.mean(context), 1.0)

    law = Odd()
    try:
        check_law(law, 3)
    except ContractError as error:
        assert "pyro" in error.clause  # noqa: PT017 (either outcome is sound: as_pyro may mend it)


# -------------------------------------------------------------------- broken: joints


class Table:
    """A sound joint of two coins; the broken ones change one thing."""

    variables = ("A", "B")

    def __init__(self):
        self.table = causal.Factor(("A", "B"), torch.tensor([[0.1, 0.2], [0.3, 0.4]]))

    def sample(self, n, given=None):
        return self.table.sample(n, given)

    def log_probability(self, values, given=None):
        return self.table.log_probability(values, given)

    def factor(self):
        return self.table


class Repeats(Table):
    variables = ("A", "A")


class Incomplete(Table):
    def sample(self, n, given=None):
        return {"A": self.table.sample(n)["A"]}


class OneTooMany(Table):
    def sample(self, n, given=None):
        return self.table.sample(n + 1)


class Summed(Table):
    def log_probability(self, values, given=None):
        return super().log_probability(values, given).sum()


class Normalises(Table):
    def log_probability(self, values, given=None):
        logs = super().log_probability(values, given)
        return logs - logs.logsumexp(0)


class OtherTable(Table):
    def factor(self):
        return causal.Factor(("A", "B"), torch.tensor([[0.25, 0.25], [0.25, 0.25]]))


class OtherNames(Table):
    def factor(self):
        return causal.Factor(("A", "C"), torch.tensor([[0.1, 0.2], [0.3, 0.4]]))


class IgnoresGiven(Table):
    def log_probability(self, values, given=None):
        return self.table.log_probability({**values, **(given or {})})


class SamplesPastGiven(Table):
    def sample(self, n, given=None):
        return self.table.sample(n)


class SamplesOneCell(Table):
    def sample(self, n, given=None):
        return {name: torch.zeros(n, dtype=torch.long) for name in "AB"}


@pytest.mark.parametrize(
    ("kind", "clause"),
    [
        (Repeats, "variables are different names"),
        (Incomplete, "sample(n) gives n rows of every variable"),
        (OneTooMany, "sample(n) gives n rows of every variable"),
        (Summed, "one finite log probability per sampled row"),
        (Normalises, "one finite log probability per sampled row"),
        (OtherNames, "the factor is the whole distribution"),
        (OtherTable, "the factor agrees with log_probability"),
        (IgnoresGiven, "log p(values | given) is the factor's"),
        (SamplesPastGiven, "sample(n, given) keeps what is given"),
        (SamplesOneCell, "samples are as frequent as the factor says"),
    ],
)
def test_broken_joints(kind, clause):
    check_joint(Table())
    with pytest.raises(ContractError) as caught:
        check_joint(kind())
    assert caught.value.clause == clause


# ---------------------------------------------------------------- broken: objectives


class Distance(nn.Linear):
    def __init__(self):
        super().__init__(1, 1)

    def forward(self, batch):
        return super().forward(batch).square().mean()


class NoMean(Distance):
    def forward(self, batch):
        return nn.functional.linear(batch, self.weight, self.bias)


class NaN(Distance):
    def forward(self, batch):
        return super().forward(batch) * torch.nan


class NaNPart(Distance):
    def forward(self, batch):
        loss = super().forward(batch)
        return hybrid.objectives.Loss(loss, {"part": loss * torch.inf})


class Unreached(Distance):
    def __init__(self):
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(1))


class OtherRandomness(Distance):
    source = torch.Generator().manual_seed(0)

    def forward(self, batch):
        return super().forward(batch) + torch.rand((), generator=self.source)


class Counts(Distance):
    def forward(self, batch):
        with torch.no_grad():
            self.bias.add_(1.0)
        return super().forward(batch) * 0 + (self.weight + self.bias * 0).sum()


@pytest.mark.parametrize(
    ("kind", "clause"),
    [
        (nn.Identity, "a module with trainable parameters"),
        (NoMean, "a finite real scalar with named scalar parts"),
        (NaN, "a finite real scalar with named scalar parts"),
        (NaNPart, "a finite real scalar with named scalar parts"),
        (Unreached, "a finite gradient to every trainable parameter"),
        (OtherRandomness, "the same bits from the same random state"),
        (Counts, "parameters are left as they were"),
    ],
)
def test_broken_objectives(kind, clause):
    with pytest.raises(ContractError) as caught:
        check_objective(kind(), torch.ones(4, 1))
    assert caught.value.clause == clause


# ------------------------------------------------------------------------- manners


def test_checks_leave_module_and_random_state_as_they_were():
    law = hybrid.bayes.variational(LAWS["Normal"]())
    objective = hybrid.objectives.ELBO(law, data_size=5)
    before = copy.deepcopy(objective.state_dict())
    batch = (torch.randn(5, 3), torch.randn(5))
    state = torch.get_rng_state()
    check_law(law, 3)
    check_layer(mlp(), 3) if False else check_objective(objective, batch)
    check_joint(Table())
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in objective.state_dict().items())
    assert all(p.grad is None for p in objective.parameters())
    assert law.training


def test_arguments():
    with pytest.raises(ValueError, match="either in_features or an example"):
        check_layer(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="either context_features or a batch"):
        check_law(nn.Linear(1, 1), 1, context=torch.zeros(2, 1))
    assert issubclass(ContractError, AssertionError)


# ------------------------------------------------------------------- how they are called


class Centred(Line):
    def forward(self, context):
        mean = self.body(context)[..., 0]
        return dist.Normal(mean - mean.mean(-1, keepdim=True), 1.0)


def test_rows_of_a_law_are_apart():
    with pytest.raises(ContractError, match="does not depend on the other rows"):
        check_law(Centred(), 3)


class Anywhere(nn.Module):
    """One distribution for every context, which broadcasts to it."""

    event_shape, support = torch.Size(), constraints.real

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(()))

    def forward(self, context):
        return dist.Normal(self.mean, 1.0)


def test_a_law_may_broadcast_to_its_context():
    check_law(Anywhere(), 0)


def test_classes_made_in_functions_are_not_pickled():
    class Local(nn.Linear):
        pass

    check_layer(Local(3, 2), 3)


@pytest.mark.parametrize("check", [check_layer, check_law])
def test_what_is_no_module_is_refused(check):
    with pytest.raises((ContractError, TypeError), match="Module"):
        check(len, 3)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        check_layer(nn.Linear(3, 2), example=torch.zeros(0, 3))
    with pytest.raises(ValueError, match="no rows"):
        check_law(Anywhere(), context=torch.zeros(0, 0))
