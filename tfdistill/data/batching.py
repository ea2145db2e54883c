"""Batches of requests that are a function of (seed, step) alone."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.data.checks import check_pool
from tfdistill.data.pair_features import check_alike, pair_values
from tfdistill.data.requests import Requests
from tfdistill.data.targets import (
    choose_positive,
    label_targets,
    log_share,
    pair_weights,
    tasks_of,
)
from tfdistill.identity import described
from tfdistill.pairs import Pairs
from tfdistill.spec import RESERVED_NAMES

__all__ = ["RequestBatches"]

_NEGATIVES, _POSITIVE, _POOL = 1, 2, 3  # streams of random numbers beside the seed


class RequestBatches:
    """Serves `Requests` as batches for `fit`, resumable at any step.

    All requests are permuted anew for each epoch, as a function of (seed, epoch), and
    batches of B are cut from these permutations in a row, without a gap. So batches are
    always full, one may span two epochs, and over E epochs each request
    comes E times. Negatives and the positive for recall are functions of (seed, s).
    Hence the dataset started at step k equals the one started at 0 after `skip(k)`: an
    interrupted training goes on exactly as if it had not been.

    A batch is `(x, y, w)`. With n drawn items, negatives first and then those from the
    pool, x has

    - every user feature `[B, *shape]`, and every item and pair feature `[B, L + n,
      *shape]` (where padded, the values of catalogue row 0);
    - `mask` bool `[B, L + n]`: False where padded, and for a drawn item that is in the
      request's list or `known` for its user;
    - `pair_weight` float32 `[B, L + n]`: the weight of every unmasked pair, labelled or
      not (1 for a drawn one), and 0 where masked: what weighs a `Transfer`;
    - `item_row` int32 `[B, L + n]`: the catalogue row, -1 where padded;
    - `positive` int32 `[B]`: the list position of the one interaction (label > 0) drawn
      as the positive of recall, uniformly from the list; -1 if it has none;
    - `log_q` float32 `[B, L + n]`: the log of the row's expected share of a batch's
      unmasked candidates, for the logQ correction of a softmax over all of them;
    - `request_id` `[B]`, where the requests have ids;
    - every score of the requests, float32 `[B, L + n]`: NaN where padded or drawn.

    y gives the labels (0 where unlabelled) and w the weights (`pair_weight` where
    labelled, else 0), float32 `[B, L + n]` under each name of
    `outputs`. A negative's label is 0 in every task, its weight 1.

    Args:
        requests: The requests.
        batch_size: B.
        seed: Seed of the order and of the draws.
        negatives: How many items to draw uniformly from the catalogue, with
            replacement, and append to each list.
        known: Pairs that are no negatives, from the training part only.
        outputs: Names of the model outputs that learn from the labels; or for each
            output the name of its task, `""` for the labels.
        label_negatives: False leaves the negatives unlabelled: their weight is 0, but
            they are unmasked, so that a teacher in the graph scores them for a student
            that learns of them by no label.
        pool: int32 `[users, N]`, catalogue rows for each value of `requests.group`, -1
            padded: what an earlier stage recalls. They are unlabelled, too.
        from_pool: How many of a user's N to append to each list: one from each of as
            many equal parts of the row, so that none comes twice and, where the best
            come first, good and bad ones come alike.
        shuffle: False keeps the order of the requests.
        pairs: Names of the pair features to give; by default all. Those of drawn items
            are computed by the requests' `pair_sources`.

    Raises:
        ValueError: If a number is out of range, `known` is about another catalogue, the
            pool does not fit the requests, a feature or score has the name of another
            key of a batch, the requests lack a task or pair feature, or drawn items
            have no source of one.

    Example:
        >>> requests = Requests(
        ...     users={"age": np.array([31.0, 47.0], np.float32)},
        ...     items={"item_id": np.array([10, 11, 12])},
        ...     candidates=np.array([[0, 2], [1, -1]], np.int32),
        ...     labels=np.array([[1, 0], [0, np.nan]], np.float32),
        ...     group=np.array([0, 1]),
        ... )
        >>> batches = RequestBatches(requests, batch_size=2, shuffle=False)
        >>> x, y, w = next(iter(batches(start_step=0)))
        >>> x["item_id"].numpy().tolist(), x["mask"].numpy().tolist()
        ([[10, 12], [11, 10]], [[True, True], [True, False]])
        >>> y["fine"].numpy().tolist(), x["positive"].numpy().tolist()
        ([[1.0, 0.0], [0.0, 0.0]], [0, -1])

        A second task, and pairs that only a teacher scores:

        >>> import dataclasses
        >>> like = np.array([[0, np.nan], [1, np.nan]], np.float32)
        >>> batches = RequestBatches(
        ...     dataclasses.replace(requests, tasks={"like": like}),
        ...     batch_size=2,
        ...     negatives=1,
        ...     outputs={"fine_click": "", "fine_like": "like"},
        ...     label_negatives=False,
        ...     shuffle=False,
        ... )
        >>> x, y, w = next(iter(batches()))
        >>> y["fine_like"].numpy().tolist(), w["fine_like"].numpy().tolist()
        ([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    """

    def __init__(
        self,
        requests: Requests,
        *,
        batch_size: int,
        seed: int = 0,
        negatives: int = 0,
        known: Pairs | None = None,
        outputs: Sequence[str] | Mapping[str, str] = ("fine",),
        label_negatives: bool = True,
        pool: np.ndarray | None = None,
        from_pool: int = 0,
        shuffle: bool = True,
        pairs: Collection[str] | None = None,
    ) -> None:
        if batch_size < 1 or negatives < 0 or seed < 0:
            raise ValueError(
                "RequestBatches: batch_size must be >= 1, negatives and seed >= 0, got "
                f"{batch_size}, {negatives} and {seed}."
            )
        if known is not None and known.num_items != requests.num_items:
            raise ValueError(
                f"RequestBatches: known was built for {known.num_items} items, the "
                f"requests' catalogue has {requests.num_items}."
            )
        if negatives or from_pool or known is not None:
            requests.require_catalogue("RequestBatches with drawn items")
        self.pairs = tuple(sorted(requests.listed_pairs if pairs is None else pairs))
        if negatives or from_pool:
            requests.require_sources("RequestBatches with drawn items", self.pairs)
            for name in self.pairs:
                source = requests.pair_sources[name]
                check_alike(name, source, requests.listed_pairs[name])
        users = 1 + int(requests.group.max(initial=-1))
        check_pool(pool, from_pool, users, requests.num_items)
        columns = {*requests.users, *requests.items, *requests.scores, *self.pairs}
        taken = sorted(RESERVED_NAMES & columns)
        if taken:
            raise ValueError(
                f"RequestBatches: rename the features {taken} (or scores): a batch has "
                "these keys already."
            )
        self.requests = requests
        self.batch_size = batch_size
        self.seed = seed
        self.negatives = negatives
        self.outputs = tasks_of(outputs)
        self.label_negatives = label_negatives
        self.from_pool = from_pool
        self.shuffle = shuffle
        self._known, self._given_pool = known, pool
        with tf.device("CPU"):
            self._users = _constants(requests.users)
            self._items = _constants(requests.items)
            self._pairs = _constants(self._listed_pairs())
            self._candidates = tf.constant(requests.candidates)
            self._labels = _constants(self._labels_by_task())
            self._scores = _constants(
                {
                    name: np.where(requests.candidates >= 0, scores, np.float32(np.nan))
                    for name, scores in requests.scores.items()
                }
            )
            weights = requests.weights
            self._weights = None if weights is None else tf.constant(weights)
            self._group = tf.constant(requests.group)
            ids = requests.ids
            self._ids = None if ids is None else tf.constant(ids)
            self._pool = None if pool is None else tf.constant(pool, tf.int32)
            share = log_share(requests, negatives, known, pool, from_pool)
            self._log_q = tf.constant(share)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the batches, as JSON values."""
        names = ("batch_size", "seed", "negatives", "outputs", "label_negatives")
        more = ("from_pool", "shuffle", "pairs")
        return {
            "requests": self.requests.identity,
            **{name: getattr(self, name) for name in (*names, *more)},
            "known": None if self._known is None else self._known.fingerprint,
            "pool": described(self._given_pool),
        }

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every request has come once: R / B, rounded up."""
        return -(-self.requests.num_requests // self.batch_size)

    def __call__(self, start_step: int = 0) -> tf.data.Dataset:
        """Returns the endless training dataset from this step on.

        Args:
            start_step: Number of the first batch, for example the restored
                `optimizer.iterations`.

        Returns:
            A dataset of `(x, y, w)`.
        """
        if start_step < 0:
            raise ValueError(f"start_step must be >= 0, got {start_step}.")
        steps = tf.data.Dataset.counter(start_step)
        rows = endless_rows(
            self.requests.num_requests,
            self.batch_size,
            start_step,
            seed=self.seed if self.shuffle else None,
        )
        dataset = tf.data.Dataset.zip((rows, steps)).map(self._training_batch)
        return dataset.prefetch(tf.data.AUTOTUNE)

    def once(self) -> tf.data.Dataset:
        """Returns every request once, in order, for evaluation.

        No negatives are drawn, `positive` is the first interaction of the list, and the
        last batch may be smaller. `w`, `log_q` and the rest are as in training.
        """
        dataset = tf.data.Dataset.range(self.requests.num_requests)
        dataset = dataset.batch(self.batch_size).map(self._evaluation_batch)
        return dataset.prefetch(tf.data.AUTOTUNE)

    def _labels_by_task(self) -> dict[str, np.ndarray]:
        """Labels `[R, L]` of the tasks that an output learns; "" is the main one."""
        labels = {"": self.requests.labels, **self.requests.tasks}
        for output, task in self.outputs.items():
            if task not in labels:
                raise ValueError(
                    f"RequestBatches: output {output!r} learns task {task!r}, but the "
                    f"tasks of the requests are {sorted(self.requests.tasks)}; name "
                    "one of them, or '' for the labels."
                )
        return {task: labels[task] for task in ("", *self.outputs.values())}

    def _listed_pairs(self) -> dict[str, np.ndarray]:
        """The wanted pair features of the lists, `[R, L, *shape]`."""
        there = self.requests.listed_pairs
        missing = sorted(set(self.pairs) - set(there))
        if missing:
            raise ValueError(
                f"RequestBatches: the requests have no pair features {missing}, only "
                f"{sorted(there)}."
            )
        return {name: there[name] for name in self.pairs}

    def _seed(self, stream: int, step: tf.Tensor) -> tf.Tensor:
        """Seed `[2]` of one stream of draws at one step."""
        seed = tf.constant([self.seed, stream], tf.int64)
        # From the step, not from a state of a generator: step s draws alike in every
        # process.
        return tf.random.experimental.stateless_fold_in(seed, step)

    def _training_batch(self, rows: tf.Tensor, step: tf.Tensor) -> Any:
        listed = tf.gather(self._candidates, rows)  # [B, L]
        mask = listed >= 0
        labels = tf.gather(self._labels[""], rows)
        positive = choose_positive(mask, labels, self._seed(_POSITIVE, step))
        if not self.negatives + self.from_pool:
            return self._batch(rows, listed, mask, positive)
        group = tf.gather(self._group, rows)[:, tf.newaxis]
        drawn = tf.concat([self._negatives(step), self._pooled(group, step)], 1)
        # A drawn item of the request's own list would contradict its label there.
        clash = tf.reduce_any(drawn[:, :, tf.newaxis] == listed[:, tf.newaxis], -1)
        if self._known is not None:
            clash |= self._known.contains(group, drawn)
        return self._batch(
            rows,
            tf.concat([listed, drawn], 1),  # [B, L + n]
            tf.concat([mask, (drawn >= 0) & ~clash], 1),
            positive,
        )

    def _negatives(self, step: tf.Tensor) -> tf.Tensor:
        """Rows `[B, negatives]` from the whole catalogue."""
        return tf.random.stateless_uniform(
            (self.batch_size, self.negatives),
            self._seed(_NEGATIVES, step),
            maxval=self.requests.num_items,
            dtype=tf.int32,
        )

    def _pooled(self, group: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Rows `[B, from_pool]` of the users' pools, one of each part of a pool."""
        shape = (self.batch_size, self.from_pool)
        if self._pool is None:
            return tf.zeros(shape, tf.int32)
        draw = tf.random.stateless_uniform(shape, self._seed(_POOL, step))
        part = tf.range(self.from_pool, dtype=tf.float32)
        size = self._pool.shape[1]
        place = tf.cast((part + draw) * (size / self.from_pool), tf.int32)
        pool = tf.gather(self._pool, group[:, 0])
        return tf.gather(pool, tf.minimum(place, size - 1), batch_dims=1)

    def _evaluation_batch(self, rows: tf.Tensor) -> Any:
        listed = tf.gather(self._candidates, rows)
        mask = listed >= 0
        positive = choose_positive(mask, tf.gather(self._labels[""], rows), None)
        return self._batch(rows, listed, mask, positive)

    def _batch(
        self, rows: tf.Tensor, item_row: tf.Tensor, mask: tf.Tensor, positive: tf.Tensor
    ) -> Any:
        drawn = item_row.shape[1] - self.requests.list_size

        def listed(values: tf.Tensor, of_drawn: Any) -> tf.Tensor:  # [B, L + n]
            own = tf.gather(values, rows)
            rest = tf.broadcast_to(of_drawn, [tf.shape(own)[0], drawn])
            return tf.concat([own, rest], 1)

        # Row 0 stands where padded: `mask` says that it counts for nothing.
        present = tf.maximum(item_row, 0)
        x = {name: tf.gather(values, rows) for name, values in self._users.items()}
        for name, values in self._items.items():
            x[name] = tf.gather(values, present)  # [B, L + n, *shape]
        for name, values in self._pairs.items():
            x[name] = tf.gather(values, rows)
            if drawn:
                rest = self._computed(name, rows, present[:, -drawn:])
                x[name] = tf.concat([x[name], rest], 1)
        for name, values in self._scores.items():
            x[name] = listed(values, np.float32(np.nan))
        x["mask"], x["item_row"], x["positive"] = mask, item_row, positive
        weights = None if self._weights is None else listed(self._weights, 1.0)
        x["pair_weight"] = pair_weights(weights, mask)
        x["log_q"] = tf.gather(self._log_q, present)
        if self._ids is not None:
            x["request_id"] = tf.gather(self._ids, rows)
        label = np.full(drawn, np.nan, np.float32)
        if self.label_negatives:
            label[: self.negatives] = 0.0
        labels = {task: listed(values, label) for task, values in self._labels.items()}
        return (x, *label_targets(labels, x["pair_weight"], mask, self.outputs))

    def _computed(self, name: str, rows: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """A pair feature `[B, n, *shape]` of drawn items `[B, n]`."""
        source = functools.partial(pair_values, name, self.requests.pair_sources[name])
        values = tf.numpy_function(source, [rows, items], self._pairs[name].dtype)
        return tf.ensure_shape(values, [*items.shape, *self._pairs[name].shape[2:]])


def endless_rows(
    size: int, batch_size: int, start_step: int, *, seed: int | None
) -> tf.data.Dataset:
    """Batches of rows, one permutation of all rows after the other, from a step on.

    Args:
        size: How many rows there are.
        batch_size: Rows in a batch, which may span two permutations.
        start_step: Number of the first batch.
        seed: Seed of the permutations, which are functions of (seed, epoch); None
            keeps the order.

    Returns:
        An endless dataset of int64 `[batch_size]`.

    Example:
        >>> [batch.tolist() for batch in
        ...  endless_rows(3, 2, 1, seed=None).take(2).as_numpy_iterator()]
        [[2, 0], [1, 2]]
    """
    first, offset = divmod(start_step * batch_size, size)

    def epoch_rows(epoch: tf.Tensor) -> tf.data.Dataset:
        rows = tf.range(size, dtype=tf.int64)
        if seed is not None:
            both = tf.stack([tf.constant(seed, tf.int64), epoch])
            rows = tf.random.experimental.stateless_shuffle(rows, both)
        # Cut after the shuffle: the epoch's order is that of an unbroken run.
        skipped = tf.where(epoch == first, tf.constant(offset, tf.int64), 0)
        return tf.data.Dataset.from_tensor_slices(rows[skipped:])

    lines = tf.data.Dataset.counter(first).flat_map(epoch_rows)
    return lines.batch(batch_size, drop_remainder=True)


def _constants(features: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(values) for name, values in features.items()}
