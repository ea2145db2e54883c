"""Feature losses: hidden vectors and embeddings instead of scores."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses import base

__all__ = ["Hint"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class Hint(base.DistillationLoss):
    """Squared distance between a hidden vector of the student and the teacher's.

    loss = 1/2 ||h_s - h_t||^2 for `h_s` of the teacher's width. The projection from
    the student's width is a layer of the network (it is trained and thrown away at
    export), not a part of the loss.

    Moves most for dot-product models. It wants layers of comparable scale: put a
    normalisation before the projection, or use a small weight.

    Args:
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> Hint()(y_true=[[0.0, 1.0]], y_pred=[[2.0, 1.0]]).numpy()
        2.0

    Reference:
        Romero et al., FitNets, arXiv:1412.6550.
    """

    example_rank = 1
    item_rank = 1
    not_applicable = {"shift": base.ABSOLUTE}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        distance = tf.math.squared_difference(items.student, items.teacher)
        return items.weights * 0.5 * tf.reduce_sum(distance, axis=-1)
