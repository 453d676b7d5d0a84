"""Every posterior of the library on the model of `calibration`, through its public functions.

Laws are straight lines through zero with known noise, one of them for each simulation: their
parameters are independent, so that what knows no correlation between weights (or none that is not
there) trains many simulations as one law. All others train one simulation after another. A draw of
the parameters is read off as the predictions at the unit vectors.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import pyro
import pyro.distributions as dist
import torch
from calibration import DESIGN, DRAWS, ROWS, SIZE, Posterior, exact, in_groups, narrow
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

import hybrid
from hybrid.bayes import (
    NUTS,
    SGHMC,
    SWAG,
    Collect,
    FlowPosterior,
    FullRank,
    LowRank,
    MeanField,
    dropout,
    ensemble,
    fixed,
    laplace,
    sample,
    variational,
)
from hybrid.objectives import ELBO, EachMember

_DECAY = 1 / ROWS  # the prior, for the mean loss of a row


class Lines(nn.Module):
    """A law of as many values as there are simulations, each with noise of standard deviation 1."""

    support = constraints.real_vector

    def __init__(self, simulations: int, *before: nn.Module) -> None:
        super().__init__()
        line = nn.Linear(SIZE, simulations, bias=False, dtype=DESIGN.dtype)
        self.body = nn.Sequential(*before, line)
        self.event_shape = torch.Size((simulations,))

    def link(self, raw: Tensor) -> Distribution:
        """The law at the lines' values."""
        normal: Distribution = dist.Normal(raw, 1.0).to_event(1)
        return normal

    def forward(self, context: Tensor) -> Distribution:
        """The law given rows of the design."""
        return self.link(self.body(context))


def coefficients(law: nn.Module, seed: int) -> Tensor:
    """Draws of the lines' parameters, ``(simulations, DRAWS, SIZE)``."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad(), fixed(law, DRAWS, generator):
        values = law(torch.eye(SIZE, dtype=DESIGN.dtype).unsqueeze(0)).mean
    return torch.as_tensor(values.expand(DRAWS, *values.shape[1:]).permute(2, 0, 1))


def fit(
    objective: nn.Module,
    y: Tensor,
    seed: int,
    optimizer: Callable[[Any], Any],
    epochs: int,
    batch_size: int = ROWS,
    callbacks: Sequence[Any] = (),
) -> None:
    """Train on the data ``(simulations, rows)``."""
    hybrid.fit(
        objective,
        (DESIGN, y.mT),
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        callbacks=callbacks,
        seed=seed,
        progress=False,
    )


def descent(parameters: Any) -> torch.optim.Optimizer:
    """Gradients of all rows, with the prior as weight decay: 100 steps are at the mode."""
    return torch.optim.SGD(parameters, 0.15, momentum=0.6, weight_decay=_DECAY)


def by_family(family: Any) -> Posterior:
    """Variational inference by L-BFGS, with 512 common draws, other ones for each simulation."""

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        settings: dict[str, Any] = {"max_iter": 60, "tolerance_grad": 1e-4}
        return torch.optim.LBFGS(parameters, line_search_fn="strong_wolfe", **settings)

    def posterior(y: Tensor, seed: int) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            law = variational(Lines(len(y)), family)
        fit(ELBO(law, data_size=ROWS, draws=512, seed=seed), y, seed, optimizer, epochs=1)
        return coefficients(law, seed)

    return posterior


def by_laplace(
    structure: Literal["diagonal", "kronecker", "last_layer", "full"], linearised: bool = True
) -> Posterior:
    """Laplace's approximation at the mode."""

    def posterior(y: Tensor, seed: int) -> Tensor:
        law = Lines(len(y))
        fit(ELBO(law, data_size=ROWS), y, seed, descent, epochs=100)
        random = laplace(law, (DESIGN, y.mT), structure, linearised=linearised)
        return coefficients(random, seed)

    return posterior


