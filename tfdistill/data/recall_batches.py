"""Batches for recall: users' items, teacher's lists, negatives that all users share."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.data.batching import endless_rows
from tfdistill.data.teacher_lists import TeacherLists
from tfdistill.identity import described
from tfdistill.pairs import Pairs

__all__ = ["RecallBatches"]

_POSITIVES, _NEGATIVES = 1, 2  # streams of random numbers besides the seed


class RecallBatches:
    """Serves users with some of their items, for `fit`, resumable at any step.

    A batch has B users, each with P of its items drawn with replacement, the K items of
    its teacher's list, and n items drawn from the catalogue. So users count alike, as
    they do in the metrics. The drawn items are shared: every user is compared with all
    R = B * n of them, which are distinct, so a thousand negatives cost what two would.
    It fits a `TwoTower(shared=n)`, whose scores are `[B, P + K + R]`. Batch s is a
    function of (seed, s), as in `RequestBatches`.

    A batch is `(x, y, w)`. x has the features of the users `[B, *shape]`, those of the
    items `[B, P + K + n, *shape]` and, if there are lists, `list_score` float32
    `[B, P + K + R]` for the losses of distillation: `TeacherLists`' scores, its
    `rest_score` for drawn items, NaN for positives and for what the user has.

    y has the labels `[B, P + K + R]` of the output, 1 for a positive and 0 for a drawn
    item; w their weights, 1, and 0 for what has no label: the list, and a drawn item
    that the user has or that is on the teacher's list.

    Args:
        users: Features of the users by name, `[U, *shape]`.
        items: Features of the items by name, `[I, *shape]`.
        pairs: The training pairs of users 0 .. U - 1 and items. A user without any has
            no labels, and is taught by its list alone.
        batch_size: B.
        positives: P.
        shared: n.
        passes: Passes over the users that make an epoch. A pass is short, and an
            epoch's end has a validation and a checkpoint.
        lists: The teacher's lists for all users, -1 throughout for a user without one;
            None for a student alone.
        had: Pairs of users and further items that are nothing to be found, such as what
            a user had before.
        output: Name of the model output that learns from the labels.
        seed: Seed of the order and of the draws.

    Raises:
        ValueError: If a number is out of range, B * n is more than there are items, or
            a user has neither a pair nor a list.

    Example:
        >>> batches = RecallBatches(
        ...     {"user_id": np.arange(2)}, {"item_id": np.arange(9)},
        ...     Pairs([0, 1], [4, 5], 9), batch_size=2, positives=1, shared=3,
        ... )
        >>> x, y, _ = next(iter(batches()))
        >>> x["item_id"].shape, y["recall"].shape
        (TensorShape([2, 4]), TensorShape([2, 7]))

    Reference:
        Jean et al., On Using Very Large Target Vocabulary, arXiv:1412.2007, for the
        shared negatives; Kang et al., DE-RRD, arXiv:2012.04357, for the lists.
    """

    def __init__(
        self,
        users: Mapping[str, np.ndarray],
        items: Mapping[str, np.ndarray],
        pairs: Pairs,
        *,
        batch_size: int,
        positives: int = 16,
        shared: int = 2,
        passes: int = 1,
        lists: TeacherLists | None = None,
        had: Pairs | None = None,
        output: str = "recall",
        seed: int = 0,
    ) -> None:
        if min(batch_size, positives, shared, passes) < 1 or seed < 0:
            raise ValueError(
                "RecallBatches: batch_size, positives, shared and passes must be >= 1 "
                f"and seed >= 0, got {batch_size}, {positives}, {shared}, {passes} and "
                f"{seed}."
            )
        if batch_size * shared > pairs.num_items:
            raise ValueError(
                f"RecallBatches: {batch_size} users with {shared} drawn items each "
                f"share {batch_size * shared} distinct ones, but there are "
                f"{pairs.num_items} items; lower `shared` or `batch_size`."
            )
        self.num_users = len(next(iter(users.values())))
        counts = pairs.per_user(self.num_users)
        taught = counts > 0
        if lists is not None and len(lists.head) == len(counts):
            taught |= (lists.head >= 0).any(axis=1)
        if len(counts) > self.num_users or not taught.all():
            raise ValueError(
                f"RecallBatches: the users 0 .. {self.num_users - 1} must all have a "
                f"pair or a list, got {np.count_nonzero(taught)} users up to "
                f"{len(counts) - 1}; leave the others out."
            )
        self.num_items = pairs.num_items
        self.batch_size, self.seed = batch_size, seed
        self.positives, self.shared, self.lists = positives, shared, lists
        self.passes, self.output = passes, output
        self._given = {"users": users, "items": items, "pairs": pairs.fingerprint}
        if had is not None:
            self._given["had"] = had.fingerprint
        # On the CPU, where tf.data runs: else each batch would copy the tables.
        with tf.device("CPU"):
            self._users, self._items = (
                {name: tf.constant(values) for name, values in features.items()}
                for features in (users, items)
            )
            self._liked = _by_user(pairs, self.num_users)
            every = pairs if had is None else pairs.union(had)
            self._known = _by_user(every, self.num_users)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the batches, as JSON values."""
        names = ("batch_size", "positives", "shared", "passes", "output", "seed")
        found: dict[str, Any] = described(
            {
                **self._given,
                **{name: getattr(self, name) for name in names},
                "lists": self.lists,
            }
        )
        return found

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every user has come `passes` times, rounded up."""
        return -(-self.passes * self.num_users // self.batch_size)

    def __call__(self, start_step: int = 0) -> tf.data.Dataset:
        """Returns the endless training dataset from this step on.

        Args:
            start_step: Number of the first batch.

        Returns:
            A dataset of `(x, y, w)`.
        """
        rows = endless_rows(self.num_users, self.batch_size, start_step, seed=self.seed)
        steps = tf.data.Dataset.counter(start_step)
        dataset = tf.data.Dataset.zip((rows, steps)).map(self._batch)
        return dataset.prefetch(tf.data.AUTOTUNE)

    def _batch(self, users: tf.Tensor, step: tf.Tensor) -> Any:
        known, liked = tf.gather(self._known, users), tf.gather(self._liked, users)
        positive = self._drawn_positives(liked, step)
        drawn = self._drawn_items(step)  # [R]
        listed = tf.zeros([self.batch_size, 0], tf.int32)
        scores = tf.zeros([self.batch_size, 0])
        if self.lists is not None:
            listed, scores = self.lists.draw(tf.cast(users, tf.int32), step)
            head = tf.RaggedTensor.from_tensor(tf.gather(self.lists.head, users))
            known = tf.concat([known, head], axis=1)
        free = ~self._contained(drawn, known)  # [B, R]
        rows = tf.concat(
            [positive, listed, tf.reshape(drawn, [self.batch_size, self.shared])], 1
        )
        x = {name: tf.gather(values, users) for name, values in self._users.items()}
        for name, values in self._items.items():
            x[name] = tf.gather(values, tf.maximum(rows, 0))
        if self.lists is not None:
            # NaN is "not scored" for the losses of lists: the users' own items, what is
            # known, and all items of a user without a list.
            told = free & tf.reduce_any(listed >= 0, axis=1, keepdims=True)
            rest = tf.where(told, self.lists.rest_score, np.nan)
            unknown = tf.fill(tf.shape(positive), np.nan)
            scores = tf.where(listed >= 0, scores, np.nan)
            x["list_score"] = tf.concat([unknown, scores, rest], axis=1)
        taken, left = tf.ones(tf.shape(positive)), tf.zeros(tf.shape(listed))
        y = tf.concat([taken, left, tf.zeros(tf.shape(free))], axis=1)
        w = tf.concat([taken, left, tf.cast(free, tf.float32)], axis=1)
        w *= tf.cast(liked.row_lengths() > 0, tf.float32)[:, tf.newaxis]
        return x, {self.output: y}, {self.output: w}

    def _drawn_positives(self, liked: tf.RaggedTensor, step: tf.Tensor) -> tf.Tensor:
        """P items `[B, P]` of each user, uniformly and with replacement."""
        uniform = tf.random.stateless_uniform(
            [self.batch_size, self.positives], self._seed(_POSITIVES, step)
        )
        counts = liked.row_lengths()[:, tf.newaxis]
        place = tf.cast(uniform * tf.cast(counts, tf.float32), tf.int64)
        # The product may round up to the count. Whoever likes none draws any item.
        place = liked.row_starts()[:, tf.newaxis] + tf.minimum(place, counts - 1)
        padded = tf.pad(liked.values, [[1, 1]])
        return tf.gather(padded, place + 1)

    def _drawn_items(self, step: tf.Tensor) -> tf.Tensor:
        """R distinct items of the catalogue."""
        order = tf.random.stateless_uniform(
            [self.num_items], self._seed(_NEGATIVES, step)
        )
        # Distinct items: one that is drawn twice would count twice for every user.
        return tf.math.top_k(order, self.batch_size * self.shared, sorted=False)[1]

    def _contained(self, drawn: tf.Tensor, rows: tf.RaggedTensor) -> tf.Tensor:
        """Which drawn items `[R]` are among each user's rows: bool `[B, R]`."""
        size = tf.size(drawn)
        # From item to its column among the drawn ones, `size` for none: then what a
        # user has taken is looked up, not compared with each drawn item.
        place = tf.tensor_scatter_nd_update(
            tf.fill([self.num_items], size), drawn[:, tf.newaxis], tf.range(size)
        )
        column = tf.gather(place, tf.maximum(rows.values, 0))
        column = tf.where(rows.values >= 0, column, size)
        hit = tf.where(column < size)[:, 0]
        row = tf.cast(tf.gather(rows.value_rowids(), hit), tf.int32)
        marks = row * size + tf.gather(column, hit)
        flat = tf.scatter_nd(
            marks[:, tf.newaxis], tf.ones_like(marks), [self.batch_size * size]
        )
        return tf.reshape(flat > 0, [self.batch_size, size])

    def _seed(self, stream: int, step: tf.Tensor) -> tf.Tensor:
        """Seed `[2]` of one stream of draws at one step."""
        seed = tf.constant([self.seed, stream], tf.int64)
        return tf.random.experimental.stateless_fold_in(seed, step)


def _by_user(pairs: Pairs, num_users: int) -> tf.RaggedTensor:
    """The items of each user."""
    rows = pairs.item.astype(np.int32)
    return tf.RaggedTensor.from_row_lengths(rows, pairs.per_user(num_users))
