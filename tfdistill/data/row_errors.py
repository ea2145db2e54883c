"""Errors of a row, which a file tells by its line and a frame by a count from 0."""

from __future__ import annotations

__all__ = ["RowError"]


class RowError(ValueError):
    """A row holds what it can't.

    Args:
        before: The sentence up to where the row is named.
        row: Number of the row in its frame, from 0.
        after: The rest of it.

    Example:
        >>> error = RowError("Column 'age' holds 'x'", 3, "; correct it.")
        >>> str(error)
        "Column 'age' holds 'x' in row 3 (counted from 0); correct it."
        >>> error.in_line(5)
        "Column 'age' holds 'x' in line 5; correct it."
    """

    def __init__(self, before: str, row: int, after: str) -> None:
        super().__init__(f"{before} in row {row} (counted from 0){after}")
        self.row = int(row)
        self._before, self._after = before, after

    def in_line(self, line: int) -> str:
        """Returns the sentence with a line of a file in place of the row."""
        return f"{self._before} in line {line}{self._after}"
