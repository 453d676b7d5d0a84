"""The kernel as a differentiable function of tensors (floor 4 of the kernel)."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from quantum.kernels.compiled import Compiled
from quantum.kernels.library import Circuit
from quantum.kernels.rows import Layout, split_rows

__all__ = ["Executable"]

_unwrapped = torch._C._functorch.unwrap_if_dead


class Executable:
    """A compiled program that runs on CPU tensors and is differentiated by its adjoint.

    Args:
        compiled: What to run.
        circuit: Its form in the library.
        wires: The number of wires.
        cores: The shape of each array without leading dimensions.
        reference: The same function in PyTorch, for derivatives that the adjoint does not have.

    Example:
        >>> from quantum.kernels.executor import executor
        >>> from quantum.circuits.program import Measurement, Operation, Program
        >>> from quantum.tracing.recorder import record
        >>> turn, asked = Operation("RY", (0,), (0,)), (Measurement("probs", (0,)),)
        >>> made = executor(Program(1, (turn,), asked, record(lambda x: [x[0]], [(1,)])))
        >>> rows = torch.zeros(5, 1)
        >>> made is None or made.executable([rows], torch.float32, True).shape == (5, 2)
        True
    """

    def __init__(
        self,
        compiled: Compiled,
        circuit: Circuit,
        wires: int,
        cores: Sequence[tuple[int, ...]],
        reference: Callable[..., Tensor],
    ) -> None:
        self.circuit = circuit
        self.cores = tuple(cores)
        self.states = compiled.words is None
        self.outputs = 2**wires if compiled.words is None else len(compiled.words)
        self.reference = reference
        self._layouts: dict[Any, Layout] = {}

    def layout(self, arrays: Sequence[Tensor], real: torch.dtype) -> Layout:
        """How these arrays are read; remembered for their shapes."""
        key = (real, *[array.shape for array in arrays])
        found = self._layouts.get(key)
        if found is None:
            if len(self._layouts) > 256:
                self._layouts.clear()
            found = self._layouts[key] = self._arranged(arrays, real)
        return found

    def _arranged(self, arrays: Sequence[Tensor], real: torch.dtype) -> Layout:
        leads = [
            array.shape[: array.dim() - len(core)]
            for array, core in zip(arrays, self.cores, strict=True)
        ]
        split = split_rows(leads)
        wide = real == torch.float64
        widths = [math.prod(core) for core in self.cores]
        rows = [split.rows if inner else 1 for inner in split.inner]
        sizes = [split.sets if outer else 1 for outer in split.outer]
        pairs = list(zip(sizes, rows, widths, strict=True))
        tail = (
            *(r * w if s > 1 else 0 for s, r, w in pairs),
            *(w if r > 1 else 0 for _, r, w in pairs),
            *(s * r * w for s, r, w in pairs),
        )
        expanded = tuple(
            None if math.prod(own) == math.prod(wanted) else (*wanted, *core)
            for own, wanted, core in zip(leads, split.wanted, self.cores, strict=True)
        )
        return Layout(
            split.lead,
            (*split.lead, self.outputs),
            real.to_complex() if self.states else real,
            self.circuit.saved_bytes(wide, split.sets, split.rows) // (8 if wide else 4) + 16,
            expanded,
            (self.circuit.handle, int(wide), int(self.states), split.sets, split.rows, len(arrays)),
            tail,
        )

    def __call__(self, arrays: Sequence[Tensor], real: torch.dtype, automatic: bool) -> Tensor:
        """Expectations ``(*lead, words)`` or states ``(*lead, 2^n)``.

        Args:
            arrays: ``(*lead, *core)`` each, of this dtype; leading dimensions broadcast.
            real: float32 or float64.
            automatic: Second derivatives come from the reference; False: they raise.
        """
        if torch._C._are_functorch_transforms_active():
            return _Transformed.apply(self, real, automatic, *arrays)[0]
        return self.eager(arrays, self.layout(arrays, real), automatic)

    def eager(self, arrays: Sequence[Tensor], layout: Layout, automatic: bool) -> Tensor:
        """The same where no transform of `torch.func` is active and the layout is known."""
        arrays = [_unwrapped(array) for array in arrays]  # what a transform that is over left
        if torch.is_grad_enabled():
            return _apply(self, layout, automatic, *arrays)
        return self.forward(arrays, layout, False)[0]

    def forward(
        self, arrays: Sequence[Tensor], layout: Layout, save: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs, and the final states if they are to be kept."""
        # New tensors are on the first array's device, whatever the user's default device.
        first = arrays[0] if arrays else torch.empty(0, dtype=layout.dtype.to_real(), device="cpu")
        output = first.new_empty(layout.output, dtype=layout.dtype)
        saved = first.new_empty(layout.saved) if save else None
        if layout.occupied:
            read = _readable(arrays, layout)  # held until the call is over
            pointers = [array.data_ptr() for array in read]
            self.circuit.run(
                layout.pack(
                    *layout.head,
                    *(0, torch.get_num_threads(), output.data_ptr(), 0),
                    0 if saved is None else saved.data_ptr(),
                    *pointers,
                    *pointers,
                    *layout.tail,
                )
            )
        return output, saved

    def backward(
        self, arrays: Sequence[Tensor], layout: Layout, saved: Tensor, cotangent: Tensor
    ) -> list[Tensor]:
        """Gradients of the arrays, in their shapes."""
        if not layout.occupied:
            return [torch.zeros_like(array) for array in arrays]
        read = _readable(arrays, layout)
        gradients = [torch.empty_like(array) for array in read]
        cotangent = cotangent if cotangent.is_contiguous() else cotangent.contiguous()
        self.circuit.run(
            layout.pack(
                *layout.head,
                *(1, torch.get_num_threads(), 0, cotangent.data_ptr(), saved.data_ptr()),
                *[array.data_ptr() for array in read],
                *[gradient.data_ptr() for gradient in gradients],
                *layout.tail,
            )
        )
        if layout.plain:
            return gradients
        made = []
        for gradient, array, expanded in zip(gradients, arrays, layout.expanded, strict=True):
            if expanded is not None:
                own = (1,) * (len(expanded) - array.dim()) + tuple(array.shape)
                gradient = gradient.sum_to_size(own).reshape(array.shape)
            made.append(gradient)
        return made


