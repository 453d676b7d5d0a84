"""Tensors and a manifest in one folder: verified when read, replaced atomically (floor 0).

The folder holds ``manifest.json`` and one safetensors file per group of tensors, named by its
content. A new checkpoint's files are written beside the old ones; replacing the manifest is the one
moment at which the new checkpoint takes the old one's place, and only then the old files go.
"""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor

__all__ = ["CheckpointError", "read", "write"]

FORMAT = "borromean checkpoint"
VERSION = 1
MANIFEST = "manifest.json"
_DATA = re.compile(r"[a-z]+-[0-9a-f]{16}\.safetensors")
_PLAIN = {
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.uint16, torch.uint32, torch.uint64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.float8_e4m3fn, torch.float8_e5m2,
}  # fmt: skip
_COMPLEX = {torch.complex64: torch.float32, torch.complex128: torch.float64}


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, is damaged, or does not fit the module.

    Example:
        >>> read("no/such/folder")
        Traceback (most recent call last):
        hybrid.storage.archive.CheckpointError: no checkpoint at no/such/folder: there is no ...
    """


def write(
    path: str | os.PathLike[str],
    groups: Mapping[str, Mapping[str, Tensor]],
    contents: Mapping[str, Any],
) -> None:
    """Write groups of tensors and JSON contents as the folder ``path``.

    Args:
        path: Made if missing. A checkpoint in it is replaced, other files are left alone.
        groups: ``{group: {name: tensor}}``; a group's name is lower-case letters.
        contents: JSON data for the manifest.

    Raises:
        CheckpointError: ``path`` is a file, its manifest is of something else, or a tensor cannot
            be stored.
        OSError: The disk is full or not writable; an earlier checkpoint in ``path`` is untouched.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(folder, {"module": {"a": torch.ones(2)}}, {"note": "hello"})
        ...     groups, contents = read(folder)
        >>> groups, contents
        ({'module': {'a': tensor([1., 1.])}}, {'note': 'hello'})
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder} is a file: a checkpoint is a folder, name another path")
    _check_ours(folder / MANIFEST)
    blobs = {group: _encode(group, tensors) for group, tensors in groups.items()}
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for group, blob in blobs.items():
        digest = hashlib.sha256(blob).hexdigest()
        name = f"{group}-{digest[:16]}.safetensors"
        _replace(folder / name, blob)
        files[group] = {"file": name, "bytes": len(blob), "sha256": digest}
    tables = {
        group: {
            name: {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
            for name, tensor in tensors.items()
        }
        for group, tensors in groups.items()
    }
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "files": files,
        "tensors": tables,
        "contents": contents,
    }
    _replace(folder / MANIFEST, _seal(manifest))
    kept = {entry["file"] for entry in files.values()}
    for old in folder.iterdir():
        if _DATA.fullmatch(old.name) and old.name not in kept:
            old.unlink(missing_ok=True)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The groups and contents of a checkpoint, every byte of it verified first.

    Raises:
        CheckpointError: There is none, or a file is missing, damaged or not ours.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(folder, {}, {"rows": 3})
        ...     read(folder)
        ({}, {'rows': 3})
    """
    folder = Path(path)
    if folder.is_file():
        raise CheckpointError(
            f"{folder} is a file: a checkpoint is a folder written by hybrid.save (files of "
            "torch.save are pickles, which can run code, and are not read)"
        )
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint at {folder}: there is no such folder")
    manifest = _open(folder)
    try:
        blobs = {group: _verified(folder, entry) for group, entry in manifest["files"].items()}
        groups = {
            group: _decode(folder, blob, manifest["tensors"][group])
            for group, blob in blobs.items()
        }
        return groups, manifest["contents"]
    except (KeyError, TypeError, AttributeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is damaged: its manifest is inconsistent") from error


def _open(folder: Path) -> dict[str, Any]:
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{folder} is no checkpoint: its {MANIFEST} cannot be read ({error.strerror})"
        ) from error
    damaged = f"{folder / MANIFEST} is damaged or not ours: take an earlier checkpoint"
    try:
        sealed = json.loads(text)
        manifest = sealed["manifest"]
        whole = _seal(manifest) == text
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(damaged) from error
    if not whole or manifest.get("format") != FORMAT:
        raise CheckpointError(damaged)
    if manifest.get("version") != VERSION:
        raise CheckpointError(
            f"{folder} has format version {manifest.get('version')}, this release reads {VERSION}: "
            "update borromean"
        )
    found: dict[str, Any] = manifest
    return found


def _check_ours(manifest: Path) -> None:
    """Whether a manifest may be replaced: it is ours, damaged or not, or empty."""
    start = b'{"sha256": "'
    if manifest.exists():
        with manifest.open("rb") as file:
            found = file.read(len(start))
        if found not in (b"", start):
            raise CheckpointError(
                f"{manifest} is no checkpoint's: nothing was written, name another folder"
            )


def _seal(manifest: Mapping[str, Any]) -> bytes:
    """The one byte string for a manifest: it holds a digest of itself, so any other is damaged."""
    body = json.dumps(manifest, indent=1, ensure_ascii=True)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f'{{"sha256": "{digest}",\n"manifest": {body}}}\n'.encode()


def _verified(folder: Path, entry: Mapping[str, Any]) -> bytes:
    name = entry["file"]
    if not _DATA.fullmatch(name):
        raise CheckpointError(f"{folder} is damaged: {name!r} is no name of a data file")
    try:
        blob = (folder / name).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{folder} is damaged: {name} cannot be read ({error.strerror})"
        ) from error
    if len(blob) != entry["bytes"] or hashlib.sha256(blob).hexdigest() != entry["sha256"]:
        raise CheckpointError(
            f"{folder} is damaged: {name} ({len(blob)} bytes, {entry['bytes']} expected) does not "
            "have its recorded SHA-256"
        )
    return blob


def _encode(group: str, tensors: Mapping[str, Tensor]) -> bytes:
    plain = {}
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.dtype not in _PLAIN | set(_COMPLEX):
            raise CheckpointError(
                f"{group} tensor '{name}' is {tensor.dtype}, {tensor.layout}: a checkpoint holds "
                "dense tensors of ordinary dtypes"
            )
        if tensor.is_complex():
            tensor = torch.view_as_real(tensor.resolve_conj())
        plain[name] = tensor.detach().cpu().contiguous().clone()
    return write_tensors(plain)


def _decode(folder: Path, blob: bytes, table: Mapping[str, Any]) -> dict[str, Tensor]:
    tensors = read_tensors(blob)
    if set(tensors) != set(table):
        raise CheckpointError(f"{folder} is damaged: its manifest names other tensors")
    result = {}
    for name, entry in table.items():
        dtype = getattr(torch, entry["dtype"])
        tensor = tensors[name]
        result[name] = torch.view_as_complex(tensor) if dtype in _COMPLEX else tensor
    return result


def _replace(target: Path, content: bytes) -> None:
    """Write ``content`` beside ``target``, force it to the disk, and rename it into place."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    synchronize(target.parent)


def synchronize(folder: Path) -> None:
    """Force the names in a folder to the disk."""
    with contextlib.suppress(OSError):  # folders cannot be synchronised everywhere
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
