"""Pyro's NUTS, one chain, its potential compiled by torch's tracer, validation off."""

from functools import partial

import pyro
import torch
from peers.borromean_chees import joined
from peers.pyro_models import MODELS, NAMES
from peers.sampled import DRAWS, WARMUP, Array, Data, Sampler, serve
from pyro.infer import MCMC, NUTS


def _sampler(name: str, data: Data) -> Sampler:
    program = MODELS[name](data)

    def run(seed: int) -> Array:
        pyro.set_rng_seed(seed)
        kernel = NUTS(program, jit_compile=True, ignore_jit_warnings=True)
        chain = MCMC(kernel, num_samples=DRAWS, warmup_steps=WARMUP, disable_progbar=True)
        chain.run()
        return joined(chain.get_samples(group_by_chain=True), NAMES[name])

    return run


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    pyro.enable_validation(False)
    serve({name: partial(_sampler, name) for name in MODELS}, ("torch", "pyro-ppl"))
