"""The conformance check of layers (floor 4)."""

import copy
import pickle
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hybrid.storage.packing import same_bits
from hybrid.testing.contract import Clauses, flat, fresh, own_randomness, trainable
from hybrid.training.runtime import dtype_of

__all__ = ["check_layer"]


def check_layer(
    module: nn.Module,
    in_features: int | None = None,
    *,
    example: Tensor | None = None,
    seed: int = 0,
) -> None:
    r"""Check that ``module`` is a Layer: (\*batch, in) → (\*batch, out), in every way it is used.

    Checked are: any leading dimensions, ``torch.func.vmap`` over inputs and over parameters against
    loops, finite gradients to inputs and to every parameter, the dtype of the result, the same
    bits twice in evaluation mode, and the same bits after deepcopy, pickle (unless a class in it is
    defined inside a function, which Python cannot pickle) and ``state_dict``.
    The module itself and torch's random state are left as they were.

    Args:
        module: The layer.
        in_features: Width of its inputs, which are then drawn from N(0, 1).
        example: A batch of inputs, (batch, \*event), instead of ``in_features``; with more than one
            event dimension (images) only one leading dimension is tried.
        seed: Of the inputs.

    Raises:
        ContractError: A clause is broken; it says which.
        ValueError: Not exactly one of ``in_features`` and ``example`` is given.

    Example:
        >>> import torch
        >>> check_layer(torch.nn.Linear(3, 2), 3)
        >>> check_layer(torch.nn.Flatten(), example=torch.zeros(4, 3, 3, 3))
        >>> check_layer(torch.nn.BatchNorm1d(3), 3)
        Traceback (most recent call last):
        hybrid.testing.contract.ContractError: BatchNorm1d breaks the clause "any leading ...
    """
    if (in_features is None) == (example is None):
        raise ValueError("give either in_features or an example batch")
    clauses = Clauses(module)
    clauses.module()
    layer = fresh(module)
    with own_randomness(seed) as generator:
        if example is None:
            example = torch.randn(6, in_features or 0, generator=generator)
        if not len(example):
            raise ValueError("example has no rows: give at least one")
        x = example[:6].to(dtype_of(layer)) if example.is_floating_point() else example[:6]
        y = _check_leading(clauses, layer, x)
        _check_dtype(clauses, layer, x, y)
        _check_repeatable(clauses, layer, x)
        _check_copies(clauses, layer, x)
        _check_vmap(clauses, layer, x)
        _check_gradients(clauses, layer, x)


def _check_leading(clauses: Clauses, layer: nn.Module, x: Tensor) -> Tensor:
    clause = "any leading dimensions"
    rows, event = len(x), x.shape[1:]
    with clauses.within(clause):
        y: Tensor = layer(x)
        clauses.require(isinstance(y, Tensor), clause, f"the result is a {type(y).__name__}")
        clauses.require(
            y.dim() >= 1 and len(y) == rows, clause, f"{tuple(x.shape)} gave {tuple(y.shape)}"
        )
        if len(event) != 1:
            return y
        clauses.close(clause, flat(layer(x[0])), flat(y[0]))
        for lead in ((rows // 2, 2), (1, rows // 2, 1, 2)) if rows % 2 == 0 else ((1, rows),):
            result = layer(x.reshape(*lead, *event))
            clauses.close(clause, flat(result), flat(y.reshape(*lead, *y.shape[1:])))
    return y


def _check_dtype(clauses: Clauses, layer: nn.Module, x: Tensor, y: Tensor) -> None:
    clause = "the dtype of the input is kept"
    if not x.is_floating_point():
        return

    def fits(given: Tensor, got: Tensor) -> None:
        same = given.dtype in (got.dtype, got.dtype.to_real() if got.is_complex() else None)
        clauses.require(same, clause, f"{given.dtype} gave {got.dtype}")

    fits(x, y)
    with clauses.within(clause):
        fits(x.double(), copy.deepcopy(layer).double()(x.double()))


def _check_repeatable(clauses: Clauses, layer: nn.Module, x: Tensor) -> None:
    clause = "the same bits twice in evaluation mode"
    before = torch.get_rng_state()
    clauses.require(same_bits(flat(layer(x)), flat(layer(x))), clause, "results differ")
    untouched = torch.equal(before, torch.get_rng_state())
    clauses.require(untouched, clause, "the call draws random numbers")


def _check_vmap(clauses: Clauses, layer: nn.Module, x: Tensor) -> None:
    clause = "vmap over inputs equals a loop"
    with clauses.within(clause):
        clauses.close(clause, flat(vmap(layer)(x)), flat(torch.stack([layer(row) for row in x])))
    own = {name: p.detach() for name, p in layer.named_parameters()}
    if not own:
        return
    clause = "vmap over parameters equals a loop"
    stacked = {n: torch.stack([p, p + 0.1 * torch.randn_like(p), 0.5 * p]) for n, p in own.items()}

    def call(parameters: dict[str, Tensor]) -> Tensor:
        result: Tensor = functional_call(layer, parameters, (x,))
        return result

    def alone(draw: int) -> Tensor:
        """The result of a module that owns these parameters."""
        twin = copy.deepcopy(layer)
        for name, parameter in twin.named_parameters():
            parameter.data.copy_(stacked[name][draw])
        result: Tensor = twin(x)
        return result

    with clauses.within(clause):
        loop = torch.stack([alone(draw) for draw in range(3)])
        clauses.close(clause, flat(vmap(call)(stacked)), flat(loop))


def _check_gradients(clauses: Clauses, layer: nn.Module, x: Tensor) -> None:
    clause = "finite gradients to inputs and every parameter"
    named = trainable(layer)
    with clauses.within(clause):
        if x.is_floating_point() and x.numel():
            x = x.clone().requires_grad_()
            named["the input"] = x
        if not named:
            return
        y = flat(layer(x))
        clauses.gradients(clause, named, (y * torch.randn_like(y)).sum())


def _check_copies(clauses: Clauses, layer: nn.Module, x: Tensor) -> None:
    expected = flat(layer(x))

    def reloaded(original: nn.Module) -> nn.Module:
        twin = copy.deepcopy(original)
        for parameter in twin.parameters():
            torch.nn.init.zeros_(parameter)
        twin.load_state_dict(original.state_dict())
        return twin

    ways: dict[str, Callable[[nn.Module], nn.Module]] = {
        "deepcopy": copy.deepcopy,
        "pickle": lambda original: pickle.loads(pickle.dumps(original)),
        "state_dict": reloaded,
    }
    if any("<locals>" in type(part).__qualname__ for part in layer.modules()):
        del ways["pickle"]
    for way, transform in ways.items():
        clause = f"the same bits after {way}"
        with clauses.within(clause):
            clauses.require(
                same_bits(expected, flat(transform(layer)(x))), clause, "results differ"
            )
