"""Rings of CNOTs as permutations of the amplitudes, for the peers that are written in JAX."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from peers.cases import Case, ranges

__all__ = ["gather", "rings", "signs"]


def rings(case: Case) -> NDArray[np.int32]:
    """``(layers, 2^wires)``: after the ring of a layer, amplitude k is what amplitude [k] was."""
    number = np.arange(2**case.wires)
    found = []
    for far in ranges(case):
        order = number
        for control in range(case.wires):
            target = (control + far) % case.wires
            carried = number >> (case.wires - 1 - control) & 1
            order = order[number ^ carried << (case.wires - 1 - target)]
        found.append(order)
    return np.stack(found).astype(np.int32)


def signs(wires: int) -> NDArray[np.int64]:
    """``(wires, 2^wires)``: the eigenvalue of each wire's Z on each basis state."""
    number = np.arange(2**wires)
    return np.stack([1 - 2 * (number >> (wires - 1 - wire) & 1) for wire in range(wires)])


def _take(rows: Any, order: Any) -> Any:
    return jnp.take(rows, order, axis=0, mode="clip", unique_indices=True)


@jax.custom_vjp
def gather(rows: Any, order: Any, _inverse: Any) -> Any:
    """``rows[order]``; its derivative gathers with ``_inverse`` instead of scattering."""
    return _take(rows, order)


def _forward(rows: Any, order: Any, inverse: Any) -> tuple[Any, Any]:
    return _take(rows, order), inverse


def _backward(inverse: Any, cotangent: Any) -> tuple[Any, None, None]:
    return _take(cotangent, inverse), None, None


gather.defvjp(_forward, _backward)
