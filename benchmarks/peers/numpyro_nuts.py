"""NumPyro's NUTS, four chains by vmap, in float64."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS
from peers.sampled import DRAWS, WARMUP, Array, Data, Sampler, serve


def _schools(data: Data) -> Callable[[], None]:
    effects, errors = jnp.asarray(data["effects"]), jnp.asarray(data["errors"])

    def program() -> None:
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([len(effects)]).to_event(1))
        numpyro.sample("y", dist.Normal(mu + tau * raw, errors).to_event(1), obs=effects)

    return program


def _logistic(data: Data) -> Callable[[], None]:
    design, labels = jnp.asarray(data["design"]), jnp.asarray(data["labels"])

    def program() -> None:
        intercept = numpyro.sample("intercept", dist.Normal(0.0, 5.0))
        slopes = numpyro.sample(
            "slopes", dist.Normal(0.0, 1.0).expand([design.shape[1]]).to_event(1)
        )
        law = dist.Bernoulli(logits=intercept + design @ slopes).to_event(1)
        numpyro.sample("y", law, obs=labels)

    return program


def _sampler(make: Callable[[Data], Callable[[], None]], names: tuple[str, ...]) -> Any:
    def build(data: Data) -> Sampler:
        chain = MCMC(
            NUTS(make(data)),
            num_warmup=WARMUP,
            num_samples=DRAWS,
            num_chains=4,
            chain_method="vectorized",
            progress_bar=False,
        )

        def run(seed: int) -> Array:
            chain.run(jax.random.PRNGKey(seed))
            found = chain.get_samples(group_by_chain=True)
            columns = [np.asarray(found[name]) for name in names]
            return np.concatenate([x.reshape(*x.shape[:2], -1) for x in columns], -1)

        return run

    return build


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    programs = {
        "eight_schools": _sampler(_schools, ("mu", "tau", "raw")),
        "logistic": _sampler(_logistic, ("intercept", "slopes")),
    }
    serve(programs, ("numpyro", "jax"))
