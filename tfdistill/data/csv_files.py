"""Reads a CSV file cell by cell as exact text, every row as wide as the header."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from tfdistill.data.csv_rows import CsvRows, as_text, undamaged
from tfdistill.data.row_errors import RowError

__all__ = ["headed_rows", "opened", "read_csv", "rows_by_line"]

_SEPARATORS = (",", ";", "\t")
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
            quote is not closed, or the file is damaged or no UTF-8.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> _ = path.write_text("zip;age\n007;31\n7;\n")
        >>> read_csv(path).fillna("?").to_numpy().tolist()
        [['007', '31'], ['7', '?']]
    """
    return headed_rows(opened(path), separator, wanted).read()


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
        if not Path(path).name.endswith((".csv", ".csv.gz")):
            raise
        line = headed_rows(opened(path), separator, wanted).line(error.row)
        raise ValueError(error.in_line(line)) from error


def opened(path: str | Path) -> Callable[[], io.BufferedReader]:
    """Returns what opens a file anew; one whose name ends in .gz is unpacked.

    Args:
        path: The file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.csv.gz"
        >>> _ = path.write_bytes(gzip.compress(b"a,b"))
        >>> opened(path)().read()
        b'a,b'
    """
    if Path(path).suffix == ".gz":
        return lambda: io.BufferedReader(gzip.open(path))
    return lambda: open(path, "rb")


def headed_rows(
    opened: Callable[[], io.BufferedReader],
    separator: str | None = None,
    wanted: Collection[str] = (),
) -> CsvRows:
    """Looks at the header of a file.

    Args:
        opened: Opens the file anew, unpacked.
        separator: As for `read_csv`.
        wanted: As for `read_csv`.

    Returns:
        The file's rows, which are not read yet.

    Raises:
        ValueError: If there is no header, a name repeats, or it is no CSV at all.

    Example:
        >>> headed_rows(lambda: io.BufferedReader(io.BytesIO(b"zip;age"))).names
        ['zip', 'age']
    """
    with undamaged(opened):
        _refuse_others(opened)
        header = _header(opened)
    if separator is None:
        separator = max(_SEPARATORS, key=lambda s: _fits(header, s, wanted))
    separator = {r"\t": "\t"}.get(separator, separator)
    if len(separator) != 1:
        raise ValueError(f"a separator is one character, got {separator!r}")
    names = _split(header, separator)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"its first line, the header, has {repeated} more than once")
    return CsvRows(opened, names, separator)


def _refuse_others(opened: Callable[[], io.BufferedReader]) -> None:
    with opened() as file:
        begin = file.read(4)
    for mark, problem in _OTHERS.items():
        if begin.startswith(mark):
            raise ValueError(problem)


def _header(opened: Callable[[], io.BufferedReader]) -> str:
    """The first line that is not empty; in quotes it may go over several."""
    with opened() as file, as_text(file) as lines:
        header = ""
        for line in lines:
            header += line if header or line.strip() else ""
            if "\0" in header:
                raise ValueError("it holds NUL bytes, so it is no text of UTF-8")
            if header and header.count('"') % 2 == 0:
                return header
    raise ValueError("it has no header")


def _fits(header: str, separator: str, wanted: Collection[str]) -> tuple[int, int]:
    """How many of the wanted names, and how many at all, a separator gives."""
    names = set(_split(header, separator))
    return len(names & set(wanted)), len(names)


def _split(header: str, separator: str) -> list[str]:
    return next(csv.reader(io.StringIO(header, newline=""), delimiter=separator))
