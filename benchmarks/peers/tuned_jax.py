"""What an expert would write in JAX for the entangling circuit alone: the second yardstick.

Real arithmetic, the batch on the last axis. The rotations of neighbouring wires are multiplied
into one matrix, so that a layer is a few plain matrix products: rows enter a layer ordered (re/im,
wires) and each product moves the re/im axis behind the wires it acts on, so nothing is transposed;
the ring of CNOTs and the way back of that axis are one gather of rows. Gradients: the state is
computed backwards (orthogonal matrices: the inverse is the transpose) beside the cotangent, under
`jax.lax.scan`, so memory does not grow with depth.
"""

import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from peers.cases import Case
from peers.jax_step import contestant, prepare, rotation
from peers.protocol import Contestant, serve
from peers.rings import rings, signs

_WIRES_PER_PRODUCT = (2, 3, 4)  # the fastest differs from machine to machine: all are tried


def groups(wires: int, largest: int) -> list[tuple[int, int]]:
    """Neighbouring wires in groups of nearly equal size, as (first, one past the last)."""
    count = -(-wires // largest)
    cuts = [wires * number // count for number in range(count + 1)]
    return list(itertools.pairwise(cuts))


def _product(rotations: Any, first: int, last: int) -> Any:
    """The real matrix of a group: ``(2d, 2d)``, rows (wires, re/im), columns (re/im, wires)."""
    matrix = rotations[first]
    for wire in range(first + 1, last):
        matrix = jnp.kron(matrix, rotations[wire])
    real = jnp.stack(
        [jnp.stack([matrix.real, -matrix.imag]), jnp.stack([matrix.imag, matrix.real])]
    )
    size = 2 * matrix.shape[0]
    return real.transpose(2, 0, 1, 3).reshape(size, size)


def _applied(matrix: Any, rows: Any, before: int) -> Any:
    """The matrix on the middle axis of ``rows`` seen as ``(before, size, rest)``."""
    size = matrix.shape[0]
    view = rows.reshape(before, size, -1)
    if view.shape[-1] == 1:
        return (view[:, :, 0] @ matrix.T).reshape(rows.shape)
    if before == 1:
        return (matrix @ view[0]).reshape(rows.shape)
    return jnp.matmul(jnp.broadcast_to(matrix, (before, size, size)), view).reshape(rows.shape)


def _outer(cotangent: Any, rows: Any, before: int, size: int) -> Any:
    """The gradient of the matrix: Σ cotangent ⊗ rows over everything but the middle axis."""
    left, right = (array.reshape(before, size, -1) for array in (cotangent, rows))
    if left.shape[-1] == 1:
        return left[:, :, 0].T @ right[:, :, 0]
    if before == 1:
        return left[0] @ right[0].T
    return jnp.einsum("aib,ajb->aij", left, right).sum(0)


def _orders(case: Case) -> tuple[Any, Any]:
    """``(layers, 2 · 2^wires)`` twice: the gather after a layer's products, and its inverse."""
    forward = rings(case)
    backward = np.argsort(forward, axis=1)
    size = forward.shape[1]
    rows = np.concatenate([2 * forward, 2 * forward + 1], axis=1)
    inverse = np.stack([backward, backward + size], axis=-1).reshape(len(forward), -1)
    return jnp.asarray(rows, jnp.int32), jnp.asarray(inverse, jnp.int32)


def _gathered(rows: Any, order: Any) -> Any:
    return jnp.take(rows, order, axis=0, mode="clip", unique_indices=True)


def evolution(case: Case, largest: int) -> Callable[[Any, Any], Any]:
    """``(rows, weights) → rows`` through all layers, rows ``(2 · 2^wires, batch)``."""
    parts = groups(case.wires, largest)
    orders, inverses = _orders(case)

    def products(weights: Any) -> list[Any]:
        rotations = rotation(weights)
        return [_product(rotations, first, last) for first, last in parts]

    def forward_layer(rows: Any, step: Any) -> tuple[Any, None]:
        weights, order = step
        for (first, _), matrix in zip(parts, products(weights), strict=True):
            rows = _applied(matrix, rows, 2**first)
        return _gathered(rows, order), None

    def backward_layer(carry: tuple[Any, Any], step: Any) -> tuple[tuple[Any, Any], Any]:
        weights, inverse = step
        rows, cotangent = (_gathered(array, inverse) for array in carry)
        matrices, pull = jax.vjp(products, weights)
        gradients = []
        for (first, _), matrix in reversed(list(zip(parts, matrices, strict=True))):
            rows = _applied(matrix.T, rows, 2**first)
            gradients.append(_outer(cotangent, rows, 2**first, matrix.shape[0]))
            cotangent = _applied(matrix.T, cotangent, 2**first)
        return (rows, cotangent), pull(gradients[::-1])[0]

    @jax.custom_vjp
    def evolved(rows: Any, weights: Any) -> Any:
        return jax.lax.scan(forward_layer, rows, (weights, orders))[0]

    def forward(rows: Any, weights: Any) -> tuple[Any, tuple[Any, Any]]:
        final = evolved(rows, weights)
        return final, (final, weights)

    def backward(kept: tuple[Any, Any], cotangent: Any) -> tuple[Any, Any]:
        final, weights = kept
        carry, gradient = jax.lax.scan(
            backward_layer, (final, cotangent), (weights, inverses), reverse=True
        )
        return carry[1], gradient

    evolved.defvjp(forward, backward)
    return evolved


def _embedded(inputs: Any) -> Any:
    """RY on each wire of the ground state: ``(batch, wires) → (2 · 2^wires, batch)``."""
    cosine, sine = jnp.cos(inputs / 2), jnp.sin(inputs / 2)
    rows = jnp.ones((1, inputs.shape[0]), inputs.dtype)
    for wire in range(inputs.shape[1]):
        rows = jnp.stack([rows * cosine[:, wire], rows * sine[:, wire]], 1)
        rows = rows.reshape(-1, inputs.shape[0])
    return jnp.concatenate([rows, jnp.zeros_like(rows)])


def build(case: Case, precision: str) -> Contestant:
    """The compiled step with the fastest number of wires per matrix product on this machine."""
    if case.circuit != "entangling":
        raise ValueError(f"this is written for 'entangling' alone, not for {case.circuit!r}")
    prepare(precision)
    tried = [_built(case, precision, largest) for largest in _WIRES_PER_PRODUCT]
    return min(tried, key=_fastest)


def _built(case: Case, precision: str, largest: int) -> Contestant:
    began = time.perf_counter()
    evolved = evolution(case, largest)
    eigenvalues = jnp.asarray(
        signs(case.wires), jnp.float32 if precision == "single" else jnp.float64
    )

    def forward(inputs: Any, weights: Any) -> Any:
        rows = evolved(_embedded(inputs), weights)
        real, imaginary = rows[: 2**case.wires], rows[2**case.wires :]
        return (eigenvalues @ (real**2 + imaginary**2)).T

    return contestant(forward, case, precision, began)


def _fastest(made: Contestant, turns: int = 5) -> float:
    """Seconds of the fastest of a few steps after the first."""
    made.step()
    seconds = []
    for _ in range(turns):
        begin = time.perf_counter()
        made.step()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


if __name__ == "__main__":
    serve(build, ("jax",))
