"""nutpie's NUTS on PyMC's model, four chains one after another on the core."""

from collections.abc import Callable
from typing import Any

import numpy as np
import nutpie
import pymc as pm
from peers.sampled import DRAWS, WARMUP, Array, Data, Sampler, serve


def _schools(data: Data) -> Any:
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0)
        tau = pm.HalfCauchy("tau", 5.0)
        raw = pm.Normal("raw", 0.0, 1.0, shape=len(data["effects"]))
        pm.Normal("y", mu + tau * raw, data["errors"], observed=data["effects"])
    return model


def _logistic(data: Data) -> Any:
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0.0, 5.0)
        slopes = pm.Normal("slopes", 0.0, 1.0, shape=data["design"].shape[1])
        logits = intercept + data["design"] @ slopes
        pm.Bernoulli("y", logit_p=logits, observed=data["labels"].astype(int))
    return model


def _sampler(make: Callable[[Data], Any], names: tuple[str, ...]) -> Any:
    def build(data: Data) -> Sampler:
        compiled = nutpie.compile_pymc_model(make(data))

        def run(seed: int) -> Array:
            found = nutpie.sample(
                compiled,
                tune=WARMUP,
                draws=DRAWS,
                chains=4,
                cores=1,
                seed=seed,
                progress_bar=False,
            ).posterior
            columns = [found[name].to_numpy() for name in names]
            return np.concatenate([x.reshape(*x.shape[:2], -1) for x in columns], -1)

        return run

    return build


if __name__ == "__main__":
    models = {
        "eight_schools": _sampler(_schools, ("mu", "tau", "raw")),
        "logistic": _sampler(_logistic, ("intercept", "slopes")),
    }
    serve(models, ("nutpie", "pymc"))
