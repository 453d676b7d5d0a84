"""A training step in JAX: value and gradients, compiled ahead of time (compile time apart)."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from peers.cases import Case, data
from peers.protocol import Answer, Contestant

__all__ = ["contestant", "prepare", "rotation"]


def prepare(precision: str) -> None:
    """Let JAX compute in double precision where that is asked for; before any array is made."""
    jax.config.update("jax_enable_x64", precision == "double")


def rotation(angles: Any) -> Any:
    """RZ(ω) RY(θ) RZ(φ), PennyLane's Rot, of angles (φ, θ, ω): ``(..., 3) → (..., 2, 2)``."""
    phi, theta, omega = angles[..., 0], angles[..., 1], angles[..., 2]
    cosine, sine = jnp.cos(theta / 2), jnp.sin(theta / 2)

    def phase(angle: Any) -> Any:
        return jax.lax.complex(jnp.cos(angle), jnp.sin(angle))

    total, difference = (phi + omega) / 2, (phi - omega) / 2
    upper = jnp.stack([cosine * phase(-total), -sine * phase(difference)], -1)
    lower = jnp.stack([sine * phase(-difference), cosine * phase(total)], -1)
    return jnp.stack([upper, lower], -2)


def contestant(
    forward: Callable[[Any, Any], Any], case: Case, precision: str, began: float
) -> Contestant:
    """The contestant of a forward function ``(inputs, weights) → outputs``, after `prepare`."""
    numbers = data(case)
    real = jnp.float32 if precision == "single" else jnp.float64
    inputs, weights, cotangent = (
        jnp.asarray(array, real) for array in (numbers.inputs, numbers.weights, numbers.cotangent)
    )
    if case.draws:
        forward = jax.vmap(forward, (None, 0))

    def loss(inputs: Any, weights: Any) -> tuple[Any, Any]:
        out = forward(inputs, weights)
        return (out * cotangent).sum(), out

    step = jax.jit(jax.value_and_grad(loss, argnums=(1, 0), has_aux=True))
    compiled = step.lower(inputs, weights).compile()

    def run() -> Any:
        return jax.block_until_ready(compiled(inputs, weights))

    def answer(found: Any) -> Answer:
        (_, values), gradients = found
        return Answer(*(jax.device_get(array) for array in (values, *gradients)))

    kind = "complex64" if precision == "single" else "complex128"
    return Contestant(run, answer, kind, time.perf_counter() - began)
