"""Students taken out of the network that they were trained in."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfdistill import _keras
from tfdistill.layers.embeddings import FeatureEmbeddings
from tfdistill.names import feature_names

__all__ = ["above_embeddings", "restricted", "standalone"]


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
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
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
    names = {name for model in models for name in feature_names(model)}
    copies: dict[int, FeatureEmbeddings] = {}

    def replace(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        if not isinstance(layer, FeatureEmbeddings):
            return layer
        # One copy for all models that share a layer, or shared tables would go out
        # twice.
        if id(layer) not in copies:
            copies[id(layer)] = layer.restrict(names.intersection(layer.spec.names))
        return copies[id(layer)]

    clones = [_keras.clone_model(model, replace) for model in models]
    for layer in (layer for clone in clones for layer in _keras.layers_of(clone)):
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
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
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
    # `restricted` shares every layer but the tables; this clone has weights of its own.
    copy = _keras.clone_model(small)
    copy.set_weights(small.get_weights())
    return copy


def above_embeddings(
    model: tf.keras.Model,
) -> tuple[list[tuple[str, ...]], tf.keras.Model]:
    """Cuts a model at its embedded features, for vectors that come from elsewhere.

    Where features are only concatenated, the cut lies above the concatenation, so that
    a side of many features is one tensor.

    Args:
        model: A functional model over one `FeatureEmbeddings` of its own,
            such as `restricted` returns.

    Returns:
        The names of the features that each cut tensor has side by side, and the model
        of the list of those tensors.

    Raises:
        ValueError: If the model needs more than the vectors of its features.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
        >>> spec = FeatureSpec(
        ...     (Feature("a", "categorical", "user", table="a"),
        ...      Feature("b", "numeric", "user")),
        ...     (Table("a", dim=2, size=3),),
        ... )
        >>> inputs = spec.keras_inputs()
        >>> vectors = list(FeatureEmbeddings(spec)(inputs).values())
        >>> side = tf.keras.layers.Concatenate()(vectors)
        >>> model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(side))
        >>> groups, above = above_embeddings(model)
        >>> groups, above.input_shape
        ([('a', 'b')], (None, 3))
    """
    layers = [x for x in model.layers if isinstance(x, FeatureEmbeddings)]
    names = {
        id(tensor): name
        for layer in layers
        for outputs in _keras.calls_of(layer)
        for name, tensor in outputs.items()
    }
    cut: dict[int, tuple[tuple[str, ...], tf.Tensor]] = {}
    readings = [reading for layer in layers for reading in _keras.readers_of(layer)]
    for reader, read, output in readings:
        # Where all features are concatenated the cut is above, which saves a slice for
        # each.
        whole = isinstance(reader, tf.keras.layers.Concatenate)
        if whole and all(id(tensor) in names for tensor in read):
            groups = [(read, output)]
        else:
            groups = [([tensor], tensor) for tensor in read if id(tensor) in names]
        for parts, tensor in groups:
            cut[id(tensor)] = (tuple(names[id(part)] for part in parts), tensor)
    tensors = [tensor for _, tensor in cut.values()]
    try:
        above = tf.keras.Model(tensors, model.output)
    except ValueError as error:
        raise ValueError(
            f"Model {model.name!r} reads more than the pooled vectors of its features, "
            "such as a sequence or a raw input; it can't be cut above them."
        ) from error
    return [group for group, _ in cut.values()], above
