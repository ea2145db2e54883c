"""Files of a score store: rows as Parquet, or as blocks of rows in TFRecords."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from tfdistill.files import read_as
from tfdistill.scores.manifest import Column

__all__ = ["FORMATS", "ShardFormat", "as_text", "checksum"]

Columns = Mapping[str, np.ndarray]
"""Rows: arrays `[N, *shape]` by name; text as objects of type str."""

_BLOCK = 65_536
"""Rows in memory when a Parquet file is read."""

_EXAMPLE = 4096
"""Rows of one tf.Example."""


class ShardFormat(Protocol):
    """A kind of file that holds rows."""

    def write(self, path: Path, columns: Columns) -> None:
        """Writes rows; equal rows give equal bytes."""
        ...

    def blocks(self, path: Path, columns: Mapping[str, Column]) -> Iterator[Columns]:
        """Reads the rows in order, a bounded number at a time."""
        ...

    def num_rows(self, path: Path, columns: Mapping[str, Column]) -> int:
        """Counts the rows of a file."""
        ...


class _Parquet:
    """One column per key and value, a fixed-size list where it has a shape."""

    def write(self, path: Path, columns: Columns) -> None:
        arrays = {name: _to_arrow(values) for name, values in columns.items()}
        pq.write_table(pa.table(arrays), path, row_group_size=_BLOCK)

    def blocks(self, path: Path, columns: Mapping[str, Column]) -> Iterator[Columns]:
        with _reading(path), pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BLOCK, columns=list(columns)):
                read = {
                    name: _from_arrow(batch.column(name), column)
                    for name, column in columns.items()
                }
                _check(read, columns)
                yield read

    def num_rows(self, path: Path, columns: Mapping[str, Column]) -> int:
        with _reading(path):
            return int(pq.read_metadata(path).num_rows)


class _TFRecord:
    """One tf.Example per 4096 rows, each column flat.

    Numbers are one string of little-endian bytes for `tf.io.decode_raw`, which is fast
    and holds float16; texts are a list.
    """

    def write(self, path: Path, columns: Columns) -> None:
        rows = len(next(iter(columns.values())))
        with tf.io.TFRecordWriter(str(path)) as writer:
            for begin in range(0, rows, _EXAMPLE):
                features = {
                    name: _feature(values[begin : begin + _EXAMPLE].ravel())
                    for name, values in columns.items()
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString(deterministic=True))

    def blocks(self, path: Path, columns: Mapping[str, Column]) -> Iterator[Columns]:
        with _reading(path):
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                stored = tf.train.Example.FromString(record).features.feature
                read = {
                    name: _from_feature(stored[name].bytes_list.value, column)
                    for name, column in columns.items()
                }
                _check(read, columns)
                yield read

    def num_rows(self, path: Path, columns: Mapping[str, Column]) -> int:
        name, column = next(iter(columns.items()))
        return sum(len(block[name]) for block in self.blocks(path, {name: column}))


FORMATS: Mapping[str, ShardFormat] = MappingProxyType(
    {"parquet": _Parquet(), "tfrecord": _TFRecord()}
)
"""The formats of a store by the ending of their files."""


def _reading(path: Path) -> contextlib.AbstractContextManager[None]:
    remedy = "Delete that file and run the scoring again: the others are kept."
    return read_as(path, "a shard of this store", remedy=remedy)


def _check(read: Columns, columns: Mapping[str, Column]) -> None:
    """Refuses rows that are not what the manifest says."""
    found = {name: Column.of(values) for name, values in read.items()}
    rows = {name: len(values) for name, values in read.items()}
    if found != dict(columns) or len(set(rows.values())) > 1:
        raise ValueError(f"it holds {found}, so many rows: {rows}, not {dict(columns)}")


def checksum(path: Path) -> str:
    """Returns the SHA-256 of a file, read piece by piece.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "empty"
        >>> path.touch()
        >>> checksum(path)[:8]
        'e3b0c442'
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def as_text(values: np.ndarray) -> np.ndarray:
    """Returns strings or bytes as an array of objects of type str.

    Example:
        >>> as_text(np.array([b"a", "b"], object)).tolist()
        ['a', 'b']
    """
    if values.dtype.kind == "U":
        return values.astype(object)
    texts = np.empty(values.shape, object)
    texts.flat[:] = [tf.compat.as_str(value) for value in values.flat]
    return texts


def _to_arrow(values: np.ndarray) -> pa.Array:
    flat = pa.array(values.ravel())
    if values.ndim == 1:
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _from_arrow(array: pa.Array, column: Column) -> np.ndarray:
    flat = array.flatten() if column.shape else array
    return flat.to_numpy(zero_copy_only=False).reshape(-1, *column.shape)


def _feature(flat: np.ndarray) -> tf.train.Feature:
    if flat.dtype.kind == "O":
        texts = [text.encode() for text in flat]
    else:
        texts = [flat.astype(flat.dtype.newbyteorder("<")).tobytes()]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))


def _from_feature(read: Sequence[bytes], column: Column) -> np.ndarray:
    if column.dtype == "string":
        values = as_text(np.array(read, object))
    else:
        little = np.dtype(column.dtype).newbyteorder("<")
        values = np.frombuffer(b"".join(read), little).astype(column.dtype)
    return values.reshape(-1, *column.shape)
