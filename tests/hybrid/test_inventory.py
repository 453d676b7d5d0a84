import pennylane as qml
import pytest
import torch
from torch import nn

from hybrid import bayes
from hybrid.bayes.conversion import variational
from hybrid.heads import Normal
from hybrid.inventory import summary
from quantum.layer import CircuitLayer


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return qml.expval(qml.Z(0))


def test_posteriors_and_circuits_say_what_they_are():
    layer = CircuitLayer(circuit, {"weights": (1, 2, 3)}, in_features=2)
    model = nn.Sequential(nn.Linear(3, 2), variational(nn.Sequential(nn.Linear(2, 2), layer)))
    found = {part.path: part for part in summary(model, depth=1).parts}
    assert found["1"].note == "posterior (MeanField), 3 random parameters"
    assert found["1.mean.1"].note.startswith("circuit on the engine ")
    assert "1.mean.0" not in found
    assert found["1"].parameters == 2 * (4 + 2 + 6)
    assert found[""].parameters == found["0"].parameters + found["1"].parameters
    lines = str(summary(model)).splitlines()
    assert len(lines) > 4
    assert "posterior (MeanField)" in str(summary(model))


def test_shared_parameters_and_buffers_are_counted_once():
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, shared, nn.BatchNorm1d(2).requires_grad_(False))
    whole = summary(model).parts[0]
    assert (whole.parameters, whole.trainable) == (10, 6)
    assert whole.bytes == 4 * (10 + 4) + 8


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_parameters_have_no_size_yet():
    assert summary(nn.LazyLinear(3)).parts[0].parameters == 0


def test_every_kind_of_posterior_says_its_name():
    law, x = Normal(nn.Linear(2, 2)), torch.randn(20, 2)
    kinds = {
        "FullRank": bayes.variational(law, bayes.FullRank()),
        "Ensemble": bayes.ensemble(law, 3),
        "Laplace": bayes.laplace(law, (x, x.sum(-1))),
    }
    for name, module in kinds.items():
        assert f"posterior ({name})" in str(summary(module))
