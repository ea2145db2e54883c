"""Features as fields of one width: what factorisation and attention work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfdistill.names import safe_name

__all__ = ["FieldProjection", "StackFields"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class FieldProjection(tf.keras.layers.Layer):
    """Projects every feature with a kernel of its own: `r_f = act(x_f W_f + b_f)`.

    The input representation layer of a dual-DNN ranker: teacher and student share it,
    and afterwards all features, numeric ones too, have one width. Features of one input
    width are projected by one batched product.

    Args:
        units: Width r of every field.
        activation: Activation act.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: Vectors of one side by feature name, `[..., d_f]`.

    Returns:
        By feature name, `[..., units]`.

    Raises:
        ValueError: If there are no units.

    Example:
        >>> fields = {"age": tf.ones([2, 1]), "user_id": tf.ones([2, 8])}
        >>> {k: tuple(v.shape) for k, v in FieldProjection(4)(fields).items()}
        {'age': (2, 4), 'user_id': (2, 4)}
    """

    def __init__(self, units: int, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"FieldProjection: units must be at least 1, got {units}.")
        self.units = units
        self.activation = tf.keras.activations.get(activation)

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Creates a kernel and a bias for each feature."""
        self.kernels, self.biases = {}, {}
        for name, shape in sorted(input_shape.items()):
            self.kernels[name] = self.add_weight(
                name=f"{safe_name(name)}_kernel", shape=(int(shape[-1]), self.units)
            )
            self.biases[name] = self.add_weight(
                name=f"{safe_name(name)}_bias", shape=(self.units,), initializer="zeros"
            )
        super().build(input_shape)

    def call(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Projects the features, those of one width together."""
        # Features of one width as one product: F small products cost F starts of a
        # kernel.
        by_width: dict[int, list[str]] = {}
        for name, vectors in inputs.items():
            by_width.setdefault(int(vectors.shape[-1]), []).append(name)
        projected: dict[str, tf.Tensor] = {}
        for names in by_width.values():
            kernels, biases = (
                tf.stack([tf.convert_to_tensor(weights[name]) for name in names])
                for weights in (self.kernels, self.biases)
            )
            stacked = tf.stack([inputs[name] for name in names], axis=-2)
            out = tf.einsum("...fd,fdr->...fr", stacked, kernels) + biases
            parts = tf.unstack(self.activation(out), axis=-2, num=len(names))
            projected.update(zip(names, parts))
        return {name: projected[name] for name in inputs}

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        activation = tf.keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": self.units, "activation": activation}


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class StackFields(tf.keras.layers.Layer):
    """Stacks the features of both sides as fields, the user's tiled: `[B, L, F, d]`.

    Call arguments:
        inputs: `(users, items)`: lists of `[B, d]` and of `[B, L, d]`.

    Returns:
        `[B, L, F, d]`, first the user's fields, then the item's.

    Raises:
        ValueError: If there is no item field or the widths differ.

    Example:
        >>> users, items = [tf.ones([2, 4])], [tf.ones([2, 5, 4]), tf.ones([2, 5, 4])]
        >>> StackFields()((users, items)).shape
        TensorShape([2, 5, 3, 4])
    """

    def build(self, input_shape: Any) -> None:
        """Checks the widths."""
        users, items = input_shape
        widths = {int(shape[-1]) for shape in (*users, *items)}
        if not items or len(widths) != 1:
            raise ValueError(
                f"{self.name} takes fields of one width, some of them items', got "
                f"{len(users)} of users and {len(items)} of items with the widths "
                f"{sorted(widths)}. Give all tables one dim, or project the features: "
                "joint_network(representation=Representation(dim))."
            )
        super().build(input_shape)

    def call(self, inputs: tuple[Sequence[tf.Tensor], Sequence[tf.Tensor]]) -> Any:
        """Stacks and tiles."""
        item = tf.stack(inputs[1], axis=-2)
        if not inputs[0]:
            return item
        user = tf.stack(inputs[0], axis=-2)
        shape = tf.concat([tf.shape(item)[:2], user.shape[1:]], axis=0)
        tiled = tf.broadcast_to(user[:, tf.newaxis], shape)
        return tf.concat([tiled, item], axis=-2)
