"""A student taken out of the network that it was trained in."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tfdistill.layers.embeddings import FeatureEmbeddings

__all__ = ["standalone"]


def standalone(model: tf.keras.Model) -> tf.keras.Model:
    """Copies a functional model so that it shares nothing with any other.

    The copy has variables of its own with the present values, and of each
    `FeatureEmbeddings` only the rows that its inputs can reach, so neither a teacher's
    tables nor later training can touch it. Its outputs are equal to the bit.

    Args:
        model: A functional model with inputs by feature name, such as
            `JointNetwork.part("fine")`.

    Returns:
        The copy.

    Raises:
        ValueError: If the model's inputs are not a dict by feature name.

    Example:
        >>> from tfdistill.data.spec import Feature, FeatureSpec, Table
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("a", "categorical", "user", table="a"),
        ...         Feature("b", "categorical", "user", table="b"),
        ...     ),
        ...     tables=(Table("a", dim=2, size=3), Table("b", dim=2, size=500)),
        ... )
        >>> inputs = {"a": spec.keras_inputs()["a"]}
        >>> model = tf.keras.Model(inputs, FeatureEmbeddings(spec)(inputs))
        >>> model.count_params(), standalone(model).count_params()
        (1010, 8)
    """
    if not isinstance(model.input, Mapping):
        raise ValueError(
            "standalone needs a functional model whose inputs are a dict by feature "
            f"name, got {model.input!r}."
        )
    names = list(model.input)

    def copy(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        if isinstance(layer, FeatureEmbeddings):
            return layer.restrict(set(names) & set(layer.spec.names))
        return type(layer).from_config(layer.get_config())

    clone = tf.keras.models.clone_model(model, clone_function=copy)
    for layer in model.layers:
        if layer.weights and not isinstance(layer, FeatureEmbeddings):
            clone.get_layer(layer.name).set_weights(layer.get_weights())
    return clone
