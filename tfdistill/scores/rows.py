"""From batches to rows: keys and a teacher's signals of whatever is unmasked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Union

import numpy as np
import tensorflow as tf

from tfdistill.identity import fingerprint
from tfdistill.scores.shards import Columns

__all__ = [
    "ITEM",
    "REQUEST_KEYS",
    "SCORE",
    "Batch",
    "ReadBatches",
    "Scorer",
    "features_of",
    "joined_rows",
    "key_columns",
    "scored_rows",
]

SCORE, ITEM = "score", "item"
"""Values of a stored list: scores and ids of the items, best first."""

REQUEST_KEYS = ("request_id", "item_id")
"""The keys of scores per request and item."""

Batch = Union[Mapping[str, Any], tuple]
Scorer = Callable[[Mapping[str, Any]], Any]
"""A teacher, or any function from a batch's features to scores or named signals."""


def scored_rows(
    batch: Batch, teacher: Scorer, keys: Sequence[str], signals: Sequence[str]
) -> Columns:
    """Scores one batch.

    Args:
        batch: Features by name, or a tuple that begins with them.
        teacher: As for `score_batches`.
        keys: As for `score_batches`.
        signals: As for `score_batches`.

    Returns:
        Keys `[N]` and signals `[N, *shape]` of what is unmasked, by name.

    Raises:
        ValueError: As for `score_batches`.

    Example:
        >>> batch = {"user": np.array([7]), "item": np.array([[3, 4]])}
        >>> rows = scored_rows(
        ...     batch, lambda x: x["item"] / 2, ["user", "item"], ["score"])
        >>> rows["user"].tolist(), rows["score"].tolist()
        ([7, 7], [1.5, 2.0])
    """
    features = features_of(batch)
    given = teacher(features)
    found = given if isinstance(given, Mapping) else {SCORE: given}
    missing = sorted(set(signals) - set(found))
    if missing:
        raise ValueError(
            f"The teacher gives no signals {missing}; it gives {sorted(found)}."
        )
    columns, mask = key_columns(features, keys)
    values = {name: tf.cast(found[name], tf.float32).numpy() for name in signals}
    for name, array in values.items():
        if array.shape[: mask.ndim] != mask.shape:
            raise ValueError(
                f"The signal {name!r} has shape {array.shape}, but the keys "
                f"{list(keys)} have {mask.shape}. Name keys that tell its rows apart."
            )
    if mask.ndim == 2 and not mask.any(axis=1).all():
        raise ValueError(
            f"Request {int(np.argmin(mask.any(axis=1)))} of a batch has an empty list: "
            "no item is unmasked. Leave such requests out."
        )
    if getattr(teacher, "may_miss", False):
        for array in values.values():
            mask = mask & ~np.isnan(array)
    return {name: array[mask] for name, array in {**columns, **values}.items()}


def features_of(batch: Batch) -> Mapping[str, Any]:
    """Returns the features of a batch with or without labels.

    Example:
        >>> features_of(({"user": [1]}, [0.0]))
        {'user': [1]}
    """
    return batch if isinstance(batch, Mapping) else batch[0]


def key_columns(
    features: Mapping[str, Any], keys: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns the keys of a batch in one shape, `[B]` or `[B, L]`, and the mask.

    Args:
        features: The batch's features.
        keys: Names among them.

    Returns:
        The columns by name, and bool of the same shape.

    Raises:
        ValueError: If a key is missing, or is a list of values itself.

    Example:
        >>> x = {"user": np.array([7]), "item": np.array([[3, 4]])}
        >>> columns, mask = key_columns(x, ["user", "item"])
        >>> columns["user"].tolist(), mask.tolist()
        ([[7, 7]], [[True, True]])
    """
    missing = sorted(set(keys) - set(features))
    if missing:
        raise ValueError(
            f"The batch lacks the keys {missing}; it has {sorted(features)}. A "
            "`request_id` comes with `Requests(ids=...)` or `read_tfrecords(keys=...)`."
        )
    arrays = {name: np.asarray(features[name]) for name in keys}
    size = max(array.ndim for array in arrays.values())
    if size > 2 or min(array.ndim for array in arrays.values()) < 1:
        raise ValueError(
            "Keys must be [B] or [B, L], got "
            f"{ {name: array.shape for name, array in arrays.items()} }."
        )
    if size == 2:
        arrays = {n: a if a.ndim == 2 else a[:, np.newaxis] for n, a in arrays.items()}
    shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    mask = np.ones(shape, bool)
    if size == 2 and "mask" in features:
        mask = np.asarray(features["mask"], bool)
    return {n: np.broadcast_to(array, shape) for n, array in arrays.items()}, mask


def joined_rows(parts: Sequence[Columns]) -> Columns | None:
    """Returns the rows of several batches as one, None if there is no batch."""
    if not parts:
        return None
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class ReadBatches:
    """Batches as they are, with a fingerprint of all features that were read so far.

    Args:
        batches: The batches.

    Example:
        >>> read = ReadBatches([{"user": np.array([1])}, {"user": np.array([2])}])
        >>> [batch["user"].tolist() for batch in read], read.count
        ([[1], [2]], 2)
        >>> other = ReadBatches([{"user": np.array([2])}, {"user": np.array([1])}])
        >>> read.fingerprint == other.read().fingerprint
        False
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = batches
        self._read: list[str] = []

    def __iter__(self) -> Iterator[Batch]:
        """Gives the batches, once."""
        for batch in self._batches:
            features = features_of(batch)
            parts = tf.nest.flatten(dict(features), expand_composites=True)
            self._read.append(fingerprint([sorted(features), parts]))
            yield batch

    def read(self) -> ReadBatches:
        """Reads all that is left, and returns itself."""
        for _ in self:
            pass
        return self

    @property
    def count(self) -> int:
        """How many batches were read."""
        return len(self._read)

    @property
    def fingerprint(self) -> str:
        """Changes with any value, name or key, and with the order."""
        return fingerprint(self._read)
