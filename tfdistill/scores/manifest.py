"""What a score store says about itself: teacher, keys, values and shards."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfdistill.files import written_whole

__all__ = ["KINDS", "Column", "Manifest", "Shard"]

KINDS = ("scores", "embeddings", "lists")
"""What a store holds for each key: numbers, vectors, or a list of best items."""

_FORMAT = 1
_NAME = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Column:
    """Dtype and shape of one value of a column.

    Args:
        dtype: `"float16"`, `"float32"`, `"int64"` or `"string"`.
        shape: `()`, or `(d,)` for a vector or a list.

    Example:
        >>> Column.of(np.zeros([9, 4], np.float16))
        Column(dtype='float16', shape=(4,))
    """

    dtype: str
    shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, values: np.ndarray) -> Column:
        """Returns what the rows of an array `[N, *shape]` are."""
        text = values.dtype.kind in "OSU"
        return cls("string" if text else values.dtype.name, values.shape[1:])


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of a store.

    Args:
        name: Name of the file.
        rows: How many keys it holds.
        sha256: Checksum of its bytes.

    Example:
        >>> Shard("shard-00000.parquet", 10, "ab12").rows
        10
    """

    name: str
    rows: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The description of a store; `manifest.json` in its folder.

    Args:
        teacher: Name of the teacher.
        version: Its version.
        kind: One of `KINDS`.
        keys: Dtype of each key column, `"int64"` or `"string"`.
        values: Each value's column by name.
        file_format: `"parquet"` or `"tfrecord"`.
        plan: How the rows were cut into shards; another plan can't resume the store.
        shards: The files, in order.
        finished: Whether all of them are there.

    Example:
        >>> mine = Manifest("gbdt", "1", "scores", {"item_id": "int64"},
        ...     {"score": Column("float16")}, "parquet")
        >>> mine.require(dataclasses.replace(mine, version="2"), "runs/scores")
        Traceback (most recent call last):
        ...
        ValueError: The store in 'runs/scores' has version '1', not '2'...
    """

    teacher: str
    version: str
    kind: str
    keys: Mapping[str, str]
    values: Mapping[str, Column]
    file_format: str
    plan: Mapping[str, int] = dataclasses.field(default_factory=dict)
    shards: tuple[Shard, ...] = ()
    finished: bool = False

    @property
    def rows(self) -> int:
        """How many keys the store holds."""
        return sum(shard.rows for shard in self.shards)

    def require(self, wanted: Manifest, where: str | Path) -> None:
        """Refuses what differs in anything but the shards.

        Args:
            wanted: What the store should be.
            where: Its folder, for the message.

        Raises:
            ValueError: If teacher, version, kind, keys, values, format or plan differ.
        """
        for field in dataclasses.fields(self):
            if field.name in ("shards", "finished"):
                continue
            have, want = getattr(self, field.name), getattr(wanted, field.name)
            if have != want:
                raise ValueError(
                    f"The store in {str(where)!r} has {field.name} {have!r}, not "
                    f"{want!r}. Use what it was written with, or another folder."
                )

    def save(self, directory: Path) -> None:
        """Writes `manifest.json`, whole or not at all."""
        fields = {"format": _FORMAT, **dataclasses.asdict(self)}
        with written_whole(directory / _NAME) as unfinished:
            unfinished.write_text(json.dumps(fields, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Manifest | None:
        """Reads `manifest.json`; None if there is none.

        Raises:
            ValueError: If it is damaged, or of another format.
        """
        path = directory / _NAME
        if not path.exists():
            return None
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found = fields.pop("format")
            if found != _FORMAT:
                raise ValueError(f"it has format {found}, this version reads {_FORMAT}")
            fields["values"] = {
                name: Column(column["dtype"], tuple(column["shape"]))
                for name, column in fields["values"].items()
            }
            fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{str(path)!r} is not the manifest of a score store, or is damaged: "
                f"{error}. Restore it, or score again into an empty folder."
            ) from error
