"""Lists for recall distillation, drawn anew for every batch of a tf.data pipeline."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.data import samplers
from tfdistill.identity import described

__all__ = ["RankedLists", "TeacherLists"]

_DECIDE = (
    *("head", "num_items", "interesting", "uninteresting", "weights", "rest_weights"),
    *("scores", "user_key", "seed"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class RankedLists:
    """A teacher's best unseen items of each user: all that is kept of its scores.

    Args:
        items: int32 `[U, M]`, catalogue rows, best first, -1 padded.
        scores: float32 `[U, M]`, their scores, -inf where padded.

    Example:
        >>> head = RankedLists(np.array([[7, -1]]), np.array([[0.5, -np.inf]]))
        >>> head.items[head.items >= 0].tolist()
        [7]
    """

    items: np.ndarray
    scores: np.ndarray


class TeacherLists:
    """A tf.data transformation that adds a list per user: teacher's head and a rest.

    Per user, `interesting` items are drawn from the teacher's head (all of it if it is
    no longer than that) and `uninteresting` ones from the rest of the catalogue. The
    batch's features get

    * `list_row` int32 `[B, K + L]`, catalogue rows, -1 for padding;
    * `list_score` float32 `[B, K + L]`: K, K - 1, ... 1 down the teacher's order and 0
      for the rest, a score for `PlackettLuce(topk=K)`, `TopKSoftLabel(topk=K)` and all
      losses by rank; or the teacher's own scores, with `scores`;
    * `list_mask` bool `[B, K + L]`.

    Batch s is drawn from (seed, s) alone: `lists(data, start_step)` continues where a
    run stopped.

    Args:
        head: int `[U, M]` rows of every user's teacher ranking, best first, -1 padded;
            see `samplers.teacher_head`.
        num_items: N, size of the catalogue.
        interesting: K, how many items of the head; all if None.
        uninteresting: L, how many others.
        weights: float `[U, M]` or `[M]`, by which the interesting items are drawn; see
            `samplers.rank_weights`. None for the first K.
        rest_weights: float `[U, M]`, by which the others are drawn from the head, as
            dual correction does; None for a uniform rest of the catalogue.
        scores: float `[U, M]`, the teacher's scores of the head, for losses that read
            more than the order; see `samplers.with_perplexity`. The rest then gets
            `rest_score`.
        user_key: Feature with the user's row in `head`.
        seed: Seed of all draws.

    Raises:
        ValueError: If a size doesn't fit.

    Example:
        >>> lists = TeacherLists([[4, 2, 0]], 6, interesting=2, uninteresting=1)
        >>> data = tf.data.Dataset.from_tensors(({"user": [0]}, {}, {}))
        >>> x, _, _ = next(iter(lists(data)))
        >>> x["list_row"].numpy()[0, :2], x["list_score"].numpy()
        (array([4, 2], dtype=int32), array([[2., 1., 0.]], dtype=float32))

    Reference:
        Kang et al., DE-RRD, arXiv:2012.04357; Lee and Kim, arXiv:2109.03459.
    """

    def __init__(
        self,
        head: Any,
        num_items: int,
        *,
        interesting: int | None = None,
        uninteresting: int = 0,
        weights: Any = None,
        rest_weights: Any = None,
        scores: Any = None,
        user_key: str = "user",
        seed: int = 0,
    ) -> None:
        self.head = np.asarray(head, np.int32)
        if self.head.ndim != 2 or self.head.max() >= num_items:
            raise ValueError(
                f"`head` must be [users, M] with rows below {num_items}, got "
                f"shape {self.head.shape} and a largest row of {self.head.max()}."
            )
        size = self.head.shape[1]
        self.interesting = size if interesting is None else interesting
        if not 1 <= self.interesting <= size or uninteresting < 0:
            raise ValueError(
                f"A head of {size} items gives 1 .. {size} interesting items, got "
                f"interesting={interesting!r} and uninteresting={uninteresting!r}."
            )
        self.num_items = num_items
        self.uninteresting = uninteresting
        self.user_key = user_key
        self.seed = seed
        self.weights, self.rest_weights, self.scores = (
            None if values is None else self._per_user(values)
            for values in (weights, rest_weights, scores)
        )

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the lists, as JSON values."""
        found: dict[str, Any] = described(
            {name: getattr(self, name) for name in _DECIDE}
        )
        return found

    @property
    def rest_score(self) -> float:
        """Score of the rest: 0, or where there are scores, 100 below the lowest."""
        return 0.0 if self.scores is None else float(self.scores.min()) - 100.0

    def refreshed(self, student_scores: Any, *, sharpness: float = 0.1) -> TeacherLists:
        """Returns lists of what a student still gets wrong (dual correction).

        Args:
            student_scores: float `[U, N]`, the student's scores of all items.
            sharpness: See `samplers.discrepancy_weights`.

        Returns:
            Lists whose interesting items are the under-estimated ones of the head and
            whose others are the over-estimated ones.
        """
        ranks = samplers.ranks_of(student_scores, self.head)
        places = np.arange(1, self.head.shape[1] + 1)
        under, over = samplers.discrepancy_weights(ranks, places, sharpness=sharpness)
        return TeacherLists(
            self.head,
            self.num_items,
            interesting=self.interesting,
            uninteresting=self.uninteresting,
            weights=under,
            rest_weights=over,
            scores=self.scores,
            user_key=self.user_key,
            seed=self.seed,
        )

    def __call__(
        self, dataset: tf.data.Dataset, start_step: int = 0
    ) -> tf.data.Dataset:
        """Adds the lists to batches `(features, labels, weights)`.

        Args:
            dataset: The batches.
            start_step: Number of the first batch, the restored step after a crash.

        Returns:
            The dataset with three more features.
        """
        return dataset.enumerate(start_step).map(self._add)

    def _add(self, step: tf.Tensor, batch: Any) -> Any:
        features, *rest = batch
        users = tf.cast(tf.reshape(features[self.user_key], [-1]), tf.int32)
        rows, scores = self.draw(users, step)
        lists = {"list_row": rows, "list_score": scores, "list_mask": rows >= 0}
        return ({**features, **lists}, *rest)

    def draw(self, users: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws the lists of some users, as a function of (seed, step).

        Args:
            users: int32 `[B]`, rows of `head`.
            step: int64 scalar, number of the batch.

        Returns:
            `list_row` and `list_score`, `[B, K + L]`.
        """
        head = tf.gather(self.head, users)

        def drawn(weights: np.ndarray, count: int, stream: int) -> tf.Tensor:
            seed = tf.stack([tf.constant(2 * self.seed + stream, tf.int64), step])
            usable = tf.where(head >= 0, tf.gather(weights, users), 0.0)
            return samplers.draw_positions(usable, count, seed=seed)

        def taken(values: tf.Tensor, places: tf.Tensor, padding: float) -> tf.Tensor:
            found = tf.gather(values, tf.maximum(places, 0), batch_dims=1)
            return tf.where(places >= 0, found, tf.cast(padding, found.dtype))

        if self.weights is None:
            first = tf.range(self.interesting)
            places = tf.where(head[:, : self.interesting] >= 0, first, -1)
        else:
            places = drawn(self.weights, self.interesting, 0)
        rows = taken(head, places, -1)
        if self.scores is None:
            order = tf.range(self.interesting, 0, -1, dtype=tf.float32)
            scores = tf.broadcast_to(order, tf.shape(rows))
        else:
            own = tf.gather(self.scores, users)
            scores = taken(own, places, self.rest_score)
        if self.uninteresting:
            if self.rest_weights is None:
                seed = tf.stack([tf.constant(2 * self.seed + 1, tf.int64), step])
                others = samplers.draw_rest(
                    head, self.num_items, self.uninteresting, seed=seed
                )
            else:
                others = drawn(self.rest_weights, self.uninteresting, 1)
                others = taken(head, others, -1)
                twice = tf.equal(others[:, :, tf.newaxis], rows[:, tf.newaxis, :])
                others = tf.where(tf.reduce_any(twice, axis=-1), -1, others)
            rows = tf.concat([rows, others], axis=1)
            rest = tf.fill(tf.shape(others), self.rest_score)
            scores = tf.concat([scores, rest], axis=1)
        return rows, scores

    def _per_user(self, weights: Any) -> np.ndarray:
        """Broadcasts weights `[M]` or `[U, M]` to `[U, M]`."""
        weights = np.asarray(weights, np.float32)
        if weights.shape not in (self.head.shape, self.head.shape[1:]):
            raise ValueError(
                f"Weights must be [M] or [users, M] for a head of shape "
                f"{self.head.shape}, got shape {weights.shape}."
            )
        return np.broadcast_to(weights, self.head.shape)
