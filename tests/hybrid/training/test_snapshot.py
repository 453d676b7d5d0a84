import pytest
import torch
from torch import nn

from hybrid.training.snapshot import Snapshot


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()


def step(module, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = module(torch.randn(8, 3, dtype=torch.float64)).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)


def leaves(value):
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in leaves(part)]
    return [value.clone() if isinstance(value, torch.Tensor) else value]


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p, 0.1, amsgrad=True),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        lambda p: torch.optim.RMSprop(p, 0.1),
        lambda p: torch.optim.LBFGS(p, max_iter=3),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 3])
def test_restoring_and_going_on_gives_the_same_bits(make, before):
    module = network()
    optimizer = make(module.parameters())
    snapshot = Snapshot(module, (optimizer,))
    for _ in range(before):
        step(module, optimizer)
        snapshot.take()  # an earlier copy, to be replaced
    snapshot.take()
    random = torch.get_rng_state()
    kept = leaves(module.state_dict()) + leaves(optimizer.state_dict())
    for _ in range(2):
        step(module, optimizer)
    later = leaves(module.state_dict()) + leaves(optimizer.state_dict())
    assert not same(kept, later)
    snapshot.restore()
    assert same(kept, leaves(module.state_dict()) + leaves(optimizer.state_dict()))
    torch.set_rng_state(random)
    for _ in range(2):
        step(module, optimizer)
    assert same(later, leaves(module.state_dict()) + leaves(optimizer.state_dict()))


def test_settings_of_the_optimizer_come_back():
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    snapshot = Snapshot(module, (optimizer,))
    snapshot.take()
    optimizer.param_groups[0]["lr"] = 7.0
    snapshot.restore()
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_replaced_and_large_buffers_come_back():
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("small", torch.zeros(2))
            self.register_buffer("large", torch.zeros(5000))

    holder = Holder()
    snapshot = Snapshot(holder)
    assert not snapshot.taken
    snapshot.take()
    holder.small = torch.ones(2)
    holder.large.add_(1)
    snapshot.restore()
    assert not holder.small.any()
    assert not holder.large.any()
    holder.large.add_(2)
    snapshot.take()
    holder.large.zero_()
    snapshot.restore()
    assert bool((holder.large == 2).all())
