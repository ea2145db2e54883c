"""Smooth NDCG: the metric itself, with soft ranks in the place of ranks."""

from __future__ import annotations

from typing import Any, Callable

import tensorflow as tf

from tfdistill.losses import base, checks, masking, pair_blocks, relevance

__all__ = ["ApproxNDCG"]

# So many graded items of a list get their ranks without those of the others, and lists
# up to this length get theirs without blocks.
_FEW, _SHORT = 32, 128


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class ApproxNDCG(relevance.RelevanceLoss):
    """Minus the NDCG of the student's list, with smooth ranks and the teacher's grades.

    loss = -sum_i w_i (2^r_i - 1) / log2(1 + k_i) / ideal DCG
    k_i = 1 + sum_{j != i} sigmoid((s_j - s_i) / T)

    for the relevance r of the teacher's scores. Optimises the head of the list and
    nothing else: use it beside a point- or list-wise loss, or to fine-tune. The value
    is TF-Ranking's `ApproxNDCGLoss` on the same grades (for equal weights in a list),
    in blocks: time is O(L^2), memory O(L); O(L) in time as well where the map grades
    32 items of a list at most.

    Args:
        relevance_map: Map of the teacher's scores; `RankLinear()` if None.
        temperature: T > 0 of the ranks, in units of the student's logits; a call may
            override it. A small T is exact and hard to train.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = ApproxNDCG()
        >>> loss(y_true=[[2.0, -1.0]], y_pred=[[9.0, 0.0]]).numpy().round(4)
        -1.0

    Departures:
        The weights of items are ours; for equal ones it is the paper's.

    Reference:
        Qin et al., A general approximation framework for direct optimization of
        information retrieval measures, 2010; Bruch et al., Revisiting approximate
        metric optimization in the age of deep neural networks, SIGIR 2019.
    """

    overrides = ("temperature",)

    def __init__(
        self,
        relevance_map: relevance.RelevanceMap | None = None,
        *,
        temperature: float = 0.1,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(relevance_map, reduction=reduction, name=name)
        self.temperature = checks.positive("temperature", temperature)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        gains = relevance.normalised_gains(self._grades(items), items.valid)
        t = items.inputs.get("temperature", self.temperature)
        length = masking.last_size(items.student)

        def graded() -> tf.Tensor:
            top, rows = tf.math.top_k(gains, _FEW)
            student = masking.take(items.student, rows)
            weights = masking.take(items.weights, rows)
            return _dcg(weights * top, _smooth_ranks_of(student, items, t))

        def short() -> tf.Tensor:
            ranks = _smooth_ranks_of(items.student, items, t)
            return _dcg(items.weights * gains, ranks)

        def long() -> tf.Tensor:
            ranks = pair_blocks.smooth_ranks(items.student, items.valid, t)
            return _dcg(items.weights * gains, tf.where(items.valid, ranks, 1.0))

        def everyone() -> tf.Tensor:
            return _choose(length <= _SHORT, short, long)

        # Most maps grade few items, and the ranks of the others don't matter.
        most = tf.math.count_nonzero(gains, axis=-1, dtype=tf.int32)
        few = tf.reduce_all(most <= _FEW)
        return -_choose(length <= _FEW, short, lambda: tf.cond(few, graded, everyone))

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "temperature": self.temperature}


def _choose(when: Any, one: Callable[[], Any], other: Callable[[], Any]) -> tf.Tensor:
    """`tf.cond`, without a branch where the length is known while tracing."""
    if isinstance(when, bool):
        return one() if when else other()
    return tf.cond(when, one, other)


def _smooth_ranks_of(rows: tf.Tensor, items: base.Items, temperature: Any) -> tf.Tensor:
    """`pair_blocks.smooth_ranks` for some scores `[..., K]` of the lists."""
    scale = 2.0 * temperature
    student = tf.where(items.valid, items.student / scale, pair_blocks.FAR)
    leads = student[..., tf.newaxis, :] - (rows / scale)[..., tf.newaxis]
    # Padding counts -1 each: the n valid items of the formula become all L.
    length = tf.cast(tf.shape(student)[-1], tf.float32)
    return 0.5 * (1.0 + length + tf.reduce_sum(tf.tanh(leads), axis=-1))


def _dcg(gains: tf.Tensor, ranks: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(gains * relevance.discounts(ranks), axis=-1)
