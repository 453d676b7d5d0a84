"""Save a module, and bring its state back into one of the same shape (floor 1).

No pickle is written or read: what is loaded is numbers, strings and tensors, never code.
"""

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from hybrid.storage.archive import CheckpointError, read, write
from hybrid.storage.packing import pack, same_bits, unpack

__all__ = ["CheckpointError", "load", "save"]

_EXTRA = "_extra_state"
_LIBRARIES = ("borromean", "torch", "pyro-ppl", "pennylane", "pgmpy", "zuko", "safetensors")


def save(
    module: nn.Module, path: str | os.PathLike[str], *, optimizer: Optimizer | None = None
) -> None:
    """Write the state of ``module`` (and of ``optimizer``) as the folder ``path``.

    What is saved is the module's ``state_dict``: parameters, persistent buffers and extra state.
    Tensors keep their bits and dtype; shared ones are written once. A checkpoint that is in the
    folder already is replaced atomically: whatever happens, the folder holds the old or the new.

    Args:
        module: Any module.
        path: The folder, made if missing.
        optimizer: Its state is saved too.

    Raises:
        CheckpointError: ``path`` is a file, a parameter is not initialised yet, or a tensor or an
            extra state cannot be stored without pickle.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     layer, other = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
        ...     save(layer, f"{folder}/layer")
        ...     load(f"{folder}/layer", into=other)
        >>> torch.equal(layer.weight, other.weight)
        True
    """
    _check_kinds(module, optimizer)
    groups, contents = gathered(module)
    if optimizer is not None:
        states: dict[str, Tensor] = {}
        contents["optimizer"] = packed_optimizer(module, optimizer, states)
        groups.update({"optimizer": states} if states else {})
    write(path, groups, contents)


def load(
    path: str | os.PathLike[str], *, into: nn.Module, optimizer: Optimizer | None = None
) -> None:
    """Bring a saved state back into a module of the same shape, in place.

    Every file is verified before anything is touched; on any error ``into`` and ``optimizer`` are
    as they were.

    Args:
        path: A folder written by `save`.
        into: A module with the same names, shapes and dtypes; it may lie on another device.
        optimizer: An optimiser of the same class over the same parameters, to be restored too.

    Raises:
        CheckpointError: The checkpoint is missing or damaged, or does not fit; the message lists
            the differences.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(torch.nn.Linear(2, 1), folder)
        ...     load(folder, into=torch.nn.Linear(3, 1))
        Traceback (most recent call last):
        hybrid.storage.archive.CheckpointError: ... saved float32 (1, 2), here float32 (1, 3)...
    """
    _check_kinds(into, optimizer)
    groups, contents = read(path)
    state = fitting(path, groups, contents, into)
    restored: Any = None
    if optimizer is not None:
        stored = contents["optimizer"]
        if stored is None:
            raise CheckpointError(f"the checkpoint at {os.fspath(path)} holds no optimizer state")
        restored = fitting_optimizer(stored, groups.get("optimizer", {}), into, optimizer)
    before = {
        key: value.detach().clone() if isinstance(value, Tensor) else value
        for key, value in into.state_dict().items()
    }
    try:
        into.load_state_dict(state)
        if optimizer is not None:
            optimizer.load_state_dict(restored)
    except Exception as error:
        with suppress(RuntimeError):  # what cannot be written to was not changed either
            into.load_state_dict(before)
        raise CheckpointError(
            f"{type(into).__name__} refused the checkpoint at {os.fspath(path)}: {error}"
        ) from error


