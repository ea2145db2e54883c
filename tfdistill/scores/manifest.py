"""What a score store says about itself: teacher, keys, values and shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pydantic

from tfdistill.documents import STRICT, Checked, Int64, Size, as_json, one_of, read
from tfdistill.files import plain_name, written_whole
from tfdistill.identity import require_same

__all__ = ["ANEW", "FINGERPRINT", "KINDS", "SOURCE", "Column", "Manifest", "Shard"]

KINDS = ("scores", "embeddings", "lists")
"""What a store holds for each key: numbers, vectors, or a list of best items."""

ANEW = (
    "Use what it was begun with, or begin anew: in another folder, or delete this one."
)
"""What to do about a store that others' scores would be put into."""

FINGERPRINT, SOURCE = "teacher_fingerprint", "teacher_source"
"""What an identity says of the teacher; its source is recorded, and not compared."""

_NAME = "manifest.json"
_REMEDY = "Restore it, or score again into an empty folder."

KeyType = Annotated[str, one_of("int64", "string")]
Axis = Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]


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

    dtype: Annotated[str, one_of("float16", "float32", "int64", "string")]
    shape: Annotated[tuple[Axis, ...], pydantic.Field(max_length=1)] = ()

    @classmethod
    def of(cls, values: np.ndarray) -> Column:
        """Returns what the rows of an array `[N, *shape]` are."""
        text = values.dtype.kind in "OSU"
        return cls("string" if text else values.dtype.name, values.shape[1:])


@dataclasses.dataclass(frozen=True)
class Shard(Checked):
    """One file of a store.

    Args:
        name: Name of the file.
        rows: How many keys it holds.
        sha256: Checksum of its bytes.
        features: Fingerprint of the batches that it was scored from, where the store's
            identity has none of all data.

    Raises:
        ValueError: If a field is not what its annotation says, such as a name that
            leaves the store's folder.

    Example:
        >>> Shard("../shard-00000.parquet", 10, 64 * "0")
        Traceback (most recent call last):
        ValueError: Shard '../shard-00000.parquet': name is refused: a file's name must
        be a plain one inside its folder, got '../shard-00000.parquet'.
    """

    name: Annotated[str, pydantic.AfterValidator(plain_name)]
    rows: Size
    sha256: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]
    features: str = ""

    @classmethod
    def load(cls, path: Path) -> Shard:
        """Reads the record of a shard that was written before the store was finished.

        Raises:
            ValueError: If it is damaged.
        """
        remedy = "Delete it and run the scoring again: the others are kept."
        return read(path, cls, what="the record of a shard", remedy=remedy)


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
        library: The version of tfdistill that began it; not compared.
        format: Of this file.

    Example:
        >>> mine = Manifest("gbdt", "1", "scores", {"item_id": "int64"},
        ...     {"score": Column("float16")}, "parquet")
        >>> mine.require(dataclasses.replace(mine, version="2"), "runs/scores")
        Traceback (most recent call last):
        ...
        ValueError: The store in 'runs/scores' was begun with other settings: version
        was '1' and is '2'. ...
    """

    __pydantic_config__: ClassVar[pydantic.ConfigDict] = STRICT

    teacher: str
    version: str
    kind: Annotated[str, one_of(*KINDS)]
    keys: Annotated[Mapping[str, KeyType], pydantic.Field(min_length=1)]
    values: Annotated[Mapping[str, Column], pydantic.Field(min_length=1)]
    file_format: Annotated[str, one_of("parquet", "tfrecord")]
    plan: Mapping[str, Int64] = dataclasses.field(default_factory=dict)
    shards: tuple[Shard, ...] = ()
    finished: bool = False
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    library: str = ""
    format: Literal[1] = 1

    def __post_init__(self) -> None:
        names = [shard.name for shard in self.shards]
        if len(set(names)) != len(names):
            raise ValueError(f"A store's shards must differ, got {sorted(names)[:9]}.")
        both = sorted({*self.keys} & {*self.values})
        if both:
            raise ValueError(f"A column is a key or a value, but {both} are both.")

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
        what = f"The store in {str(where)!r}"
        saved, current = self._settings(), wanted._settings()
        (was, its), (now, other) = (
            (settings.pop(FINGERPRINT, None), settings.pop(SOURCE, "source unknown"))
            for settings in (saved, current)
        )
        # A function's fingerprint is its scores of some of the data: those come first.
        require_same(saved, current, what=what, anew=ANEW)
        if was != now:
            raise ValueError(
                f"{what} was begun with another teacher, or with other weights of it: "
                f"{FINGERPRINT} was {was!r} ({its}) and is {now!r} ({other}). {ANEW}"
            )

    def _settings(self) -> dict[str, Any]:
        """All that decides what is stored, on one level."""
        fields = dataclasses.asdict(self)
        for name in ("shards", "finished", "identity", "library"):
            del fields[name]
        return {**fields, **self.identity}

    def save(self, directory: Path) -> None:
        """Writes `manifest.json`, whole or not at all."""
        with written_whole(directory / _NAME) as unfinished:
            unfinished.write_text(as_json(self), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Manifest | None:
        """Reads `manifest.json`; None if there is none.

        Raises:
            ValueError: If it is damaged, or of another format.
        """
        path = directory / _NAME
        if not path.exists():
            return None
        return read(path, cls, what="the manifest of a score store", remedy=_REMEDY)