def _readable(arrays: Sequence[Tensor], layout: Layout) -> list[Tensor]:
    """Contiguous arrays, expanded where they vary along some dimensions of their part only."""
    if layout.plain:
        return [array if array.is_contiguous() else array.contiguous() for array in arrays]
    read = []
    for array, expanded in zip(arrays, layout.expanded, strict=True):
        if expanded is not None:
            array = array.reshape((1,) * (len(expanded) - array.dim()) + array.shape)
            array = array.expand(expanded)
        read.append(array if array.is_contiguous() else array.contiguous())
    return read


class _Eager(Function):
    """Without transforms: the cheapest way through autograd."""

    @staticmethod
    def forward(
        ctx: Any, executable: Executable, layout: Layout, automatic: bool, *arrays: Tensor
    ) -> Tensor:
        output, saved = executable.forward(arrays, layout, True in ctx.needs_input_grad)
        if saved is not None:
            ctx.save_for_backward(saved, *arrays)
            ctx.settings = (executable, layout, automatic)
        return output

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        saved, *arrays = ctx.saved_tensors
        executable, layout, automatic = ctx.settings
        if torch.is_grad_enabled():
            made = _Backward.apply(executable, automatic, saved, cotangent, *arrays)
            return (None, None, None, *made)
        return (None, None, None, *executable.backward(arrays, layout, saved, cotangent))


_apply = super(Function, _Eager).apply


class _Transformed(Function):
    """Under `torch.func`: also returns the final states, and batches over its own leading axis."""

    @staticmethod
    def forward(
        executable: Executable, real: torch.dtype, _automatic: bool, *arrays: Tensor
    ) -> Any:
        return executable.forward(arrays, executable.layout(arrays, real), True)

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
        return torch.func.jvp(ctx.executable.reference, arrays, _filled(arrays, tangents))[1], None

    @staticmethod
    def vmap(
        _info: Any,
        dims: Any,
        executable: Executable,
        real: torch.dtype,
        automatic: bool,
        *arrays: Tensor,
    ) -> Any:
        rank = _rank(arrays, dims[3:], executable.cores)
        fronted = _fronted(arrays, dims[3:], executable.cores, rank)
        return _Transformed.apply(executable, real, automatic, *fronted), (0, None)


