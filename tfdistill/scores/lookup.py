"""Stored signals joined to batches inside tf.data, from files sorted by key."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import tensorflow as tf

from tfdistill.files import flush, flush_all, folder_beside
from tfdistill.scores.distinct import twice
from tfdistill.scores.joining import Coverage, check_keys, check_values
from tfdistill.scores.keys import (
    KeyIndex,
    bucket_starts,
    buckets,
    hashes,
    identities,
    unique,
)
from tfdistill.scores.rows import key_columns
from tfdistill.scores.shards import checksum
from tfdistill.scores.store import ScoreStore

__all__ = ["ScoreLookup"]

_BUCKET = 1 << 20
"""Rows that are sorted in memory at once."""


class ScoreLookup:
    """A tf.data transformation that adds stored scores or vectors to every batch.

    For data that does not fit in memory, in any order: the store is sorted by key once,
    into files beside it, of which the system keeps in memory what is read. What the
    store lacks, and what the batch masks, is NaN: a `LoggedTeacher` finds the signals,
    and the `Distiller` leaves out what is NaN. `coverage` counts.

    Requests in memory take `join_requests`, which costs nothing when training.

    Args:
        store: The store, of kind `"scores"` or `"embeddings"`. Its keys are features of
            the batch, `[B]` or `[B, L]`.
        names: For each stored value, the name of the batch's feature.
        index: Folder of the sorted files; by default one in the store's. It is made if
            it is not there, or of another store.

    Raises:
        ValueError: If the store lacks a value, has one key twice, or holds lists
            (`listed_rows` reads those). Iterating raises it if keys are missing or of
            another dtype.

    Example:
        >>> import tempfile
        >>> from tfdistill.scores import score_batches
        >>> batches = [{"user": np.array([1, 2]), "item": np.array([[5, 6], [5, 7]])}]
        >>> store = score_batches(
        ...     batches, lambda x: x["item"] / 2, tempfile.mkdtemp(),
        ...     teacher_name="half", keys=["user", "item"])
        >>> lookup = ScoreLookup(store, {"score": "half"})
        >>> batch = {"user": [2, 1], "item": [[7, 9], [6, 5]]}
        >>> data = tf.data.Dataset.from_tensors((batch, {}, {}))
        >>> for x, _, _ in lookup(data):
        ...     print(x["half"].numpy())
        [[3.5 nan]
         [3.  2.5]]
        >>> print(lookup.coverage)
        1 of 4 keys (25.0 %) have no stored score
    """

    def __init__(
        self,
        store: ScoreStore,
        names: Mapping[str, str],
        *,
        index: str | Path | None = None,
    ) -> None:
        check_values(store, names)
        if store.manifest.kind == "lists":
            raise ValueError(
                f"The store in {str(store.directory)!r} holds lists; read them with "
                "listed_rows and TeacherLists."
            )
        self.store, self.names = store, dict(names)
        folder = Path(index) if index is not None else store.directory / "sorted"
        _make(store, folder)
        self._index = KeyIndex(_mapped(folder, "ids"), _mapped(folder, "starts"))
        places = {value: n for n, value in enumerate(store.manifest.values)}
        self._values = {v: _mapped(folder, f"value-{places[v]}") for v in names}
        self._asked = self._missing = 0
        self._lock = threading.Lock()

    @property
    def coverage(self) -> Coverage:
        """How many keys were looked up so far, and how many of them were missing."""
        return Coverage(self._asked, self._missing)

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Adds the signals to batches, `(features, ...)` or features alone."""

        def add(*batch: Any) -> Any:
            features, rest = batch[0], batch[1:]
            joined = {**features, **self._joined(features)}
            return (joined, *rest) if rest else joined

        return dataset.map(add, num_parallel_calls=1).prefetch(tf.data.AUTOTUNE)

    def _joined(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        needed = [*self.store.manifest.keys, "mask"]
        given = {name: features[name] for name in needed if name in features}
        kinds = {n: t.dtype.name for n, t in given.items() if n != "mask"}
        check_keys(self.store, kinds)
        rank = max(given[name].shape.rank for name in kinds)
        found = tf.numpy_function(
            lambda *arrays: self._find(dict(zip(given, arrays))),
            list(given.values()),
            [tf.float32] * len(self.names),
            stateful=True,
        )
        for tensor, value in zip(found, self.names):
            tensor.set_shape([None] * rank + list(self.store.columns[value].shape))
        return dict(zip(self.names.values(), found))

    def _find(self, features: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        columns, mask = key_columns(features, list(self.store.manifest.keys))
        place = self._index.find(identities({n: a[mask] for n, a in columns.items()}))
        with self._lock:
            self._asked += len(place)
            self._missing += int(np.sum(place < 0))
        known = np.zeros(mask.shape, bool)
        known[mask] = place >= 0
        answers = []
        for values in self._values.values():
            answer = np.full((*mask.shape, *values.shape[1:]), np.nan, np.float32)
            answer[known] = values[place[place >= 0]]
            answers.append(answer)
        return answers


def _make(store: ScoreStore, folder: Path) -> None:
    """Sorts the store by key into a folder, unless that was done before."""
    stamp = folder / "sorted.sha256"
    digest = checksum(store.directory / "manifest.json")
    if stamp.exists() and stamp.read_text() == digest:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder.parent / f".{folder.name}.lock")
    with lock:  # waits while another process sorts the same
        if not (stamp.exists() and stamp.read_text() == digest):
            _make_anew(store, folder, stamp.name, digest)


def _make_anew(store: ScoreStore, folder: Path, stamp: str, digest: str) -> None:
    with folder_beside(folder.parent, f".{folder.name}-sorting-") as beside:
        made = beside / "made"
        made.mkdir()
        _sort(store, beside, made)
        (made / stamp).write_text(digest)
        flush_all(made)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
        flush(folder.parent)


def _sort(store: ScoreStore, temporary: Path, made: Path) -> None:
    """Spreads the rows over buckets by their hash, then sorts bucket by bucket."""
    bits = max(0, (store.manifest.rows - 1) // _BUCKET).bit_length()
    names = list(store.manifest.keys)
    files: dict[int, Any] = {}
    try:
        for block in store.blocks():
            row = _packed(store, identities({n: block[n] for n in names}), block)
            bucket = row["hash"] >> np.uint64(64 - bits) if bits else row["hash"] * 0
            for number in np.unique(bucket).tolist():
                if number not in files:
                    files[number] = open(temporary / f"bucket-{number}", "wb")
                files[number].write(row[bucket == number].tobytes())
    finally:
        for file in files.values():
            file.close()
    outputs = _outputs(store, made)
    begin = 0
    for number in sorted(files):
        rows = np.fromfile(temporary / f"bucket-{number}", row.dtype)
        order, first = unique(rows["ids"])
        if not first.all():
            raise _named_twice(store, rows["ids"][order[np.argmin(first)]])
        for name in rows.dtype.names:
            outputs[name][begin : begin + len(rows)] = rows[name][order]
        begin += len(rows)
    bucket_starts(outputs["hash"], outputs["starts"])
    for output in outputs.values():
        output.flush()
    (made / "hash.npy").unlink()


def _packed(store: ScoreStore, ids: np.ndarray, block: Mapping[str, Any]) -> np.ndarray:
    """Rows as one structured array, which a file can be made of."""
    dtype = np.dtype(
        [("hash", np.uint64), ("ids", np.uint64, (ids.shape[1],))]
        + [
            (f"value-{place}", column.dtype, column.shape)
            for place, column in enumerate(store.manifest.values.values())
        ]
    )
    rows = np.empty(len(ids), dtype)
    rows["hash"], rows["ids"] = hashes(ids), ids
    for place, name in enumerate(store.manifest.values):
        rows[f"value-{place}"] = block[name]
    return rows


def _outputs(store: ScoreStore, folder: Path) -> dict[str, np.memmap]:
    """The sorted files, by the fields of the rows."""
    rows = store.manifest.rows
    columns = {
        "hash": ("uint64", (rows,)),  # of use while sorting only
        "starts": ("int64", (buckets(rows) + 1,)),
        "ids": ("uint64", (rows, len(store.manifest.keys))),
    }
    for place, column in enumerate(store.manifest.values.values()):
        columns[f"value-{place}"] = (column.dtype, (rows, *column.shape))
    return {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
        for name, (dtype, shape) in columns.items()
    }


def _named_twice(store: ScoreStore, ids: np.ndarray) -> ValueError:
    """The error of a key that is there twice, found again to name it."""
    names = list(store.manifest.keys)
    where = f"The store in {str(store.directory)!r}"
    for block in store.blocks():
        same = (identities({n: block[n] for n in names}) == ids).all(axis=1)
        if same.any():
            return twice(where, {n: block[n][np.argmax(same)] for n in names})
    return twice(where, {})


def _mapped(folder: Path, name: str) -> np.ndarray:
    """A file as an array; a plain one, since `memmap` makes every gather slower."""
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
