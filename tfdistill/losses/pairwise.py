"""Pair-wise losses: every pair of a list, ordered or spaced as the teacher does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfdistill.losses import base, checks, masking, pair_blocks, relevance

__all__ = ["BPR", "DeltaNDCG", "MarginMSE", "RankNet"]

Columns = Mapping[str, tf.Tensor]
Pairs = tuple[tf.Tensor, tf.Tensor]

ORDER_ONLY = "only the order is matched: scaling a right order up lowers the loss"


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

    Departures:
        The paper draws an observed and an unobserved item and sums over draws; here the
        teacher orders all pairs of a list, and their mean is taken.

    Reference:
        Rendle et al., BPR, arXiv:1205.2618.
    """

    example_rank = 1
    constant_teacher = True
    log_zero = True
    not_applicable = {"minimum": ORDER_ONLY}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        student, columns = _sorted(items, items.teacher, weight=items.weights)
        total = pair_blocks.pair_sums(_ordered, student, columns)
        # As many pairs as items above each item.
        better = tf.maximum(tf.cast(columns["rank"], tf.float32) - 1.0, 0.0)
        return tf.math.divide_no_nan(total, tf.reduce_sum(better, axis=-1))


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

    Departures:
        The paper sums over pairs and has no temperature; here it is their mean, with
        Hinton's T^2.

    Reference:
        Burges et al., Learning to rank using gradient descent, ICML 2005.
    """

    example_rank = 1
    constant_teacher = True
    log_zero = True

    def _per_example(self, items: base.Items) -> tf.Tensor:
        t = self._temperature(items)

        student, teacher, weight = (
            tf.where(items.valid, values, pair_blocks.FAR)
            for values in (
                items.student / (2.0 * t),
                items.teacher / (2.0 * t),
                items.weights,
            )
        )
        total = pair_blocks.pair_sums(
            _soft_order,
            student,
            {"teacher": teacher, "weight": weight},
            padding=pair_blocks.FAR,
            symmetric=True,
        )
        # All (i, j) so far, with log 2 for each (i, i).
        total -= math.log(2.0) * tf.reduce_sum(items.weights, axis=-1)
        count = tf.reduce_sum(tf.cast(items.valid, tf.float32), axis=-1)
        return t**2 * tf.math.divide_no_nan(total, count * (count - 1.0))


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

    Departures:
        The paper takes pairs of a relevant and another document; here all pairs of a
        list count.

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
    top n count. This is LambdaRank with the teacher as the judge. Memory is O(L), time
    O(L^2), or O(K L) for a map that grades K items of a list.

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

    Departures:
        The papers define gradients alone; this is the loss whose gradients they are
        while ranks stay, divided by the items and not summed. The student's ties count
        as its worst order.

    Reference:
        Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82.
    """

    constant_teacher = True

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
        student, columns = _sorted(
            items,
            grades,
            weight=items.weights,
            gain=relevance.normalised_gains(grades, items.valid, self.topn),
        )
        # The worst come first here, so that the student's ties count as its worst.
        scores = tf.reverse(tf.stop_gradient(student), [-1])
        valid = tf.reverse(columns["rank"] > 0, [-1])
        order, _ = masking.masked_sort(scores, valid)
        # The inverse of a permutation: at which place each item stands.
        place = tf.reverse(1.0 + tf.cast(tf.argsort(order), tf.float32), [-1])
        columns["discount"] = relevance.discounts(place, self.topn)
        total = pair_blocks.pair_sums(_delta_weighted, student, columns)
        return total / masking.divisor(items.valid)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "topn": self.topn}


