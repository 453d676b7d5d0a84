"""The kernel as a differentiable function of tensors (floor 4 of the kernel)."""

import ctypes
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from quantum.kernels.compiled import Compiled
from quantum.kernels.library import Circuit

__all__ = ["Executable"]

_FEW_ROWS = 4
_NONE = ctypes.c_void_p()


@dataclass(frozen=True)
class _Layout:
    """How arrays with leading dimensions become sets of rows.

    Args:
        lead: The broadcast leading dimensions.
        sets: The number of sets; each has its own values of what its rows share.
        rows: The number of rows of a set.
        shapes: For each array the shape it is expanded to, ``(sets or 1, rows or 1, width)``.
        expanded: For each array the leading shape it is expanded to before it is flattened; None
            where it is only reshaped.
        set_strides: For the kernel.
        row_strides: For the kernel.
        saved: The size of the final states, once it was asked for, in single and double precision.
    """

    lead: tuple[int, ...]
    sets: int
    rows: int
    shapes: tuple[tuple[int, int, int], ...]
    expanded: tuple[tuple[int, ...] | None, ...]
    set_strides: Any
    row_strides: Any
    saved: dict[bool, int] = field(default_factory=dict)


def _layout(shapes: tuple[torch.Size, ...]) -> _Layout:
    lead = torch.broadcast_shapes(*(shape[:-1] for shape in shapes)) if shapes else ()
    rank = len(lead)
    padded = [(1,) * (rank - len(s) + 1) + tuple(s[:-1]) for s in shapes]
    ends = [max((k + 1 for k, d in enumerate(p) if d != 1), default=0) for p in padded]
    split = max((end for end in ends if end < rank), default=0)
    if math.prod(lead[split:]) < _FEW_ROWS:
        split = 0
    sets, rows = math.prod(lead[:split]), math.prod(lead[split:])
    flat, expanded = [], []
    for shape, pad in zip(shapes, padded, strict=True):
        outer = any(d != 1 for d in pad[:split])
        inner = any(d != 1 for d in pad[split:])
        wanted = (lead[:split] if outer else (1,) * split) + (
            lead[split:] if inner else (1,) * (rank - split)
        )
        flat.append((sets if outer else 1, rows if inner else 1, shape[-1]))
        expanded.append(None if tuple(wanted) == tuple(pad) else (*wanted, shape[-1]))
    count = len(shapes)
    set_strides = (ctypes.c_int64 * count)(*(r * w if s > 1 else 0 for s, r, w in flat))
    row_strides = (ctypes.c_int64 * count)(*(w if r > 1 else 0 for _, r, w in flat))
    return _Layout(
        tuple(lead), sets, rows, tuple(flat), tuple(expanded), set_strides, row_strides
    )


