"""The recursions of scaled messages in the compiled kernel, for few states (floor 1)."""

import ctypes
import functools
from array import array
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hybrid.pgm.kernels.library import load

__all__ = ["MOST_STATES", "compiled_backward", "compiled_forward"]

MOST_STATES = 32  # larger products are faster in the BLAS that torch brings


@functools.cache
def _functions() -> tuple[Callable[[bytes], None], Callable[[bytes], None]] | None:
    """Both recursions, or None where the kernel was not built."""
    library: Any = load()
    try:
        found = (library.borromean_pgm_chain_forward, library.borromean_pgm_chain_backward)
    except AttributeError:  # no library, or one that was built before there were chains in it
        return None
    for function in found:
        function.argtypes, function.restype = [ctypes.c_char_p], None
    return found


def _serves(emission: Tensor) -> bool:
    few = emission.shape[-1] <= MOST_STATES
    return few and emission.dtype == torch.float64 and emission.device.type == "cpu"


def compiled_forward(emission: Tensor, transition: Tensor) -> tuple[Tensor, Tensor] | None:
    """Scaled messages ``(T, G, N, K)`` and what each was divided by, ``(T, G, N)``.

    None where the kernel does not serve: not built, other devices or dtypes, many states.

    Args:
        emission: ``(T, G, N, K)``, contiguous.
        transition: ``(P, G, K, K)``, contiguous; P is T - 1, or 1 where steps share it.

    Example:
        >>> found = compiled_forward(
        ...     torch.ones(3, 1, 1, 2).double(), torch.ones(1, 1, 2, 2).double()
        ... )
        >>> found is None or found[1].flatten().tolist() == [2.0, 2.0, 2.0]
        True
    """
    functions = _functions() if _serves(emission) else None
    if functions is None:
        return None
    alpha, scales = torch.empty_like(emission), emission.new_empty(emission.shape[:-1])
    functions[0](_numbers(emission, transition, emission, transition, alpha, scales))
    return alpha, scales


def compiled_backward(
    emission: Tensor,
    transition: Tensor,
    alpha: Tensor,
    scales: Tensor,
    start: Tensor,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor] | None:
    """Marginals ``(T, G, N, K)`` and sums over rows of pairs, not yet times the matrices.

    None where the kernel does not serve.

    Args:
        emission: As in `compiled_forward`.
        transition: As in `compiled_forward`.
        alpha: From `compiled_forward`.
        scales: From `compiled_forward`.
        start: The message from the end of each row, the same for all its states, ``(G, N)``.
        lengths: Steps of each row ``(G, N)``, or None.

    Example:
        >>> parts = torch.ones(3, 1, 1, 2).double(), torch.ones(1, 1, 2, 2).double()
        >>> forward = compiled_forward(*parts)
        >>> if forward is not None:
        ...     one, _ = compiled_backward(*parts, *forward, torch.ones(1, 1).double(), None)
        ...     assert torch.equal(one, torch.full((3, 1, 1, 2), 0.5).double())
    """
    functions = _functions() if _serves(emission) else None
    if functions is None:
        return None
    turned, start = transition.mT.contiguous(), start.contiguous()
    ends = None if lengths is None else lengths.to(torch.int64).contiguous()
    gamma, pairs = torch.empty_like(alpha), torch.zeros_like(turned)
    room = alpha.new_empty(2 * alpha[0].numel())
    functions[1](
        _numbers(
            *(emission, transition, emission, turned, alpha, scales, start, ends),
            *(gamma, pairs, room),
        )
    )
    return gamma, pairs


def _numbers(emission: Tensor, transition: Tensor, *tensors: Tensor | None) -> bytes:
    """Sizes, then addresses."""
    addresses = (0 if tensor is None else tensor.data_ptr() for tensor in tensors)
    return array("q", (*emission.shape, transition.shape[0], *addresses)).tobytes()
