"""Networks in files, the format by the name's ending (floor 3)."""

import gzip
import os
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

from hybrid.pgm.formats.bif import parse_bif, write_bif
from hybrid.pgm.formats.description import Description
from hybrid.pgm.formats.uai import parse_uai, write_uai
from hybrid.pgm.formats.xmlbif import parse_xmlbif, write_xmlbif

__all__ = ["read_description", "write_description"]

_Parser = Callable[[str], Description]
_Writer = Callable[[Description], str]
_FORMATS: dict[str, tuple[_Parser, _Writer]] = {
    ".bif": (parse_bif, write_bif),
    ".xmlbif": (parse_xmlbif, write_xmlbif),
    ".xml": (parse_xmlbif, write_xmlbif),
    ".uai": (parse_uai, write_uai),
}


def read_description(path: str | os.PathLike[str]) -> Description:
    """Read a network from a file in UTF-8.

    Args:
        path: Its name ends in .bif, .xmlbif, .xml or .uai, or in one of them and .gz.

    Returns:
        The network, its numbers to the last bit.

    Raises:
        ValueError: The ending is unknown, or the file is malformed; with its name and line.
        OSError: The file cannot be read.

    Example:
        >>> import tempfile, numpy as np
        >>> coin = Description({"coin": ("a", "b")}, {"coin": ()}, {"coin": np.array([0.1, 0.9])})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_description(f"{folder}/coin.bif.gz", coin)
        ...     read_description(f"{folder}/coin.bif.gz").tables
        {'coin': array([0.1, 0.9])}
    """
    file = Path(path)
    parse = _format(file)[0]
    content = file.read_bytes()
    try:
        if file.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        return parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{file}, line {line}: the text is not in UTF-8") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{file} is no complete gzip file: {error}") from None
    except ValueError as error:
        raise ValueError(f"{file}, {error}") from None


def write_description(path: str | os.PathLike[str], description: Description) -> None:
    """Write a network to a file, replacing what was there at once.

    Args:
        path: Its name ends in .bif, .xmlbif, .xml or .uai, or in one of them and .gz.
        description: The network. UAI files lose its names and labels.

    Raises:
        ValueError: The ending is unknown, or the format cannot hold a name.
        OSError: The file cannot be written; what was there is untouched.

    Example:
        >>> import numpy as np
        >>> coin = Description({"coin": ("a", "b")}, {"coin": ()}, {"coin": np.array([0.1, 0.9])})
        >>> write_description("coin.txt", coin)
        Traceback (most recent call last):
        ValueError: coin.txt: the name should end in .bif, .xmlbif, .xml, .uai, or these and .gz
    """
    file = Path(path)
    content = _format(file)[1](description).encode()
    if file.suffix.lower() == ".gz":
        content = gzip.compress(content, mtime=0)
    beside = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        with beside.open("xb") as target:
            target.write(content)
        if file.exists():
            beside.chmod(file.stat().st_mode & 0o777)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def _format(file: Path) -> tuple[_Parser, _Writer]:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    found = _FORMATS.get(suffixes[-1] if suffixes else "")
    if found is None:
        raise ValueError(f"{file}: the name should end in {', '.join(_FORMATS)}, or these and .gz")
    return found
