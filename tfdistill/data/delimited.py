"""Reads a delimited text file of interactions and checks what came out."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import pandas as pd

from tfdistill.data.movielens import Expected
from tfdistill.files import read_as

__all__ = ["check_file", "check_size", "read_interactions"]


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
    file: IO[bytes] | gzip.GzipFile,
    source: str,
    columns: Mapping[str, str],
    expected: Expected,
    *,
    separator: str,
    header: bool,
) -> pd.DataFrame:
    r"""Reads the interactions of a public data set.

    Args:
        file: The open file, unpacked.
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
        >>> import io
        >>> read_interactions(
        ...     io.BytesIO(b"7,3,0.5\n"), "mine.csv",
        ...     {"user_id": "int64", "item_id": "int64", "watch_ratio": "float32"},
        ...     Expected(rows=2, users=1, items=2), separator=",", header=False,
        ... )  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: 'mine.csv' has 1 rows, 1 users and 1 items, expected 2, 1 and 2; ...
    """
    what = f"a table of {', '.join(columns)}"
    with read_as(source, what, remedy="Fetch the file again."):
        frame = pd.read_csv(
            file,
            sep=separator,
            header=0 if header else None,
            keep_default_na=False,
        )
        if frame.shape[1] != len(columns):
            raise ValueError(
                f"expected the {len(columns)} columns {list(columns)}, got "
                f"{frame.shape[1]}"
            )
        frame = frame.set_axis(list(columns), axis=1)
        huge = [name for name in frame if frame[name].dtype.kind == "u"]
        if huge:  # a cast would wrap them around
            raise ValueError(f"the columns {huge} have numbers of 2**63 or more")
        frame = frame.astype(dict(columns))
    check_size(frame, source, expected)
    return frame


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
