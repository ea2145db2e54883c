"""A function of single candidates as a teacher of batches of lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.data.requests import RowScorer
from tfdistill.identity import fingerprint
from tfdistill.trainers.teachers import own_fingerprint, teacher_source
from tfdistill.types import Signals, needed

__all__ = ["PairTeacher"]


class PairTeacher:
    """Boosted trees, or any function of rows, as a teacher of `[B, L]` lists.

    It calls numpy code, in graphs too. Slow in a training step: rather store its scores
    once, or average it with networks in an `EnsembleTeacher` and store those.

    Args:
        scorer: From the features `[N, *shape]` of N pairs to scores `[N]`, such as a
            `GbdtTeacher`.
        users: Names of the features that it reads and that a request has once.
        items: Names of those that every candidate has, of items or of pairs.

    Example:
        >>> teacher = PairTeacher(
        ...     lambda x: x["age"] - x["price"], users=["age"], items=["price"])
        >>> batch = {"age": [9.0], "price": [[3.0, 5.0]], "mask": [[True, False]]}
        >>> teacher(batch)["score"].numpy()
        array([[ 6., nan]], dtype=float32)
    """

    may_miss = True

    def __init__(
        self, scorer: RowScorer, *, users: Sequence[str], items: Sequence[str]
    ) -> None:
        self._scorer = scorer
        self._users, self._items = tuple(users), tuple(items)

    @property
    def fingerprint(self) -> str | None:
        """Changes with the scorer and what it reads; None if the scorer has none."""
        told = own_fingerprint(self._scorer)
        return told and fingerprint([told, self._users, self._items])

    @property
    def source(self) -> str:
        """The scorer, in words."""
        return teacher_source(self._scorer)

    def __call__(self, features: Mapping[str, Any]) -> Signals:
        """Returns `"score"` float32 `[B, L]`, NaN where the batch's `mask` is False."""
        read = needed(features, [*self._users, *self._items, "mask"])
        given = [tf.convert_to_tensor(values) for values in read.values()]
        scores = tf.numpy_function(self._scores, given, tf.float32)
        scores.set_shape(given[-1].shape)
        return {"score": scores}

    def _scores(self, *arrays: np.ndarray) -> np.ndarray:
        *columns, mask = arrays
        row, _ = np.nonzero(mask)
        pairs = {n: values[row] for n, values in zip(self._users, columns)}
        for name, values in zip(self._items, columns[len(self._users) :]):
            pairs[name] = values[mask]
        scores = np.full(mask.shape, np.nan, np.float32)
        scores[mask] = self._scorer(pairs)
        return scores
