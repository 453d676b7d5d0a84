"""The Fisher information of every kind of head: closed, over classes, from samples."""

import pytest
import torch
import torch.distributions as td
from torch import nn

from hybrid.heads import (
    Bernoulli,
    Categorical,
    Laplace,
    LogNormal,
    NegativeBinomial,
    Normal,
    Ordinal,
    Poisson,
    Student,
)
from hybrid.information.pulled_back import behind_link
from hybrid.information.roots import exact_information

RAW = torch.tensor([[0.3, -0.4, 0.8, 0.2], [-0.5, 0.1, 0.0, 0.9]]).double()


def outputs(law):
    return law.body[-1].out_features


def outer(roots):
    return torch.einsum("nrk,nrl->nkl", roots, roots)


@pytest.mark.parametrize(
    "law",
    [
        Bernoulli(nn.Identity(), features=2),
        Categorical(nn.Identity(), features=2, states=3),
        Ordinal(nn.Identity(), features=2, states=3),
        Poisson(nn.Identity(), features=2),
        NegativeBinomial(nn.Identity(), features=2),
    ],
)
def test_counts_and_classes_by_enumeration(law):
    raw = RAW[:, : law.body(torch.zeros(1, 2)).shape[-1]]
    values = torch.arange(law.states or 400)
    expected = torch.zeros(())
    for value in values if law.states else values.double():
        given = raw.clone().requires_grad_()
        log = law.link(given).log_prob(value.to(RAW.dtype if law.states in (None, 2) else value))
        score = torch.autograd.grad(log.sum(), given)[0]
        weight = log.detach().exp().reshape(-1, 1, 1)
        expected = expected + weight * score.unsqueeze(-1) * score.unsqueeze(-2)
    exact = law.states is not None or exact_information(law.link(raw)) is not None
    found = outer(behind_link(law.link, raw, 4000, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(
        found, expected, rtol=1e-6 if exact else 0.1, atol=1e-6 if exact else 0.05
    )
    assert exact == (not isinstance(law, NegativeBinomial))


def link_of(kind):
    return {
        "normal": lambda raw: td.Normal(raw[:, 0], raw[:, 1].exp()),
        "laplace": lambda raw: td.Laplace(raw[:, 0], raw[:, 1].exp()),
        "log-normal": lambda raw: td.LogNormal(raw[:, 0], raw[:, 1].exp()),
        "exponential": lambda raw: td.Exponential((raw[:, 0] + raw[:, 1] ** 2).exp()),
        "vector": lambda raw: td.Independent(td.Normal(raw[:, :2], raw[:, 2:].exp()), 1),
    }[kind]


@pytest.mark.parametrize("kind", ["normal", "laplace", "log-normal", "exponential", "vector"])
def test_closed_forms_are_what_samples_tend_to(kind):
    link = link_of(kind)
    found = outer(behind_link(link, RAW))
    given = RAW.clone().requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = link(given).sample((40_000,)).detach()

    def one(raw, value):
        return link(raw.unsqueeze(0)).log_prob(value.unsqueeze(0)).squeeze(0)

    gradient = torch.func.vmap(torch.func.vmap(torch.func.grad(one)), in_dims=(None, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(td.Distribution, "_validate_args", False)
        score = gradient(RAW, drawn)
    expected = torch.einsum("snk,snl->nkl", score, score) / len(drawn)
    torch.testing.assert_close(found, expected, rtol=0.08, atol=0.08)


@pytest.mark.parametrize("head", [Normal, Laplace, LogNormal, Poisson, Student])
def test_heads_have_closed_forms(head):
    law = head(nn.Identity(), features=4)
    assert exact_information(law.link(RAW[:, : law.body(RAW.float()).shape[-1]])) is not None


def test_samples_respect_the_generator_and_the_global_state():
    law = NegativeBinomial(nn.Identity(), features=2)
    raw, before = RAW[:, :2], torch.get_rng_state()
    one, two = (behind_link(law.link, raw, 8, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_distribution_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"batch shape \(2, 4\) of 2 rows: expected \(2,\)"):
        behind_link(lambda raw: td.Normal(raw, 1.0), RAW)
