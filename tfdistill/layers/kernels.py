"""What layers with kernels of their own share: a regulariser, a start for stacks."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["RegularizedLayer", "stacked_glorot"]


class RegularizedLayer(tf.keras.layers.Layer):
    """A layer with one regulariser for all its kernels, which its config holds.

    Args:
        kernel_regularizer: Regulariser of the kernels.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Example:
        >>> RegularizedLayer("l2").get_config()["kernel_regularizer"]["class_name"]
        'L2'
    """

    def __init__(self, kernel_regularizer: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_regularizer = tf.keras.regularizers.get(kernel_regularizer)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        regularizer = tf.keras.regularizers.serialize(self.kernel_regularizer)
        return {**super().get_config(), "kernel_regularizer": regularizer}


def stacked_glorot(count: int) -> tf.keras.initializers.Initializer:
    """Starts each kernel of a stack `[count, rows, columns]` as `glorot_uniform` does.

    Keras takes the count into both fans, so that each would start too small.

    Args:
        count: Number of kernels.

    Returns:
        The initialiser of the stack.

    Example:
        >>> float(tf.reduce_max(stacked_glorot(30)((30, 10, 20)))) < 0.45
        True
    """
    return tf.keras.initializers.VarianceScaling(float(count), "fan_avg", "uniform")