def _sorted(
    items: base.Items, scores: tf.Tensor, **columns: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Half the student and columns from the best score to the worst, with their ranks.

    Padding comes last, so far below that a pair with it costs its better item nothing.
    """
    order, ranks = masking.masked_sort(scores, items.valid)
    taken = {k: masking.take(v, order) for k, v in columns.items()}
    # Halved here once, as all kernels take tanh(x / 2) = 2 sigmoid(x) - 1.
    student = 0.5 * masking.take(items.student, order)
    return tf.where(ranks > 0, student, pair_blocks.FAR), {**taken, "rank": ranks}


def above(lead: tf.Tensor, i: Columns, j: Columns) -> tf.Tensor:
    """The lead where i ranks above j, else one so low that the pair costs nothing."""

    def masked() -> tf.Tensor:
        # A pair counts if j ranks behind i. Else its lead is pushed so far down that
        # its loss and its slope are 0: cheaper than a mask on both.
        behind = tf.cast(j["rank"] - i["rank"], tf.float32)
        return tf.minimum(lead, (0.5 - behind) * pair_blocks.FAR)

    # Lists are sorted: all of block i ranks above block j if its last item does, and
    # if the first of block j is padding (of rank 0), all of it is.
    last, first = i["rank"][:, -1, 0], j["rank"][:, 0, 0]
    ordered = ((0 < last) & (last < first)) | (first == 0)
    return tf.cond(tf.reduce_all(ordered), lambda: lead, masked)


def likelier(t: tf.Tensor) -> tf.Tensor:
    """Probability (1 + |t|) / 2 of the likelier order, for t = tanh(x) of a lead x.

    For target in [-1, 1], |x| - target x minus its logarithm is the cross entropy of
    sigmoid(2 x) against (1 + target) / 2, and t - target is the derivative of that.
    Absolute errors are below 2e-7, and it takes half the time of the kernels for
    softplus and sigmoid. A block's row or column takes one logarithm: the product of
    probabilities above 1/2 stays above 0.
    """
    return 0.5 + 0.5 * tf.abs(t)


def _won(lead: tf.Tensor, i: Columns) -> Pairs:
    """Logistic loss of all pairs, that i wins (target -1), by the weight of i."""
    t = tf.tanh(lead)
    # softplus(2x) = 2 relu(x) - log(1/2 + |tanh x| / 2), with one log for a whole row.
    rows = 2.0 * tf.reduce_sum(tf.nn.relu(lead), 2)
    rows -= tf.math.log(tf.reduce_prod(likelier(t), 2))
    return tf.reduce_sum(i["weight"][:, :, 0] * rows, 1), (1.0 + t) * i["weight"]


def _ordered(lead: tf.Tensor, i: Columns, j: Columns) -> Pairs:
    """Logistic loss of the pairs that the teacher orders."""
    return _won(above(lead, i, j), i)


def _soft_order(lead: tf.Tensor, i: Columns, j: Columns) -> Pairs:
    """Cross entropy against the teacher's pair probability, by w_i + w_j.

    Padding is so far below in both lists that a pair of it and an item costs 0.
    """
    t, target = tf.tanh(lead), tf.tanh(j["teacher"] - i["teacher"])
    wrong, likely = tf.abs(lead) - target * lead, likelier(t)

    def total(weight: tf.Tensor, axis: int) -> tf.Tensor:
        sums = tf.reduce_sum(wrong, axis) - tf.math.log(tf.reduce_prod(likely, axis))
        return tf.reduce_sum(tf.nn.relu(weight) * sums, 1)

    # Padding's weight is FAR below 0, which relu takes to 0.
    loss = total(i["weight"][:, :, 0], 2) + total(j["weight"][:, 0], 1)
    return loss, tf.nn.relu(i["weight"] + j["weight"]) * (t - target)


def _delta_weighted(lead: tf.Tensor, i: Columns, j: Columns) -> Pairs:
    """Logistic loss of the better item, weighted by the change of the NDCG."""

    def graded() -> Pairs:
        weight = tf.nn.relu(i["gain"] - j["gain"]) * i["weight"]
        weight *= tf.abs(i["discount"] - j["discount"])
        t = tf.tanh(lead)
        losses = weight * (tf.nn.relu(2.0 * lead) - tf.math.log(likelier(t)))
        return tf.reduce_sum(losses, [1, 2]), weight * (1.0 + t)

    def nothing() -> Pairs:
        return tf.zeros_like(lead[:, 0, 0]), tf.zeros_like(lead)

    # Lists are sorted: if its first item has no gain, nothing of block i has.
    return tf.cond(tf.reduce_any(i["gain"][:, 0] > 0.0), graded, nothing)
