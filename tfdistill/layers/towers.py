"""Dense layers over a request: user side once, item side per candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfdistill.layers.dropout import SteppedDropout
from tfdistill.layers.kernels import RegularizedLayer

__all__ = [
    "ConcatUserItem",
    "FoldedDense",
    "SharedDot",
    "SqueezeLast",
    "folded_mlp",
    "mlp",
]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class FoldedDense(RegularizedLayer):
    """A dense layer over `[user | item]` that multiplies the user side only once.

    `y = f(I W_i + (U W_u + b))`, equal to `f([U | I] W + b)` with `W = [W_u; W_i]` and
    the user tiled over the candidates, at 1/L of the user side's cost. The two kernels
    are initialised with the fan-in of the concatenation: two plain kernels would start
    with the sum of two full variances.

    Args:
        units: Width of the output.
        activation: Activation f.
        kernel_initializer: Initialiser of the concatenated kernel.
        kernel_regularizer: Regulariser of both kernels.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: `(user [B, d_u], item [B, L, d_i])`.

    Returns:
        `[B, L, units]`.

    Raises:
        ValueError: If there are no units, or the inputs are not one user per list.

    Example:
        >>> FoldedDense(8)((tf.ones([2, 3]), tf.ones([2, 5, 4]))).shape
        TensorShape([2, 5, 8])
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(kernel_regularizer, **kwargs)
        if units < 1:
            raise ValueError(f"FoldedDense: units must be at least 1, got {units}.")
        self.units = units
        self.activation = tf.keras.activations.get(activation)
        self.kernel_initializer = tf.keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        """Creates the two kernels and the bias."""
        _check_sides(self.name, input_shape)
        user, item = int(input_shape[0][-1]), int(input_shape[1][-1])

        def kernel(name: str, start: int, size: int) -> Any:
            # One draw for the whole kernel, of which each side takes its rows: two
            # draws would have two smaller fan-ins, and 1.8 times the variance.
            def initialise(shape: Any, dtype: Any = None, **_: Any) -> tf.Tensor:
                kind = type(self.kernel_initializer)
                fresh = kind.from_config(self.kernel_initializer.get_config())
                return fresh([user + item, self.units], dtype)[start : start + size]

            return self.add_weight(
                name=name,
                shape=(size, self.units),
                initializer=initialise,
                regularizer=self.kernel_regularizer,
            )

        # oneDNN aborts the process on a product of no width: no kernel for it.
        self.user_kernel = kernel("user_kernel", 0, user) if user else None
        self.item_kernel = kernel("item_kernel", user, item)
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros"
        )
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Computes the layer; the user side once per request."""
        user, item = inputs
        of_items = tf.tensordot(item, self.item_kernel, 1)
        if not user.shape[-1]:
            return self.activation(of_items + self.bias)
        folded = tf.matmul(user, self.user_kernel) + self.bias
        return self.activation(of_items + folded[:, tf.newaxis, :])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": tf.keras.activations.serialize(self.activation),
            "kernel_initializer": tf.keras.initializers.serialize(
                self.kernel_initializer
            ),
        }


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class ConcatUserItem(tf.keras.layers.Layer):
    """Tiles the user side over the candidates: `[B, d_u], [B, L, d_i] -> [B, L, d]`.

    For layers that need the whole input of each candidate, such as a cross network.
    Where a dense layer comes first, `FoldedDense` does the same for less.

    Call arguments:
        inputs: `(user [B, d_u], item [B, L, d_i])`.

    Returns:
        `[B, L, d_u + d_i]`.

    Raises:
        ValueError: If the inputs are not one user per list.

    Example:
        >>> ConcatUserItem()((tf.ones([2, 3]), tf.ones([2, 5, 4]))).shape
        TensorShape([2, 5, 7])
    """

    def build(self, input_shape: Any) -> None:
        """Checks the two sides."""
        _check_sides(self.name, input_shape)
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Tiles and concatenates."""
        user, item = inputs
        shape = [tf.shape(item)[0], tf.shape(item)[1], user.shape[-1]]
        tiled = tf.broadcast_to(user[:, tf.newaxis, :], shape)
        return tf.concat([tiled, item], axis=-1)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class NoUser(tf.keras.layers.Layer):
    """The user side of a net that reads no user feature: `[B, L, d_i] -> [B, 0]`.

    Call arguments:
        inputs: Any item side `[B, L, d_i]`, for B.

    Returns:
        `[B, 0]`.

    Example:
        >>> NoUser()(tf.ones([2, 5, 4])).shape
        TensorShape([2, 0])
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Makes a side of no width."""
        return tf.zeros([tf.shape(inputs)[0], 0], inputs.dtype)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class SqueezeLast(tf.keras.layers.Layer):
    """Drops the last axis of size 1: `[B, L, 1] -> [B, L]`.

    Call arguments:
        inputs: `[..., 1]`.

    Returns:
        `[...]`.

    Example:
        >>> SqueezeLast()(tf.ones([2, 5, 1])).shape
        TensorShape([2, 5])
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Drops the axis."""
        return tf.squeeze(inputs, axis=-1)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class SharedDot(tf.keras.layers.Layer):
    """Products of each user with its own candidates and with those that all share.

    `[q_b . v_bl, l < L - n | q_b . v_ck, all users c and k >= L - n]`: the last n
    candidates of each list are negatives for the whole batch. With R = B * n of them a
    step costs `B R d` multiplications in one matrix product, and R gathered rows
    instead of B R.

    Args:
        shared: n; 0 gives the plain product `[B, L]`.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: `(query [B, d], candidates [B, L, d])`.

    Returns:
        `[B, L - n + B * n]`.

    Raises:
        ValueError: If `shared` is below 0.

    Example:
        >>> SharedDot(1)((tf.ones([4, 3]), tf.ones([4, 6, 3]))).shape
        TensorShape([4, 9])
    """

    def __init__(self, shared: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if shared < 0:
            raise ValueError(f"SharedDot: shared must be at least 0, got {shared}.")
        self.shared = shared

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Computes the products."""
        query, candidates = inputs
        if not self.shared:
            return tf.linalg.matvec(candidates, query)
        sizes = [tf.shape(candidates)[1] - self.shared, self.shared]
        own, shared = tf.split(candidates, sizes, axis=1)  # a slice's gradient is slow
        scores = tf.linalg.matvec(own, query)
        shared = tf.reshape(shared, [-1, candidates.shape[-1]])  # [B * n, d]
        return tf.concat([scores, tf.matmul(query, shared, transpose_b=True)], axis=1)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "shared": self.shared}


def mlp(
    inputs: tf.Tensor,
    units: Sequence[int],
    *,
    name: str,
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
) -> list[tf.Tensor]:
    """Stacks dense ReLU layers, each followed by dropout.

    Args:
        inputs: `[..., d]`.
        units: Width of each layer.
        name: Prefix of the layers' names.
        dropout: Rate of the dropout after each layer.
        kernel_regularizer: Regulariser of each kernel.

    Returns:
        The inputs and the output of each layer; the last is what the stack gives.

    Example:
        >>> layers = mlp(tf.keras.Input([4]), (16, 8), name="tower")
        >>> [layer.shape[-1] for layer in layers]
        [4, 16, 8]
    """
    layers = [inputs]
    for index, size in enumerate(units):
        hidden = tf.keras.layers.Dense(
            size, "relu", kernel_regularizer=kernel_regularizer, name=f"{name}_{index}"
        )(layers[-1])
        layers.append(dropped(hidden, dropout, f"{name}_{index}"))
    return layers


def folded_mlp(
    user: tf.Tensor,
    item: tf.Tensor,
    units: Sequence[int],
    *,
    name: str,
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    input_dropout: float = 0.0,
    input_normalization: Any = None,
) -> list[tf.Tensor]:
    """Stacks dense ReLU layers over `[user | item]`, the first one folded.

    Args:
        user: `[B, d_u]`.
        item: `[B, L, d_i]`.
        units: Width of each layer, at least one.
        name: Prefix of the layers' names.
        dropout: Rate of the dropout after each layer.
        kernel_regularizer: Regulariser of each kernel.
        input_dropout: Must stay 0; see Raises.
        input_normalization: Must stay None; see Raises.

    Returns:
        The output of each layer, `[B, L, units[i]]`; the last is what the stack gives.

    Raises:
        ValueError: If there are no units, or if normalisation or dropout over the
            concatenation is given: both act on each candidate's whole input, so the
            user side could no longer be computed once.

    Example:
        >>> user, item = tf.keras.Input([4]), tf.keras.Input([None, 6])
        >>> tuple(folded_mlp(user, item, (16, 8), name="fine")[-1].shape)
        (None, None, 8)
    """
    if input_dropout or input_normalization is not None:
        raise ValueError(
            "folded_mlp computes the user side once per request, so it can't take "
            f"input_dropout={input_dropout} or input_normalization="
            f"{input_normalization!r} over the concatenation. Apply them to the user "
            "and the item tensor apart, or use `ConcatUserItem` and `mlp`."
        )
    if not units:
        raise ValueError("folded_mlp needs at least one layer, got units=().")
    hidden = FoldedDense(
        units[0], "relu", kernel_regularizer=kernel_regularizer, name=f"{name}_folded"
    )((user, item))
    return mlp(
        dropped(hidden, dropout, f"{name}_folded"),
        units[1:],
        name=name,
        dropout=dropout,
        kernel_regularizer=kernel_regularizer,
    )


def _check_sides(name: str, shapes: Any) -> None:
    """Refuses pairs `[B, d]` for lists: they would broadcast to every user and item."""
    if [len(shape) for shape in shapes] != [2, 3]:
        raise ValueError(
            f"{name} takes a user [B, d_u] and items [B, L, d_i], got the shapes "
            f"{[tuple(shape) for shape in shapes]}. Give pairs as lists of one item."
        )


def dropped(hidden: tf.Tensor, rate: float, name: str) -> tf.Tensor:
    """Applies dropout that a resumed run repeats, or nothing at rate 0."""
    if not rate:
        return hidden
    return SteppedDropout(rate, name=f"{name}_dropout")(hidden)
