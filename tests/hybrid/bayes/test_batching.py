"""Running a layer under many weight sets equals a loop over them, whatever the layer."""

import copy

import pennylane as qml
import pytest
import torch
from torch import nn

from causal.draws import fixed, held
from hybrid.backbones import MLP, RNN, ConvNet, ResNet, Transformer
from hybrid.bayes import MeanField, Posterior, batched
from hybrid.layers import Aside, Constant, Interaction, Readout, Skip, Standardize
from quantum.layer import CircuitLayer


class Gru(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, inputs):
        return self.gru(inputs)[0][:, -1]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, inputs):
        return self.attention(inputs, inputs, inputs, need_weights=False)[0]


class Branch(nn.Module):
    """Control flow that depends on data: vmap cannot."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, inputs):
        outputs = self.linear(inputs)
        return outputs if outputs.sum() > 0 else -outputs


class Shouting(nn.Linear):
    """A subclass with a forward of its own must not be run by Linear's rule."""

    def forward(self, inputs):
        return 10 * super().forward(inputs)


class Broadcasting(nn.Module):
    """Parameters may have leading dimensions."""

    broadcasts_parameters = True

    def __init__(self):
        super().__init__()
        self.angle = nn.Parameter(torch.randn(3))

    def forward(self, inputs):
        assert not torch._C._functorch.is_batchedtensor(inputs)
        return torch.cos(inputs + self.angle)


def tied():
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    net[2].weight = net[0].weight
    return net


def shared():
    activation = nn.PReLU()
    return nn.Sequential(nn.Linear(3, 3), activation, nn.Linear(3, 3), activation)


def hooked():
    net = nn.Linear(3, 2)
    net.register_forward_hook(lambda module, inputs, outputs: outputs + 1)
    return net


class Positive(nn.Module):
    def forward(self, inputs):
        return inputs.exp()


def parametrised():
    return nn.utils.parametrize.register_parametrization(nn.Linear(3, 2), "weight", Positive())


def circuit():
    def function(inputs, weights):
        qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
        qml.StronglyEntanglingLayers(weights, wires=range(3))
        return [qml.expval(qml.Z(wire)) for wire in range(3)]

    return CircuitLayer(function, {"weights": (1, 3, 3)}, in_features=3)


