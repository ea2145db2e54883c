"""In-batch losses: the other queries' candidates of the batch serve as negatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfdistill.losses import base, listwise, masking, replicas

__all__ = ["InBatchDistillation", "InBatchSoftmax"]


class _InBatchLoss(base.TemperedLoss):
    """What the two in-batch losses share: candidates, corrections, hits, gathering."""

    item_rank = 1
    not_applicable: Mapping[str, str] = {
        "shift": "queries and candidates are vectors: a shift changes their products",
        "keras": "ids and sampling shares don't fit (y_true, y_pred)",
        "leading": "every query meets every candidate: the batch is one axis",
    }

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        gather: bool = False,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(temperature, reduction=reduction, name=name)
        if reduction == base.Reduction.SUM:
            raise ValueError(
                f"{self.name} is averaged over users, got reduction "
                f"{reduction!r}: a sum scales every weight with the batch size. Use "
                "SUM_OVER_BATCH_SIZE and a weight."
            )
        self.gather = gather

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> tf.Tensor:
        """Refuses the Keras path, which can't carry ids and positives."""
        raise ValueError(
            f"{self.name} needs the inputs {list(self.inputs)}, got (y_true, "
            "y_pred). Call `reduce(...)`, or use it in a Transfer."
        )

    def _gathered(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows of all replicas with `gather`, of this one without."""
        return replicas.gather_rows(rows) if self.gather else rows

    def _logits(
        self, queries: tf.Tensor, candidates: tf.Tensor, items: base.Items
    ) -> tf.Tensor:
        """Corrected logits of every query for all candidates: `[B, B * L]`."""
        flat = tf.reshape(self._gathered(candidates), [-1, tf.shape(candidates)[-1]])
        logits = tf.matmul(queries, flat, transpose_b=True) / self._temperature(items)
        log_q = tf.where(items.valid, tf.cast(items.inputs["log_q"], tf.float32), 0.0)
        return logits - tf.reshape(self._gathered(log_q), [-1])

    def _columns(self, items: base.Items) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns bool `[B * L]` real candidates, int32 `[B]` first own columns."""
        valid = tf.reshape(self._gathered(items.valid), [-1])
        first = replicas.first_row(items.valid) if self.gather else 0
        users, length = tf.unstack(tf.shape(items.valid))
        return valid, (first + tf.range(users)) * length

    def _hits(self, items: base.Items, known: tf.Tensor) -> tf.Tensor:
        """Finds candidates that are known items `[B, L]` of a user: `[B, B * L]`.

        Looked up in the user's sorted known rows, without a `[B, B * L, L]` cube.
        """
        rows = tf.cast(items.inputs["item_row"], tf.int32)
        users = tf.shape(rows)[0]
        # The largest int stands where nothing is known: it sorts last and matches no
        # row.
        known = tf.sort(tf.where(known & items.valid, rows, rows.dtype.max), axis=-1)
        everyone = tf.reshape(self._gathered(rows), [1, -1])
        count = tf.size(everyone)
        # Of no column, `searchsorted` could not tell how many users there are.
        empty = [[0, 0], [0, tf.cast(tf.equal(count, 0), tf.int32)]]
        known, everyone = tf.pad(known, empty), tf.pad(everyone, empty)
        everyone = tf.broadcast_to(everyone, [users, tf.size(everyone)])
        last = tf.shape(known)[1] - 1
        # `searchsorted` gives the end for what is above all; any place will do there,
        # as the comparison below fails.
        place = tf.minimum(tf.searchsorted(known, everyone), last)
        return tf.equal(masking.take(known, place), everyone)[:, :count]

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "gather": self.gather}


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class InBatchSoftmax(_InBatchLoss):
    """Sampled softmax of each query over all candidates of the batch: a hard loss.

    loss_u = mean over u's positives p of -log softmax_n((q_u . v_n) / T - log_q_n)[p]

    over p and the B * L candidates of the batch, without those that are padded, and
    without the accidental hits of user u: candidates (anywhere in the batch) that are
    the same item as u's positive or as another item of u's own list with a label above
    0. The correction `log_q` (log of the expected share of an item among the
    candidates) is applied to the positive too. Averaged over users with a positive,
    never summed, so that its weight does not change with the batch size.

    A user has one positive, drawn for the batch, or with `every` all those of its list,
    which costs the same: then one pass teaches what takes a list's length of passes
    otherwise. Take it for lists of positives, such as users' histories.

    The base loss of two-tower recall. `student` holds the queries `[B, d]`, `teacher`
    the candidates `[B, L, d]`; both are trained, so unlike a distillation loss it
    passes gradient to `teacher` (`teacher_gradient`). Inputs: `positive` int `[B]`, the
    list position of the user's one positive, -1 for none; `log_q` `[B, L]`; `item_row`
    int `[B, L]`. The weights are those of the positives. Under a distribution strategy
    a replica sees its own candidates, unless `gather`.

    Args:
        temperature: T > 0, usually 1 for dot products and 0.05 to 0.2 for cosines.
        every: Whether every item with a label above 0 is a positive, and `positive` is
            not read.
        gather: Whether candidates of all replicas serve as negatives.
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

    Departures:
        The paper keeps accidental hits and has one positive; leaving them out and
        `every` are ours, and shares are given, not estimated on the way.

    Reference:
        Yi et al., Sampling-bias-corrected neural modeling for large corpus item
        recommendations, RecSys 2019.
    """

    example_rank = 1
    inputs = ("positive", "log_q", "item_row")
    teacher_gradient = True
    not_applicable = {
        **_InBatchLoss.not_applicable,
        "minimum": "a hard loss: the second argument holds candidates, not targets",
        "teacher_gradient": "the candidates are trained by it as well",
    }

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        every: bool = False,
        gather: bool = False,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(temperature, gather=gather, reduction=reduction, name=name)
        self.every = every

    def _enter(
        self,
        student: Any,
        teacher: tf.Tensor,
        labels: Any,
        mask: Any,
        weights: Any,
        inputs: Mapping[str, Any],
    ) -> base.Items:
        """Aligns mask and weights with the candidates, not the queries."""
        student = tf.cast(tf.convert_to_tensor(student), tf.float32)
        if student.shape.rank != 2 or teacher.shape.rank != 3:
            raise ValueError(
                f"{self.name} takes queries [B, d] and candidates [B, L, d], got "
                f"{student.shape} and {teacher.shape}."
            )
        items = super()._enter(teacher, teacher, labels, mask, weights, inputs)
        users = tf.reduce_any(items.valid, axis=-1, keepdims=True)
        # Zeros, not NaN, where a user has no candidate: 0 times NaN would be NaN below.
        return items._replace(student=tf.where(users, student, 0.0))

    def _per_example(self, items: base.Items) -> tf.Tensor:
        logits = self._logits(items.student, items.teacher, items)
        positives = self._positives(items)
        known = positives
        if items.labels is not None:
            known |= items.labels > 0.0
        valid, first = self._columns(items)
        places = first[:, tf.newaxis] + tf.range(tf.shape(items.valid)[1])
        own = masking.take(logits, places)  # [B, L]
        negatives = valid & ~self._hits(items, known)
        # -log(e^own / (e^own + sum of the rest)) = softplus(log sum of the rest - own):
        # each positive has the same negatives, so they are summed once.
        rest = tf.reduce_logsumexp(
            logits + tf.where(negatives, 0.0, logits.dtype.min), axis=1, keepdims=True
        )
        return masking.masked_mean(
            items.weights * tf.math.softplus(rest - own), positives
        )

    def _valid_examples(self, items: base.Items) -> tf.Tensor:
        return tf.reduce_any(self._positives(items), axis=1)

    def _positives(self, items: base.Items) -> tf.Tensor:
        """Which items of each list are positives of its user: bool `[B, L]`."""
        if not self.every:
            place = tf.cast(items.inputs["positive"], tf.int32)[:, tf.newaxis]
            return items.valid & (tf.range(tf.shape(items.valid)[1]) == place)
        if items.labels is None:
            raise ValueError(
                f"{self.name} with every=True needs `labels`, got None: items "
                "with a label above 0 are the positives. Pass `labels=` (a Transfer's "
                "`labels`), or take every=False and `positive`."
            )
        return items.valid & (items.labels > 0.0)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "every": self.every}


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class InBatchDistillation(_InBatchLoss):
    """KL between the teacher's and the student's softmax over the batch's candidates.

    loss_u = T^2 KL(p_u || q_u), p_u = softmax_n((q^t_u . v^t_n) / T - log_q_n), q_u
    likewise with the student's towers

    over the user's own list and the lists of all others, without items that the own
    list holds already (accidental hits). Both sides carry the same correction, so the
    two distributions estimate those over the whole catalogue. Sampled negatives are
    further items of the lists.

    Each side is one tensor `[B, 1 + L, d]` with the query in front of its candidates,
    `tf.concat([query[:, tf.newaxis], candidates], 1)`; the widths of teacher and
    student may differ. `mask`, `weights`, `log_q` and `item_row` are `[B, L]`; a user's
    weight is the mean over the own valid items. Under a distribution strategy a replica
    sees its own candidates, unless `gather`.

    Args:
        temperature: T > 0; a call may override it, for schedules.
        gather: Whether candidates of all replicas are compared.
        reduction: See `DistillationLoss`; `SUM` is refused.
        name: Name of the loss.

    Example:
        >>> towers = tf.random.normal([4, 1 + 3, 8])
        >>> rows = tf.reshape(tf.range(12), [4, 3])
        >>> InBatchDistillation().reduce(
        ...     student=towers, teacher=towers, log_q=tf.zeros([4, 3]), item_row=rows
        ... ).numpy()
        0.0

    Departures:
        No paper has this loss; the correction is Yi et al.'s, the divergence Hinton's.

    Reference:
        Yi et al., RecSys 2019, for the correction; Hinton et al., arXiv:1503.02531.
    """

    example_rank = 2
    inputs = ("log_q", "item_row")

    def _enter(
        self,
        student: Any,
        teacher: tf.Tensor,
        labels: Any,
        mask: Any,
        weights: Any,
        inputs: Mapping[str, Any],
    ) -> base.Items:
        """Aligns mask and weights with the candidates behind the queries."""
        student = tf.cast(tf.convert_to_tensor(student), tf.float32)
        if not student.shape[:-1].is_compatible_with(teacher.shape[:-1]):
            raise ValueError(
                f"{self.name} takes student and teacher [B, 1 + L, d], query first, "
                f"got {student.shape} and {teacher.shape}."
            )
        valid, weights = self._align(student[:, 1:], mask, weights)
        users = tf.reduce_any(valid, axis=-1, keepdims=True)
        present = tf.concat([users, valid], axis=1)[..., tf.newaxis]
        student = tf.where(present, student, 0.0)
        teacher = tf.where(present, teacher, 0.0)
        return base.Items(student, teacher, labels, valid, weights, inputs)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        valid, first = self._columns(items)
        length = tf.shape(items.valid)[1]
        # The columns are all candidates of the batch, flat: user u's own begin at u L.
        place = tf.range(tf.size(valid)) - first[:, tf.newaxis]
        own = (place >= 0) & (place < length)
        allowed = valid & (own | ~self._hits(items, items.valid))
        allowed &= tf.reduce_any(items.valid, axis=1, keepdims=True)
        log_p, log_q = (
            masking.masked_log_softmax(
                self._logits(towers[:, 0], towers[:, 1:], items), allowed
            )
            for towers in (items.teacher, items.student)
        )
        weight = masking.masked_mean(items.weights, items.valid)
        t = self._temperature(items)
        same = tf.cast(allowed, tf.float32)
        return weight * t**2 * listwise.generalised_kl(log_p, log_q, same)
