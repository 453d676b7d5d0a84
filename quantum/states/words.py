r"""Expectations of many Pauli words at once, with their gradient (floor 0 of states).

A word is a pair of bit masks: x where X or Y acts, z where Y or Z acts, so that
:math:`P|i> = i^{n_Y} (-1)^{|i \wedge z|} |i \oplus x>`. Words of the same x share one product
:math:`\bar\psi_i \psi_{i \oplus x}` and one matrix of signs, which is kept as two small factors.
"""

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

__all__ = ["expectations"]

Masks = tuple[tuple[int, int], ...]
_WHOLE = 10  # wires, up to which the matrix of signs is kept in one piece


def expectations(state: Tensor, words: Masks) -> Tensor:
    r""":math:`<\psi|P_w|\psi>`, ``(*lead, words, rows)``.

    Args:
        state: ``(*lead, 2^n, rows)``, complex.
        words: The masks x and z of each word; bit ``n - 1 - w`` stands for wire w.

    Example:
        >>> state = torch.tensor([[0.6], [0.8j]])
        >>> expectations(state, ((0, 1), (1, 0), (1, 1))).flatten()
        tensor([-0.2800,  0.0000,  0.9600])
    """
    transforming = torch._C._are_functorch_transforms_active()
    function: Any = _Expectations if transforming else _Eager
    made: Tensor = function.apply(state, words)
    return made


class _Expectations(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(state: Tensor, words: Masks) -> Tensor:
        return _values(state, words)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        state, ctx.words = inputs
        ctx.save_for_backward(state)
        ctx.save_for_forward(state)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        (state,) = ctx.saved_tensors
        return _applied(state, ctx.words, 2 * cotangents[0]), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (state,) = ctx.saved_tensors
        values = []
        for word in ctx.words:
            applied = _applied(state, (word,), torch.ones_like(state.real[..., :1, :]))
            values.append(2 * (tangents[0].conj() * applied).real.sum(-2))
        return torch.stack(values, -2)


class _Eager(torch.autograd.Function):
    """The same in the older form, which costs less outside `torch.func`."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _values(*inputs)
        _Expectations.setup_context(ctx, inputs, output)
        return output

    backward = _Expectations.backward
    jvp = _Expectations.jvp


def _groups(words: Masks) -> dict[int, list[int]]:
    """The numbers of the words of each x."""
    groups: dict[int, list[int]] = {}
    for number, (x, _) in enumerate(words):
        groups.setdefault(x, []).append(number)
    return groups


def _values(state: Tensor, words: Masks) -> Tensor:
    found: list[Tensor | None] = [None] * len(words)
    for x, numbers in _groups(words).items():
        masks = tuple(words[number][1] for number in numbers)
        if x == 0:
            chances = state.real.square().addcmul(state.imag, state.imag)
            values = _summed(chances, masks)
            if len(numbers) == len(words):
                return values
            for row, number in enumerate(numbers):
                found[number] = values[..., row, :]
            continue
        product = state.conj() * _flipped(state, x)
        parts = {0: product.real, 1: product.imag}
        for odd in (0, 1):
            # An odd number of Y makes the word purely imaginary against the product.
            chosen = [n for n in numbers if (x & words[n][1]).bit_count() % 2 == odd]
            if chosen:
                values = _summed(parts[odd], tuple(words[n][1] for n in chosen))
                for row, number in enumerate(chosen):
                    turns = (x & words[number][1]).bit_count() % 4
                    value = values[..., row, :]
                    # (-i)^turns times (i times) the part
                    found[number] = -value if turns in (2, 3) else value
    return torch.stack([value for value in found if value is not None], -2)


def _applied(state: Tensor, words: Masks, scales: Tensor) -> Tensor:
    r""":math:`\sum_w s_w P_w|\psi>` for scales ``(*lead, words, rows)``."""
    total: Tensor | None = None
    for x, numbers in _groups(words).items():
        own = scales if len(numbers) == len(words) else scales[..., numbers, :]
        masks = tuple(words[number][1] for number in numbers)
        turns = [(x & mask).bit_count() % 4 for mask in masks]
        signs = torch.tensor([-1.0 if t in (1, 2) else 1.0 for t in turns]).to(own)
        if any(turns):
            own = own * signs.unsqueeze(-1)
        even = [k for k, t in enumerate(turns) if t % 2 == 0]
        odd = [k for k, t in enumerate(turns) if t % 2]
        moved = state if x == 0 else _flipped(state, x)
        part = torch.zeros((), dtype=state.dtype, device=state.device)
        if even:
            every = own if not odd else own[..., even, :]
            part = moved * _spread(every, tuple(masks[k] for k in even), state.shape[-2])
        if odd:
            every = own if not even else own[..., odd, :]
            part = part + 1j * moved * _spread(every, tuple(masks[k] for k in odd), state.shape[-2])
        total = part if total is None else total + part
    return torch.zeros_like(state) if total is None else total


def _flipped(state: Tensor, x: int) -> Tensor:
    places = torch.as_tensor(np.arange(state.shape[-2]) ^ x, device=state.device)
    return state.index_select(-2, places)


def _summed(values: Tensor, masks: tuple[int, ...]) -> Tensor:
    r""":math:`\sum_i (-1)^{|i \wedge z|} v_i` for each mask, ``(*lead, masks, rows)``.

    In double precision: a matrix product adds one number after another, so that the small ones
    behind a large one all round the same way.
    """
    wires, wide = values.shape[-2].bit_length() - 1, values.double()
    low, high = _signs(wires, masks, wide.dtype, wide.device)
    if high is None:
        return (low.mT @ wide).to(values.dtype)
    wide = wide.unflatten(-2, (2 ** (wires - _WHOLE), 2**_WHOLE))
    return ((low.mT @ wide) * high.unsqueeze(-1)).sum(-3).to(values.dtype)


def _spread(scales: Tensor, masks: tuple[int, ...], states: int) -> Tensor:
    r""":math:`\sum_w s_w (-1)^{|i \wedge z_w|}` for each i, ``(*lead, states, rows)``."""
    wires = states.bit_length() - 1
    low, high = _signs(wires, masks, scales.dtype, scales.device)
    if high is None:
        return low @ scales
    return (low @ (high.unsqueeze(-1) * scales.unsqueeze(-3))).flatten(-3, -2)


@functools.lru_cache(maxsize=128)
def _signs(
    wires: int, masks: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    r"""Signs :math:`(-1)^{|i \wedge z|}` of the low wires ``(2^low, masks)``, and of the others."""
    low = min(wires, _WHOLE)

    def signs(states: int, shift: int) -> Tensor:
        overlap = np.arange(states)[:, None] & (np.array(masks) >> shift)
        for step in (32, 16, 8, 4, 2, 1):
            overlap = overlap ^ (overlap >> step)
        return torch.as_tensor(1.0 - 2.0 * (overlap & 1), device=device).to(dtype)

    with torch.inference_mode(False), temporarily_clear_interpreter_stack():  # they are kept
        if low == wires:
            return signs(2**low, 0), None
        return signs(2**low, 0), signs(2 ** (wires - low), low)
