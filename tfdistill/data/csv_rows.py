"""Rows of a CSV file as exact text, all of one width, and the lines they are in."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv

__all__ = ["CsvRows", "as_text", "undamaged"]

Opener = Callable[[], io.BufferedReader]
"""Opens a file anew, unpacked."""

_BLOCK = 1 << 24
"""Bytes that are parsed at once; a row has to fit into them."""


@dataclasses.dataclass(frozen=True)
class CsvRows:
    r"""The rows of a file in UTF-8 with so many fields each.

    Args:
        opened: Opens it anew, unpacked.
        names: Its columns.
        separator: Stands between the fields.
        headed: Whether the first row is a header, which has these names.

    Example:
        >>> file = CsvRows(lambda: io.BufferedReader(io.BytesIO(b"007,31\n7,\n")),
        ...                ("zip", "age"), ",", headed=False)
        >>> file.read().fillna("?").to_numpy().tolist(), file.line(1)
        ([['007', '31'], ['7', '?']], 2)
    """

    opened: Opener
    names: Sequence[str]
    separator: str
    headed: bool = True

    def read(self) -> Any:
        """Reads all rows.

        Returns:
            A pandas frame of text, missing where a cell is empty.

        Raises:
            ValueError: If a row has more or fewer fields, a quote is not closed, the
                file is damaged or no UTF-8.
        """
        with undamaged(self.opened):
            table = self._parsed()
        return table.to_pandas(
            types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get
        )

    def line(self, row: int) -> int:
        """Finds the line that a row of the frame begins in, as an editor counts."""
        row += self.headed
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
                    read_options=pyarrow.csv.ReadOptions(
                        block_size=_BLOCK, column_names=None if self.headed else names
                    ),
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
            with self.opened() as file, as_text(file) as lines:
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
                    f"line {line} has {len(row)} fields and the "
                    f"{'header' if self.headed else 'data set'} {wide}: "
                    f"{self.separator.join(row)[:80]!r}. Correct the line, put values "
                    f"with {self.separator!r} into double quotes, or give another "
                    "separator"
                )


@contextlib.contextmanager
def undamaged(opened: Opener) -> Iterator[None]:
    r"""Makes one `ValueError`, with what to do, of gzip and text that can't be read.

    Args:
        opened: Opens the file that is read within.

    Raises:
        ValueError: If its gzip data are damaged, or it is not UTF-8.

    Example:
        >>> def opened():
        ...     return io.BufferedReader(io.BytesIO(b"a,b\n\xe9,1\n"))
        >>> with undamaged(opened), as_text(opened()) as lines:
        ...     lines.read()
        Traceback (most recent call last):
        ValueError: line 2 is not UTF-8 (b'\xe9'); save it as UTF-8
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(_not_utf8(opened)) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"its gzip data are damaged or cut ({error}); copy or compress it again"
        ) from error


def as_text(file: io.BufferedReader) -> io.TextIOWrapper:
    r"""Returns a file's text, with its line ends as they are.

    Args:
        file: The open file, in UTF-8; a mark of its order of bytes is left out.

    Example:
        >>> as_text(io.BufferedReader(io.BytesIO(b"\xef\xbb\xbfa\r\nb"))).read()
        'a\r\nb'
    """
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
    """A file that tells whether there was a quote in what was read."""

    quoted = False

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.quoted = self.quoted or b'"' in content
        return content
