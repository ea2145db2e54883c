"""BPR within popularity groups, with the paper's pairs by rank (UnKD)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfdistill.losses import base, checks, masking, pair_blocks, pairwise

__all__ = ["GroupedBPR"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class GroupedBPR(base.DistillationLoss):
    """BPR within popularity groups, so that popular items don't win by popularity.

    loss = sum_g sum_{i,j in g: t_i > t_j} p_ij w_i softplus(-(s_i - s_j))
    p_ij = a_i a_j / sum_{i,j in g: t_i > t_j} a_i a_j,  a_i = exp(-k_i / decay)

    with the teacher's rank k_i within the group. Distillation amplifies popularity
    bias; pairs of equal popularity carry the teacher's taste without it, mostly that of
    each group's head. A group counts as much as another, whatever its size. `group` is
    an integer per item, for instance from `tfdistill.data.samplers.popularity_groups`.

    Args:
        decay: Ranks within a group over which an item's chance to be drawn falls by e.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> scores = tf.constant([[3.0, 2.0, 1.0]])
        >>> loss = GroupedBPR()
        >>> loss.reduce(
        ...     student=0.0 * scores, teacher=scores, group=[[0, 1, 0]]
        ... ).numpy().round(4)
        0.6931

    Departures:
        The paper draws some 30 pairs of each user, both items by p ~ exp(-rank / 20)
        and equal ones again; here all pairs count by the chance of being drawn, which
        is the mean over all draws and has no noise. Ties of the teacher are no pairs.

    Reference:
        Chen et al., Unbiased knowledge distillation for recommendation,
        arXiv:2211.14729.
    """

    example_rank = 1
    constant_teacher = True
    log_zero = True
    inputs = ("group",)
    not_applicable = {
        "minimum": pairwise.ORDER_ONLY,
        "keras": "the groups of the items don't fit (y_true, y_pred)",
    }

    def __init__(
        self,
        decay: float = 20.0,
        *,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.decay = checks.positive("decay", decay)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        group = tf.convert_to_tensor(items.inputs["group"])
        order, key = _by_group(group, items.teacher, items.valid)
        first, second, total = self._chances(key)
        weight = masking.take(items.weights, order)
        student = 0.5 * masking.take(items.student, order)
        columns = {
            "rank": key,
            "group": masking.take(group, order),
            "weight": weight * tf.math.divide_no_nan(first, total),
            "chance": second,
        }
        student = tf.where(key > 0, student, pair_blocks.FAR)
        return pair_blocks.pair_sums(_ordered_in_group, student, columns)

    def _chances(self, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Chances of each item to be a pair's better and worse one, and their sum.

        All relative to the group's best pair; the sum is that over the group's pairs.
        """
        shape, length = tf.shape(key), masking.last_size(key)
        rows = tf.reshape(key, [tf.reduce_prod(shape[:-1]), length])
        stride = length + 1
        own = rows // stride * stride
        begin, end, after = (
            tf.searchsorted(tf.where(rows > 0, rows, rows.dtype.max), keys)
            for keys in (own, own + stride, rows + 1)
        )
        ties = tf.searchsorted(tf.where(rows > 0, rows, rows.dtype.max), rows)
        ahead = tf.cast(ties - begin, tf.float64)  # items of the group that are better
        real = tf.cast(rows > 0, tf.float64)
        first = real * tf.exp(-ahead / self.decay)
        # At least one item is ahead of a pair's worse one.
        second = real * tf.exp((1.0 - ahead) / self.decay) * tf.sign(ahead)
        below = _between(second, after, end)
        total = _between(first * below, begin, end)
        chances = (first, second, total)
        return tuple(tf.reshape(tf.cast(x, tf.float32), shape) for x in chances)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "decay": self.decay}


def _by_group(
    group: tf.Tensor, scores: tf.Tensor, valid: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Positions in order of group and score, and keys that rise with them.

    A key is (group's number from 1) * (L + 1) + rank; ties share it; 0 for padding,
    which comes last.
    """
    order, ranks = masking.masked_sort(scores, valid)
    sorted_groups = masking.take(group, order)
    last = tf.where(ranks > 0, sorted_groups, sorted_groups.dtype.max)
    # Sorted twice, and stable: by score, then by group, so each group stays in order.
    again = tf.argsort(last, axis=-1, stable=True)
    order, ranks = masking.take(order, again), masking.take(ranks, again)
    last = masking.take(last, again)
    fresh = tf.not_equal(last[..., 1:], last[..., :-1])
    fresh = tf.concat([tf.ones_like(last[..., :1], tf.bool), fresh], -1)
    number = tf.cumsum(tf.cast(fresh, tf.int32), axis=-1)
    # Groups as blocks of one sorted line: a key is (group, rank), so that one search
    # finds where a group begins and ends.
    key = number * (masking.last_size(scores) + 1) + ranks
    return order, tf.where(ranks > 0, key, 0)


def _between(values: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Sums of each row's values at the places begin .. end - 1."""
    # A sum over a stretch is the difference of two running sums; float64, as they
    # cancel.
    sums = tf.pad(tf.cumsum(values, axis=-1), [[0, 0], [1, 0]])
    return masking.take(sums, end) - masking.take(sums, begin)


def _ordered_in_group(
    lead: tf.Tensor, i: pairwise.Columns, j: pairwise.Columns
) -> pairwise.Pairs:
    """Logistic loss of the ordered pairs of one group, by their chance."""
    # Items of other groups are pushed to where loss and slope are 0, as in `above`.
    other = tf.cast(tf.not_equal(i["group"], j["group"]), tf.float32)
    lead = pairwise.above(lead, i, j) + other * pair_blocks.FAR
    t, weight = tf.tanh(lead), i["weight"] * j["chance"]
    losses = 2.0 * tf.nn.relu(lead) - tf.math.log(pairwise.likelier(t))
    return tf.reduce_sum(weight * losses, [1, 2]), weight * (1.0 + t)
