"""What a contestant of `hmm.py` speaks, and the model that all of them compute.

    {"do": "setup"}              → loss, gradients, versions
    {"do": "step", "count": 5}   → seconds of each step, and processor time

A hidden Markov model of 16 states, 64 steps, 32 sequences; observations are normal with a mean for
each state and scale 1, the first state is uniform. A step is the log-probability of the sequences
and its gradient to the logits of the transitions and to the means, in single precision.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

__all__ = ["BATCH", "STATES", "STEPS", "data", "serve"]

STATES, STEPS, BATCH = 16, 64, 32


def data() -> tuple[Tensor, Tensor, Tensor]:
    """Logits of the transitions (K, K), means (K,), observations (B, T)."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(STATES, STATES, generator=generator)
    means = 2 * torch.randn(STATES, generator=generator)
    return logits, means, 2 * torch.randn(BATCH, STEPS, generator=generator)


def serve(build: Callable[[], tuple[Callable[[], Tensor], tuple[Tensor, Tensor]]]) -> None:
    """Answer until the input is closed.

    Args:
        build: Makes the model: what returns minus the log-probability, and the leaves (logits,
            means).
    """
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    loss, leaves = build()

    def step() -> Tensor:
        for leaf in leaves:
            leaf.grad = None
        value = loss()
        value.backward()
        return value

    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply: dict[str, Any]
            if request["do"] == "setup":
                value = float(step())
                gradients = [leaf.grad.tolist() for leaf in leaves if leaf.grad is not None]
                versions = {name: version(name) for name in ("borromean", "torch", "pyro-ppl")}
                reply = {"loss": value, "gradients": gradients}
                reply["versions"] = versions | {"python": platform.python_version()}
            else:
                seconds, processor = [], []
                for _ in range(request["count"]):
                    begin, used = time.perf_counter(), time.process_time()
                    step()
                    processor.append(time.process_time() - used)
                    seconds.append(time.perf_counter() - begin)
                reply = {"seconds": seconds, "processor": processor}
        except Exception as error:  # whatever a peer raises is its result
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(reply) + "\n")
