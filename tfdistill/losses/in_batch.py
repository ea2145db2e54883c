"""In-batch losses: the other queries' candidates of the batch serve as negatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfdistill.losses import base, masking

__all__ = ["InBatchSoftmax"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class InBatchSoftmax(base.TemperedLoss):
    """Sampled softmax of each query over all candidates of the batch: a hard loss.

    loss_u = -log softmax_n((q_u . v_n) / T - log_q_n)[positive of u]

    over the B * L candidates of the batch, without those that are padded, and without
    the accidental hits of user u: candidates (anywhere in the batch) that are the same
    item as u's positive or as another item of u's own list with a label above 0. The
    correction `log_q` (log of the expected share of an item among the candidates) is
    applied to the positive too. Averaged over users with a positive, never summed, so
    that its weight does not change with the batch size.

    The base loss of two-tower recall. `student` holds the queries and `teacher` the
    candidates: both are trained, so unlike a distillation loss it passes gradient to
    `teacher` (`teacher_gradient`).

    Args:
        temperature: T > 0, usually 1 for dot products and 0.05 to 0.2 for cosines.
        reduction: See `DistillationLoss`; `SUM` is refused.
        name: Name of the loss.

    Raises:
        ValueError: If the temperature is not above 0 or the reduction is `SUM`.

    Example:
        >>> loss = InBatchSoftmax()
        >>> queries, candidates = tf.ones([2, 3]), tf.ones([2, 1, 3])
        >>> loss.reduce(
        ...     student=queries, teacher=candidates, positive=[0, 0],
        ...     log_q=[[0.0], [0.0]], item_row=[[4], [7]],
        ... ).numpy().round(4)
        0.6931

    Reference:
        Yi et al., Sampling-bias-corrected neural modeling for large corpus item
        recommendations, RecSys 2019.
    """

    example_rank = 1
    item_rank = 1
    inputs = ("positive", "log_q", "item_row")
    teacher_gradient = True
    not_applicable = {
        "shift": "queries and candidates are vectors: a shift changes their products",
        "keras": "two vector sets, ids and positives don't fit (y_true, y_pred)",
        "minimum": "a hard loss: the second argument holds candidates, not targets",
        "teacher_gradient": "the candidates are trained by it as well",
        "leading": "every query meets every candidate: the batch is one axis",
    }

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(temperature, reduction=reduction, name=name)
        if reduction == base.Reduction.SUM:
            raise ValueError(
                "InBatchSoftmax is averaged over users, received reduction "
                f"{reduction!r}: a sum scales every weight with the batch size. Use "
                "SUM_OVER_BATCH_SIZE and a weight."
            )

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> tf.Tensor:
        """Refuses the Keras path, which can't carry ids and positives."""
        raise ValueError(
            "InBatchSoftmax needs queries, candidates, `positive`, `log_q` and "
            "`item_row`, received (y_true, y_pred). Call `reduce(...)`, or use it in a "
            "Transfer."
        )

    def _enter(
        self,
        student: Any,
        teacher: Any,
        labels: Any,
        mask: Any,
        weights: Any,
        inputs: Mapping[str, Any],
    ) -> base.Items:
        """Aligns mask and weights with the candidates `[B, L]`, not the queries."""
        student = tf.cast(tf.convert_to_tensor(student), tf.float32)
        teacher = tf.cast(tf.convert_to_tensor(teacher), tf.float32)
        if student.shape.rank != 2 or teacher.shape.rank != 3:
            raise ValueError(
                f"{self.name} takes queries [B, d] and candidates [B, L, d], received "
                f"{student.shape} and {teacher.shape}."
            )
        valid, weights = self._align(teacher, mask, weights)
        present = valid[..., tf.newaxis]
        users = tf.reduce_any(valid, axis=-1, keepdims=True)
        return base.Items(
            tf.where(users, student, 0.0),
            tf.where(present, teacher, 0.0),
            None if labels is None else tf.cast(labels, tf.float32),
            valid,
            weights,
            inputs,
        )

    def _per_example(self, items: base.Items) -> tf.Tensor:
        t = self._temperature(items)
        candidates = tf.reshape(items.teacher, [-1, tf.shape(items.teacher)[-1]])
        logits = tf.matmul(items.student, candidates, transpose_b=True) / t
        log_q = tf.where(items.valid, tf.cast(items.inputs["log_q"], tf.float32), 0.0)
        logits -= tf.reshape(log_q, [-1])
        users, length = tf.unstack(tf.shape(items.valid))
        own = tf.range(users) * length + tf.maximum(_positive(items), 0)
        chosen = tf.range(users * length) == own[:, tf.newaxis]
        negative = tf.reshape(items.valid, [-1]) & ~_accidental_hits(items)
        allowed = self._valid_examples(items)[:, tf.newaxis] & (chosen | negative)
        log_p = masking.masked_log_softmax(logits, allowed)
        weight = tf.gather(tf.reshape(items.weights, [-1]), own)
        return -weight * tf.gather(log_p, own, batch_dims=1)

    def _valid_examples(self, items: base.Items) -> tf.Tensor:
        positive = _positive(items)
        present = tf.gather(items.valid, tf.maximum(positive, 0), batch_dims=1)
        return (positive >= 0) & present


def _positive(items: base.Items) -> tf.Tensor:
    """Returns the list position of every user's positive, -1 for none."""
    return tf.cast(items.inputs["positive"], tf.int32)


def _accidental_hits(items: base.Items) -> tf.Tensor:
    """Finds candidates that are known items of the user: bool `[B, B * L]`.

    Known are the user's positive and the items of the own list with a label above 0.
    Looked up in the user's sorted known rows: O(B^2 L log L), no `[B, B L, L]` cube.
    """
    rows = tf.cast(items.inputs["item_row"], tf.int32)
    length = tf.shape(rows)[1]
    known = tf.range(length) == _positive(items)[:, tf.newaxis]
    if items.labels is not None:
        known |= items.labels > 0.0
    known = tf.sort(tf.where(known & items.valid, rows, rows.dtype.max), axis=-1)
    everyone = tf.broadcast_to(
        tf.reshape(rows, [1, -1]), [tf.shape(rows)[0], tf.size(rows)]
    )
    place = tf.minimum(tf.searchsorted(known, everyone), length - 1)
    return tf.equal(tf.gather(known, place, batch_dims=1), everyone)
