"""NumPyro: AutoNormal, the whole step compiled by jax; ``setup_seconds`` is the compilation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, TraceMeanField_ELBO
from numpyro.infer.autoguide import AutoNormal
from peers.uncertain import ROWS, SCALE, Step, regression, serve, weights


def _network(x: jax.Array, y: jax.Array) -> None:
    hidden = x
    for k, (weight, bias) in enumerate(weights()):
        w = numpyro.sample(f"w{k}", dist.Normal(jnp.zeros(weight.shape), 1.0).to_event(2))
        b = numpyro.sample(f"b{k}", dist.Normal(jnp.zeros(bias.shape), 1.0).to_event(1))
        hidden = hidden @ w.T + b
        hidden = jax.nn.relu(hidden) if k < len(weights()) - 1 else hidden
    with numpyro.plate("rows", len(x)), numpyro.handlers.scale(scale=ROWS / len(x)):
        numpyro.sample("y", dist.Normal(hidden.squeeze(-1), 1.0), obs=y)


def variational(draws: int) -> Step:
    """The divergence in closed form."""
    start = {
        f"{kind}{k}": jnp.asarray(part)
        for k, pair in enumerate(weights())
        for kind, part in zip("wb", pair, strict=True)
    }
    guide = AutoNormal(
        _network, init_loc_fn=numpyro.infer.init_to_value(values=start), init_scale=SCALE
    )
    loss = TraceMeanField_ELBO(num_particles=draws)
    svi = SVI(_network, guide, numpyro.optim.Adam(1e-4), loss)
    batch = tuple(jnp.asarray(part) for part in regression())
    state = svi.init(jax.random.PRNGKey(0), *batch)
    update, evaluate = jax.jit(svi.update), jax.jit(svi.evaluate)
    first = state

    def step() -> None:
        nonlocal state
        state, found = update(state, *batch)
        found.block_until_ready()

    keys = iter(jax.random.split(jax.random.PRNGKey(1), 1000))

    def value() -> float:
        return float(evaluate(first._replace(rng_key=next(keys)), *batch)) / ROWS

    return Step(step, value)


if __name__ == "__main__":
    cases = {f"variational-{draws}": partial(variational, draws) for draws in (1, 8, 16, 32)}
    serve(cases, ("numpyro", "jax"))
