"""Reads a CSV file cell by cell as exact text, every row as wide as the header."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from tfdistill.data.row_errors import RowError

__all__ = ["read_csv", "rows_by_line"]

_SEPARATORS = (",", ";", "\t")
_BLOCK = 1 << 24
"""Bytes that are parsed at once; a row has to fit into them."""
_OTHERS = {
    b"\x1f\x8b": "it is compressed, once more than its name says; unpack it",
    b"PK\x03\x04": "it is a zip archive or an Excel file; unpack it, or save it as CSV",
    b"PAR1": "it is a Parquet file; name it .parquet",
    b"\xff\xfe": "it is UTF-16 or UTF-32; save it as UTF-8",
    b"\xfe\xff": "it is UTF-16; save it as UTF-8",
}
"""How files begin that are no CSV, and what to do about them."""


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
    try:
        _refuse_others(path)
        header = _header(path)
        separator = _separator(header, separator, wanted)
        names = _fields(header, separator)
        table = _parsed(path, names, separator)
    except UnicodeDecodeError as error:
        raise ValueError(_not_utf8(path)) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"its gzip data are damaged or cut ({error}); copy or compress it again"
        ) from error
    return table.to_pandas(types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get)


@contextlib.contextmanager
def rows_by_line(
    path: str | Path, *, separator: str | None = None, wanted: Collection[str] = ()
) -> Iterator[None]:
    r"""Lets errors of a frame's rows name the lines of the CSV file it was read from.

    Lines are what an editor shows: from 1, the header among them. Rows of any other
    file stay as they are, counted from 0.

    Args:
        path: The file, all of whose rows are in the frame, in order.
        separator: As for `read_csv`.
        wanted: As for `read_csv`.

    Raises:
        ValueError: In place of a `RowError`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> _ = path.write_text('name,age\n"two\nlines",31\n\nAda,x\n')
        >>> with rows_by_line(path):
        ...     raise RowError("There is no number", 1, ".")
        Traceback (most recent call last):
        ValueError: There is no number in line 5.
    """
    try:
        yield
    except RowError as error:
        path = Path(path)
        if not path.name.endswith((".csv", ".csv.gz")):
            raise
        separator = _separator(_header(path), separator, wanted)
        raise ValueError(error.in_line(_line(path, error.row, separator))) from error


def _line(path: Path, row: int, separator: str) -> int:
    """The line that a row begins in; the header is the row before the first."""
    for begins, fields in _rows(path, separator):
        row -= bool(fields)
        if row < -1:
            return begins
    raise ValueError(f"{str(path)!r} has changed while it was read; run it again")


def _rows(
    path: Path, separator: str, *, strict: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """The rows, blank lines too, each with the line that it begins in."""
    line, limit = 1, csv.field_size_limit(2**31 - 1)
    try:
        with _opened(path) as file, _text(file) as lines:
            rows = csv.reader(lines, delimiter=separator, strict=strict)
            try:
                for row in rows:
                    yield line, row
                    line = rows.line_num + 1
            except csv.Error as error:
                raise ValueError(
                    f"the row that begins in line {line} is malformed: {error}"
                ) from error
    finally:
        csv.field_size_limit(limit)


def _separator(header: str, given: str | None, wanted: Collection[str]) -> str:
    if given is None:
        return max(_SEPARATORS, key=lambda s: _fits(header, s, wanted))
    given = {r"\t": "\t"}.get(given, given)
    if len(given) != 1:
        raise ValueError(f"a separator is one character, got {given!r}")
    return given


def _refuse_others(path: Path) -> None:
    with _opened(path) as file:
        begin = file.read(4)
    for mark, problem in _OTHERS.items():
        if begin.startswith(mark):
            raise ValueError(problem)


def _not_utf8(path: Path) -> str:
    """Says in which line the first bytes are that are no UTF-8."""
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start : error.start + 1]
                return f"line {number} is not UTF-8 ({byte!r}); save it as UTF-8"
    return "it is not UTF-8; save it as UTF-8"


def _opened(path: Path) -> io.BufferedReader:
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.open(path))
    return open(path, "rb")


class _Watched(io.BufferedReader):
    """A file that tells whether there was a quote in what was read."""

    quoted = False

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.quoted = self.quoted or b'"' in content
        return content


def _text(file: io.BufferedReader) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, "utf-8-sig", newline="")


def _header(path: Path) -> str:
    """The first line that is not empty; in quotes it may go over several."""
    with _opened(path) as file, _text(file) as lines:
        header = ""
        for line in lines:
            header += line if header or line.strip() else ""
            if "\0" in header:
                raise ValueError("it holds NUL bytes, so it is no text of UTF-8")
            if header and header.count('"') % 2 == 0:
                return header
    raise ValueError("it has no header")


def _fields(header: str, separator: str) -> list[str]:
    names = _split(header, separator)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"its first line, the header, has {repeated} more than once")
    return names


def _fits(header: str, separator: str, wanted: Collection[str]) -> tuple[int, int]:
    """How many of the wanted names, and how many at all, a separator gives."""
    names = set(_split(header, separator))
    return len(names & set(wanted)), len(names)


def _split(header: str, separator: str) -> list[str]:
    return next(csv.reader(io.StringIO(header, newline=""), delimiter=separator))


def _parsed(path: Path, names: list[str], separator: str) -> Any:
    try:
        with _Watched(_opened(path)) as file:
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
        _require_whole(path, len(names), separator)
        if str(error).startswith("CSV parse error: Empty CSV file"):
            return pa.table({name: pa.array([], pa.string()) for name in names})
        raise
    if file.quoted:  # a quote that is not closed, or not at the end, changes values
        _require_whole(path, len(names), separator)
    return table


def _require_whole(path: Path, fields: int, separator: str) -> None:
    """Refuses the first row that is malformed or not as wide as the header."""
    for line, row in _rows(path, separator, strict=True):
        if row and len(row) != fields:
            raise ValueError(
                f"line {line} has {len(row)} fields and the header {fields}: "
                f"{separator.join(row)[:80]!r}. Correct the line, put values with "
                f"{separator!r} into double quotes, or give another separator"
            )
