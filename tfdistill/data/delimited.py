"""Reads a delimited text file of interactions and checks what came out."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfdistill.data.csv_files import headed_rows
from tfdistill.data.csv_rows import CsvRows
from tfdistill.data.movielens import Expected
from tfdistill.data.row_errors import RowError
from tfdistill.data.text_numbers import parsed
from tfdistill.files import read_as

__all__ = ["check_file", "check_size", "read_columns", "read_interactions"]


def check_file(path: str | Path, data_set: str, file_name: str) -> None:
    """Refuses a path without a file.

    Args:
        path: The path that was given.
        data_set: Name of the data set.
        file_name: Name of the file that is wanted.

    Raises:
        FileNotFoundError: If there is no such file.

    Example:
        >>> check_file("no/such", "Mine", "mine.zip")
        Traceback (most recent call last):
        FileNotFoundError: Mine: there is no file 'no/such'. Give the path of mine.zip.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{data_set}: there is no file {str(path)!r}. Give the path of {file_name}."
        )


def read_interactions(
    opened: Callable[[], io.BufferedReader],
    source: str,
    columns: Mapping[str, str],
    expected: Expected,
    *,
    separator: str,
    header: bool,
) -> pd.DataFrame:
    r"""Reads the interactions of a public data set.

    Args:
        opened: Opens the file anew, unpacked.
        source: What the file is called in errors.
        columns: Dtype by column, in the order of the file; `user_id` and `item_id` are
            two of them. A header's own names are not used.
        expected: Rows, users and items that the file must have.
        separator: Stands between two fields.
        header: Whether the first line holds names.

    Returns:
        A frame with these columns, in the order of the file.

    Raises:
        ValueError: If the file is corrupt, truncated or of another format.

    Example:
        >>> read_interactions(
        ...     lambda: io.BufferedReader(io.BytesIO(b"7,3,0.5\n")), "mine.csv",
        ...     {"user_id": "int64", "item_id": "int64", "watch_ratio": "float32"},
        ...     Expected(rows=2, users=1, items=2), separator=",", header=False,
        ... )  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: 'mine.csv' has 1 rows, 1 users and 1 items, expected 2, 1 and 2; ...
    """
    what = f"a table of {', '.join(columns)}"
    with read_as(source, what, remedy="Fetch the file again."):
        frame = read_columns(opened, columns, separator=separator, header=header)
    check_size(frame, source, expected)
    return frame


def read_columns(
    opened: Callable[[], io.BufferedReader],
    columns: Mapping[str, str],
    *,
    separator: str,
    header: bool,
) -> pd.DataFrame:
    r"""Reads a delimited file of columns that are known, as exactly as `read_csv`.

    Args:
        opened: As for `read_interactions`, as are the arguments below.
        columns: Dtype by column: `"int64"`, `"float32"` or `"str"`.
        separator: Stands between two fields.
        header: Whether the first line holds names.

    Returns:
        A frame with these columns.

    Raises:
        ValueError: If the file has other columns, or a value is not of its dtype.

    Example:
        >>> read_columns(lambda: io.BufferedReader(io.BytesIO(b"7,x\n")),
        ...              {"user_id": "int64", "item_id": "int64"}, separator=",",
        ...              header=False)
        Traceback (most recent call last):
        ValueError: column 'item_id' holds 'x' in line 1; int64 belongs there
    """
    rows = (
        headed_rows(opened, separator)
        if header
        else CsvRows(opened, list(columns), separator, headed=False)
    )
    if len(rows.names) != len(columns):
        raise ValueError(
            f"expected the {len(columns)} columns {list(columns)}, got "
            f"{len(rows.names)}"
        )
    texts = rows.read().set_axis(list(columns), axis=1)
    try:
        return pd.DataFrame(
            {name: _typed(texts[name], name, dtype) for name, dtype in columns.items()}
        )
    except RowError as error:
        raise ValueError(error.in_line(rows.line(error.row))) from error


def _typed(texts: Any, name: str, dtype: str) -> Any:
    if dtype == "str":
        return texts.fillna("").astype("str")

    def refuse(row: int, what: str) -> RowError:
        return RowError(f"column {name!r} {what}", row, f"; {dtype} belongs there")

    found = parsed(texts, "int64" if dtype == "int64" else "float64", refuse)
    missing = found.isna().to_numpy()
    if missing.any():
        raise refuse(int(np.argmax(missing)), "has no value")
    return found.to_numpy(dtype)


def check_size(frame: pd.DataFrame, source: str, expected: Expected) -> None:
    """Refuses interactions that are not as many as the data set has.

    Args:
        frame: Has the columns user_id and item_id.
        source: What was read, for the error.
        expected: Rows, users and items that there must be.

    Raises:
        ValueError: If a number differs.

    Example:
        >>> frame = pd.DataFrame({"user_id": [7], "item_id": [3]})
        >>> check_size(frame, "mine.csv", Expected(rows=1, users=1, items=1))
    """
    found = (len(frame), frame["user_id"].nunique(), frame["item_id"].nunique())
    wanted = (expected.rows, expected.users, expected.items)
    if found != wanted:
        raise ValueError(
            f"{source!r} has {found[0]} rows, {found[1]} users and {found[2]} items, "
            f"expected {wanted[0]}, {wanted[1]} and {wanted[2]}; it is truncated or of "
            "another data set. Fetch the file again."
        )
