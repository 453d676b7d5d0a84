"""Each group has the coverage, where one threshold for all would not give it."""

import pytest
import torch

from hybrid.conformal import APS, Mondrian, Split
from hybrid.uncertainty import coverage

LEVEL = 0.85


def data(n, generator):
    group = torch.randint(0, 3, (n,), generator=generator)
    noise = torch.randn(n, generator=generator, dtype=torch.float64)
    return group, noise * torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)[group]


def test_coverage_per_group():
    generator = torch.Generator().manual_seed(0)
    shares, plain = [], []
    for _ in range(150):
        group, y = data(900, generator)
        centre = torch.zeros(450, dtype=torch.float64)
        grouped = Mondrian(Split(LEVEL)).calibrate(centre, y[:450], group[:450])
        one = Split(LEVEL).calibrate(centre, y[:450])
        for method, found in ((grouped, shares), (one, plain)):
            inputs = (centre, group[450:]) if method is grouped else (centre,)
            lower, upper = method.predict(*inputs)
            rows = [group[450:] == k for k in range(3)]
            found.append([coverage(lower[r], upper[r], y[450:][r]).item() for r in rows])
    each = torch.tensor(shares).mean(0)
    assert (each > LEVEL - 0.01).all()
    assert (each < LEVEL + 0.02).all()
    one_for_all = torch.tensor(plain).mean(0)
    assert one_for_all[0] > 0.95
    assert one_for_all[2] < 0.75


def test_sets_and_names_of_groups():
    p = torch.tensor([[0.7, 0.2, 0.1]]).expand(8, -1)
    y = torch.tensor([0, 0, 0, 0, 2, 2, 2, 2])
    groups = ["easy"] * 4 + ["hard"] * 4
    method = Mondrian(APS(0.7, randomised=False)).calibrate(p, y, groups)
    sets = method.predict(p[:2], ["hard", "easy"])
    assert sets.tolist() == [[True, True, True], [True, False, False]]


def test_refusals():
    method = Mondrian(Split(0.5)).calibrate(torch.zeros(4), torch.ones(4), [1, 1, 2, 2])
    with pytest.raises(ValueError, match=r"groups \['3'\]"):
        method.predict(torch.zeros(2), [1, 3])
    with pytest.raises(ValueError, match="2 groups for 4 rows"):
        Mondrian(Split(0.5)).calibrate(torch.zeros(4), torch.ones(4), [1, 2])
