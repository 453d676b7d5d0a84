"""Users' functions of values: checks before them, and how they are called."""

import pytest
import torch
from pyro import distributions as dist

from causal.cases import acted, check_value
from causal.noise import NoiseNotRecoverable, abduct, replay


def test_values_are_never_broadcast_to_a_law():
    scalar = dist.Normal(torch.zeros(3), 1.0)
    for wrong in (torch.zeros(3, 1), torch.zeros(2), torch.zeros(5, 2)):
        with pytest.raises(ValueError, match="does not fit Normal"):
            abduct(scalar, wrong)
    # A law that forgot to squeeze would make (3, 3).
    with pytest.raises(ValueError, match="does not fit Normal"):
        abduct(dist.Normal(torch.zeros(3, 1), 1.0), torch.zeros(3))
    assert abduct(scalar, torch.zeros(7, 3)).shape == (7, 3)
    assert abduct(dist.Normal(torch.zeros(4, 3), 1.0), torch.zeros(1, 3)).shape == (4, 3)


def test_values_outside_of_the_support_have_no_noise():
    one = torch.ones(2)
    for law, value in (
        (dist.LogNormal(torch.zeros(2), 1.0), -one),
        (dist.Uniform(torch.zeros(2), 1.0), 2 * one),
        (dist.Normal(torch.zeros(2), 1.0), one * torch.nan),
    ):
        with pytest.raises(ValueError, match="NaN or outside of the support"):
            check_value(law, value)


def test_conventions_are_checked_after_the_value():
    with pytest.raises(NoiseNotRecoverable):
        abduct(dist.Bernoulli(torch.tensor(0.5)), torch.tensor(1.0))


@pytest.mark.parametrize("kind", [dist.Logistic, dist.SoftLaplace])
def test_location_scale_laws_are_exact_in_the_tails(kind):
    value = torch.tensor([-50.0, 50.0])
    law = kind(torch.tensor(0.5), torch.tensor(2.0))
    assert torch.equal(replay(law, abduct(law, value)), value)


def test_functions_get_what_their_parameters_name():
    known = {"X": 2.0, "a.b": 3.0}
    assert acted("Y", lambda X: X + 1, known) == 3.0
    assert acted("Y", lambda parents: parents["a.b"], known) == 3.0
    assert acted("Y", lambda: 7.0, known) == 7.0
    assert acted("Y", lambda X, factor=2: X * factor, known) == 4.0
    assert acted("Y", torch.nn.Identity(), known) == known
    with pytest.raises(ValueError, match=r"do\('Y'\): the function failed.*'Q'.*\['X', 'a.b'\]"):
        acted("Y", lambda parents: parents["Q"], known)