ROWS, IMAGES, SEQUENCES = (6, 3), (6, 1, 8, 8), (6, 5, 3)
LAYERS = {
    "linear": (lambda: nn.Linear(3, 2), ROWS),
    "linear without bias": (lambda: nn.Linear(3, 2, bias=False), ROWS),
    "more leading axes": (lambda: nn.Linear(3, 2), (4, 6, 3)),
    "one row": (lambda: nn.Linear(3, 2), (3,)),
    "mlp": (lambda: MLP(3, [5, 5], 2), ROWS),
    "mlp of prelu": (lambda: MLP(3, [5], 2, activation=nn.PReLU), ROWS),
    "sequential": (lambda: nn.Sequential(MLP(3, [4], 4), nn.LayerNorm(4), nn.Linear(4, 1)), ROWS),
    "standardize": (
        lambda: nn.Sequential(Standardize(torch.ones(3), torch.full((3,), 2.0)), nn.Linear(3, 2)),
        ROWS,
    ),
    "skip": (lambda: Skip(MLP(3, [4], 2)), ROWS),
    "skip of nothing random before": (
        lambda: nn.Sequential(nn.Tanh(), Skip(nn.Linear(3, 2))),
        ROWS,
    ),
    "interaction": (lambda: Interaction([1], MLP(2, [4], 2)), ROWS),
    "aside": (lambda: Aside(nn.Linear(2, 2), [0]), ROWS),
    "constant": (lambda: Constant([1.0, 2.0]), (6, 0)),
    "readout": (lambda: Readout(3, [0.0, 1.0]), ROWS),
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 2)
        ),
        IMAGES,
    ),
    "grouped convolution": (lambda: nn.Conv2d(2, 4, 3, groups=2, stride=2), (6, 2, 8, 8)),
    "convolution without bias": (lambda: nn.Conv1d(5, 2, 2, bias=False), SEQUENCES),
    "one image": (lambda: nn.Conv2d(1, 2, 3), (1, 8, 8)),
    "circular convolution": (
        lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"),
        IMAGES,
    ),
    "transposed convolution": (lambda: nn.ConvTranspose2d(1, 2, 3), IMAGES),
    "layer norm of two axes": (lambda: nn.LayerNorm([5, 3]), SEQUENCES),
    "layer norm without weights": (
        lambda: nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3, elementwise_affine=False)),
        ROWS,
    ),
    "prelu per channel": (lambda: nn.PReLU(5), SEQUENCES),
    "convnet": (lambda: ConvNet(1, [4, 8], 2, activation=nn.PReLU), IMAGES),
    "convnet of more axes": (lambda: ConvNet(1, [4], 2), (2, *IMAGES)),
    "resnet": (lambda: ResNet(1, [4, 8], 2, blocks=1), IMAGES),
    "our gru": (lambda: RNN(3, 4, 2), SEQUENCES),
    "our lstm": (lambda: RNN(3, 4, 2, cell="lstm", layers=2, bidirectional=True), SEQUENCES),
    "transformer": (lambda: Transformer(3, 2, width=8, heads=2, layers=1), SEQUENCES),
    "transformer of learned positions": (
        lambda: Transformer(3, 2, width=8, heads=2, positions="learned", causal=True),
        (2, *SEQUENCES),
    ),
    "gru": (lambda: Gru(), SEQUENCES),
    "lstm behind linear": (lambda: nn.Sequential(nn.Linear(3, 3), Gru()), SEQUENCES),
    "attention": (lambda: nn.Sequential(nn.Linear(3, 4), Attention()), SEQUENCES),
    "control flow": (lambda: Branch(), ROWS),
    "subclass": (lambda: Shouting(3, 2), ROWS),
    "tied": (tied, ROWS),
    "shared": (shared, ROWS),
    "hooked": (hooked, ROWS),
    "parametrised": (parametrised, ROWS),
    "broadcasting": (lambda: Broadcasting(), (4, 6, 3)),
    "circuit": (circuit, ROWS),
    "circuit of more axes": (circuit, (2, 6, 3)),
    "circuit in a body": (lambda: Skip(nn.Sequential(MLP(3, [4], 3), circuit())), ROWS),
    "batch norm in evaluation": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval(),
        ROWS,
    ),
}
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
every_layer = pytest.mark.parametrize("name", LAYERS)


def with_weights(module, weights):
    """A copy of ``module`` with tensors for parameters, wherever they are used."""
    names = {}
    for name, value in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(value), []).append(name)
    module_of = dict(module.named_parameters())
    twin = copy.deepcopy(module)
    for name, weight in weights.items():
        for alias in names[id(module_of[name])]:
            path, _, leaf = alias.rpartition(".")
            owner = twin.get_submodule(path)
            owner._parameters.pop(leaf, None)
            owner.__dict__[leaf] = weight
    return twin


def by_loop(posterior, weights, inputs):
    """Reference: each draw's weights put into the wrapped layer, one draw after another."""
    draws = len(next(iter(weights.values())))
    results = []
    for draw in range(draws):
        one = {key: weight[draw] for key, weight in weights.items()}
        results.append(with_weights(posterior.mean, one)(inputs[draw % len(inputs)]))
    return torch.stack(results)


@every_layer
@pytest.mark.parametrize("lead", [1, 4])
def test_equals_a_loop_over_draws(name, lead):
    make, shape = LAYERS[name]
    posterior = Posterior(make().double(), MeanField(scale=0.3))
    inputs = torch.randn(lead, *shape, dtype=torch.float64)
    seed = lambda: torch.Generator().manual_seed(5)  # noqa: E731
    weights = posterior.weights(4, seed())
    with fixed(posterior, 4, seed()):
        outputs = posterior(inputs)
        assert torch.equal(posterior(inputs), outputs)
    torch.testing.assert_close(outputs, by_loop(posterior, weights, inputs))
    assert (outputs[0] - outputs[1]).abs().max() > 1e-6
    assert posterior(inputs[0], draws=3).shape == (3, *outputs.shape[1:])
    assert posterior(inputs[0], draws=1).shape == (1, *outputs.shape[1:])
    assert posterior(inputs[0]).shape == outputs.shape[1:]


