"""List-wise losses: one list of items is one example."""

from __future__ import annotations

import math
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from tfdistill.losses import base, checks, masking, relevance, sound

__all__ = [
    "CalibratedListKL",
    "ListSoftmaxKL",
    "PlackettLuce",
    "RelevanceCrossEntropy",
]


_LOG_TINY = math.log(np.finfo(np.float32).tiny)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class ListSoftmaxKL(base.TemperedLoss):
    """Divergence between the softmax of the teacher's list and the student's.

    loss = T^2 * D(p, q), p = softmax(z_t / T), q = softmax(z_s / T) over valid items:

    * `forward`: sum_i w_i [p_i log(p_i / q_i) - p_i + q_i]; covers the teacher's list;
    * `reverse`: the same with p and q exchanged; the student may pick one mode. It is
      infinite where p = 0, so log p counts as at least -87.3, that of the smallest
      float32;
    * `js`: half of each against the mean of p and q; bounded.

    All from log-softmax. With equal weights the terms - p_i + q_i vanish and `forward`
    is KL(p || q); under other weights they keep the minimum at q = p. The sum is an
    expectation under p, so it isn't divided by the length of the list.

    The default for ranking students, and for recall over sampled lists. It moves the
    head of the list most; choose T so that p has an effective size (perplexity) of
    about 20 items in recall: a T that is too small hurts.

    Args:
        temperature: T > 0; a call may override it, for schedules.
        divergence: `forward`, `reverse` or `js`.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = ListSoftmaxKL(divergence="js")
        >>> loss(y_true=[[2.0, 1.0, 0.0]], y_pred=[[2.0, 1.0, 0.0]]).numpy()
        0.0

    Departures:
        ListNet is `forward` at T = 1 without the teacher's entropy, which is constant;
        `reverse`, `js`, T^2 and item weights are not its.

    Reference:
        Cao et al., Learning to rank: from pairwise to listwise approach, ICML 2007;
        Hinton et al., arXiv:1503.02531.
    """

    example_rank = 1
    log_zero = True

    def __init__(
        self,
        temperature: float = 1.0,
        divergence: str = "forward",
        *,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(temperature, reduction=reduction, name=name)
        choices = ("forward", "reverse", "js")
        self.divergence = checks.choice("divergence", divergence, choices)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        t = self._temperature(items)
        log_p = masking.masked_log_softmax(items.teacher / t, items.valid)
        log_q = masking.masked_log_softmax(items.student / t, items.valid)
        if self.divergence == "forward":
            return t**2 * generalised_kl(log_p, log_q, items.weights)
        if self.divergence == "reverse":
            return t**2 * generalised_kl(
                log_q, tf.maximum(log_p, _LOG_TINY), items.weights
            )
        log_m = tf.reduce_logsumexp(tf.stack([log_p, log_q]), 0) - tf.math.log(2.0)
        sides = [generalised_kl(x, log_m, items.weights) for x in (log_p, log_q)]
        return t**2 * 0.5 * tf.add_n(sides)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "divergence": self.divergence}


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class CalibratedListKL(base.DistillationLoss):
    """List-wise KL that leaves a calibrated click probability alone.

    loss = KL(p || q), p_i = sigmoid(z_t,i) / sum_j sigmoid(z_t,j), q likewise

    The softmax of logits is at its best at z_s = z_t + c for any c, which fights with a
    point-wise loss; normalised probabilities are at their best at sigmoid(z_s)
    proportional to sigmoid(z_t), which calibration can satisfy. Use it beside
    `SigmoidCrossEntropy` on a serving click-through head.

    Args:
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = CalibratedListKL()
        >>> loss(y_true=[[2.0, -1.0]], y_pred=[[2.0, -1.0]]).numpy()
        0.0

    Departures:
        The paper's cross entropy has the same gradient; the teacher's entropy is
        subtracted here, so that the minimum is 0.

    Reference:
        Gui et al., Calibration-compatible listwise distillation of privileged features
        for CTR prediction, arXiv:2312.08727.
    """

    example_rank = 1
    log_zero = True
    not_applicable = {"shift": "probabilities are compared: their level matters"}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        log_p, log_q = (
            masking.masked_log_softmax(tf.math.log_sigmoid(logits), items.valid)
            for logits in (items.teacher, items.student)
        )
        return generalised_kl(log_p, log_q, items.weights)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class RelevanceCrossEntropy(relevance.RelevanceLoss):
    """Softmax cross entropy against a distribution made of the teacher's relevance.

    loss = -sum_i w_i p_i log softmax(z_s)_i, p_i = r_i / sum_j r_j

    for the relevance r of the teacher's scores. With `Exponential(decay=20, topk=100)`
    it is the rank-weighted soft label for recall: it needs the teacher's order alone,
    and two of them, of decays 7 and 50, gave the best first ten of all our losses.

    Args:
        relevance_map: Map of the teacher's scores; `RankLinear()` if None.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = RelevanceCrossEntropy(relevance.Exponential(decay=20.0, topk=100))
        >>> loss(y_true=[[7.0]], y_pred=[[3.0]]).numpy() == 0.0
        True

    Departures:
        ListNet makes its distribution by a softmax of grades; here relevance is divided
        by its sum.

    Reference:
        Cao et al., Learning to rank: from pairwise to listwise approach, ICML 2007.
    """

    def _per_example(self, items: base.Items) -> tf.Tensor:
        grades = self._grades(items)
        log_q = masking.masked_log_softmax(items.student, items.valid)
        total = tf.reduce_sum(items.weights * grades * log_q, axis=-1)
        return -tf.math.divide_no_nan(total, tf.reduce_sum(grades, axis=-1))


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class PlackettLuce(base.DistillationLoss):
    """Minus the log-likelihood of the teacher's order under the student's scores.

    loss = sum_{r <= K} w_r [log sum_{j: t_j <= t_r} e^{s_j} - s_r] / min(K, n)

    for the items r in the teacher's order. With `topk=None` this is ListMLE. With
    `topk=K` it is RRD: the teacher's head is "interesting", its order is learned; the
    rest of the list is "uninteresting" and stands in the denominators alone. Ties of
    the teacher share one denominator (Breslow), so their order doesn't matter. Items of
    -inf have no place in the order and stand in the denominators alone.

    The safe default for recall: K = 50 items of the teacher's head with L = 500 sampled
    others (see `tfdistill.data.samplers.teacher_head`). O(L + K log K).

    Args:
        topk: K, how many items are ordered; None for all.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = PlackettLuce(topk=1)
        >>> loss(y_true=[[3.0, 2.0, 1.0]], y_pred=[[0.0, 0.0, 0.0]]).numpy().round(4)
        1.0986

    Departures:
        The papers sum over the ordered items; here it is their mean, and ties share a
        denominator. DE-RRD draws the interesting items anew each epoch; here the list
        says which they are.

    Reference:
        Xia et al., Listwise approach to learning to rank, ICML 2008; Kang et al.,
        DE-RRD, arXiv:2012.04357.
    """

    example_rank = 1
    log_zero = True
    not_applicable = {"minimum": "only the order is matched, as in BPR"}

    def __init__(
        self,
        topk: int | None = None,
        *,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.topk = None if topk is None else checks.at_least("topk", topk, 1)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        order, ranks = masking.masked_sort(items.teacher, items.valid, self.topk)
        student = masking.take(items.student, order)
        weights = masking.take(items.weights, order)
        low, above = student.dtype.min, ranks > 0
        if self.topk is None:
            tails = _tails(tf.where(above, student, low), ranks)
            # Items of -inf sort behind all others: the first `chances` places have an
            # order.
            chances = tf.math.count_nonzero(items.possible, axis=-1, keepdims=True)
            taught = tf.range(masking.last_size(student), dtype=tf.int64) < chances
            return masking.masked_mean(weights * (tails - student), taught)
        # Everything from the last one's ties on is one sum, and need not be sorted.
        teacher = masking.take(items.teacher, order)
        last = tf.where(above, teacher, low)[..., -1:]
        rest, above = items.valid & (items.teacher <= last), above & (teacher > last)
        others = tf.where(rest, items.student, low)
        tail = tf.reduce_logsumexp(others, axis=-1, keepdims=True)
        line = tf.concat([tf.where(above, student, low), tail], axis=-1)
        parts = (
            weights * (_tails(line, ranks) - student),
            items.weights * (tail - items.student),
        )
        ordered = above, rest & (items.teacher == last) & (last > sound.LOG_ZERO)
        return masking.masked_mean(tf.concat(parts, -1), tf.concat(ordered, -1))

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "topk": self.topk}


