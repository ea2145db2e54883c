"""Signatures of plain dense tensors: raw features, or records that hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.export.example_lists import parse_lists
from tfdistill.layers.embeddings import width
from tfdistill.layers.packed import packed_order
from tfdistill.names import case_twins, safe_name
from tfdistill.spec import LISTED, Feature, FeatureSpec

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
        lists: Whether item and pair features are lists `[B, L, *shape]`, or else
            `[N, *shape]`.
        others: Further inputs, by the names that they have: none of a feature.

    Returns:
        A concrete function for any number of requests, candidates or items, of which
        all inputs must have as many. Its inputs have the features' safe names.
    """
    shapes = {f.name: f.batch_shape if lists else f.shape for f in spec.features}
    inputs = {
        f.name: tf.TensorSpec([None, *shapes[f.name]], f.dtype) for f in spec.features
    }
    inputs.update({other.name: other for other in others})
    axes = [[name for name, x in inputs.items() if x.shape.rank]]
    axes.append([f.name for f in spec.scope(*LISTED) if lists])
    twins = case_twins(inputs)
    inputs = {
        name: tf.TensorSpec(x.shape, x.dtype, name=safe_name(name, twins))
        for name, x in inputs.items()
    }
    return tf.function(_aligned(function, axes)).get_concrete_function(inputs)


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
        lists = [None] if features[0].scope in LISTED else []
        shape = [None, *lists, sum(width(feature) for feature in features)]
        inputs[name] = tf.TensorSpec(shape, features[0].dtype, name=name)
    axes = [[*inputs], [name for name, x in inputs.items() if x.shape[1] is None]]
    return tf.function(_aligned(function, axes)).get_concrete_function(inputs)


def from_examples(function: Function, spec: FeatureSpec) -> Any:
    """Traces a function of serialized tf.Examples, one per request.

    Args:
        function: What to serve.
        spec: Its features, laid out as `FeatureSpec.parsing_spec` says. A feature that
            a request lacks has its default value, for all candidates; any other has
            a value for each of them.

    Returns:
        A concrete function of `serialized [B]`.
    """
    items = spec.scope(*LISTED)
    parsing = _parsing(spec.scope("user"))
    for f in items:
        ragged = tf.io.RaggedFeature(tf.as_dtype(f.dtype), row_splits_dtype=tf.int32)
        parsing[f.name] = ragged

    def parsed(serialized: tf.Tensor) -> Mapping[str, tf.Tensor]:
        columns = tf.io.parse_example(_of_like_size(serialized), parsing)
        return function({**columns, **_lists(columns, items)})

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
        for feature in spec.scope(*LISTED):
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
        columns, sizes = parse_lists(
            _of_like_size(serialized),
            _parsing(spec.scope("user")),
            _parsing(spec.scope(*LISTED)),
        )
        return function({**columns, "mask": tf.sequence_mask(sizes)})

    serialized = tf.TensorSpec([None], tf.string, name="serialized")
    return tf.function(parsed).get_concrete_function(serialized)


def _aligned(function: Function, axes: Sequence[Sequence[str]]) -> Function:
    """The function, of inputs that have the same size in each axis; or an error."""

    def checked(inputs: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        shapes = tf.concat([tf.shape(x) for x in inputs.values()], 0)
        starts = np.cumsum([0, *(x.shape.rank for x in inputs.values())])
        places = dict(zip(inputs, starts.tolist()))
        checks = []
        for axis, names in enumerate(axes):
            if len(names) > 1:
                sizes = tf.gather(shapes, [places[name] + axis for name in names])
                text = f"These inputs must have the same size in axis {axis}:"
                same = tf.reduce_all(sizes == sizes[0])
                checks.append(_require(same, text, names, sizes))
        with tf.control_dependencies(checks):
            return function({name: tf.identity(x) for name, x in inputs.items()})

    return checked


def _of_like_size(records: tf.Tensor) -> tf.Tensor:
    """The records `[B]`, if padding each to the longest costs little or up to 16 times.

    A thousand empty lists and a long one would else take a thousand times its size.
    """
    sizes = tf.strings.length(records)
    longest = tf.reduce_max(tf.pad(sizes, [[0, 1]]))
    padded = tf.size(records, tf.int64) * tf.cast(longest, tf.int64)
    sent = tf.reduce_sum(tf.cast(sizes, tf.int64))
    text = "Lists are padded to the longest; send it alone. Records, longest in bytes:"
    fits = padded <= 16 * sent + 2**16
    with tf.control_dependencies([_require(fits, text, tf.size(records), longest)]):
        return tf.identity(records)


def _lists(
    columns: Mapping[str, tf.RaggedTensor], features: Sequence[Feature]
) -> dict[str, tf.Tensor]:
    """Dense features `[B, L, *shape]` of flat lists, empty ones as the default."""
    if not features:
        return {}
    names, widths = [f.name for f in features], [width(f) for f in features]
    splits = tf.stack([columns[name].row_splits for name in names], axis=1)
    sizes = splits[1:] - splits[:-1]  # [B, F]
    longest = tf.reduce_max(sizes // widths, axis=1)  # [B]
    wrong = (sizes > 0) & (sizes != longest[:, tf.newaxis] * widths)
    found = tf.boolean_mask(sizes, tf.reduce_any(wrong, axis=1))[:1]
    text = "A request needs values of each item feature for all candidates, or none:"
    check = _require(~tf.reduce_any(wrong), text, names, found)
    with tf.control_dependencies([check]):
        length = tf.reduce_max(tf.pad(longest, [[0, 1]]))
    dense = {}
    for f, size in zip(features, widths):
        flat = tf.raw_ops.RaggedTensorToTensor(  # `to_tensor` takes no size of a tensor
            shape=tf.stack([-1, size * length]),
            values=columns[f.name].values,
            default_value=tf.constant(f.default, f.dtype),
            row_partition_tensors=[columns[f.name].row_splits],
            row_partition_types=["ROW_SPLITS"],
        )
        dense[f.name] = flat
        if f.shape:
            count = tf.shape(sizes)[0]
            dense[f.name] = tf.reshape(flat, [count, length, *f.shape])
    return dense


def _require(condition: tf.Tensor, text: str, *values: Any) -> tf.Operation:
    """Raises an INVALID_ARGUMENT with all the values, wherever the graph runs."""
    return tf.debugging.Assert(condition, [text, *values], summarize=1000)


def _parsing(features: Sequence[Feature]) -> dict[str, tf.io.FixedLenFeature]:
    """How one example with these features is parsed; each has a default."""
    return {
        f.name: tf.io.FixedLenFeature(f.shape, f.dtype, [f.default] * width(f))
        for f in features
    }