@every_layer
def test_every_mean_and_scale_gets_the_loops_gradient(name):
    make, shape = LAYERS[name]
    posterior = Posterior(make().double(), MeanField(scale=0.3))
    inputs = torch.randn(1, *shape, dtype=torch.float64)
    seed = lambda: torch.Generator().manual_seed(5)  # noqa: E731
    with fixed(posterior, 3, seed()):
        ours = posterior(inputs).square().sum()
    loop = by_loop(posterior, posterior.weights(3, seed()), inputs).square().sum()
    parameters = list(posterior.parameters())
    for one, two in zip(
        torch.autograd.grad(ours, parameters), torch.autograd.grad(loop, parameters), strict=True
    ):
        torch.testing.assert_close(one, two)


def test_tied_weights_draw_once():
    posterior = Posterior(tied().double(), MeanField(scale=0.3))
    assert sum("raw_scale" in name for name, _ in posterior.named_parameters()) == 3
    with fixed(posterior, 2):
        _, weights = held(posterior)
        assert weights["2.weight"] is weights["0.weight"]


def test_nothing_random_is_run_plainly():
    inputs = torch.randn(1, 6, 3)
    net = nn.Sequential(nn.Linear(3, 4), nn.Flatten())
    torch.testing.assert_close(batched(net, {}, inputs), net(inputs[0]).unsqueeze(0))
    images = torch.randn(4, 6, 1, 8, 8)
    flat = batched(nn.Flatten(), {}, images)
    assert flat.shape == (4, 6, 64)


def test_a_random_part_inside_a_deterministic_one():
    inner = Posterior(nn.Linear(4, 2), MeanField())
    net = nn.Sequential(nn.Conv2d(1, 4, 8), nn.Flatten(), inner)
    with fixed(net, 5):
        assert batched(net, {}, torch.randn(1, 6, 1, 8, 8)).shape == (5, 6, 2)


def test_partly_random():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    posterior = Posterior(net, MeanField(scale=0.5), names=["2.bias"])
    inputs = torch.randn(6, 3)
    outputs = posterior(inputs, draws=4)
    shifts = outputs - net(inputs)
    torch.testing.assert_close(shifts, shifts[:, :1].expand_as(shifts))
    assert shifts.abs().max() > 0.1


def test_batch_norm_in_training_mode_is_refused_for_several_draws():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    posterior = Posterior(net, MeanField())
    with pytest.raises(ValueError, match=r"BatchNorm1d.*training mode"):
        posterior(torch.randn(6, 3), draws=2)
    assert net[1].num_batches_tracked == 0
    assert posterior(torch.randn(6, 3), draws=1).shape == (1, 6, 4)
    assert net[1].num_batches_tracked == 1
    assert posterior.eval()(torch.randn(6, 3), draws=2).shape == (2, 6, 4)


@pytest.mark.parametrize("first", [True, False])
def test_each_draw_has_its_own_dropout_mask(first):
    parts = [nn.Dropout(0.5), nn.Linear(50, 50, bias=False)]
    net = nn.Sequential(*(parts if first else parts[::-1]))
    nn.init.eye_(net[1 if first else 0].weight)
    posterior = Posterior(net, MeanField(scale=1e-6))
    outputs = posterior(torch.ones(1, 50), draws=8)
    masks = (outputs[:, 0] > 0.5).float()
    assert 0.3 < masks.mean() < 0.7
    assert len(masks.unique(dim=0)) == 8
    assert len((posterior.eval()(torch.ones(1, 50), draws=8) > 0.5).unique(dim=0)) == 1


def test_attention_in_evaluation_mode_keeps_its_gradient():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, inputs):
            return self.attention(inputs, inputs, inputs)[0].mean(-2)

    random = Posterior(Attention().eval(), MeanField()).eval()
    random(torch.randn(6, 3, 4), draws=3).square().sum().backward()
    weight = random.mean.attention.in_proj_weight
    assert weight.grad is not None
    assert weight.grad.any()


def test_layers_without_a_vmap_rule_run_without_a_warning():
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    assert Posterior(normed, MeanField())(torch.randn(5, 3), draws=2).shape == (2, 5, 2)