def generalised_kl(log_p: tf.Tensor, log_q: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """KL divergence per list that keeps its minimum under item weights.

    sum_i w_i [p_i log(p_i / q_i) - p_i + q_i]

    Its gradient is written out, w (q - p) for log q and w p log(p / q) for log p, which
    saves half the passes over the list. Can be differentiated once, with respect to
    those two.

    Args:
        log_p: float32 `[..., L]`.
        log_q: float32 `[..., L]`.
        weights: float32 `[..., L]`, 0 at invalid items.

    Returns:
        float32 `[...]`.

    Example:
        >>> log_p = tf.math.log([0.5, 0.5])
        >>> generalised_kl(log_p, log_p, tf.ones(2)).numpy()
        0.0
    """

    @tf.custom_gradient
    def divergence(
        log_p: tf.Tensor, log_q: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[..., tuple[tf.Tensor, tf.Tensor]]]:
        p, q = tf.exp(log_p), tf.exp(log_q)
        cross, change = weights * p * (log_p - log_q), weights * (q - p)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            upstream = upstream[..., tf.newaxis]
            return upstream * cross, upstream * change

        return tf.reduce_sum(cross + change, axis=-1), gradient

    return divergence(log_p, log_q)


def _tails(line: tf.Tensor, ranks: tf.Tensor) -> tf.Tensor:
    """Denominators by rank: that of the first among ties, whose tail holds them all."""
    # Ties share a rank, so rank - 1 is the place of the first of them.
    return masking.take(log_tail_sums(line), tf.maximum(ranks - 1, 0))


def log_tail_sums(logits: tf.Tensor) -> tf.Tensor:
    """Computes log sum_{j >= i} exp(z_j) for every i of the last axis.

    By a sum in float64, whose range holds tails down to 690 below the largest logit; a
    tail beyond that is taken as its first member. That is 2.6 times as fast as
    `tf.math.cumulative_logsumexp`, and 250 times under XLA. Can be differentiated once.

    Args:
        logits: float32 `[..., L]`.

    Returns:
        float32 `[..., L]`.

    Example:
        >>> log_tail_sums(tf.constant([0.0, 0.0, 0.0])).numpy().round(4)
        array([1.0986, 0.6931, 0.    ], dtype=float32)
    """

    @tf.custom_gradient
    def tails(logits: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
        top = tf.reduce_max(logits, axis=-1, keepdims=True)
        terms = tf.exp(tf.cast(logits - top, tf.float64))
        sums = tf.cumsum(terms, axis=-1, reverse=True)
        safe = sums > 1e-300
        sums = tf.maximum(sums, 1e-300)
        logs = tf.cast(tf.math.log(sums), tf.float32) + top

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            # d logs_i / d z_j = e^(z_j) / sums_i for i <= j: one running sum serves all
            # j.
            summed = upstream * tf.cast(safe, tf.float32)
            shares = tf.cumsum(tf.cast(summed, tf.float64) / sums, axis=-1)
            return tf.cast(terms * shares, tf.float32) + (upstream - summed)

        return tf.where(safe, logs, logits), gradient

    return tails(logits)
