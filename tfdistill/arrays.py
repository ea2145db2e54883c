"""Numpy's files that come from outside: no pickle, no more memory than they take."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from tfdistill.files import read_as

__all__ = ["read_array", "read_arrays"]

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_MOST_PACKED = 200
_SMALL = 1 << 26


def read_array(path: str | Path, *, what: str, remedy: str = "") -> np.ndarray:
    """Reads an array that `np.save` wrote.

    Args:
        path: The file.
        what: What it is, for the message: "the pools of a round".
        remedy: What to do if it is damaged, as a sentence.

    Returns:
        The array.

    Raises:
        ValueError: If the file is missing, damaged or another one; it names the file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "pool.npy"
        >>> np.save(path, np.arange(3))
        >>> read_array(path, what="a pool").tolist()
        [0, 1, 2]
    """
    with read_as(path, what, remedy=remedy), open(path, "rb") as file:
        return _array(file, Path(path).stat().st_size)


def read_arrays(
    path: str | Path, *, what: str, remedy: str = ""
) -> dict[str, np.ndarray]:
    """Reads the arrays that `np.savez` or `np.savez_compressed` wrote.

    Args:
        path: The file.
        what: What it is, for the message.
        remedy: What to do if it is damaged, as a sentence.

    Returns:
        The arrays by name.

    Raises:
        ValueError: If the file is missing, damaged or another one, or would unpack to
            more than 200 times its size; it names the file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "both.npz"
        >>> np.savez(path, a=np.arange(3), b=np.float32(0.5))
        >>> sorted(read_arrays(path, what="two arrays"))
        ['a', 'b']
    """
    with read_as(path, what, remedy=remedy), zipfile.ZipFile(path) as archive:
        size, members = Path(path).stat().st_size, archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > max(_SMALL, _MOST_PACKED * size):
            raise ValueError(f"it has {size} bytes and would unpack to {unpacked}")
        arrays: dict[str, np.ndarray] = {}
        for member in members:
            name = member.filename[: -len(".npy")]
            if member.filename != f"{name}.npy" or name in arrays:
                raise ValueError(f"it holds {member.filename[:80]!r}")
            with archive.open(member) as file:
                arrays[name] = _array(file, member.file_size)
        return arrays


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """Reads an array, after a look at whether its header fits the bytes."""
    version = np.lib.format.read_magic(file)
    shape, _, dtype = _HEADERS[version](file)
    left = size - file.tell()
    if (
        dtype.hasobject
        or not dtype.itemsize
        or dtype.itemsize * math.prod(shape) != left
    ):
        raise ValueError(f"its header says {dtype} {shape}, and {left} bytes follow")
    file.seek(0)
    return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
