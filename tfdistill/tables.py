"""Table: the rows of embeddings, and which values go to which."""

# ruff: noqa: UP007 - pydantic reads annotations when it runs, on Python 3.9 too

from __future__ import annotations

import dataclasses
from typing import Annotated, Union

import pydantic

from tfdistill.documents import Checked, Int64, Size, one_of
from tfdistill.names import check_name

__all__ = ["Axis", "Table"]

Axis = Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]
"""Length of an axis, as TensorFlow counts it."""


@dataclasses.dataclass(frozen=True)
class Table(Checked):
    """An embedding table and the map from raw values to its rows.

    Rows `0 .. oov - 1` belong to values that are not known, so a new id is served by a
    trained-for row instead of an error. Features that name the same table share it.

    Args:
        name: Name of the table.
        dim: Width of a row.
        kind: `"vocabulary"` (listed values), `"hash"` (any value, `size` buckets) or
            `"integer"` (ids `0 .. size - 1`).
        vocabulary: The known values, for kind `"vocabulary"`.
        size: Number of buckets or ids, for the other two kinds.
        oov: Rows for unknown values (kinds `"vocabulary"` and `"integer"`; the rows of
            a hash table are all shared, so it has none).

    Raises:
        ValueError: If the arguments contradict each other.

    Example:
        >>> Table("gender", dim=8, kind="vocabulary", vocabulary=("f", "m")).num_rows
        3
    """

    name: str
    dim: Axis
    kind: Annotated[str, one_of("vocabulary", "hash", "integer")] = "integer"
    vocabulary: Annotated[tuple[Union[str, Int64], ...], pydantic.FailFast()] = ()
    size: Size = 0
    oov: Size = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        label = check_name("Table", self.name)
        if self.kind == "vocabulary":
            self._check_vocabulary(label)
        elif self.vocabulary or self.size < 1:
            raise ValueError(
                f"{label}: kind {self.kind!r} takes size >= 1 and no vocabulary, got "
                f"size={self.size} and {len(self.vocabulary)} vocabulary entries."
            )
        if self.kind != "hash" and self.oov < 1:
            raise ValueError(f"{label}: oov must be at least 1, got {self.oov}.")

    def _check_vocabulary(self, label: str) -> None:
        if not self.vocabulary or self.size:
            raise ValueError(
                f"{label}: kind 'vocabulary' takes a non-empty vocabulary and no size, "
                f"got {len(self.vocabulary)} entries and size={self.size}."
            )
        if len(set(self.vocabulary)) != len(self.vocabulary):
            raise ValueError(f"{label}: the vocabulary repeats a value.")
        kinds = sorted({type(value).__name__ for value in self.vocabulary})
        if kinds not in (["int"], ["str"]):
            raise ValueError(
                f"{label}: the vocabulary must be all str or all int, got {kinds}."
            )

    @property
    def num_rows(self) -> int:
        """Rows of the table, those for unknown values included."""
        if self.kind == "vocabulary":
            return self.oov + len(self.vocabulary)
        return self.size if self.kind == "hash" else self.oov + self.size
