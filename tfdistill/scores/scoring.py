"""Scores data once with any teacher, and stores the scores by key."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np
import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import Requests
from tfdistill.metrics.retrieval import BlockScores, Pairs, top_k
from tfdistill.scores.shards import Columns
from tfdistill.scores.store import ScoreStore
from tfdistill.scores.writer import StoreWriter

__all__ = ["ITEM", "REQUEST_KEYS", "SCORE", "score_batches", "score_top_k"]

SCORE, ITEM = "score", "item"
"""Values of a stored list: scores and ids of the items, best first."""

REQUEST_KEYS = ("request_id", "item_id")
"""The keys of scores per request and item."""

Batch = Union[Mapping[str, Any], tuple]
Scorer = Callable[[Mapping[str, Any]], Any]
"""A teacher, or any function from a batch's features to scores or named signals."""


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
        ValueError: If the folder has another teacher's store or one cut otherwise, a
            key or signal is missing or doesn't fit, a key comes twice in a shard, a
            signal is not finite, or a request has no item.

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
    plan = {"batches_per_shard": batches_per_shard}
    if isinstance(batches, Requests):
        plan.update(batch_size=batch_size, requests=batches.num_requests)
    writer = StoreWriter(
        directory,
        teacher=teacher_name,
        version=version,
        kind=kind,
        keys=keys,
        dtype=dtype,
        file_format=file_format,
        plan=plan,
    )

    def stored(shard: Iterable[Batch]) -> Columns | None:
        return joined_rows(
            [scored_rows(batch, teacher, keys, signals) for batch in shard]
        )

    def source(first: int) -> Iterable[Batch]:
        return _from(batches, first, batch_size)

    return _write_missing(writer, source, batches_per_shard, stored)


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
        ...     seen=Pairs(np.array([0]), np.array([2])))
        >>> next(store.blocks())["item"].tolist()
        [['b', 'a'], ['a', 'b']]
    """
    plan = {"users": len(users), "block": block, "blocks_per_shard": blocks_per_shard}
    writer = StoreWriter(
        directory,
        teacher=teacher_name,
        version=version,
        kind="lists",
        keys=[key],
        dtype=dtype,
        file_format=file_format,
        plan=plan,
    )
    seen = seen or Pairs(np.zeros(0), np.zeros(0))
    blocks = [np.arange(len(users))[b : b + block] for b in range(0, len(users), block)]

    def stored(shard: Iterable[np.ndarray]) -> Columns | None:
        lists = [(rows, _best_of(score, rows, items, k, seen)) for rows in shard]
        return joined_rows([{key: users[rows], **best} for rows, best in lists])

    return _write_missing(
        writer, lambda first: blocks[first:], blocks_per_shard, stored
    )


def _write_missing(
    writer: StoreWriter,
    source: Callable[[int], Iterable[Any]],
    pieces: int,
    stored: Callable[[Iterable[Any]], Columns | None],
) -> ScoreStore:
    """Writes the shards of `pieces` batches or blocks that are not there yet."""
    known = writer.num_shards
    numbers = itertools.count() if known is None else range(known)
    stream: Iterator[Any] = iter(())
    stands_at = -1
    for number in numbers:
        if writer.has(number):
            continue
        if stands_at != number:
            stream = iter(source(number * pieces))
        columns = stored(itertools.islice(stream, pieces))
        if columns is None:
            break
        writer.write(number, columns)
        stands_at = number + 1
    return writer.finish(number if known is None else known)


def _from(
    batches: Requests | Iterable[Batch], first: int, batch_size: int
) -> Iterable[Batch]:
    """The batches from this one on."""
    if isinstance(batches, Requests):
        rest = np.arange(first * batch_size, batches.num_requests)
        if not len(rest):
            return ()
        return RequestBatches(batches.select(rest), batch_size=batch_size).once()
    if isinstance(batches, tf.data.Dataset):
        return batches.skip(first)
    return itertools.islice(batches, first, None)


def _best_of(
    score: BlockScores, rows: np.ndarray, items: np.ndarray, k: int, seen: Pairs
) -> dict[str, np.ndarray]:
    """Ids and scores `[b, k]` of a block's best items."""
    scores = np.asarray(score(rows))
    low, high = np.searchsorted(seen.user, [rows[0], rows[-1] + 1])
    own = Pairs(seen.user[low:high] - rows[0], seen.item[low:high])
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


