"""Gradient block: what a net reads without training it."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["GradientBlock"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class GradientBlock(tf.keras.layers.Layer):
    """Passes a tensor on and stops its gradient: `y = x`, `dy/dx = 0`.

    Put it between the *gathered* embeddings and a light net when only the teacher may
    train the shared tables (`joint_network(blocked=)`, as in the dual-DNN
    ranker). Rocket Launching trains the shared layers from both nets: there, leave it
    out.

    Call arguments:
        inputs: A tensor of any shape.

    Returns:
        The same tensor.

    Example:
        >>> x = tf.Variable([1.0, 2.0])
        >>> with tf.GradientTape() as tape:
        ...     y = tf.reduce_sum(GradientBlock()(x))
        >>> tape.gradient(y, x) is None
        True

    Reference:
        Zhou et al., Rocket Launching, AAAI 2018, arXiv:1708.04106.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the inputs without their gradient."""
        return tf.stop_gradient(inputs)
