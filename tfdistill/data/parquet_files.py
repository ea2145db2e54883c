"""Reads a Parquet file column by column, so that no value changes on its way."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

__all__ = ["read_parquet"]

_NULLABLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
"""What pandas has for what it would turn into floats or objects beside a null."""


def read_parquet(path: str | Path) -> Any:
    """Reads a Parquet file, or a folder of them, into a frame.

    Integers and booleans stay what they are beside a null, decimals become numbers,
    dictionaries and bytes of UTF-8 the text that they hold, and what was the index of a
    pandas frame is a column again.

    Args:
        path: The file.

    Returns:
        A pandas frame, its rows in the order of the file.

    Raises:
        ValueError: If a column's name is there twice.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.parquet"
        >>> pd.DataFrame({"id": [2**60 + 1, None]}, dtype="Int64").to_parquet(path)
        >>> read_parquet(path)["id"].fillna(0).tolist()
        [1152921504606846977, 0]
    """
    try:
        table = _table(Path(path))
    except (pa.ArrowInvalid, OSError) as error:
        if getattr(error, "errno", None):  # the file is not what is wrong
            raise
        raise ValueError(
            f"it is damaged, cut or of another format ({error})"
        ) from error
    names = table.schema.names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"it has the columns {repeated} more than once; rename them")
    return pd.DataFrame({name: _values(table.column(name)) for name in names})


def _table(path: Path) -> Any:
    if path.is_dir():  # as Spark writes it
        found = pyarrow.dataset.dataset(path, format="parquet", partitioning="hive")
        return found.to_table()
    with pyarrow.parquet.ParquetFile(path) as file:
        return file.read()


def _values(column: Any) -> Any:
    """A column as a pandas series."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    # What does not fit stays as pandas has it, and is refused where it is used.
    with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if pa.types.is_fixed_size_binary(column.type):
            column = column.cast(pa.large_binary())
        column = column.cast(_plain(column.type))
    beside_null = column.null_count > 0
    return column.to_pandas(types_mapper=_NULLABLE.get if beside_null else None)


def _plain(kind: Any) -> Any:
    """The type that holds the same values, of those that features and labels have."""
    if pa.types.is_null(kind):
        return pa.float64()
    if pa.types.is_decimal(kind):
        return pa.float64() if kind.scale > 0 else pa.int64()
    if pa.types.is_signed_integer(kind):
        return pa.int64()
    if pa.types.is_unsigned_integer(kind):
        return pa.uint64()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.large_string()
    return kind
