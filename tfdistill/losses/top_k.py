"""Recall losses on the head of the teacher's list: top K against the rest."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfdistill.losses import base, checks, masking

__all__ = ["CollaborativeDistillation", "RankingDistillation", "TopKSoftLabel"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class TopKSoftLabel(base.DistillationLoss):
    """The teacher's top K are positives, the rest of the list negatives.

    loss = sum_i w_i BCE(1[rank_t(i) <= K], sigmoid(s_i)) / count(items)

    The simplest transfer for recall, and the weakest measured: prefer `PlackettLuce`.
    The list holds the teacher's head and a sampled rest (see
    `tfdistill.data.samplers.teacher_head`); `rest_weight` makes up for the sampling.

    Args:
        topk: K.
        rest_weight: Weight of the items below the top K, above 0.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = TopKSoftLabel(topk=1)
        >>> loss(y_true=[[5.0, -2.0]], y_pred=[[0.0, 0.0]]).numpy().round(4)
        0.6931

    Departures:
        The paper's term has positives alone; here the rest of the list are negatives.

    Reference:
        Tang and Wang, Ranking distillation, arXiv:1809.07428, compares it.
    """

    example_rank = 1
    log_zero = True
    not_applicable = {
        "shift": base.ABSOLUTE,
        "minimum": "a label is matched, not the teacher's score",
    }

    def __init__(
        self,
        topk: int = 10,
        *,
        rest_weight: float = 1.0,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.topk = checks.at_least("topk", topk, 1)
        self.rest_weight = checks.positive("rest_weight", rest_weight)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        ranks = masking.masked_ranks(items.teacher, items.valid, self.topk)
        head = items.possible & (ranks <= self.topk)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.cast(head, tf.float32), logits=items.student
        )
        entropy *= tf.where(head, 1.0, self.rest_weight)
        return masking.masked_mean(items.weights * entropy, items.valid)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {
            **super().get_config(),
            "topk": self.topk,
            "rest_weight": self.rest_weight,
        }


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class RankingDistillation(base.DistillationLoss):
    """The teacher's top K as positives, weighted by position and by discrepancy.

    loss = -sum_{r <= K} w_i W_r log sigmoid(s_{pi_r}), W_r = a_r b_r / sum_r a_r b_r,
    a_r = exp(-r / decay),
    b_r = 1 - d + d tanh(max(sharpness (k_r - r), 0)),
    k_r = floor((N - 1) share of the rest that the student puts above pi_r) + 1

    for the teacher's ranking pi and the student's estimated catalogue rank k_r. The
    list holds the teacher's top K and a uniform sample of the catalogue, which is what
    k_r is estimated from. The weights sum to 1: there is no other divisor. Warm up by
    overriding `discrepancy` d with a schedule that is 0 for the first steps.

    Args:
        num_items: N, size of the catalogue.
        topk: K.
        decay: Ranks over which the position weight falls by e.
        sharpness: How fast the discrepancy saturates.
        discrepancy: d in [0, 1]: 0 for position weights alone, 1 for the hybrid.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> loss = RankingDistillation(num_items=100, topk=1, discrepancy=0.0)
        >>> loss(y_true=[[5.0, -2.0]], y_pred=[[0.0, 0.0]]).numpy().round(4)
        0.6931

    Departures:
        The paper estimates the student's ranks from items drawn for it; here the list's
        rest serves. Its warm-up is a schedule of `discrepancy`.

    Reference:
        Tang and Wang, Ranking distillation, arXiv:1809.07428.
    """

    example_rank = 1
    log_zero = True
    overrides = ("discrepancy",)
    not_applicable = {
        "shift": base.ABSOLUTE,
        "minimum": "positives are pushed up without bound",
    }

    def __init__(
        self,
        num_items: int,
        *,
        topk: int = 10,
        decay: float = 1.0,
        sharpness: float = 0.1,
        discrepancy: float = 1.0,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.num_items = checks.at_least("num_items", num_items, 2)
        self.topk = checks.at_least("topk", topk, 1)
        self.decay = checks.positive("decay", decay)
        self.sharpness = checks.positive("sharpness", sharpness)
        self.discrepancy = checks.share("discrepancy", discrepancy)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        ranks = masking.masked_ranks(items.teacher, items.valid, self.topk)
        head = items.possible & (ranks <= self.topk)
        guess = self._student_ranks(items, items.valid & ~head)
        late = tf.tanh(tf.maximum(self.sharpness * (guess - ranks), 0.0))
        share = items.inputs.get("discrepancy", self.discrepancy)
        importance = tf.exp((1.0 - ranks) / self.decay) * (1.0 - share + share * late)
        importance = tf.where(head, importance, 0.0)
        importance = tf.math.divide_no_nan(
            importance, tf.reduce_sum(importance, axis=-1, keepdims=True)
        )
        losses = items.weights * importance * tf.nn.softplus(-items.student)
        return tf.reduce_sum(losses, axis=-1)

    def _student_ranks(self, items: base.Items, rest: tf.Tensor) -> tf.Tensor:
        """Estimates catalogue ranks from how much of the rest beats an item."""
        scores = tf.stop_gradient(items.student)
        above = masking.count_above(scores, rest)
        # The share of the list's rest that scores higher, taken as that of the
        # catalogue.
        share = above / masking.divisor(rest, keepdims=True)
        return tf.floor((self.num_items - 1.0) * share) + 1.0

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {
            **super().get_config(),
            "num_items": self.num_items,
            "topk": self.topk,
            "decay": self.decay,
            "sharpness": self.sharpness,
            "discrepancy": self.discrepancy,
        }


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class CollaborativeDistillation(base.TemperedLoss):
    """Soft labels for unobserved items, shifted because their scores are all low.

    loss = BCE(sigmoid((z_t + shift) / T), sigmoid(z_s))

    The teacher's scores of unobserved items sit near 0 probability; `shift` and T
    spread them. Items are drawn towards the head of the teacher's (or the student's)
    ranking, see `tfdistill.data.samplers.rank_aware`.

    Args:
        temperature: T > 0; a call may override it, for schedules.
        shift: Added to the teacher's logits.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = CollaborativeDistillation(shift=4.0)
        >>> loss(y_true=[[-4.0]], y_pred=[[0.0]]).numpy().round(4)
        0.6931

    Departures:
        The formula is the paper's; its drawing of items by rank is
        `tfdistill.data.samplers`, and its change to the base loss is left to you.

    Reference:
        Lee et al., Collaborative distillation for top-N recommendation,
        arXiv:1911.05276.
    """

    log_zero = True
    not_applicable = {
        "shift": base.ABSOLUTE,
        "minimum": "the student matches the shifted, softened teacher instead",
    }

    def __init__(
        self,
        temperature: float = 1.0,
        shift: float = 0.0,
        *,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(temperature, reduction=reduction, name=name)
        self.shift = float(shift)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        t = self._temperature(items)
        return items.weights * tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.sigmoid((items.teacher + self.shift) / t), logits=items.student
        )

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "shift": self.shift}
