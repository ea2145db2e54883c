"""Reads a CSV file cell by cell as exact text, every row as wide as the header."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.csv

__all__ = ["read_csv"]

_SEPARATORS = (",", ";", "\t")
_BLOCK = 1 << 24
"""Bytes that are parsed at once; a row has to fit into them."""


def read_csv(
    path: str | Path, *, separator: str | None = None, wanted: Collection[str] = ()
) -> Any:
    r"""Reads a CSV file without a guess about what its cells mean.

    Args:
        path: A `.csv` or `.csv.gz` file in UTF-8, its first line the names.
        separator: Stands between the fields; found out by default, among comma,
            semicolon and tab.
        wanted: Names that the header should have; they tell the separator.

    Returns:
        A pandas frame of text, missing where a cell is empty.

    Raises:
        ValueError: If a row has more or fewer fields than the header, a name repeats, a
            quote is not closed, or the file is no UTF-8.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> _ = path.write_text("zip;age\n007;31\n7;\n")
        >>> read_csv(path).fillna("?").to_numpy().tolist()
        [['007', '31'], ['7', '?']]
    """
    path = Path(path)
    separator = {r"\t": "\t"}.get(str(separator), separator)
    if separator is not None and len(separator) != 1:
        raise ValueError(f"A separator is one character, got {separator!r}.")
    try:
        header = _header(path)
        if separator is None:
            separator = max(_SEPARATORS, key=lambda s: _fits(header, s, wanted))
        names = _fields(header, separator)
        table = _parsed(path, names, separator)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 ({error}); save it as UTF-8") from error
    return table.to_pandas(types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get)


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.open(path))
    return open(path, "rb")


def _text(file: BinaryIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, "utf-8-sig", newline="")


def _header(path: Path) -> str:
    """The first line that is not empty; in quotes it may go over several."""
    with _opened(path) as file, _text(file) as lines:
        header = ""
        for line in lines:
            header += line if header or line.strip() else ""
            if header and header.count('"') % 2 == 0:
                return header
    raise ValueError("it has no header")


def _fields(header: str, separator: str) -> list[str]:
    names = next(csv.reader([header], delimiter=separator))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"its header has {repeated} more than once")
    return names


def _fits(header: str, separator: str, wanted: Collection[str]) -> tuple[int, int]:
    """How many of the wanted names, and how many at all, a separator gives."""
    names = set(next(csv.reader([header], delimiter=separator)))
    return len(names & set(wanted)), len(names)


def _parsed(path: Path, names: list[str], separator: str) -> Any:
    try:
        with _opened(path) as file:
            table = pyarrow.csv.read_csv(
                file,
                read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=separator, newlines_in_values=True
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
    except pa.ArrowInvalid as error:
        found = _first_fault(path, len(names), separator)
        raise ValueError(found or str(error)) from error
    if table.num_rows and "\n" in (table[-1][-1].as_py() or ""):
        found = _first_fault(path, len(names), separator)  # an open quote takes all
        if found:
            raise ValueError(found)
    return table


def _first_fault(path: Path, fields: int, separator: str) -> str | None:
    """Says in which line a row begins that is malformed; None if there is none."""
    line = 1
    with _opened(path) as file, _text(file) as lines:
        rows = csv.reader(lines, delimiter=separator, strict=True)
        try:
            for row in rows:
                if row and len(row) != fields:
                    return (
                        f"line {line} has {len(row)} fields and the header {fields}: "
                        f"{separator.join(row)[:80]!r}. Correct the line, put values "
                        f"with {separator!r} into double quotes, or give another "
                        "separator"
                    )
                line = rows.line_num + 1
        except csv.Error as error:
            return f"the row that begins in line {line} is malformed: {error}"
    return None