class _Backward(Function):
    """The adjoint sweep; its own derivative is that of the reference."""

    @staticmethod
    def forward(
        executable: Executable, _automatic: bool, saved: Tensor, cotangent: Tensor, *arrays: Tensor
    ) -> Any:
        layout = executable.layout(arrays, cotangent.real.dtype)
        return tuple(executable.backward(arrays, layout, saved, cotangent))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004 (as PyTorch calls it)
        ctx.executable, ctx.automatic, _, cotangent, *arrays = inputs
        ctx.save_for_backward(cotangent, *arrays)
        ctx.save_for_forward(cotangent, *arrays)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        _refuse(ctx.automatic, "second derivatives")
        pull = torch.func.vjp(_gradients_of(ctx.executable), *ctx.saved_tensors)[1]
        return (None, None, None, *pull(cotangents))

    @staticmethod
    def jvp(ctx: Any, _e: Any, _a: Any, _s: Any, *tangents: Tensor | None) -> Any:
        _refuse(ctx.automatic, "second derivatives")
        known = ctx.saved_tensors
        return torch.func.jvp(_gradients_of(ctx.executable), known, _filled(known, tangents))[1]

    @staticmethod
    def vmap(
        info: Any,
        dims: Any,
        executable: Executable,
        automatic: bool,
        _saved: Tensor,
        cotangent: Tensor,
        *arrays: Tensor,
    ) -> Any:
        batch, cores, output = info.batch_size, executable.cores, (executable.outputs,)
        rank = max(_rank(arrays, dims[4:], cores), _rank((cotangent,), dims[3:4], (output,)))
        (wide,) = _fronted((cotangent,), dims[3:4], (output,), rank)
        fronted = [a.expand(batch, *a.shape[1:]) for a in _fronted(arrays, dims[4:], cores, rank)]
        # The final states are computed again: their arrangement belongs to these shapes.
        states = _Transformed.apply(executable, cotangent.real.dtype, automatic, *fronted)[1]
        wide = wide.expand(batch, *wide.shape[1:])
        made = _Backward.apply(executable, automatic, states, wide, *fronted)
        shaped = []
        for gradient, array, dim in zip(made, arrays, dims[4:], strict=True):
            own = array.shape if dim is None else array.movedim(dim, 0).shape[1:]
            shaped.append(gradient.reshape(batch, *own))
        return tuple(shaped), (0,) * len(shaped)


def _gradients_of(executable: Executable) -> Callable[..., Any]:
    """The adjoint's gradients as a function of the cotangent and the arrays, in PyTorch."""

    def gradients(cotangent: Tensor, *arrays: Tensor) -> Any:
        return torch.func.vjp(executable.reference, *arrays)[1](cotangent)

    return gradients


def _filled(tensors: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """Tangents with zeros where there are none."""
    pairs = zip(tensors, tangents, strict=True)
    return tuple(torch.zeros_like(a) if t is None else t for a, t in pairs)


def _refuse(automatic: bool, what: str) -> None:
    if not automatic:
        raise RuntimeError(
            f"gradient='adjoint' has no {what}: build the layer with gradient='backprop'"
        )


def _rank(
    tensors: Sequence[Tensor], dims: Sequence[int | None], cores: Sequence[tuple[int, ...]]
) -> int:
    """The largest number of leading dimensions without the mapped axis."""
    triples = zip(tensors, dims, cores, strict=True)
    return max((t.dim() - len(core) - (d is not None) for t, d, core in triples), default=0)


def _fronted(
    tensors: Sequence[Tensor],
    dims: Sequence[int | None],
    cores: Sequence[tuple[int, ...]],
    rank: int,
) -> list[Tensor]:
    """The mapped axis in front (size 1 where there is none), the others filled up to ``rank``."""
    made = []
    for tensor, dim, core in zip(tensors, dims, cores, strict=True):
        moved = tensor.unsqueeze(0) if dim is None else tensor.movedim(dim, 0)
        filling = [1] * (rank + 1 + len(core) - moved.dim())
        made.append(moved.reshape(moved.shape[0], *filling, *moved.shape[1:]))
    return made
