"""Batch norms under several weight sets, and their statistics computed anew."""

import copy

import pytest
import torch
from torch import nn

from hybrid.bayes import batched
from hybrid.bayes.norm_statistics import refresh, statistics_of


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, ()), (nn.BatchNorm1d, (5,)), (nn.BatchNorm2d, (4, 4))]
)
def test_each_weight_set_has_its_own_statistics(kind, shape, momentum, affine):
    norm, draws = kind(3, momentum=momentum, affine=affine), 2
    singles = [copy.deepcopy(norm) for _ in range(draws)]
    weights = {name: torch.stack([v, v]).clone() for name, v in statistics_of(norm).items()}
    if affine:
        weights["weight"] = torch.randn(draws, 3)
        for m, single in enumerate(singles):
            single.weight.data.copy_(weights["weight"][m])
    for _ in range(3):
        x = torch.randn(draws, 8, 3, *shape)
        found = batched(norm, weights, x)
        for m, single in enumerate(singles):
            torch.testing.assert_close(found[m], single(x[m]))
    for m, single in enumerate(singles):
        torch.testing.assert_close(weights["running_mean"][m], single.running_mean)
        torch.testing.assert_close(weights["running_var"][m], single.running_var)
    norm.eval()
    shared = torch.randn(1, 8, 3, *shape)
    found = batched(norm, weights, shared)
    for m, single in enumerate(singles):
        torch.testing.assert_close(found[m], single.eval()(shared[0]))


def test_statistics_are_computed_anew_and_modes_kept():
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2), nn.Linear(2, 1)).train()
    net[2].eval()
    x = torch.randn(20, 2)
    net(x)
    refresh(net, [(x[:10], None), (x[10:], None)])
    torch.testing.assert_close(net[1].running_mean, x.mean(0))
    assert [part.training for part in net] == [True, True, False]
    assert net[1].momentum == 0.1
    with pytest.raises(ValueError, match="data has no batch"):
        refresh(net, [])
    assert net[1].momentum == 0.1


def test_a_last_batch_of_one_row_is_left_out():
    x, norm, short = torch.randn(9, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    refresh(norm, [x[:4], x[4:8]])
    refresh(short, [(x[:4], None), (x[4:8], None), (x[8:], None)])
    torch.testing.assert_close(short.running_var, norm.running_var)
    torch.testing.assert_close(short.running_mean, norm.running_mean)