def gathered(module: nn.Module) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The groups of tensors and the contents of a checkpoint of ``module`` alone."""
    tensors, aliases, extra = _split(module)
    packed: dict[str, Tensor] = {}
    try:
        states = {key: pack(value, key, packed) for key, value in extra.items()}
    except TypeError as error:
        raise CheckpointError(f"cannot save {type(module).__name__}: {error}") from error
    groups = {"module": tensors, "extra": packed}
    contents = {
        "module": {"class": _kind(module), "aliases": aliases, "extra": states},
        "optimizer": None,
        "written_by": _versions(),
    }
    return {name: group for name, group in groups.items() if group}, contents


def fitting(
    path: str | os.PathLike[str],
    groups: Mapping[str, Mapping[str, Tensor]],
    contents: Mapping[str, Any],
    into: nn.Module,
) -> dict[str, Any]:
    """The ``state_dict`` for ``into`` in a checkpoint that was read, if it fits."""
    stored = contents["module"]
    saved = dict(groups.get("module", {}))
    for alias, name in stored["aliases"].items():
        saved[alias] = saved[name]
    extra = {key: unpack(value, groups.get("extra", {})) for key, value in stored["extra"].items()}
    differences = _differences(saved, extra, into)
    if differences:
        raise CheckpointError(
            f"the checkpoint at {os.fspath(path)} (a {stored['class']}) does not fit this "
            f"{type(into).__name__}: " + "; ".join(differences)
        )
    return {**saved, **extra}


def packed_optimizer(
    module: nn.Module, optimizer: Optimizer, tensors: dict[str, Tensor], name: str = "optimizer"
) -> dict[str, Any]:
    """Class, parameters by name and state of an optimiser; tensors go to ``tensors``."""
    try:
        state = pack(optimizer.state_dict(), name, tensors)
    except TypeError as error:
        raise CheckpointError(f"cannot save {type(module).__name__}: {error}") from error
    return {"class": _kind(optimizer), "parameters": _names(module, optimizer), "state": state}


def fitting_optimizer(
    stored: Mapping[str, Any], tensors: Mapping[str, Tensor], into: nn.Module, optimizer: Optimizer
) -> Any:
    """The ``state_dict`` for ``optimizer`` in what `packed_optimizer` made, if it fits."""
    if stored["class"] != _kind(optimizer):
        raise CheckpointError(
            f"the checkpoint's optimizer is a {stored['class']}, this one a {_kind(optimizer)}"
        )
    here = _names(into, optimizer)
    if stored["parameters"] != here:
        raise CheckpointError(
            "the checkpoint's optimizer trains other parameters, or in another order: "
            f"{_brief(stored['parameters'])} there, {_brief(here)} here"
        )
    return unpack(stored["state"], tensors)


def _check_kinds(module: Any, optimizer: Any) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"expected a torch.nn.Module, got {type(module).__name__}")
    if not isinstance(optimizer, Optimizer | None):
        raise TypeError(f"optimizer must be a torch Optimizer, got {type(optimizer).__name__}")


def _split(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, str], dict[str, Any]]:
    """Tensors that are stored, names of further tensors that are the same, and extra states."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    extra: dict[str, Any] = {}
    seen: dict[Any, str] = {}
    for key, value in module.state_dict().items():
        if not isinstance(value, Tensor) or _is_extra(key):
            extra[key] = value
            continue
        if is_lazy(value):
            raise CheckpointError(f"'{key}' has no shape yet: run the module once before saving")
        identity = _identity(value)
        if identity is not None and identity in seen:
            aliases[key] = seen[identity]
            continue
        if identity is not None:
            seen[identity] = key
        tensors[key] = value
    return tensors, aliases, extra


def _is_extra(key: str) -> bool:
    return key.rsplit(".", 1)[-1] == _EXTRA


def _identity(tensor: Tensor) -> Any:
    """Equal for two tensors that are the same memory seen the same way; None without memory."""
    if not tensor.numel() or tensor.layout is not torch.strided:
        return None
    return (
        str(tensor.device),
        tensor.untyped_storage().data_ptr(),
        tensor.storage_offset(),
        tensor.dtype,
        tuple(tensor.shape),
        tensor.stride(),
        tensor.is_conj(),
    )


def _differences(
    saved: Mapping[str, Tensor], extra: Mapping[str, Any], into: nn.Module
) -> list[str]:
    """What does not fit, in words; empty if all does."""
    here = into.state_dict()
    wanted = {**saved, **extra}
    found = [f"{key} is not in the checkpoint" for key in here if key not in wanted]
    found += [f"{key} is in the checkpoint only" for key in wanted if key not in here]
    groups: dict[Any, str] = {}
    for key, tensor in saved.items():
        own = here.get(key)
        if own is None:
            continue
        if not isinstance(own, Tensor) or is_lazy(own):
            found.append(f"{key}: saved {_shape(tensor)}, here no tensor with a shape")
            continue
        if own.dtype != tensor.dtype or own.shape != tensor.shape:
            found.append(f"{key}: saved {_shape(tensor)}, here {_shape(own)}")
            continue
        identity = _identity(own)
        other = groups.setdefault(identity, key) if identity is not None else key
        if other != key and not same_bits(saved[other], tensor):
            found.append(f"{other} and {key} are one tensor here, two in the checkpoint")
    return found


def _shape(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _names(module: nn.Module, optimizer: Optimizer) -> list[list[Any]]:
    """Name (None if the module does not have it) and shape of each parameter, by group."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return [
        [[names.get(id(p)), list(p.shape)] for p in group["params"]]
        for group in optimizer.param_groups
    ]


def _brief(parameters: list[list[Any]]) -> str:
    return " | ".join(", ".join(str(name) for name, _ in group) for group in parameters)


def _versions() -> dict[str, Any]:
    """What wrote the checkpoint: the same bits are promised for the same of these only."""
    found: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = None
    return {**found, "threads": torch.get_num_threads()}
