"""The two models of `samplers.py` as Pyro programs, for our samplers and for Pyro's."""

from collections.abc import Callable, Mapping
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray

__all__ = ["MODELS", "NAMES"]

Data = Mapping[str, NDArray[Any]]
NAMES = {"eight_schools": ("mu", "tau", "raw"), "logistic": ("intercept", "slopes")}


def eight_schools(data: Data) -> Callable[[], None]:
    """The non-centred program."""
    effects, errors = torch.from_numpy(data["effects"]), torch.from_numpy(data["errors"])
    five = torch.tensor(5.0, dtype=torch.float64)
    one = torch.ones(len(effects), dtype=torch.float64)

    def program() -> None:
        mu = pyro.sample("mu", dist.Normal(0 * five, five))
        tau = pyro.sample("tau", dist.HalfCauchy(five))
        raw = pyro.sample("raw", dist.Normal(0 * one, one).to_event(1))
        pyro.sample("y", dist.Normal(mu + tau * raw, errors).to_event(1), obs=effects)

    return program


def logistic(data: Data) -> Callable[[], None]:
    """Bernoulli labels."""
    design, labels = torch.from_numpy(data["design"]), torch.from_numpy(data["labels"])
    five = torch.tensor(5.0, dtype=torch.float64)
    one = torch.ones(design.shape[1], dtype=torch.float64)

    def program() -> None:
        intercept = pyro.sample("intercept", dist.Normal(0 * five, five))
        slopes = pyro.sample("slopes", dist.Normal(0 * one, one).to_event(1))
        law = dist.Bernoulli(logits=intercept + design @ slopes).to_event(1)
        pyro.sample("y", law, obs=labels)

    return program


MODELS = {"eight_schools": eight_schools, "logistic": logistic}
