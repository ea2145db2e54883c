"""What a score store says about itself: teacher, keys, values and shards."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from tfdistill.files import written_whole
from tfdistill.identity import require_same

__all__ = ["ANEW", "KINDS", "Column", "Manifest", "Shard"]

KINDS = ("scores", "embeddings", "lists")
"""What a store holds for each key: numbers, vectors, or a list of best items."""

ANEW = (
    "Use what it was begun with, or begin anew: in another folder, or delete this one."
)
"""What to do about a store that others' scores would be put into."""

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
        features: Fingerprint of the batches that it was scored from, where the store's
            identity has none of all data.

    Raises:
        ValueError: If the name leaves the store's folder.

    Example:
        >>> Shard("shard-00000.parquet", 10, "ab12").rows
        10
    """

    name: str
    rows: int
    sha256: str
    features: str = ""

    def __post_init__(self) -> None:
        names = {path(self.name).name for path in (PurePosixPath, PureWindowsPath)}
        if names != {self.name} or self.name in ("", ".."):
            raise ValueError(
                f"the shard {self.name!r} must be a file's name in the store's folder"
            )


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
        identity: What else must not change: the teacher's fingerprint, that of the
            data, and the settings of the scoring.
        library: The version of tfdistill that began it; only told.

    Example:
        >>> mine = Manifest("gbdt", "1", "scores", {"item_id": "int64"},
        ...     {"score": Column("float16")}, "parquet")
        >>> mine.require(dataclasses.replace(mine, version="2"), "runs/scores")
        Traceback (most recent call last):
        ...
        ValueError: The store in 'runs/scores' was begun with other settings: version
        was '1' and is '2'. ...
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
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    library: str = ""

    @property
    def rows(self) -> int:
        """How many keys the store holds."""
        return sum(shard.rows for shard in self.shards)

    def require(self, wanted: Manifest, where: str | Path) -> None:
        """Refuses what differs in anything but shards and version of the library.

        Args:
            wanted: What the store should be.
            where: Its folder, for the message.

        Raises:
            ValueError: If anything of them differs; it names what, from what to what.
        """
        # A function's fingerprint is its scores of some of the data: those come first.
        for last in ("teacher_fingerprint", None):
            saved, current = (
                {name: value for name, value in m._settings().items() if name != last}
                for m in (self, wanted)
            )
            what = f"The store in {str(where)!r}"
            require_same(saved, current, what=what, anew=ANEW)

    def _settings(self) -> dict[str, Any]:
        """All that decides what is stored, on one level."""
        fields = dataclasses.asdict(self)
        for told in ("shards", "finished", "identity", "library"):
            del fields[told]
        return {**fields, **self.identity}

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
