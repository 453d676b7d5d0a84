"""The curvature's memory, counted in numbers, and what parts of a network become."""

import torch
import torch.distributions as td
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hybrid.bayes.curvature import measure as measuring
from hybrid.bayes.curvature.measure import measure
from hybrid.layers import Skip


class Largest(TorchDispatchMode):
    """The size of the largest tensor that any operation returned."""

    def __init__(self):
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.size = max([self.size, *sizes])
        return result


def link(raw):
    return td.Categorical(logits=raw)


def names_of(body):
    return [name for name, _ in body.named_parameters()]


def test_the_diagonal_of_linear_layers_needs_no_more_than_the_weights():
    body = nn.Sequential(nn.Linear(40, 60), nn.ReLU(), nn.Linear(60, 10))
    x = torch.randn(100, 40)
    with Largest() as largest:
        measure(body, link, names_of(body), [x], "diagonal")
    jacobian = 100 * 10 * (60 * 41 + 610)
    assert largest.size <= 100 * 10 * 10  # the Fisher information of all rows
    assert largest.size * 300 < jacobian


def test_other_layers_go_through_few_rows_at_once(monkeypatch):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(30, 10))

        def forward(self, inputs):
            return inputs.tanh() @ self.weight

    x, body = torch.randn(200, 30), Scaled()
    [(_, whole)] = measure(body, link, ["weight"], [x], "diagonal")
    monkeypatch.setattr(measuring, "_HELD", 300 * 10 * 8)
    with Largest() as largest:
        [(_, block)] = measure(body, link, ["weight"], [x], "diagonal")
    assert largest.size <= 300 * 10 * 8
    torch.testing.assert_close(block.curvature, whole.curvature)


def test_parts_become_blocks_by_kind():
    shared = nn.Linear(4, 4)
    body = nn.Sequential(
        nn.Linear(3, 4), nn.PReLU(4), shared, shared, Skip(nn.Linear(4, 2)), nn.Linear(6, 3)
    )
    kinds = {}
    for names, block in measure(body, link, names_of(body), [torch.randn(5, 3)], "kronecker"):
        kinds[names] = type(block).__name__
    assert kinds == {
        ("0.weight", "0.bias"): "Kronecker",
        ("1.weight",): "Dense",
        ("2.weight", "2.bias"): "Kronecker",
        ("4.body.weight", "4.body.bias"): "Kronecker",
        ("5.weight", "5.bias"): "Kronecker",
    }


def test_a_layer_used_twice_and_tied_weights_have_the_right_diagonal():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
            self.two.weight = self.one.weight

        def forward(self, inputs):
            return self.two(self.one(self.one(inputs).tanh()).tanh())

    body, x = Tied().double(), torch.randn(6, 3).double()
    found = {}
    for names, block in measure(body, link, names_of(body), [x], "diagonal"):
        parts = block.curvature.split([body.get_parameter(name).numel() for name in names])
        found |= dict(zip(names, parts, strict=True))
    raw = body(x)
    p = raw.softmax(-1).detach()
    fisher = p.diag_embed() - p.unsqueeze(-1) * p.unsqueeze(-2)
    total = {name: torch.zeros(()) for name in found}
    for n in range(6):
        rows = [torch.autograd.grad(raw[n, k], list(body.parameters()), retain_graph=True)
                for k in range(3)]  # fmt: skip
        for i, name in enumerate(names_of(body)):
            jacobian = torch.stack([row[i].flatten() for row in rows])
            total[name] = total[name] + (jacobian * (fisher[n] @ jacobian)).sum(0)
    for name, value in found.items():
        torch.testing.assert_close(value, total[name])