def by_sghmc(lr: float = 0.1, every: int = 25, batch_size: int = ROWS) -> Posterior:
    """One path, from which draws are so far apart that one hardly remembers the other."""

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        return SGHMC(parameters, lr=lr, data_size=ROWS, friction=4.5)

    def posterior(y: Tensor, seed: int) -> Tensor:
        law, kept = Lines(len(y)), Collect(after=100, every=every, limit=DRAWS)
        epochs = 100 + -(-every * DRAWS * batch_size // ROWS)
        fit(ELBO(law, data_size=ROWS), y, seed, optimizer, epochs, batch_size, callbacks=[kept])
        return coefficients(kept.apply(law), seed)

    return posterior


def by_swag(y: Tensor, seed: int) -> Tensor:
    """A constant learning rate and batches of two rows."""
    law, swag = Lines(len(y)), SWAG(rank=20, after=10)

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, 0.05, weight_decay=_DECAY)

    fit(ELBO(law, data_size=ROWS), y, seed, optimizer, 40, batch_size=2, callbacks=[swag])
    return coefficients(swag.apply(law), seed)


def by_ensemble(y: Tensor, seed: int) -> Tensor:
    """As many members as there are draws."""
    generator = torch.Generator().manual_seed(seed)
    law = ensemble(Lines(len(y)), members=DRAWS, generator=generator)
    objective = EachMember(ELBO(law, data_size=ROWS, draws=DRAWS))
    fit(objective, y, seed, descent, epochs=100)
    return coefficients(law, seed)


def by_dropout(y: Tensor, seed: int) -> Tensor:
    """A tenth of the inputs is dropped, in training for each row."""
    law = Lines(len(y), nn.Dropout(0.1))

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, 0.05, weight_decay=_DECAY)

    fit(ELBO(law, data_size=ROWS), y, seed, optimizer, epochs=200)
    return coefficients(dropout(law).eval(), seed)


def _model(y: Tensor) -> None:
    """All simulations of a group at once: their posteriors are independent."""
    zero = torch.zeros(len(y), SIZE, dtype=y.dtype)
    theta = pyro.sample("theta", dist.Normal(zero, 1.0).to_event(2))
    pyro.sample("y", dist.Normal(theta @ DESIGN.mT, 1.0).to_event(2), obs=y)


def by_chees(y: Tensor, seed: int) -> Tensor:
    """One draw of each of 63 chains, which are independent of each other."""
    found = sample(_model, y, chains=DRAWS, warmup=150, draws=1, seed=seed)["theta"]
    return found[:, 0].transpose(0, 1)


def by_nuts(y: Tensor, seed: int) -> Tensor:
    """Every fourth draw of one chain."""
    found = sample(_model, y, method=NUTS(), chains=1, warmup=200, draws=4 * DRAWS, seed=seed)
    return found["theta"][0, 3::4].transpose(0, 1)


class Method(NamedTuple):
    """A posterior, and whether its ranks are to be uniform, as those of an exact one are."""

    posterior: Posterior
    uniform: bool


def _alone(posterior: Posterior) -> Posterior:
    return in_groups(posterior, 1)


METHODS: dict[str, Method] = {
    "the posterior itself": Method(exact, True),
    "ChEES": Method(in_groups(by_chees, 50), True),
    "NUTS": Method(in_groups(by_nuts, 50), True),
    "SGHMC, all rows": Method(in_groups(by_sghmc(), 500), True),
    "SGHMC, two rows a step": Method(in_groups(by_sghmc(0.02, 125, 2), 200), True),
    "FullRank": Method(_alone(by_family(FullRank())), True),
    "LowRank(1)": Method(_alone(by_family(LowRank(1))), True),  # reaches any 2 × 2 covariance
    "FlowPosterior": Method(_alone(by_family(FlowPosterior(hidden=(8,)))), True),
    "laplace full": Method(in_groups(by_laplace("full"), 25), True),
    "laplace full, not linearised": Method(in_groups(by_laplace("full", False), 25), True),
    "laplace kronecker": Method(in_groups(by_laplace("kronecker"), 25), True),
    "laplace last_layer": Method(in_groups(by_laplace("last_layer"), 25), True),
    "MeanField": Method(in_groups(by_family(MeanField()), 10), False),
    "laplace diagonal": Method(in_groups(by_laplace("diagonal"), 25), False),
    "SGHMC, two rows, long steps": Method(in_groups(by_sghmc(0.1, 25, 2), 200), False),
    "SWAG": Method(_alone(by_swag), False),
    "dropout": Method(in_groups(by_dropout, 10), False),
    "ensemble": Method(in_groups(by_ensemble, 25), False),
    "a fifth too narrow (control)": Method(narrow, False),
}
