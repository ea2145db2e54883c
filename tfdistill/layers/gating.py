"""Gates: fields scaled before a dense layer, and experts mixed by weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.layers.towers import FoldedDense

__all__ = ["GatedDense", "GatedSum"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class GatedDense(FoldedDense):
    """A dense layer over fields that each candidate scales by gates of its own.

    `y = f(sum_i g_i (x_i W_i) + b)` over the fields i of both sides, equal to scaling
    the fields of every candidate and then multiplying. The products `x_i W_i` of the
    user's fields don't depend on the candidate: they are computed once, and a
    candidate pays one multiplication for each user *field* and unit, not for each of
    the user's columns.

    Args:
        units: Width of the output.
        user_widths: Width of each user field, in the order of the columns.
        item_widths: Width of each item field.
        activation: Activation f.
        **kwargs: Initialiser and regulariser as in `FoldedDense`; `name`, `trainable`
            and `dtype` of a Keras layer.

    Call arguments:
        inputs: `(user [B, d_u], item [B, L, d_i], gates [B, L, F])`, the gates of the
            user's fields first.

    Returns:
        `[B, L, units]`.

    Raises:
        ValueError: If the widths don't add up to those of the inputs.

    Example:
        >>> layer = GatedDense(8, user_widths=(4, 1), item_widths=(4,))
        >>> layer((tf.ones([2, 5]), tf.ones([2, 7, 4]), tf.ones([2, 7, 3]))).shape
        TensorShape([2, 7, 8])
    """

    def __init__(
        self,
        units: int,
        user_widths: Sequence[int],
        item_widths: Sequence[int],
        activation: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation, **kwargs)
        self.user_widths = tuple(user_widths)
        self.item_widths = tuple(item_widths)

    def build(self, input_shape: Any) -> None:
        """Creates the weights of a `FoldedDense`."""
        widths = (self.user_widths, self.item_widths)
        expected = [*map(sum, widths), sum(map(len, widths))]
        received = [int(shape[-1]) for shape in input_shape]
        if received != expected:
            raise ValueError(
                f"{self.name}: with user fields of the widths {self.user_widths} and "
                f"item fields of {self.item_widths}, user, item and gates must be "
                f"{expected} wide, got {received}; give one width for each field."
            )
        super().build(input_shape[:2])

    def call(self, inputs: Any) -> tf.Tensor:
        """Computes the layer; the products of the user's fields once per request."""
        user, item, gates = inputs
        fields = len(self.user_widths)
        columns = np.repeat(np.arange(len(self.item_widths)), self.item_widths)
        scaled = item * tf.gather(gates[..., fields:], columns, axis=-1)
        of_items = tf.tensordot(scaled, self.item_kernel, 1) + self.bias
        if not fields:
            return self.activation(of_items)
        # [F_u, d_u]: which columns of the user belong to a field.
        own = np.repeat(np.eye(fields), self.user_widths, axis=1)
        # [B, F_u, h]: the product of each user field, before any gate, so that an
        # item's gates mix F_u vectors of width h instead of scaling d_u columns.
        products = tf.matmul(
            user[:, tf.newaxis] * tf.constant(own, user.dtype), self.user_kernel
        )
        return self.activation(tf.matmul(gates[..., :fields], products) + of_items)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "user_widths": self.user_widths,
            "item_widths": self.item_widths,
        }


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class GatedSum(tf.keras.layers.Layer):
    """The mixture of experts by their gates: `y = sum_e g_e f_e`.

    Call arguments:
        inputs: `(gates [B, L, E], experts: a list of E tensors [B, L, d])`.

    Returns:
        `[B, L, d]`.

    Example:
        >>> gates = tf.constant([[[0.25, 0.75]]])
        >>> GatedSum()((gates, [tf.zeros([1, 1, 2]), tf.ones([1, 1, 2])])).numpy()
        array([[[0.75, 0.75]]], dtype=float32)
    """

    def call(self, inputs: tuple[tf.Tensor, Sequence[tf.Tensor]]) -> tf.Tensor:
        """Mixes the experts."""
        gates, experts = inputs
        return tf.einsum("ble,bled->bld", gates, tf.stack(experts, axis=-2))
