"""Scores data once with any teacher, and stores the scores by key."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import Requests
from tfdistill.files import locked
from tfdistill.identity import fingerprint
from tfdistill.metrics.retrieval import BlockScores, top_k
from tfdistill.pairs import Pairs
from tfdistill.scores.manifest import FINGERPRINT, SOURCE
from tfdistill.scores.rows import (
    ITEM,
    REQUEST_KEYS,
    SCORE,
    Batch,
    ReadBatches,
    Scorer,
    features_of,
    joined_rows,
    scored_rows,
)
from tfdistill.scores.shards import Columns
from tfdistill.scores.store import ScoreStore
from tfdistill.scores.writer import StoreWriter
from tfdistill.trainers.teachers import (
    own_fingerprint,
    teacher_fingerprint,
    teacher_source,
)

__all__ = ["score_batches", "score_top_k", "stream_identity"]

_ASKED = 8
"""Requests or users for which a function is asked what it is."""


def score_batches(
    batches: Requests | Iterable[Batch],
    teacher: Scorer,
    directory: str | Path,
    *,
    teacher_name: str,
    version: str = "1",
    keys: Sequence[str] = REQUEST_KEYS,
    signals: Sequence[str] = (SCORE,),
    kind: str = "scores",
    dtype: str = "float32",
    file_format: str = "parquet",
    batch_size: int = 256,
    batches_per_shard: int = 64,
) -> ScoreStore:
    """Scores every batch once and stores the signals under their keys.

    A run that was killed goes on with the first shard that is not there when it is
    called again, and ends with the same files as an unbroken one. After an error, too,
    the shards written before it are kept. A finished store is only verified.

    It goes on only with what it was begun with, and names what is not that:

    - the teacher, by its `fingerprint`, or its answer for a few rows if it has none
      (see `tfdistill.trainers.teachers.teacher_fingerprint`);
    - of `Requests` all features, candidates, ids and logged scores. Labels and weights
      may change;
    - of other batches all features, which are read again for that, shard by shard and
      without the teacher, as far as there are shards: of a finished store all of them;
    - the settings: keys, signals, kind, dtype, format and sizes.

    Another process that writes to the folder at the same time is refused.

    A key that is `[B]` in the batch, such as the request's or the user's, and one that
    is `[B, L]`, such as the item's, together are the key of `[B, L, *shape]` values.
    Where the batch has a `mask` `[B, L]`, only what is unmasked is stored; and of a
    teacher that may miss, such as a `LoggedTeacher`, only what is not NaN.

    Args:
        batches: Requests, or an iterable of batches: features by name or tuples that
            begin with them, in an order that is always the same. A dataset must end.
        teacher: A `Teacher` (frozen, of a SavedModel, logged, an ensemble), or any
            function of a batch's features that returns scores, then called `"score"`,
            or signals by name. `tf.function(teacher)` is faster if it is a Keras model.
            A function that has no `fingerprint` is called once more, for that.
        directory: Folder of the store.
        teacher_name: Name of the teacher; whoever opens the store can insist on it.
        version: Its version.
        keys: What tells the rows apart: features of the batch, or its `request_id` or
            `item_row`.
        signals: Which signals to store.
        kind: `"scores"`, numbers, or `"embeddings"`, vectors.
        dtype: `"float32"` or `"float16"`, which halves the store: 11 bits of precision
            and no value above 65,504.
        file_format: `"parquet"` or `"tfrecord"`.
        batch_size: B, where requests are given.
        batches_per_shard: So many batches make a file, which is held in memory once.

    Returns:
        The verified store.

    Raises:
        ValueError: If the folder has a store of another teacher, other data or other
            settings, or is being written to; a key or signal is missing or doesn't fit,
            a key comes twice, a signal is not finite, or a request has no item.

    Example:
        >>> import tempfile
        >>> requests = Requests(
        ...     {}, {"item_id": np.array([10, 11, 12])}, np.array([[0, 2]], np.int32),
        ...     np.zeros([1, 2], np.float32), np.array([0]), ids=np.array(["r7"]))
        >>> store = score_batches(
        ...     requests, lambda x: -x["item_id"], tempfile.mkdtemp(),
        ...     teacher_name="newest", dtype="float16")
        >>> for block in store.blocks():
        ...     print({name: values.tolist() for name, values in block.items()})
        {'request_id': ['r7', 'r7'], 'item_id': [10, 12], 'score': [-10.0, -12.0]}
    """
    new = functools.partial(
        StoreWriter,
        directory,
        teacher=teacher_name,
        version=version,
        kind=kind,
        keys=keys,
        dtype=dtype,
        file_format=file_format,
    )

    def stored(shard: Iterable[Batch]) -> Columns | None:
        return joined_rows(
            [scored_rows(batch, teacher, keys, signals) for batch in shard]
        )

    plan, identity = {"batches_per_shard": batches_per_shard}, {"signals": [*signals]}
    with locked(directory):
        if not isinstance(batches, Requests):
            first, read = _begun(batches)
            identity.update(stream_identity(first, teacher))
            writer = new(plan=plan, identity=identity)
            return _write_stream(writer, read, batches_per_shard, stored)
        plan.update(batch_size=batch_size, requests=batches.num_requests)
        identity.update(_requests_identity(batches, teacher))
        return _write_missing(
            new(plan=plan, identity=identity),
            functools.partial(_batches_from, batches, batch_size),
            -(-batches.num_requests // batch_size),
            batches_per_shard,
            stored,
        )


def score_top_k(
    score: BlockScores,
    users: np.ndarray,
    items: np.ndarray,
    k: int,
    directory: str | Path,
    *,
    teacher_name: str,
    version: str = "1",
    key: str = "user_id",
    seen: Pairs | None = None,
    block: int = 256,
    blocks_per_shard: int = 64,
    dtype: str = "float32",
    file_format: str = "parquet",
) -> ScoreStore:
    """Stores the teacher's k best items of the whole catalogue for each user.

    Exact, in blocks of users: memory is `block` rows of scores and one shard of lists.
    It resumes as `score_batches` does. Lists that end early are padded with NaN scores.

    Args:
        score: User rows `[b]` -> scores `[b, I]`, such as `dot_scores(queries, items)`
            or a linear model's; -inf takes an item out.
        users: Ids of the users, int64 or text `[U]`; row u of `score` is `users[u]`.
        items: Ids of the catalogue `[I]`, in the order of the scores.
        k: How many items.
        directory: Folder of the store.
        teacher_name: As for `score_batches`.
        version: As for `score_batches`.
        key: Name of the key column.
        seen: Pairs of rows that must not be listed, usually those of training.
        block: Users at once.
        blocks_per_shard: So many blocks make a file.
        dtype: Of the scores, as for `score_batches`.
        file_format: As for `score_batches`.

    Returns:
        The verified store, of kind `"lists"`, with the values `"item"` and `"score"`
        `[U, k]`.

    Raises:
        ValueError: As for `score_batches`; if a score is NaN, or a user has no item.

    Example:
        >>> import tempfile
        >>> from tfdistill.metrics import dot_scores
        >>> store = score_top_k(
        ...     dot_scores(np.eye(2), np.float32([[1, 3], [2, 1], [9, 0]])),
        ...     users=np.array([70, 71]), items=np.array(["a", "b", "c"]), k=2,
        ...     directory=tempfile.mkdtemp(), teacher_name="dot",
        ...     seen=Pairs([0], [2]))
        >>> next(store.blocks())["item"].tolist()
        [['b', 'a'], ['a', 'b']]
    """
    seen = seen or Pairs([], [])
    blocks = [np.arange(len(users))[b : b + block] for b in range(0, len(users), block)]

    def stored(shard: Iterable[np.ndarray]) -> Columns | None:
        lists = [(rows, _best_of(score, rows, items, k, seen)) for rows in shard]
        return joined_rows([{key: users[rows], **best} for rows, best in lists])

    with locked(directory):
        writer = StoreWriter(
            directory,
            teacher=teacher_name,
            version=version,
            kind="lists",
            keys=[key],
            dtype=dtype,
            file_format=file_format,
            plan={
                "users": len(users),
                "block": block,
                "blocks_per_shard": blocks_per_shard,
            },
            identity={
                "k": k,
                "data": {
                    "users": fingerprint(users),
                    "items": fingerprint(items),
                    "seen": fingerprint([seen.user, seen.item]),
                },
                FINGERPRINT: teacher_fingerprint(score, _spread(len(users))),
                SOURCE: teacher_source(score),
            },
        )
        return _write_missing(
            writer,
            lambda first: blocks[first:],
            len(blocks),
            blocks_per_shard,
            stored,
        )


def stream_identity(first: Batch, teacher: Scorer) -> dict[str, Any]:
    """Returns what a store of batches is known by before all of them are read.

    Args:
        first: The first batch.
        teacher: As for `score_batches`.

    Returns:
        Fingerprints as JSON values.
    """
    return {
        "data": {"first_batch": ReadBatches([first]).read().fingerprint},
        FINGERPRINT: teacher_fingerprint(teacher, features_of(first)),
        SOURCE: teacher_source(teacher),
    }


def _requests_identity(requests: Requests, teacher: Scorer) -> dict[str, Any]:
    """What of requests can change a score or its key, by name, and the teacher."""
    told = own_fingerprint(teacher)
    if told is None:
        asked = requests.select(_spread(requests.num_requests))
        (batch,) = _batches_from(asked, _ASKED, 0)
        told = teacher_fingerprint(teacher, features_of(batch))
    return {
        "data": {
            "users": {n: fingerprint(values) for n, values in requests.users.items()},
            "items": {n: fingerprint(values) for n, values in requests.items.items()},
            "pairs": {n: fingerprint(v) for n, v in requests.listed_pairs.items()},
            "candidates": fingerprint(requests.candidates),
            "ids": fingerprint(requests.ids),
            "logged": fingerprint(requests.scores),
        },
        FINGERPRINT: told,
        SOURCE: teacher_source(teacher),
    }


def _spread(count: int) -> np.ndarray:
    """Up to `_ASKED` rows of so many, from first to last."""
    return np.unique(np.linspace(0, count - 1, min(_ASKED, count)).astype(np.int64))


def _begun(batches: Iterable[Batch]) -> tuple[Batch, Iterable[Batch]]:
    """The first batch, and all of them."""
    stream = iter(batches)
    for first in stream:
        return first, itertools.chain([first], stream)
    raise ValueError("There is no batch, so nothing was scored.")


def _write_stream(
    writer: StoreWriter,
    batches: Iterable[Batch],
    pieces: int,
    stored: Callable[[Iterable[Batch]], Columns | None],
) -> ScoreStore:
    """Scores the shards that are not there, and compares the batches of the others."""
    stream, number = iter(batches), 0
    while True:
        read = ReadBatches(itertools.islice(stream, pieces))
        there = writer.has(number)
        columns = None if there else stored(read)
        if not read.read().count:
            return writer.finish(number)
        if columns is None:
            writer.require(number, read.fingerprint)
        else:
            writer.write(number, columns, read.fingerprint)
        number += 1


def _write_missing(
    writer: StoreWriter,
    source: Callable[[int], Iterable[Any]],
    count: int,
    pieces: int,
    stored: Callable[[Iterable[Any]], Columns | None],
) -> ScoreStore:
    """Writes the shards of `pieces` of `count` batches or blocks that are not there."""
    stream, stands_at = iter(source(count)), -1
    shards = -(-count // pieces)
    for number in range(shards):
        if writer.has(number):
            continue
        if stands_at != number:
            stream = iter(source(number * pieces))
        columns = stored(itertools.islice(stream, pieces))
        if columns is not None:
            writer.write(number, columns)
        stands_at = number + 1
    return writer.finish(shards)


def _batches_from(requests: Requests, batch_size: int, first: int) -> Iterable[Batch]:
    """The batches from this one on."""
    rest = np.arange(first * batch_size, requests.num_requests)
    if not len(rest):
        return ()
    return RequestBatches(requests.select(rest), batch_size=batch_size).once()


def _best_of(
    score: BlockScores, rows: np.ndarray, items: np.ndarray, k: int, seen: Pairs
) -> dict[str, np.ndarray]:
    """Ids and scores `[b, k]` of a block's best items."""
    scores = np.asarray(score(rows))
    own = Pairs(*seen.between(rows[0], rows[-1] + 1))
    places = top_k(lambda _: scores, len(rows), k, seen=own, block=len(rows))
    if scores.shape[1] != len(items):
        raise ValueError(
            f"The catalogue has {len(items)} items, but scores for {scores.shape[1]}."
        )
    best = np.take_along_axis(scores, np.maximum(places, 0), axis=1)
    padding = -1 if items.dtype.kind in "iu" else ""
    return {
        ITEM: np.where(places >= 0, items[places], padding),
        SCORE: np.where(places >= 0, best, np.nan),
    }