class Executable:
    """A compiled program that runs on CPU tensors and is differentiated by its adjoint.

    Args:
        compiled: What to run.
        circuit: Its form in the library.
        wires: The number of wires.
        reference: The same function in PyTorch, for derivatives that the adjoint does not have.

    Example:
        >>> Executable.__name__
        'Executable'
    """

    def __init__(
        self, compiled: Compiled, circuit: Circuit, wires: int, reference: Callable[..., Tensor]
    ) -> None:
        self.circuit = circuit
        self.states = compiled.words is None
        self.outputs = 2**wires if compiled.words is None else len(compiled.words)
        self.reference = reference
        self._layouts: dict[tuple[torch.Size, ...], _Layout] = {}

    def layout(self, arrays: Sequence[Tensor]) -> _Layout:
        """How these arrays are read; remembered for their shapes."""
        key = tuple([array.shape for array in arrays])
        found = self._layouts.get(key)
        if found is None:
            if len(self._layouts) > 256:
                self._layouts.clear()
            found = self._layouts[key] = _layout(key)
        return found

    def __call__(self, arrays: Sequence[Tensor], real: torch.dtype, automatic: bool) -> Tensor:
        """Expectations ``(*lead, words)`` or states ``(*lead, 2^n)``.

        Args:
            arrays: ``(*lead, width)`` each, of this dtype; leading dimensions broadcast.
            real: float32 or float64.
            automatic: Second derivatives come from the reference; False: they raise.
        """
        if torch._C._are_functorch_transforms_active():
            return _Transformed.apply(self, real, automatic, *arrays)[0]
        if torch.is_grad_enabled():
            return _Eager.apply(self, real, automatic, *arrays)
        return self.forward(arrays, real, False)[0]

    def forward(
        self, arrays: Sequence[Tensor], real: torch.dtype, save: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs, and the final states if they are to be kept."""
        layout = self.layout(arrays)
        wide = real == torch.float64
        output = torch.empty(
            (*layout.lead, self.outputs), dtype=real.to_complex() if self.states else real
        )
        if output.numel() == 0:
            return output, torch.empty(0, dtype=torch.float64) if save else None
        saved = None
        if save:
            count = layout.saved.get(wide)
            if count is None:
                count = self.circuit.saved_bytes(wide, layout.sets, layout.rows) // 8 + 8
                layout.saved[wide] = count
            saved = torch.empty(count, dtype=torch.float64)
        self._run(arrays, layout, wide, None, output, None, saved)
        return output, saved

    def backward(
        self, arrays: Sequence[Tensor], saved: Tensor, cotangent: Tensor
    ) -> list[Tensor]:
        """Gradients of the arrays, in their shapes."""
        layout = self.layout(arrays)
        if cotangent.numel() == 0:
            return [torch.zeros_like(array) for array in arrays]
        wide = arrays[0].dtype == torch.float64
        gradients = [
            torch.zeros(shape if expanded is not None else array.shape, dtype=array.dtype)
            for shape, expanded, array in zip(layout.shapes, layout.expanded, arrays, strict=True)
        ]
        self._run(arrays, layout, wide, gradients, None, cotangent.contiguous(), saved)
        made = []
        for gradient, array, expanded in zip(gradients, arrays, layout.expanded, strict=True):
            if expanded is not None:
                gradient = gradient.reshape(expanded).sum_to_size(
                    (1,) * (len(expanded) - array.dim()) + tuple(array.shape)
                )
            made.append(gradient if gradient.shape == array.shape else gradient.view(array.shape))
        return made

    def _run(
        self,
        arrays: Sequence[Tensor],
        layout: _Layout,
        wide: bool,
        gradients: Sequence[Tensor] | None,
        output: Tensor | None,
        cotangent: Tensor | None,
        saved: Tensor | None,
    ) -> None:
        kept = []
        for array, expanded in zip(arrays, layout.expanded, strict=True):
            if expanded is not None:
                array = array.reshape((1,) * (len(expanded) - array.dim()) + array.shape)
                array = array.expand(expanded)
            kept.append(array if array.is_contiguous() else array.contiguous())
        pointers = ctypes.c_void_p * len(kept)
        place = _NONE
        if saved is not None:
            address = saved.data_ptr()
            place = ctypes.c_void_p(address + -address % 64)
        self.circuit.run(
            (wide, gradients is not None, self.states, torch.get_num_threads()),
            (layout.sets, layout.rows),
            (
                pointers(*[a.data_ptr() for a in kept]),
                layout.set_strides,
                layout.row_strides,
                _NONE if gradients is None else pointers(*[g.data_ptr() for g in gradients]),
                _NONE if output is None else output.data_ptr(),
                _NONE if cotangent is None else cotangent.data_ptr(),
                place,
            ),
        )


class _Eager(Function):
    """Without transforms: the cheapest way through autograd."""

    @staticmethod
    def forward(
        ctx: Any, executable: Executable, real: torch.dtype, automatic: bool, *arrays: Tensor
    ) -> Tensor:
        output, saved = executable.forward(arrays, real, any(ctx.needs_input_grad))
        if saved is not None:
            ctx.save_for_backward(saved, *arrays)
            ctx.executable = executable
            ctx.automatic = automatic
        return output

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        saved, *arrays = ctx.saved_tensors
        if torch.is_grad_enabled():
            settings = (ctx.executable, ctx.automatic)
            return (None, None, None, *_Backward.apply(*settings, saved, cotangent, *arrays))
        return (None, None, None, *ctx.executable.backward(arrays, saved, cotangent))


class _Transformed(Function):
    """Under `torch.func`: also returns the final states, and batches over its own leading axis."""

    @staticmethod
    def forward(executable: Executable, real: torch.dtype, automatic: bool, *arrays: Tensor) -> Any:
        return executable.forward(arrays, real, True)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.executable, _, ctx.automatic, *arrays = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], *arrays)
        ctx.save_for_forward(*arrays)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor, _: Any) -> Any:
        saved, *arrays = ctx.saved_tensors
        settings = (ctx.executable, ctx.automatic)
        return (None, None, None, *_Backward.apply(*settings, saved, cotangent, *arrays))

    @staticmethod
    def jvp(ctx: Any, _e: Any, _r: Any, _a: Any, *tangents: Tensor | None) -> Any:
        _refuse(ctx.automatic, "forward-mode derivatives")
        arrays = ctx.saved_tensors
        known = tuple(
            torch.zeros_like(a) if t is None else t for a, t in zip(arrays, tangents, strict=True)
        )
        return torch.func.jvp(ctx.executable.reference, tuple(arrays), known)[1], None

    @staticmethod
    def vmap(
        info: Any, dims: Any, executable: Executable, real: torch.dtype, automatic: bool, *arrays: Tensor
    ) -> Any:
        fronted = _fronted(arrays, dims[3:], _rank(arrays, dims[3:]))
        return _Transformed.apply(executable, real, automatic, *fronted), (0, None)


class _Backward(Function):
    """The adjoint sweep; its own derivative is that of the reference."""

    @staticmethod
    def forward(
        executable: Executable, automatic: bool, saved: Tensor, cotangent: Tensor, *arrays: Tensor
    ) -> Any:
        return tuple(executable.backward(arrays, saved, cotangent))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.executable, ctx.automatic, _, cotangent, *arrays = inputs
        ctx.save_for_backward(cotangent, *arrays)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        _refuse(ctx.automatic, "second derivatives")
        cotangent, *arrays = ctx.saved_tensors

        def gradients(cotangent: Tensor, *arrays: Tensor) -> Any:
            return torch.func.vjp(ctx.executable.reference, *arrays)[1](cotangent)

        return (None, None, None, *torch.func.vjp(gradients, cotangent, *arrays)[1](cotangents))

    @staticmethod
    def vmap(
        info: Any,
        dims: Any,
        executable: Executable,
        automatic: bool,
        saved: Tensor,
        cotangent: Tensor,
        *arrays: Tensor,
    ) -> Any:
        rank = max(_rank(arrays, dims[4:]), _rank((cotangent,), dims[3:4]))
        batch = info.batch_size
        (wide,) = _fronted((cotangent,), dims[3:4], rank)
        fronted = [a.expand(batch, *a.shape[1:]) for a in _fronted(arrays, dims[4:], rank)]
        # The final states are computed again: their arrangement belongs to these shapes.
        _, states = executable.forward(fronted, fronted[0].dtype, True)
        wide = wide.expand(batch, *wide.shape[1:])
        made = _Backward.apply(executable, automatic, states, wide, *fronted)
        shaped = []
        for gradient, array, dim in zip(made, arrays, dims[4:], strict=True):
            own = array.shape if dim is None else array.movedim(dim, 0).shape[1:]
            shaped.append(gradient.reshape(batch, *own))
        return tuple(shaped), (0,) * len(shaped)


def _refuse(automatic: bool, what: str) -> None:
    if not automatic:
        raise RuntimeError(
            f"gradient='adjoint' has no {what}: build the layer with gradient='backprop'"
        )


def _rank(tensors: Sequence[Tensor], dims: Sequence[int | None]) -> int:
    """The rank of the widest tensor without the mapped axis."""
    return max(t.dim() - (d is not None) for t, d in zip(tensors, dims, strict=True))


def _fronted(
    tensors: Sequence[Tensor], dims: Sequence[int | None], rank: int
) -> list[Tensor]:
    """The mapped axis in front (size 1 where a tensor has none), the others filled up to ``rank``."""
    made = []
    for tensor, dim in zip(tensors, dims, strict=True):
        moved = tensor.unsqueeze(0) if dim is None else tensor.movedim(dim, 0)
        shape = (moved.shape[0], *[1] * (rank + 1 - moved.dim()), *moved.shape[1:])
        made.append(moved.reshape(shape))
    return made
