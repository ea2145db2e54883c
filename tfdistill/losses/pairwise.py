"""Pair-wise losses: every pair of a list, ordered or spaced as the teacher does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfdistill.losses import base, checks, masking, pair_blocks, relevance

__all__ = ["BPR", "DeltaNDCG", "GroupedBPR", "MarginMSE", "RankNet"]

_ORDER_ONLY = "only the order is matched: scaling a right order up lowers the loss"


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class BPR(base.DistillationLoss):
    """Logistic loss on every pair that the teacher orders.

    loss = sum_{i,j: t_i > t_j} w_i softplus(-(s_i - s_j)) / count(such pairs)

    Uses the teacher's order alone, so it needs no common scale and no temperature; ties
    of the teacher are skipped, and the better item's weight weighs the pair. Time is
    O(L^2), memory O(L). `RankNet` uses the teacher's margins too, `DeltaNDCG` looks at
    the head of the list, `GroupedBPR` compares items of equal popularity only.

    Args:
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> BPR()(y_true=[[2.0, 1.0]], y_pred=[[0.5, 0.5]]).numpy().round(4)
        0.6931

    Reference:
        Rendle et al., BPR, arXiv:1205.2618.
    """

    example_rank = 1
    not_applicable = {"minimum": _ORDER_ONLY}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        columns = {"teacher": items.teacher, "weight": items.weights}
        return _mean_of_pairs(_ordered, items, columns)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class GroupedBPR(base.DistillationLoss):
    """BPR within popularity groups, so that popular items don't win by popularity.

    loss = sum_{i,j: t_i > t_j, g_i = g_j} w_i softplus(-(s_i - s_j)) / count(pairs)

    Distillation amplifies popularity bias; pairs of equal popularity carry the
    teacher's taste without it. `group` is an integer per item, for instance from
    `tfdistill.data.samplers.popularity_groups`.

    Args:
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> scores = tf.constant([[3.0, 2.0, 1.0]])
        >>> loss = GroupedBPR()
        >>> loss.reduce(
        ...     student=0.0 * scores, teacher=scores, group=[[0, 1, 0]]
        ... ).numpy().round(4)
        0.6931

    Reference:
        Chen et al., Unbiased knowledge distillation for recommendation,
        arXiv:2211.14729.
    """

    example_rank = 1
    inputs = ("group",)
    not_applicable = {
        "minimum": _ORDER_ONLY,
        "keras": "the groups of the items don't fit (y_true, y_pred)",
    }

    def _per_example(self, items: base.Items) -> tf.Tensor:
        columns = {
            "teacher": items.teacher,
            "weight": items.weights,
            "group": tf.convert_to_tensor(items.inputs["group"]),
        }
        return _mean_of_pairs(_ordered_in_group, items, columns)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class RankNet(base.TemperedLoss):
    """Cross entropy of the pair's order against the teacher's pair probability.

    loss = T^2 mean_{i<j} (w_i + w_j)/2 BCE(sigmoid((t_i-t_j)/T), sigmoid((s_i-s_j)/T))

    Transfers the margins between items, but not the level of the scores: between
    `BPR` (order alone) and `MarginMSE` (margins, unbounded). Time is O(L^2), memory
    O(L).

    Args:
        temperature: T > 0; a call may override it, for schedules.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> RankNet()(y_true=[[2.0, 2.0]], y_pred=[[0.5, 0.5]]).numpy().round(4)
        0.6931

    Reference:
        Burges et al., Learning to rank using gradient descent, ICML 2005.
    """

    example_rank = 1

    def _per_example(self, items: base.Items) -> tf.Tensor:
        t = self._temperature(items)

        def term(gap: tf.Tensor, i: Any, j: Any) -> tuple[tf.Tensor, tf.Tensor]:
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(
                labels=tf.sigmoid((i["teacher"] - j["teacher"]) / t), logits=gap / t
            )
            weight = 0.5 * (i["weight"] + j["weight"])
            return weight * entropy, tf.ones_like(entropy, tf.bool)

        columns = {"teacher": items.teacher, "weight": items.weights}
        return t**2 * _mean_of_pairs(term, items, columns)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class MarginMSE(base.DistillationLoss):
    """Squared difference of the margins between items, over all pairs.

    loss = mean_{i<j} (w_i + w_j)/2 ((s_i - s_j) - (t_i - t_j))^2

    `LogitMSE` without the level: the student may sit anywhere, only distances count.
    Computed in closed form from the moments of s - t: O(L) in time and memory.

    Args:
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> MarginMSE()(y_true=[[2.0, 1.0]], y_pred=[[5.0, 1.0]]).numpy()
        9.0

    Reference:
        Hofstaetter et al., Improving efficient neural ranking models with
        cross-architecture knowledge distillation, arXiv:2010.02666.
    """

    example_rank = 1

    def _per_example(self, items: base.Items) -> tf.Tensor:
        # sum_{i<j} (w_i + w_j)/2 (e_i - e_j)^2
        #   = (n sum we^2 - 2 sum we sum e + sum w sum e^2) / 2,
        # centred first, because the moments of large errors cancel.
        weights, valid = items.weights, items.valid
        count = masking.divisor(valid)
        error = items.student - items.teacher
        centre = tf.stop_gradient(masking.masked_mean(error, valid))
        error = tf.where(valid, error - centre[..., tf.newaxis], 0.0)

        def total(values: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(values, axis=-1)

        twice = (
            count * total(weights * error**2)
            - 2.0 * total(weights * error) * total(error)
            + total(weights) * total(error**2)
        )
        return twice / tf.maximum(count * (count - 1.0), 1.0)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class DeltaNDCG(relevance.RelevanceLoss):
    """Logistic loss on pairs, weighted by what swapping them changes in NDCG.

    loss = sum_{i,j: r_i > r_j} w_i D_ij softplus(-(s_i - s_j)) / count(items)
    D_ij = |2^r_i - 2^r_j| |1/log2(1 + k_i) - 1/log2(1 + k_j)| / ideal DCG

    for the relevance r of the teacher's scores and the student's current ranks k (ties
    of the student count as the worst order, so that a constant student learns). With
    `topn`, ranks below it have no discount: only pairs with one item in the student's
    top n count. This is LambdaRank with the teacher as the judge. Time is O(L^2),
    memory O(L).

    Args:
        relevance_map: Map of the teacher's scores; `RankLinear()` if None.
        topn: Cut of the NDCG; None for the whole list.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = DeltaNDCG()
        >>> right = loss(y_true=[[9.0, 1.0, 0.0]], y_pred=[[3.0, 1.0, 0.0]])
        >>> wrong = loss(y_true=[[9.0, 1.0, 0.0]], y_pred=[[0.0, 1.0, 3.0]])
        >>> bool(right < wrong)
        True

    Reference:
        Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82.
    """

    def __init__(
        self,
        relevance_map: relevance.RelevanceMap | None = None,
        *,
        topn: int | None = None,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(relevance_map, reduction=reduction, name=name)
        self.topn = None if topn is None else checks.at_least("topn", topn, 1)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        grades = self._grades(items)
        gains = relevance.normalised_gains(grades, items.valid, self.topn)
        # Ties of the student: the teacher's favourite comes last.
        worst = masking.masked_order(-grades, items.valid)
        student = tf.stop_gradient(tf.gather(items.student, worst, batch_dims=-1))
        present = tf.gather(items.valid, worst, batch_dims=-1)
        order = tf.gather(worst, masking.masked_order(student, present), batch_dims=-1)
        ranks = 1.0 + tf.cast(tf.argsort(order), tf.float32)
        columns = {
            "teacher": grades,
            "weight": items.weights,
            "gain": gains,
            "discount": relevance.discounts(ranks, self.topn),
        }
        total, _ = pair_blocks.pair_sums(
            _delta_weighted, items.student, items.valid, columns
        )
        return total / masking.divisor(items.valid)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "topn": self.topn}


def _mean_of_pairs(
    term: pair_blocks.PairTerm, items: base.Items, columns: Mapping[str, tf.Tensor]
) -> tf.Tensor:
    """Averages a term over the pairs it counts."""
    total, count = pair_blocks.pair_sums(term, items.student, items.valid, columns)
    return total / tf.maximum(count, 1.0)


def _ordered(
    gap: tf.Tensor, i: Mapping[str, tf.Tensor], j: Mapping[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Logistic loss of the item that the teacher prefers."""
    order = tf.sign(i["teacher"] - j["teacher"])
    weight = tf.where(order > 0.0, i["weight"], j["weight"])
    return weight * tf.nn.softplus(-order * gap), tf.not_equal(order, 0.0)


def _ordered_in_group(
    gap: tf.Tensor, i: Mapping[str, tf.Tensor], j: Mapping[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """`_ordered` for the pairs of one group."""
    loss, counted = _ordered(gap, i, j)
    return loss, counted & tf.equal(i["group"], j["group"])


def _delta_weighted(
    gap: tf.Tensor, i: Mapping[str, tf.Tensor], j: Mapping[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """`_ordered`, weighted by the change of the NDCG."""
    loss, counted = _ordered(gap, i, j)
    change = tf.abs((i["gain"] - j["gain"]) * (i["discount"] - j["discount"]))
    return loss * change, counted
