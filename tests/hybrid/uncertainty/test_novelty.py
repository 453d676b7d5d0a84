"""Out-of-distribution scores, and how well they tell."""

import pytest
import torch

from hybrid.uncertainty import auroc, energy, false_alarms, unsureness


def test_auroc_is_the_probability_of_the_right_order():
    torch.manual_seed(0)
    inside, outside = torch.randn(200), torch.randn(300) + 1
    pairs = outside.unsqueeze(-1) > inside
    assert auroc(inside, outside) == pytest.approx(pairs.float().mean().item())
    assert auroc(inside, inside) == pytest.approx(0.5)
    assert auroc(inside, inside - 100) == 0.0


def test_false_alarms():
    inside, outside = torch.arange(100.0), torch.arange(50.0, 150.0)
    assert false_alarms(inside, outside, caught=0.5) == 0.0
    assert false_alarms(inside, outside, caught=1.0) == pytest.approx(0.5)


def test_scores_grow_with_foreignness():
    sure, unsure = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.1, 0.0]])
    assert unsureness(unsure.softmax(-1)) > unsureness(sure.softmax(-1))
    assert energy(unsure) > energy(sure)
    torch.testing.assert_close(energy(sure, 2.0), -2 * (sure / 2).logsumexp(-1))


def test_refusals():
    good = torch.zeros(3)
    for wrong in (torch.zeros(0), torch.tensor([torch.nan])):
        with pytest.raises(ValueError, match="both kinds"):
            auroc(good, wrong)
    with pytest.raises(ValueError, match="caught"):
        false_alarms(good, good, caught=0.0)
    with pytest.raises(ValueError, match="temperature"):
        energy(torch.zeros(1, 2), 0.0)
