import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch

import hybrid.storage.archive
from hybrid.storage.archive import CheckpointError, read, write

TENSORS = {"a": torch.randn(3, 2), "b": torch.arange(4)}


class Trap:
    """Would leave a mark if it were ever unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_any_flipped_byte_is_found(tmp_path):
    folder = tmp_path / "c"
    write(folder, {"module": TENSORS}, {"note": [1, 2.5, "x"]})
    checked = 0
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        for place in range(0, len(content), 3):
            broken = bytearray(content)
            broken[place] ^= 1 << (place % 8)
            file.write_bytes(broken)
            with pytest.raises(CheckpointError):
                read(folder)
            checked += 1
        for stop in (0, 1, len(content) // 2, len(content) - 1):
            file.write_bytes(content[:stop])
            with pytest.raises(CheckpointError):
                read(folder)
        file.write_bytes(content + b" ")
        with pytest.raises(CheckpointError):
            read(folder)
        file.unlink()
        with pytest.raises(CheckpointError):
            read(folder)
        file.write_bytes(content)
    read(folder)
    assert checked > 200


def test_a_pickle_is_never_opened(tmp_path):
    mark = tmp_path / "executed"
    file = tmp_path / "model.pt"
    file.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(CheckpointError, match=r"is a file.*are pickles"):
        read(file)
    folder = tmp_path / "c"
    write(folder, {"module": TENSORS}, {})
    for inside in list(folder.iterdir()):
        content = inside.read_bytes()
        inside.write_bytes(file.read_bytes())
        with pytest.raises(CheckpointError):
            read(folder)
        inside.write_bytes(content)
    assert not mark.exists()


def resealed(folder, change):
    """A manifest changed by hand, with the digest that fits."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())["manifest"]
    change(manifest)
    path.write_bytes(hybrid.storage.archive._seal(manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="other"), "damaged or not ours"),
        (lambda m: m.update(version=99), "format version 99, this release reads 1: update"),
        (lambda m: m["files"]["module"].update(file="../../etc/passwd"), "no name of a data file"),
        (lambda m: m["files"].update(module=3), "inconsistent"),
        (lambda m: m.pop("contents"), "inconsistent"),
        (lambda m: m["tensors"]["module"].pop("a"), "names other tensors"),
        (lambda m: m["files"]["module"].update(bytes=1), "does not have its recorded SHA-256"),
    ],
)
def test_a_forged_manifest_is_refused(tmp_path, change, message):
    write(tmp_path, {"module": TENSORS}, {})
    resealed(tmp_path, change)
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path)


def test_a_data_file_that_is_no_safetensors_is_refused(tmp_path):
    write(tmp_path, {"module": TENSORS}, {})
    (file,) = tmp_path.glob("*.safetensors")
    blob = b"\xff" * 100
    digest = hashlib.sha256(blob).hexdigest()
    file.write_bytes(blob)
    resealed(tmp_path, lambda m: m["files"]["module"].update(bytes=100, sha256=digest))
    with pytest.raises(CheckpointError, match="inconsistent"):
        read(tmp_path)


def test_missing_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such folder"):
        read(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"manifest\.json cannot be read"):
        read(tmp_path)


def test_overwriting_leaves_nothing_behind_but_other_files(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    write(tmp_path, {"module": TENSORS, "extra": {"c": torch.ones(1)}}, {"run": 1})
    write(tmp_path, {"module": {"a": torch.zeros(1)}}, {"run": 2})
    names = sorted(p.name.split("-")[0] for p in tmp_path.iterdir())
    assert names == ["manifest.json", "mine.txt", "module"]
    groups, contents = read(tmp_path)
    assert contents == {"run": 2}
    assert list(groups) == ["module"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failure_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch, failing):
    write(tmp_path, {"module": TENSORS}, {"run": 1})
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == failing * 2 - 1:  # each file: itself, then its folder
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, {"module": {"a": torch.zeros(5)}}, {"run": 2})
    groups, contents = read(tmp_path)
    assert contents == {"run": 1}
    assert torch.equal(groups["module"]["a"], TENSORS["a"])
    assert not list(tmp_path.glob(".writing-*"))


def test_writing_over_a_file_is_refused(tmp_path):
    file = tmp_path / "x"
    file.write_text("mine")
    with pytest.raises(CheckpointError, match="is a file"):
        write(file, {}, {})
    assert file.read_text() == "mine"


def test_unusual_tensors(tmp_path):
    tensors = {
        "bf16": torch.randn(3).bfloat16(),
        "half": torch.randn(3).half(),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "strided": torch.arange(12.0).reshape(3, 4).t()[::2],
        "complex64": torch.randn(3, dtype=torch.complex64),
        "complex128": torch.randn((), dtype=torch.complex128).conj(),
        "bool": torch.tensor([True, False]),
        "uint16": torch.tensor([1, 65535], dtype=torch.uint16),
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
    }
    write(tmp_path, {"module": tensors}, {})
    found = read(tmp_path)[0]["module"]
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].shape == tensor.shape, name
        one, two = (t.resolve_conj().contiguous().numpy(force=True).tobytes()
                    if t.dtype != torch.bfloat16 else t.view(torch.int16).numpy().tobytes()
                    for t in (found[name], tensor))  # fmt: skip
        assert one == two, name


def test_sparse_tensors_are_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"tensor 'a' is torch\.float32, torch\.sparse"):
        write(tmp_path / "c", {"module": {"a": torch.eye(2).to_sparse()}}, {})
    assert not (tmp_path / "c").exists()


def test_a_manifest_of_something_else_is_not_overwritten(tmp_path):
    foreign = tmp_path / "manifest.json"
    foreign.write_text('{"name": "my web app"}')
    with pytest.raises(CheckpointError, match="no checkpoint's"):
        write(tmp_path, {"module": TENSORS}, {})
    assert foreign.read_text() == '{"name": "my web app"}'
    assert len(list(tmp_path.iterdir())) == 1
