"""Ours: `hybrid.bayes.sample` as it comes, ChEES with 64 chains."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from peers.pyro_models import MODELS, NAMES
from peers.sampled import DRAWS, WARMUP, Array, Data, Sampler, serve

from hybrid.bayes import NUTS, ChEES, sample

__all__ = ["chees", "joined", "nuts"]


def joined(draws: Any, names: tuple[str, ...]) -> Array:
    """All values of each draw side by side."""
    columns = [draws[name].reshape(*draws[name].shape[:2], -1).numpy() for name in names]
    return np.concatenate(columns, -1)


def _sampler(make: Callable[[], Any], chains: int, name: str, data: Data) -> Sampler:
    program = MODELS[name](data)

    def run(seed: int) -> Array:
        sizes = {"chains": chains, "warmup": WARMUP, "draws": DRAWS}
        return joined(sample(program, method=make(), seed=seed, **sizes), NAMES[name])

    return run


chees = {name: partial(_sampler, ChEES, 64, name) for name in MODELS}
nuts = {name: partial(_sampler, NUTS, 1, name) for name in MODELS}

if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(chees, ("borromean", "torch", "pyro-ppl"))
