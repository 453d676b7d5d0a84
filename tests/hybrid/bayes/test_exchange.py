"""Copies that share parameters: parts exchanged, and shadows that threads do not see."""

import threading

import pennylane as qml
import pytest
import torch
from torch import nn
from torch.func import functional_call

from causal.draws import fixed
from hybrid.bayes import ensemble, variational
from hybrid.bayes.exchange import exchanged, shadow
from hybrid.heads import Normal
from quantum import CircuitLayer


def test_only_the_path_to_what_changes_is_copied():
    shared = nn.Linear(2, 2)
    net = nn.Sequential(nn.Sequential(shared, nn.ReLU()), shared, nn.Tanh())
    new = exchanged(net, lambda part: nn.GELU() if isinstance(part, nn.ReLU) else None)
    assert new[0] is not net[0]
    assert new[1] is new[0][0] is shared
    assert new[2] is net[2]
    assert isinstance(net[0][1], nn.ReLU)
    assert exchanged(net, lambda part: None) is net


@pytest.mark.parametrize("net", [nn.Linear(3, 4), nn.LSTM(3, 4), nn.GRU(3, 4, batch_first=True)])
def test_a_shadow_gives_the_same_and_keeps_stand_ins_to_itself(net):
    twin, x = shadow(net), torch.randn(5, 2, 3)
    expected = net(x)
    assert all(one is other for one, other in zip(twin.parameters(), net.parameters(), strict=True))
    ones = {name: torch.ones_like(value) for name, value in net.named_parameters()}
    stood_in = functional_call(twin, ones, (x,))
    again = functional_call(net, ones, (x,))
    for one, other in ((net(x), expected), (twin(x), expected), (stood_in, again)):
        first, second = (
            part if isinstance(part, torch.Tensor) else part[0] for part in (one, other)
        )
        assert torch.equal(first, second)


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2))
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(w)) for w in range(2)]


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, inputs):
        return self.two(self.one(inputs).tanh())


@pytest.mark.parametrize("random", [variational, lambda law: ensemble(law, 3)])
@pytest.mark.parametrize("draws", [3, None])
@pytest.mark.parametrize("kind", ["custom", "circuit"])
def test_threads_that_share_a_law_keep_their_weights(random, draws, kind):
    """Regression: stand-ins of one thread were seen, and once left behind, by another."""
    layer = Custom()
    if kind == "circuit":
        inner = CircuitLayer(circuit, {"weights": (1, 2, 3)}, in_features=2)
        layer = nn.Sequential(nn.Linear(3, 2), inner)
    law, x, answers = random(Normal(layer, features=2)), torch.randn(200, 3), {}

    def answer(seed):
        with torch.no_grad(), fixed(law, draws, torch.Generator().manual_seed(seed)):
            return law(x if draws is None else x.unsqueeze(0)).mean

    def work(seed):
        for _ in range(5):
            answers[seed] = answer(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    for seed, found in answers.items():
        assert torch.equal(found, answer(seed))
    assert all(isinstance(value, nn.Parameter) for value in law.parameters())
