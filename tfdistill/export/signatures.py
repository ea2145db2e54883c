"""Signatures of plain dense tensors: raw features, or records that hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_ranking as tfr

from tfdistill.data.spec import Feature, FeatureSpec
from tfdistill.layers.embeddings import width
from tfdistill.layers.packed import packed_order
from tfdistill.names import case_twins, safe_name

__all__ = ["columnar", "from_candidates", "from_elwc", "from_examples", "of_packed"]

Function = Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]
"""From raw features by name to named outputs."""


def columnar(
    function: Function,
    spec: FeatureSpec,
    *,
    lists: bool = True,
    others: Sequence[tf.TensorSpec] = (),
) -> Any:
    """Traces a function of one dense tensor per feature.

    Args:
        function: What to serve.
        spec: Its features; each input is named as its feature, once it is saved.
        lists: Whether item features are lists `[B, L, *shape]`, or else `[N, *shape]`.
        others: Further inputs, by the names that they have: none of a feature.

    Returns:
        A concrete function for any number of requests, candidates or items. Its inputs
        have the features' safe names.
    """
    shapes = {f.name: f.batch_shape if lists else f.shape for f in spec.features}
    inputs = {
        f.name: tf.TensorSpec([None, *shapes[f.name]], f.dtype) for f in spec.features
    }
    inputs.update({other.name: other for other in others})
    twins = case_twins(inputs)
    inputs = {
        name: tf.TensorSpec(x.shape, x.dtype, name=safe_name(name, twins))
        for name, x in inputs.items()
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


def from_candidates(function: Function, spec: FeatureSpec) -> Any:
    """Traces a function of serialized tf.Examples, one per candidate.

    This is what a server makes of a Classify or a Regress request. Every candidate is a
    list of its own, `[n, 1]`.

    Args:
        function: What to serve.
        spec: Its features.

    Returns:
        A concrete function of `inputs [n]`.
    """

    def parsed(inputs: tf.Tensor) -> Mapping[str, tf.Tensor]:
        columns = tf.io.parse_example(inputs, _parsing(spec.features))
        for feature in spec.scope("item"):
            columns[feature.name] = columns[feature.name][:, tf.newaxis]
        return function(columns)

    inputs = tf.TensorSpec([None], tf.string, name="inputs")
    return tf.function(parsed).get_concrete_function(inputs)


def from_elwc(function: Function, spec: FeatureSpec) -> Any:
    """Traces a function of serialized ExampleListWithContext, one per request.

    Args:
        function: What to serve; it takes `mask [B, L]` too.
        spec: Its features; lists are padded to the longest of the batch.

    Returns:
        A concrete function of `serialized [B]`.
    """

    def parsed(serialized: tf.Tensor) -> Mapping[str, tf.Tensor]:
        columns = tfr.data.parse_from_example_list(
            serialized,
            context_feature_spec=_parsing(spec.scope("user")),
            example_feature_spec=_parsing(spec.scope("item")),
            size_feature_name="mask",  # of no feature: it is reserved
        )
        sizes = columns.pop("mask")
        longest = tf.reduce_max(sizes)  # lists are parsed to one candidate at least
        for feature in spec.scope("item"):
            columns[feature.name] = columns[feature.name][:, :longest]
        return function({**columns, "mask": tf.sequence_mask(sizes, longest)})

    serialized = tf.TensorSpec([None], tf.string, name="serialized")
    return tf.function(parsed).get_concrete_function(serialized)


def _parsing(features: Sequence[Feature]) -> dict[str, tf.io.FixedLenFeature]:
    """How one example with these features is parsed; each has a default."""
    return {
        f.name: tf.io.FixedLenFeature(f.shape, f.dtype, [f.default] * width(f))
        for f in features
    }
