"""Interactions between fields: pairs, compressed and bilinear products, excitation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfdistill.layers.fields import StackFields
from tfdistill.layers.kernels import RegularizedLayer, stacked_glorot

__all__ = [
    "BilinearInteraction",
    "CompressedInteraction",
    "FieldPairs",
    "FlattenFields",
    "SqueezeExcitation",
]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class FieldPairs(StackFields):
    """The sum of the inner products of all pairs of fields: the second order of an FM.

    `p = sum_{i<j} <v_i, v_j> = (|sum_i v_i|^2 - sum_i |v_i|^2) / 2`

    The user's sums are computed once and nothing is tiled: a candidate costs its own
    fields only. Sums and squares are float32, because their difference cancels.

    Call arguments:
        inputs: `(users, items)`: lists of `[B, d]` and of `[B, L, d]`.

    Returns:
        `[B, L, 1]`.

    Raises:
        ValueError: If there is no item field or the widths differ.

    Example:
        >>> users, items = [tf.ones([2, 4])], [tf.ones([2, 5, 4]), tf.ones([2, 5, 4])]
        >>> FieldPairs()((users, items))[0, 0].numpy()
        array([12.], dtype=float32)

    Reference:
        Rendle, Factorization Machines, ICDM 2010, doi:10.1109/ICDM.2010.127.
    """

    def call(self, inputs: tuple[Sequence[tf.Tensor], Sequence[tf.Tensor]]) -> Any:
        """Sums over the pairs."""
        # sum_{f<g} <v_f, v_g> = (|sum v|^2 - sum |v|^2) / 2: O(F d), and the user's
        # sums once. In float32, as the difference cancels in float16.
        users, items = ([tf.cast(x, tf.float32) for x in side] for side in inputs)
        total = tf.add_n(items)
        squares = tf.add_n([tf.reduce_sum(x**2, axis=-1) for x in items])
        if users:
            of_user = tf.add_n([tf.reduce_sum(x**2, axis=-1) for x in users])
            total += tf.add_n(users)[:, tf.newaxis]
            squares += of_user[:, tf.newaxis]
        pairs = 0.5 * (tf.reduce_sum(total**2, axis=-1) - squares)
        return tf.cast(pairs[..., tf.newaxis], self.compute_dtype)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class CompressedInteraction(RegularizedLayer):
    """The compressed interaction network (CIN) of xDeepFM, pooled over the width.

    `X^k_h = sum_{i,j} W^k_{hij} (X^{k-1}_i * X^0_j)`, and for each map `sum_d X^k_hd`;
    X^0 are the fields. Layer k has the interactions of order k + 1. It is linear: the
    paper finds no activation to be best.

    A candidate costs `F H_{k-1} d (1 + 2 H_k)` FLOPs in layer k and as many as
    `F H_{k-1} d` numbers in memory: the dearest of the interactions here.

    Args:
        maps: Number of maps H_k of each layer.
        kernel_regularizer: Regulariser of the kernels.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: Fields `[B, L, F, d]`.

    Returns:
        `[B, L, sum(maps)]`.

    Raises:
        ValueError: If there are no maps.

    Example:
        >>> CompressedInteraction((8, 4))(tf.ones([2, 5, 3, 6])).shape
        TensorShape([2, 5, 12])

    Reference:
        Lian et al., xDeepFM, KDD 2018, arXiv:1803.05170.
    """

    def __init__(
        self, maps: Sequence[int], kernel_regularizer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(kernel_regularizer, **kwargs)
        if not maps or min(maps) < 1:
            raise ValueError(
                f"{self.name} needs at least one layer of at least one map, got "
                f"maps={tuple(maps)}."
            )
        self.maps = tuple(maps)

    def build(self, input_shape: Any) -> None:
        """Creates a kernel for each layer."""
        fields = int(input_shape[-2])
        self.kernels = [
            self.add_weight(
                name=f"kernel_{index}",
                shape=(below * fields, size),
                regularizer=self.kernel_regularizer,
            )
            for index, (below, size) in enumerate(
                zip((fields, *self.maps[:-1]), self.maps)
            )
        ]
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Stacks the layers and sums each map over the width."""
        maps, pooled = inputs, []
        for kernel, size in zip(self.kernels, self.maps):
            kernel = tf.reshape(kernel, [-1, inputs.shape[-2], size])
            pairs = tf.einsum("blid,bljd->bldij", maps, inputs)
            maps = tf.einsum("bldij,ijh->blhd", pairs, kernel)
            pooled.append(tf.reduce_sum(maps, axis=-1))
        return tf.concat(pooled, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "maps": self.maps}


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class SqueezeExcitation(RegularizedLayer):
    """Scales every field by a weight that depends on all: the SENET of FiBiNET.

    `z_i = mean_d v_id`, `a = sigmoid(relu(z W_1) W_2)`, `v_i -> a_i v_i` with W_1 of
    `F x max(1, F // ratio)`. The sigmoid is that of the first SENet; common versions of
    FiBiNET have a second ReLU, which loses a field for good once its weight is 0.

    Args:
        ratio: Reduction of the middle layer.
        kernel_regularizer: Regulariser of both kernels.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: Fields `[B, L, F, d]`.

    Returns:
        Fields `[B, L, F, d]`.

    Raises:
        ValueError: If the ratio is below 1.

    Example:
        >>> SqueezeExcitation(ratio=2)(tf.ones([2, 5, 4, 6])).shape
        TensorShape([2, 5, 4, 6])

    Reference:
        Huang et al., FiBiNET, RecSys 2019, arXiv:1905.09433.
    """

    def __init__(
        self, ratio: int = 3, kernel_regularizer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(kernel_regularizer, **kwargs)
        if ratio < 1:
            raise ValueError(f"{self.name}: ratio must be at least 1, got {ratio}.")
        self.ratio = ratio

    def build(self, input_shape: Any) -> None:
        """Creates the two kernels."""
        fields = int(input_shape[-2])
        middle = max(1, fields // self.ratio)
        self.squeeze, self.excite = (
            self.add_weight(
                name=f"{name}_kernel", shape=shape, regularizer=self.kernel_regularizer
            )
            for name, shape in (
                ("squeeze", (fields, middle)),
                ("excite", (middle, fields)),
            )
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Weighs the fields."""
        means = tf.reduce_mean(inputs, axis=-1)
        middle = tf.nn.relu(tf.tensordot(means, self.squeeze, 1))
        weights = tf.sigmoid(tf.tensordot(middle, self.excite, 1))
        return inputs * weights[..., tf.newaxis]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "ratio": self.ratio}


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class BilinearInteraction(RegularizedLayer):
    """The bilinear product of every pair of fields: `p_ij = (v_i W_i) * v_j`, i < j.

    This is the paper's Field-Each type: a kernel for each field but the last.

    Args:
        kernel_regularizer: Regulariser of the kernels.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: Fields `[B, L, F, d]`.

    Returns:
        The pairs `[B, L, F (F - 1) / 2, d]`, ordered by i, then by j.

    Raises:
        ValueError: If there is one field only.

    Example:
        >>> BilinearInteraction()(tf.ones([2, 5, 4, 6])).shape
        TensorShape([2, 5, 6, 6])

    Reference:
        Huang et al., FiBiNET, RecSys 2019, arXiv:1905.09433.
    """

    def build(self, input_shape: Any) -> None:
        """Creates one kernel `[d, d]` for each field on the left of a pair."""
        left, width = int(input_shape[-2]) - 1, int(input_shape[-1])
        if left < 1:
            raise ValueError(f"{self.name} needs at least two fields, got one.")
        self.kernels = self.add_weight(
            name="kernels",
            shape=(left, width, width),
            initializer=stacked_glorot(left),
            regularizer=self.kernel_regularizer,
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Projects the left fields once each and multiplies the pairs."""
        fields = inputs.shape[-2]
        left, right = zip(
            *((i, j) for i in range(fields) for j in range(i + 1, fields))
        )
        # The last field is the left of no pair.
        projected = tf.einsum("blid,ide->blie", inputs[:, :, :-1], self.kernels)
        return tf.gather(projected, left, axis=2) * tf.gather(inputs, right, axis=2)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class FlattenFields(tf.keras.layers.Layer):
    """Puts fields side by side: `[B, L, F, d] -> [B, L, F d]`, for any B and L.

    Call arguments:
        inputs: `[B, L, F, d]`.

    Returns:
        `[B, L, F d]`.

    Example:
        >>> FlattenFields()(tf.ones([2, 0, 4, 6])).shape
        TensorShape([2, 0, 24])
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Drops the last axis but one."""
        size = inputs.shape[-2] * inputs.shape[-1]
        return tf.reshape(inputs, tf.concat([tf.shape(inputs)[:-2], [size]], axis=0))
