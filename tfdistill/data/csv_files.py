"""Reads a CSV file cell by cell as exact text, every row as wide as the header."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import io
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv

__all__ = ["CsvRows", "csv_rows"]

Opener = Callable[[], io.BufferedReader]
"""Opens a file anew, unpacked."""

_BLOCK = 1 << 24
"""Bytes that are parsed at once; a row has to fit into them."""
_SEPARATORS = (",", ";", "\t")
_OTHERS = {
    b"\x1f\x8b": "it is compressed, once more than its name says; unpack it",
    b"PK\x03\x04": "it is a zip archive or an Excel file; unpack it, or save it as CSV",
    b"PAR1": "it is a Parquet file; name it .parquet",
    b"\xff\xfe": "it is UTF-16 or UTF-32; save it as UTF-8",
    b"\xfe\xff": "it is UTF-16; save it as UTF-8",
}
"""How files begin that are no CSV, and what to do about them."""


def csv_rows(
    path: str | Path, separator: str | None = None, wanted: Collection[str] = ()
) -> CsvRows:
    r"""Looks at the header of a CSV file; its rows are not read yet.

    Args:
        path: A `.csv` or `.csv.gz` file in UTF-8, its first line the names.
        separator: Stands between the fields; found out by default, among comma,
            semicolon and tab.
        wanted: Names that the header should have; they tell the separator.

    Returns:
        The file's rows.

    Raises:
        ValueError: If there is no header, a name repeats, or it is no CSV at all.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> _ = path.write_text("zip;age\n007;31\n\n7;\n")
        >>> rows = csv_rows(path)
        >>> rows.read().fillna("?").to_numpy().tolist(), rows.line(1)
        ([['007', '31'], ['7', '?']], 4)
    """
    opened = _opener(Path(path))
    with _undamaged(opened):
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


@dataclasses.dataclass(frozen=True)
class CsvRows:
    """The rows of a file in UTF-8 with so many fields each.

    Args:
        opened: Opens it anew, unpacked.
        names: Its columns.
        separator: Stands between the fields.
    """

    opened: Opener
    names: Sequence[str]
    separator: str

    def read(self) -> Any:
        """Reads all rows.

        Returns:
            A pandas frame of text, missing where a cell is empty.

        Raises:
            ValueError: If a row has more or fewer fields, a quote is not closed, the
                file is damaged or no UTF-8.
        """
        with _undamaged(self.opened):
            table = self._parsed()
        return table.to_pandas(
            types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get
        )

    def line(self, row: int) -> int:
        """Finds the line that a row of the frame begins in, as an editor counts."""
        row += 1  # below the header
        for begins, fields in self._rows():
            row -= bool(fields)
            if row < 0:
                return begins
        raise ValueError("the file has changed while it was read; run it again")

    def _parsed(self) -> Any:
        names = list(self.names)
        try:
            with _Watched(self.opened()) as file:
                table = pyarrow.csv.read_csv(
                    file,
                    read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK),
                    parse_options=pyarrow.csv.ParseOptions(
                        delimiter=self.separator, newlines_in_values=True
                    ),
                    convert_options=pyarrow.csv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()),
                        null_values=[""],
                        strings_can_be_null=True,
                    ),
                )
        except pa.ArrowInvalid as error:
            self._require_whole()
            if str(error).startswith(("CSV parse error: Empty", "Empty CSV file")):
                return pa.table({name: pa.array([], pa.string()) for name in names})
            raise
        if file.quoted:  # one that is not closed, or not at the end, changes values
            self._require_whole()
        return table

    def _rows(self, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        """The rows, blank lines too, each with the line that it begins in."""
        line, limit = 1, csv.field_size_limit(2**31 - 1)
        try:
            with self.opened() as file, _as_text(file) as lines:
                rows = csv.reader(lines, delimiter=self.separator, strict=strict)
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

    def _require_whole(self) -> None:
        """Refuses the first row that is malformed or not as wide as it should be."""
        wide = len(self.names)
        for line, row in self._rows(strict=True):
            if row and len(row) != wide:
                raise ValueError(
                    f"line {line} has {len(row)} fields and the header {wide}: "
                    f"{self.separator.join(row)[:80]!r}. Correct the line, put values "
                    f"with {self.separator!r} into double quotes, or give another "
                    "separator"
                )


@contextlib.contextmanager
def _undamaged(opened: Opener) -> Iterator[None]:
    """Makes one `ValueError`, with what to do, of gzip and text that can't be read."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(_not_utf8(opened)) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"its gzip data are damaged or cut ({error}); copy or compress it again"
        ) from error


def _as_text(file: io.BufferedReader) -> io.TextIOWrapper:
    """The text, its line ends as they are, without a mark of the order of bytes."""
    return io.TextIOWrapper(file, "utf-8-sig", newline="")


def _not_utf8(opened: Opener) -> str:
    """Says in which line the first bytes are that are no UTF-8."""
    with opened() as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start : error.start + 1]
                return f"line {number} is not UTF-8 ({byte!r}); save it as UTF-8"
    return "it is not UTF-8; save it as UTF-8"


class _Watched(io.BufferedReader):
    """A file that notes whether a quote was among what was read."""

    quoted = False

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.quoted = self.quoted or b'"' in content
        return content


def _opener(path: Path) -> Opener:
    """What opens a file anew; one whose name ends in .gz is unpacked."""
    if path.suffix == ".gz":
        return lambda: io.BufferedReader(gzip.open(path))
    return lambda: open(path, "rb")


def _refuse_others(opened: Opener) -> None:
    with opened() as file:
        begin = file.read(4)
    for mark, problem in _OTHERS.items():
        if begin.startswith(mark):
            raise ValueError(problem)


def _header(opened: Opener) -> str:
    """The first line that is not empty; in quotes it may go over several."""
    with opened() as file, _as_text(file) as lines:
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
