"""Writing a store shard by shard, so that a killed run goes on."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdistill.documents import as_json
from tfdistill.files import written_whole
from tfdistill.scores.distinct import require_distinct, twice
from tfdistill.scores.keys import hashes, identities, repeated
from tfdistill.scores.manifest import ANEW, KINDS, Column, Manifest, Shard
from tfdistill.scores.shards import FORMATS, Columns, as_text, checksum
from tfdistill.scores.store import ScoreStore
from tfdistill.version import __version__

__all__ = ["FLOATS", "StoreWriter"]

FLOATS = ("float16", "float32")
"""How scores and vectors may be stored."""


class StoreWriter:
    """Writes the shards of a store, each whole or not at all.

    Beside each shard are a small record of its rows and checksum and a file of its
    keys' hashes, until `finish` puts all shards into the manifest. A shard that is
    there and whole is never written again.

    It takes no lock: writers may run side by side if one of them calls `describe`
    before the others are made, and no two write one shard.

    Args:
        directory: Folder of the store; a store that is there is gone on with.
        teacher: Name of the teacher.
        version: Its version.
        kind: What is stored, one of `KINDS`.
        keys: Names of the key columns.
        dtype: One of `FLOATS`.
        file_format: `"parquet"` or `"tfrecord"`.
        plan: What decides which rows a shard has, to be the same in a resumed run.
        identity: What else must be the same then, as JSON values by name: fingerprints
            of teacher and data.

    Raises:
        ValueError: If an argument is none of its choices, or the folder has a store
            that was begun with others, or is of a version that kept no identity.

    Example:
        >>> import tempfile
        >>> writer = StoreWriter(
        ...     tempfile.mkdtemp(), teacher="gbdt", version="1", kind="scores",
        ...     keys=["item_id"], dtype="float16")
        >>> writer.write(0, {"item_id": np.array([4, 8]), "score": np.array([1., -1.])})
        >>> writer.finish(1).manifest.rows
        2
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        teacher: str,
        version: str,
        kind: str,
        keys: Sequence[str],
        dtype: str = "float32",
        file_format: str = "parquet",
        plan: Mapping[str, int] | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value, choices in (
            ("kind", kind, KINDS),
            ("dtype", dtype, FLOATS),
            ("file_format", file_format, tuple(FORMATS)),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {value!r}.")
        if not keys or len(set(keys)) != len(keys):
            raise ValueError(f"keys must be one or more names, got {list(keys)}.")
        self.directory = Path(directory)
        self.dtype = dtype
        self._keys = tuple(keys)
        self._described = Manifest(
            teacher,
            version,
            kind,
            {},
            {},
            file_format,
            dict(plan or {}),
            identity={"key_columns": list(keys), "dtype": dtype, **(identity or {})},
            library=__version__,
        )
        self._found = Manifest.load(self.directory)
        if self._found is not None:
            self._require_same(self._found)
        self._written = {s.name: s for s in self._records() if self._is_whole(s)}

    def has(self, number: int) -> bool:
        """Tells whether this shard is there and whole."""
        return self._name(number) in self._written

    def require(self, number: int, features: str) -> None:
        """Refuses to keep a shard that was scored from other batches.

        Args:
            number: The number of a shard that is there.
            features: Fingerprint of the batches that it would be scored from now.

        Raises:
            ValueError: If it is another than that of `write`.
        """
        saved = self._written[self._name(number)].features
        if saved != features:
            raise ValueError(
                f"{self._where(number)} was scored from other batches: the fingerprint "
                f"of their features was {saved!r} and is {features!r}. They have "
                f"changed, or come in another order. {ANEW}"
            )

    def write(self, number: int, columns: Columns, features: str = "") -> None:
        """Writes one shard and its record.

        Args:
            number: Its number, from 0 on.
            columns: Keys `[N]` and values `[N, *shape]` by name.
            features: Fingerprint of the batches that it was scored from.

        Raises:
            ValueError: If there is no row, a key is there twice or no integer or text,
                a value is not finite, the columns differ from other shards', or a
                finished store has no such shard.
        """
        where = self._where(number)
        columns, hashed = self._checked(where, columns)
        self._describe(columns)
        name = self._name(number)
        finished = self._found is not None and self._found.finished
        if finished and self._found and number >= len(self._found.shards):
            raise ValueError(
                f"{where} is more than was scored: the store was finished with "
                f"{len(self._found.shards)} shards, but the data go on. {ANEW}"
            )
        files = FORMATS[self._described.file_format]
        with written_whole(self.directory / name) as unfinished:
            files.write(unfinished, columns)
            rows = len(columns[self._keys[0]])
            shard = Shard(name, rows, checksum(unfinished), features)
        with written_whole(self._hash_file(name)) as unfinished:
            hashed.tofile(unfinished)
        with written_whole(self._record(name)) as unfinished:
            unfinished.write_text(as_json(shard, indent=None), encoding="utf-8")
        self._written[name] = shard

    def describe(self, columns: Columns) -> None:
        """Writes the manifest before any shard, for writers that run side by side.

        Args:
            columns: Some rows, as for `write`.

        Raises:
            ValueError: As for `write`.
        """
        checked, _ = self._checked("The first batch", columns)
        self._describe(checked)

    def finish(self, num_shards: int) -> ScoreStore:
        """Ends the store, and opens it.

        Args:
            num_shards: How many shards there are.

        Returns:
            The verified store.

        Raises:
            ValueError: If there is no shard, one is missing or there are more, or a key
                is in two of them.
        """
        names = [self._name(number) for number in range(num_shards)]
        more = sorted(set(self._written) - set(names))
        if more:
            raise ValueError(
                f"The store in {str(self.directory)!r} has {more} beyond the "
                f"{num_shards} shards of these data: there was more of them. {ANEW}"
            )
        missing = [name for name in names if name not in self._written]
        if missing or self._found is None or not names:
            raise ValueError(
                f"The store in {str(self.directory)!r} can't be finished: "
                + (f"{missing} are missing." if missing else "nothing was scored.")
            )
        shards = tuple(self._written[name] for name in names)
        finished = dataclasses.replace(self._found, shards=shards, finished=True)
        if finished != self._found:
            store = ScoreStore(self.directory, finished)
            require_distinct(store, [self._hashes(store, shard) for shard in shards])
            finished.save(self.directory)
        self._clean()
        return ScoreStore.open(self.directory)

    def _require_same(self, found: Manifest) -> None:
        if not found.identity:
            raise ValueError(
                f"The store in {str(self.directory)!r} is of a version that did not "
                "record what it was scored from: open it with ScoreStore.open, or "
                "score again into another folder."
            )
        described = dataclasses.replace(
            self._described, keys=found.keys, values=found.values
        )
        found.require(described, self.directory)

    def _checked(self, where: str, columns: Columns) -> tuple[Columns, np.ndarray]:
        """What is stored, keys first, and the sorted hashes of the keys."""
        missing = [name for name in self._keys if name not in columns]
        if missing:
            raise ValueError(f"{where} lacks the keys {missing}: it has {[*columns]}.")
        ordered = [*self._keys, *sorted(set(columns) - set(self._keys))]
        stored = {
            name: _stored(f"{where}: {name!r}", np.asarray(columns[name]), self.dtype)
            for name in ordered
        }
        hashed = _key_hashes(where, {name: stored[name] for name in self._keys})
        _check_finite(where, stored, self._described.kind)
        return stored, hashed

    def _describe(self, columns: Columns) -> None:
        """Compares the columns with other shards', or writes the first manifest."""
        kinds = {name: Column.of(values) for name, values in columns.items()}
        described = dataclasses.replace(
            self._described,
            keys={name: kinds.pop(name).dtype for name in self._keys},
            values=kinds,
        )
        self._found = self._found or Manifest.load(self.directory)
        if self._found is not None:
            self._found.require(described, self.directory)
            return
        ranks = {name: len(column.shape) for name, column in kinds.items()}
        rank = 0 if self._described.kind == "scores" else 1
        if not ranks or set(ranks.values()) != {rank}:
            raise ValueError(
                f"A store of {self._described.kind} takes values of {rank} axes per "
                f"key, got {ranks}."
            )
        self._clean()  # records of a store whose manifest was deleted
        described.save(self.directory)
        self._found = described

    def _records(self) -> list[Shard]:
        """What the manifest and the records say; none without the manifest."""
        if self._found is None:
            return []
        shards = list(self._found.shards)
        for path in sorted(self.directory.glob("shard-*.json")):
            with contextlib.suppress(ValueError):  # damaged: it is scored again
                shards.append(Shard.load(path))
        return shards

    def _is_whole(self, shard: Shard) -> bool:
        path = self.directory / shard.name
        return path.is_file() and checksum(path) == shard.sha256

    def _name(self, number: int) -> str:
        return f"shard-{number:05d}.{self._described.file_format}"

    def _record(self, name: str) -> Path:
        return (self.directory / name).with_suffix(".json")

    def _hash_file(self, name: str) -> Path:
        return (self.directory / name).with_suffix(".hashes")

    def _where(self, number: int) -> str:
        return f"Shard {number} of the store in {str(self.directory)!r}"

    def _hashes(self, store: ScoreStore, shard: Shard) -> np.ndarray:
        """The sorted hashes of a shard's keys, from their file if it is there."""
        path = self._hash_file(shard.name)
        if path.exists() and path.stat().st_size == 8 * shard.rows:
            return np.memmap(path, np.uint64, "r")
        only = dataclasses.replace(store.manifest, shards=(shard,))
        blocks = ScoreStore(self.directory, only).blocks()
        keys = ({name: block[name] for name in self._keys} for block in blocks)
        return np.sort(np.concatenate([hashes(identities(key)) for key in keys]))

    def _clean(self) -> None:
        """Removes what is of use only while the store is written."""
        for pattern in ("shard-*.json", "shard-*.hashes"):
            for path in self.directory.glob(pattern):
                path.unlink()


def _stored(what: str, values: np.ndarray, dtype: str) -> np.ndarray:
    """Text as str, integers as int64, floats as `dtype`."""
    if values.dtype.kind in "OSU":
        return as_text(values)
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind != "f":
        raise ValueError(f"{what} must be numbers or text, got {values.dtype}.")
    with np.errstate(over="ignore"):
        cast = values.astype(dtype)
    lost = np.isinf(cast) & np.isfinite(values)
    if lost.any():
        raise ValueError(
            f"{what} holds {values[lost].flat[0]}, which {dtype} can't; store float32."
        )
    return cast


def _key_hashes(where: str, keys: Columns) -> np.ndarray:
    """Sorted hashes of the keys; refuses what is no key, or is there twice."""
    rows = {name: len(values) for name, values in keys.items()}
    if len(set(rows.values())) != 1 or 0 in rows.values():
        raise ValueError(f"{where} needs rows with all keys, got so many: {rows}.")
    for name, values in keys.items():
        if values.ndim != 1 or values.dtype.kind == "f":
            raise ValueError(
                f"{where}: the key {name!r} must be integers or text [N], got "
                f"{Column.of(values)}."
            )
    ids = identities(keys)
    hashed = np.sort(hashes(ids))
    at = repeated(ids) if (hashed[1:] == hashed[:-1]).any() else None
    if at is not None:
        raise twice(where, {name: values[at] for name, values in keys.items()})
    return hashed


def _check_finite(where: str, columns: Columns, kind: str) -> None:
    """Refuses NaN and infinite values; lists may end early, but not at once."""
    for name, values in columns.items():
        if values.dtype.kind != "f":
            continue
        bad = ~np.isfinite(values)
        if kind == "lists":
            empty = np.isnan(values).all(axis=1)
            if empty.any():
                raise ValueError(
                    f"{where}: the list of row {np.argmax(empty)} is empty; leave out "
                    "whoever has no item."
                )
            ended = np.logical_and.accumulate(bad[:, ::-1], axis=1)[:, ::-1]
            bad &= ~(ended & np.isnan(values))
        if bad.any():
            at = tuple(np.argwhere(bad)[0])
            raise ValueError(
                f"{where}: {name!r} is {values[at]} in row {at[0]}; a teacher's values "
                "must be finite. Mask what it can't score, and clip a probability "
                "before you take its logit."
            )
