"""Attention of candidates to a user's behaviours, masked, the user's side once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfdistill.layers.dropout import SteppedDropout
from tfdistill.layers.kernels import RegularizedLayer

__all__ = ["BehaviourTokens", "TargetAttention", "TransformerBlock"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class TargetAttention(RegularizedLayer):
    """The attention unit of DIN: behaviours summed by their relevance to a candidate.

    `y = sum_j m_j a_j k_j` with `a_j = w . h_n(... relu(W [q | k_j | q * k_j] + b))`

    The weights are not normalised, so that their sum keeps the intensity of the
    interest. The layer's first product is taken apart, so that `W_k k_j` is computed
    once per request and `W_q q` once per candidate; the difference `q - k` of other
    implementations is in the span of these two and would add nothing. ReLU stands in
    for the paper's Dice.

    For each candidate and behaviour there are `2 d h_1 + 2 h_1 h_2 + ...` FLOPs and
    `d + h_1` numbers in memory: keep `units` small.

    Args:
        units: Widths of the hidden layers of a, at least one.
        kernel_regularizer: Regulariser of the kernels.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: `(candidates [B, L, d], behaviours [B, n, d], mask bool [B, n])`.

    Returns:
        `[B, L, d]`; zeros where no behaviour is known.

    Raises:
        ValueError: If there are no units, or candidates and behaviours differ in width.

    Example:
        >>> inputs = tf.ones([2, 5, 4]), tf.ones([2, 3, 4]), tf.ones([2, 3], tf.bool)
        >>> TargetAttention((8,))(inputs).shape
        TensorShape([2, 5, 4])

    Reference:
        Zhou et al., Deep Interest Network, KDD 2018, arXiv:1706.06978.
    """

    def __init__(
        self, units: Sequence[int], kernel_regularizer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(kernel_regularizer, **kwargs)
        if not units:
            raise ValueError(f"{self.name} needs at least one layer, got units=().")
        self.units = tuple(units)
        options = {"kernel_regularizer": kernel_regularizer}
        self.hidden = [
            tf.keras.layers.Dense(size, "relu", name=f"hidden_{index}", **options)
            for index, size in enumerate(self.units[1:], 1)
        ]
        self.relevance = tf.keras.layers.Dense(1, name="relevance", **options)

    def build(self, input_shape: Any) -> None:
        """Creates the first layer's kernel, for query, key and product."""
        check_widths(self.name, input_shape)
        width = int(input_shape[0][-1])
        self.kernel = self.add_weight(
            name="kernel",
            shape=(3 * width, self.units[0]),
            regularizer=self.kernel_regularizer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units[0],), initializer="zeros"
        )
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Sums the behaviours of each candidate."""
        candidates, behaviours, mask = inputs
        # W [q | k | q * k] split in three: candidates and behaviours are multiplied
        # once, only the product is per pair.
        query, key, product = tf.split(self.kernel, 3)
        # [B, L, n, d]
        both = candidates[:, :, tf.newaxis] * behaviours[:, tf.newaxis]
        hidden = tf.nn.relu(
            tf.tensordot(both, product, 1)
            + tf.tensordot(candidates, query, 1)[:, :, tf.newaxis]
            + (tf.tensordot(behaviours, key, 1) + self.bias)[:, tf.newaxis]
        )
        for layer in self.hidden:
            hidden = layer(hidden)
        # No softmax, as in the paper: the sum keeps how much of the history fits.
        weights = tf.squeeze(self.relevance(hidden), axis=-1)
        weights *= tf.cast(mask, weights.dtype)[:, tf.newaxis]
        return tf.matmul(weights, behaviours)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "units": self.units}


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class BehaviourTokens(tf.keras.layers.Layer):
    """Behaviours as the tokens of a transformer: positions added, a start before them.

    `t_0 = s`, `t_j = e_j + p_j`. The learned start s is always there, so attention
    over an empty history is attention to s, and never a mean over padding. Slot j is a
    rank by time where the history comes newest first.

    Call arguments:
        inputs: `(behaviours [B, n, d], mask bool [B, n])`.

    Returns:
        Tokens `[B, n + 1, d]` and their mask, bool `[B, n + 1]`.

    Example:
        >>> tokens, mask = BehaviourTokens()(
        ...     (tf.ones([1, 2, 4]), tf.constant([[True, False]]))
        ... )
        >>> tokens.shape, mask.numpy().tolist()
        (TensorShape([1, 3, 4]), [[True, True, False]])
    """

    def build(self, input_shape: Any) -> None:
        """Creates the start and the positions."""
        slots, width = (int(size) for size in input_shape[0][1:])
        self.start = self.add_weight(
            name="start", shape=(1, 1, width), initializer="uniform"
        )
        self.positions = self.add_weight(
            name="positions", shape=(slots, width), initializer="uniform"
        )
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Adds the positions and the start."""
        behaviours, mask = inputs
        start = tf.tile(self.start, [tf.shape(behaviours)[0], 1, 1])
        tokens = tf.concat([start, behaviours + self.positions], axis=1)
        # The start is always there, so no row of the mask is empty and no softmax is
        # NaN.
        return tokens, tf.pad(mask, [[0, 0], [1, 0]], constant_values=True)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class TransformerBlock(RegularizedLayer):
    """One block of a transformer, from queries to tokens that may be others.

    `x = norm(q + MHA(q, tokens))`, `y = norm(x + W_2 relu(W_1 x))`; W_1 widens four
    times. Queries don't see each other: call it with the tokens themselves for
    self-attention, and with candidates to let each of them attend to the tokens alone.

    Args:
        heads: Number of heads; it divides the width.
        dropout: Rate of the dropout before each sum.
        kernel_regularizer: Regulariser of the kernels.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: `(queries [B, T, d], tokens [B, n, d], mask bool [B, n])`; at least one
            token of each row must be valid.

    Returns:
        `[B, T, d]`.

    Raises:
        ValueError: If queries and tokens differ in width or the heads don't divide it.

    Example:
        >>> inputs = tf.ones([2, 5, 4]), tf.ones([2, 3, 4]), tf.ones([2, 3], tf.bool)
        >>> TransformerBlock(heads=2)(inputs).shape
        TensorShape([2, 5, 4])

    Reference:
        Vaswani et al., Attention Is All You Need, NeurIPS 2017, arXiv:1706.03762.
    """

    def __init__(
        self,
        heads: int,
        dropout: float = 0.0,
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(kernel_regularizer, **kwargs)
        self.heads = heads
        self.dropout = dropout
        self.drop = [SteppedDropout(dropout) for _ in range(2)] if dropout else None

    def build(self, input_shape: Any) -> None:
        """Creates attention, norms and the two dense layers."""
        check_widths(self.name, input_shape)
        width = int(input_shape[0][-1])
        if self.heads < 1 or width % self.heads:
            raise ValueError(
                f"{self.name}: heads={self.heads} must divide the width {width}; take "
                "another number of heads or another dim of the table."
            )
        options = {"kernel_regularizer": self.kernel_regularizer}
        self.attention = tf.keras.layers.MultiHeadAttention(
            self.heads, width // self.heads, name="attention", **options
        )
        self.norms = [
            tf.keras.layers.LayerNormalization(name=f"norm_{index}")
            for index in range(2)
        ]
        self.wide = tf.keras.layers.Dense(4 * width, "relu", name="wide", **options)
        self.narrow = tf.keras.layers.Dense(width, name="narrow", **options)
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Lets the queries attend to the valid tokens."""
        queries, tokens, mask = inputs
        found = self.attention(queries, tokens, attention_mask=mask[:, tf.newaxis])
        hidden = self.norms[0](queries + self._dropped(found, 0))
        wide = self.narrow(self.wide(hidden))
        return self.norms[1](hidden + self._dropped(wide, 1))

    def _dropped(self, values: tf.Tensor, index: int) -> tf.Tensor:
        return values if self.drop is None else self.drop[index](values)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "heads": self.heads,
            "dropout": self.dropout,
        }


def check_widths(name: str, shapes: Any) -> None:
    """Refuses candidates whose vectors are not in the space of the behaviours."""
    widths = [int(shape[-1]) for shape in shapes[:2]]
    if len(set(widths)) > 1:
        raise ValueError(
            f"{name}: candidates and behaviours must have one width, got {widths}; "
            "choose a candidate's feature that shares the table of the sequence."
        )
