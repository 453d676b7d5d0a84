import gzip
import os

import numpy as np
import pytest
from network_files import equal, shipped

from hybrid.pgm.formats.bif import write_bif
from hybrid.pgm.formats.description import Description
from hybrid.pgm.formats.files import read_description, write_description

COIN = Description({"coin": ("a", "b")}, {"coin": ()}, {"coin": np.array([0.1, 0.9])})


@pytest.mark.parametrize("suffix", [".bif", ".bif.gz", ".xmlbif", ".xml", ".XML.GZ"])
def test_round_trip(tmp_path, suffix):
    network = shipped("asia")
    write_description(tmp_path / f"a.b{suffix}", network)
    assert equal(read_description(tmp_path / f"a.b{suffix}"), network)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.b{suffix}"]


def test_the_same_network_makes_the_same_file(tmp_path):
    for name in ("a.bif.gz", "b.bif.gz"):
        write_description(tmp_path / name, COIN)
    assert (tmp_path / "a.bif.gz").read_bytes() == (tmp_path / "b.bif.gz").read_bytes()


def test_windows_texts_are_read(tmp_path):
    text = write_bif(COIN).replace("\n", "\r\n")
    (tmp_path / "a.bif").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert equal(read_description(tmp_path / "a.bif"), COIN)


def test_what_was_there_keeps_its_permissions_or_is_left_alone(tmp_path):
    file = tmp_path / "a.xml"
    write_description(file, COIN)
    file.chmod(0o640)
    write_description(file, COIN)
    assert file.stat().st_mode & 0o777 == 0o640
    before = file.read_bytes()
    with pytest.raises(ValueError, match="XMLBIF cannot hold"):
        write_description(file, Description({"": ("a",)}, {"": ()}, {"": np.ones(1)}))
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.xml"]


@pytest.mark.parametrize("name", ["a", "a.gz", "a.txt", "a.bif.zip", ".bif"])
def test_unknown_endings(tmp_path, name):
    with pytest.raises(ValueError, match=r"the name should end in \.bif, \.xmlbif"):
        write_description(tmp_path / name, COIN)


def test_errors_name_the_file(tmp_path):
    (tmp_path / "a.bif").write_text("network {\n}\nvariable")
    with pytest.raises(ValueError, match=r"a\.bif, line 3: "):
        read_description(tmp_path / "a.bif")
    (tmp_path / "b.bif").write_bytes(b"network {\n}\n// \xff")
    with pytest.raises(ValueError, match=r"b\.bif, line 3: the text is not in UTF-8"):
        read_description(tmp_path / "b.bif")
    whole = gzip.compress(write_bif(COIN).encode())
    for content in (b"plain", whole[:-9], whole[:20] + b"xx" + whole[22:]):
        (tmp_path / "c.bif.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"c\.bif\.gz is no complete gzip file"):
            read_description(tmp_path / "c.bif.gz")
    with pytest.raises(FileNotFoundError):
        read_description(tmp_path / "d.bif")
