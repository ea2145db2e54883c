"""Students taken out of the network that they were trained in."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfdistill.layers.embeddings import FeatureEmbeddings

__all__ = ["restricted", "standalone"]


def restricted(models: Sequence[tf.keras.Model]) -> list[tf.keras.Model]:
    """Copies models onto tables with only the rows that their features can reach.

    Args:
        models: Functional models that are served together.

    Returns:
        Models with the same scores to the bit: the tables are cut, and shared if they
        were; all other layers are the same objects. Such a layer now belongs to two
        models, so `layer.output` is ambiguous; `layer.get_output_at(0)` is the old one.

    Raises:
        ValueError: If tables lie inside a nested model, where they can't be replaced.

    Example:
        >>> from tfdistill.data.spec import Feature, FeatureSpec, Table
        >>> spec = FeatureSpec(
        ...     (
        ...         Feature("a", "categorical", "user", table="a"),
        ...         Feature("b", "categorical", "user", table="b"),
        ...     ),
        ...     (Table("a", dim=2, size=3), Table("b", dim=2, size=500)),
        ... )
        >>> inputs = {"a": spec.keras_inputs()["a"]}
        >>> model = tf.keras.Model(inputs, FeatureEmbeddings(spec)(inputs))
        >>> [copy.count_params() for copy in restricted([model])]
        [8]
    """
    names = {name for model in models for name in model.input_names}
    copies: dict[int, FeatureEmbeddings] = {}

    def replace(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        if not isinstance(layer, FeatureEmbeddings):
            return layer
        if id(layer) not in copies:
            copies[id(layer)] = layer.restrict(names.intersection(layer.spec.names))
        return copies[id(layer)]

    clones = [tf.keras.models.clone_model(m, clone_function=replace) for m in models]
    for layer in (layer for clone in clones for layer in clone.submodules):
        if isinstance(layer, FeatureEmbeddings) and layer not in copies.values():
            raise ValueError(
                f"The tables {layer.name!r} lie inside a nested model, where the rows "
                "of other features can't be cut off. Build the exported model from the "
                "nested model's tensors, not by calling it as a layer."
            )
    return clones


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
        ValueError: As `restricted`.

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
    small = restricted([model])[0]
    copy = tf.keras.models.clone_model(small)
    copy.set_weights(small.get_weights())
    return copy
