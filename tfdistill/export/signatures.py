"""Signatures of plain dense tensors: columnar, or one tf.Example per request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfdistill.data.spec import FeatureSpec
from tfdistill.layers.embeddings import width
from tfdistill.layers.packed import packed_order

__all__ = ["columnar", "from_examples", "of_packed"]

Function = Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]
"""From raw features by name to named outputs."""


def columnar(function: Function, spec: FeatureSpec, *, lists: bool = True) -> Any:
    """Traces a function of one dense tensor per feature.

    Args:
        function: What to serve.
        spec: Its features; each input is named as its feature.
        lists: Whether item features are lists `[B, L, *shape]`, or else `[N, *shape]`.

    Returns:
        A concrete function for any number of requests, candidates or items.
    """
    shapes = {f.name: f.batch_shape if lists else f.shape for f in spec.features}
    inputs = {
        f.name: tf.TensorSpec([None, *shapes[f.name]], f.dtype, name=f.name)
        for f in spec.features
    }
    return tf.function(function).get_concrete_function(inputs)


def of_packed(function: Function, spec: FeatureSpec) -> Any:
    """Traces a function of a few tensors with the features side by side.

    Args:
        function: What to serve.
        spec: Its features, in the tensors and the order of `packed_order`.

    Returns:
        A concrete function of those tensors and of `mask [B, L]`.
    """
    inputs = {"mask": tf.TensorSpec([None, None], tf.bool, name="mask")}
    for name, features in packed_order(spec).items():
        lists = [None] if features[0].scope == "item" else []
        shape = [None, *lists, sum(width(feature) for feature in features)]
        inputs[name] = tf.TensorSpec(shape, features[0].dtype, name=name)
    return tf.function(function).get_concrete_function(inputs)


def from_examples(function: Function, spec: FeatureSpec) -> Any:
    """Traces a function of serialized tf.Examples, one per request.

    Args:
        function: What to serve.
        spec: Its features, parsed by `FeatureSpec.parsing_spec`. A feature that a
            request lacks has its default value, for all candidates.

    Returns:
        A concrete function of `serialized [B]`.
    """

    def parsed(serialized: tf.Tensor) -> Mapping[str, tf.Tensor]:
        columns = tf.io.parse_example(serialized, spec.parsing_spec())
        items = spec.scope("item")
        sizes = [tf.shape(columns[feature.name])[1] for feature in items]
        for feature, size in zip(items, sizes):
            column = columns[feature.name]
            missing = tf.reduce_max(tf.stack(sizes)) - size
            padding = [[0, 0], [0, missing], *([[0, 0]] * len(feature.shape))]
            default = tf.constant(feature.default, column.dtype)
            columns[feature.name] = tf.pad(column, padding, constant_values=default)
        return function(columns)

    serialized = tf.TensorSpec([None], tf.string, name="serialized")
    return tf.function(parsed).get_concrete_function(serialized)
