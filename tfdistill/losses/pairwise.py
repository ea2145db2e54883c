"""Pair-wise losses: every pair of a list, ordered or spaced as the teacher does."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tfdistill.losses import base, pair_blocks

__all__ = ["BPR"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class BPR(base.DistillationLoss):
    """Logistic loss on every pair that the teacher orders.

    loss = sum_{i,j: t_i > t_j} w_i softplus(-(s_i - s_j)) / count(such pairs)

    Uses the teacher's order alone, so it needs no common scale and no temperature; ties
    of the teacher are skipped, and the better item's weight weighs the pair. Time is
    O(L^2), memory O(L). `RankNet` uses the teacher's margins too.

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
    not_applicable = {
        "minimum": "only the order is matched: scaling a right order up lowers the loss"
    }

    def _per_example(self, items: base.Items) -> tf.Tensor:
        columns = {"teacher": items.teacher, "weight": items.weights}
        return pair_blocks.pair_mean(_ordered, items.student, items.valid, columns)


def _ordered(
    gap: tf.Tensor, i: Mapping[str, tf.Tensor], j: Mapping[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Logistic loss of the item that the teacher prefers."""
    order = tf.sign(i["teacher"] - j["teacher"])
    weight = tf.where(order > 0.0, i["weight"], j["weight"])
    return weight * tf.nn.softplus(-order * gap), tf.not_equal(order, 0.0)
