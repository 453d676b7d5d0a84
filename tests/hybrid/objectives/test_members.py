"""`EachMember` is the sum over the members, whatever objective it is around."""

import pytest
import torch

from hybrid.backbones import MLP
from hybrid.bayes import ensemble, member
from hybrid.heads import Normal
from hybrid.objectives import ELBO, EachMember, Supervised
from hybrid.testing import check_objective

X = torch.linspace(-1, 1, 36).double().reshape(12, 3)
Y = X.square().sum(-1)


def squared(predicted, y):
    return (predicted.mean - y).square()


@pytest.mark.parametrize("kind", ["elbo", "supervised"])
def test_total_is_the_sum_of_what_members_have_alone(kind):
    law = ensemble(Normal(MLP(3, [4], 4)).double(), 3)
    if kind == "elbo":
        objective = ELBO(law, data_size=12, draws=3)
        alone = [ELBO(member(law, m), data_size=12) for m in range(3)]
    else:
        objective = Supervised(law, squared, data_size=12, draws=3)
        alone = [Supervised(member(law, m), squared) for m in range(3)]
    each = EachMember(objective)
    total, parts = each((X, Y))
    torch.testing.assert_close(total, torch.stack([one((X, Y)).total for one in alone]).sum())
    assert set(parts) == set(objective((X, Y)).parts)
    gradients = torch.autograd.grad(total, [p for p in each.parameters() if p.requires_grad])
    for m, one in enumerate(alone):
        own = torch.autograd.grad(one((X, Y)).total, list(one.parameters()))
        for stacked, single in zip(gradients, own, strict=True):
            torch.testing.assert_close(stacked[m], single)
    check_objective(each, (X, Y))


def test_plain_scalars_are_taken_too():
    class Size(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.law = ensemble(torch.nn.Linear(2, 1), 4)

        def forward(self, batch):
            return self.law(batch, draws=4).square().mean()

    objective = Size()
    batch = torch.ones(3, 2)
    torch.testing.assert_close(EachMember(objective)(batch).total, 4 * objective(batch))
