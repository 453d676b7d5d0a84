"""What a training names when numbers go bad: NaN planted in every place they can come from."""

import math

import pennylane as qml
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from hybrid.backbones import MLP
from hybrid.bayes import variational
from hybrid.heads import Normal, Student
from hybrid.objectives import ELBO, Supervised
from hybrid.training.diagnosis import bad_module
from hybrid.training.guard import NonFiniteError
from hybrid.training.trainer import fit
from quantum.layer import CircuitLayer

NAN, INF = math.nan, math.inf
X, Y = torch.linspace(-1, 1, 12).reshape(6, 2), torch.linspace(0, 1, 6)


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2))
    qml.BasicEntanglerLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(wire)) for wire in range(2)]


def model():
    torch.manual_seed(0)
    layer = CircuitLayer(circuit, {"weights": (1, 2)}, in_features=2)
    return ELBO(Normal(nn.Sequential(MLP(2, [4], 2), layer)), data_size=6)


def named(objective, data=(X, Y), **options):
    with pytest.raises(NonFiniteError) as caught:
        fit(objective, data, epochs=1, progress=False, **options)
    return caught.value.part


def plant(tensor, value=NAN):
    with torch.no_grad():
        tensor.view(-1)[0] = value


class Spoiled(nn.Module):
    """Returns what it was given, with one bad number."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, inputs):
        first = torch.arange(inputs.numel()).reshape(inputs.shape) == 0
        return inputs.masked_fill(first, self.value)


def test_in_data():
    data = X.clone()
    plant(data[3:])
    dataset = torch.utils.data.TensorDataset(data, Y)
    loader = torch.utils.data.DataLoader(dataset, 2)
    assert named(model(), loader).startswith("x, row ")


def test_in_a_weight():
    objective = model()
    name, weight = next(objective.named_parameters())
    plant(weight)
    assert named(objective) == f"parameter {name!r}"


def test_in_a_circuit_angle():
    objective = model()
    name = next(n for n, _ in objective.named_parameters() if n.endswith(".weights"))
    plant(objective.get_parameter(name))
    assert named(objective) == f"parameter {name!r}"


@pytest.mark.parametrize("value", [NAN, INF])
def test_in_an_angle_that_is_computed(value):
    objective = model()
    objective.model.body.insert(1, Spoiled(value))
    assert named(objective) == "the output of 'model.body.1' (Spoiled)"


def test_in_the_scale_of_a_law():
    class Overflowing(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.event_shape = nn.Linear(2, 2), torch.Size(())
            self.support = dist.constraints.real

        def link(self, raw):
            return dist.Normal(raw[..., 0], (100 + raw[..., 1]).exp(), validate_args=False)

        def forward(self, context):
            return self.link(self.body(context))

    assert named(ELBO(Overflowing(), data_size=6)) == "the scale of 'model' (Overflowing)"


def test_a_law_that_checks_its_scale():
    objective = ELBO(Normal(nn.Sequential(nn.Linear(2, 4), Spoiled(NAN)), features=4), data_size=6)
    assert named(objective) == "the output of 'model.body.0.1' (Spoiled)"


def test_under_several_draws():
    torch.manual_seed(0)
    law = Student(nn.Sequential(nn.Linear(2, 6), Spoiled(NAN)), features=6)
    assert "(Posterior)" in named(ELBO(variational(law), data_size=6, draws=3))


def test_masks_with_infinities_are_not_blamed():
    class Masked(nn.Module):
        def forward(self, inputs):
            return inputs.masked_fill(torch.tensor([True, False, False]), -INF)

    body = nn.Sequential(nn.Linear(2, 3), Masked())
    history = fit(
        Supervised(body, nn.CrossEntropyLoss(reduction="none")),
        (X, torch.tensor([1, 2, 1, 2, 1, 2])), epochs=1, progress=False,
    )  # fmt: skip
    assert math.isfinite(history.loss[0])


def test_nothing_is_named_where_nothing_is_bad():
    objective = model()
    assert bad_module(objective, lambda: objective((X, Y))) is None
    assert not any(module._forward_hooks for module in objective.modules())


def test_the_generator_and_the_state_are_as_they_were():
    objective = model()
    before = [p.detach().clone() for p in objective.parameters()]
    objective.model.body.insert(1, Spoiled(NAN))
    state = torch.get_rng_state()
    named(objective, seed=0)
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(torch.equal, before, objective.parameters()))


def test_a_law_whose_body_runs_as_a_copy_is_still_named():
    law = Normal(MLP(2, [3], 4), features=4)
    nn.init.constant_(law.body[0][0].bias, INF)
    objective = ELBO(law, data_size=6)
    assert bad_module(objective, lambda: objective((X, Y))) == (
        "the output of 'model.body.0.0' (Linear)"
    )
