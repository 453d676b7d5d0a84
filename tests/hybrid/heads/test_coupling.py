"""The convention "quantile" of laws with atoms."""

import pytest
import torch

import causal
from causal.noise import NoiseNotRecoverable, abduct
from hybrid.heads import (
    Beta,
    Hurdle,
    MixtureDensity,
    NegativeBinomial,
    Normal,
    Poisson,
    Quantile,
    Student,
)
from hybrid.heads.hurdle import HurdleDistribution
from hybrid.heads.lognormal import LogNormal


def law():
    positive = LogNormal(None)(torch.zeros(3, 0))
    return HurdleDistribution(torch.zeros(3), positive)


def test_the_generator_draws_the_rank_within_an_atom():
    zeros = torch.zeros(3)
    state = torch.get_rng_state()
    first, second = (
        abduct(law(), zeros, convention="quantile", generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())
    assert (first < 0).all()  # half of the mass lies on zero


def test_refusals():
    with pytest.raises(NoiseNotRecoverable) as caught:
        abduct(law(), torch.zeros(3))
    assert caught.value.conventions == ("quantile",)
    with pytest.raises(ValueError, match=r"probability 0|support"):
        abduct(law(), torch.full((3,), -1.0), convention="quantile")


CONVENTIONS = {
    "student": (Student, None),
    "mixture": (MixtureDensity, None),
    "beta": (Beta, None),
    "quantile": (Quantile, None),
    "poisson": (Poisson, "quantile"),
    "negative binomial": (NegativeBinomial, "quantile"),
    "hurdle": (Hurdle, "quantile"),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_counterfactuals_of_a_structural_model(name):
    head, convention = CONVENTIONS[name]
    graph = causal.Graph.parse("X -> Y")
    law = head(torch.nn.Linear(1, 4))
    with torch.no_grad():
        law.body[1].weight.mul_(10)
    scm = causal.SCM(graph, {"X": Normal(None), "Y": law})
    evidence = scm.sample(8)
    worlds = [{"X": evidence["X"]}, {"X": evidence["X"] + 1}]
    with torch.no_grad():
        if convention is not None:
            with pytest.raises(NoiseNotRecoverable, match="'Y'"):
                scm.counterfactual(evidence, do=worlds)
        found = scm.counterfactual(evidence, do=worlds, convention=convention)
    same, moved = found["Y"]
    torch.testing.assert_close(same, evidence["Y"], atol=1e-4, rtol=1e-4)
    assert not torch.equal(same, moved) or convention
