"""Requests made from a FeatureSpec: a drawn batch, and records for a client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.input_pb2 import (  # type: ignore[import-untyped]
    ExampleListWithContext,
)

from tfdistill.spec import LISTED, Feature, FeatureSpec

__all__ = ["candidate_examples", "drawn_like", "elwc", "example_batch", "tf_examples"]


def example_batch(
    spec: FeatureSpec, *, batch_size: int = 2, list_size: int = 5, seed: int = 0
) -> dict[str, np.ndarray]:
    """Draws raw features: known values, unknown ones and padding.

    Args:
        spec: The features.
        batch_size: Number of requests B.
        list_size: Number of candidates L of each request.
        seed: Seed of the draws.

    Returns:
        By name: user features `[B, *shape]`, item and pair features
            `[B, L, *shape]`.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> spec = FeatureSpec((Feature("age", "numeric", "user"),
        ...                     Feature("price", "numeric", "item")))
        >>> {name: x.shape for name, x in example_batch(spec).items()}
        {'age': (2,), 'price': (2, 5)}
    """
    rng = np.random.default_rng(seed)
    sizes = {"user": (batch_size,), **dict.fromkeys(LISTED, (batch_size, list_size))}
    return {
        f.name: _drawn(f, spec, (*sizes[f.scope], *f.shape), rng) for f in spec.features
    }


def drawn_like(
    features: Mapping[str, np.ndarray], spec: FeatureSpec
) -> dict[str, np.ndarray]:
    """Draws as many requests and candidates as there are, none of their values.

    Args:
        features: Raw features by name, user `[B, *shape]`, others `[B, L, *shape]`.
        spec: The features.

    Returns:
        What `example_batch` draws in these sizes.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
        >>> drawn_like({"price": np.zeros([3, 7])}, spec)["price"].shape
        (3, 7)
    """
    items = spec.scope(*LISTED)
    list_size = np.shape(features[items[0].name])[1] if items else 1
    batch_size = len(features[spec.names[0]])
    return example_batch(spec, batch_size=batch_size, list_size=list_size)


def tf_examples(features: Mapping[str, Any], spec: FeatureSpec) -> np.ndarray:
    """Writes requests as the signature `tf_example` reads them: one tf.Example each.

    User features come once, others as one flat list over the candidates; see
    `FeatureSpec.parsing_spec`.

    Args:
        features: Raw features by name, user `[B, *shape]`, others `[B, L, *shape]`.
        spec: The features to write.

    Returns:
        Serialized tf.Examples, bytes `[B]`.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> spec = FeatureSpec((Feature("age", "numeric", "user"),))
        >>> record = tf_examples({"age": np.array([31.0])}, spec)[0]
        >>> tf.io.parse_single_example(record, spec.parsing_spec())["age"].numpy()
        31.0
    """
    columns = _arrays(features, spec)
    rows = range(len(columns[spec.names[0]]))
    return _serialized(_example(spec.features, columns, row) for row in rows)


def candidate_examples(features: Mapping[str, Any], spec: FeatureSpec) -> np.ndarray:
    """Writes one tf.Example per candidate, as `classify` and `regress` read them.

    Each repeats the user's features, so this is the slowest form of a request.

    Args:
        features: Raw features by name, user `[B, *shape]`, others `[B, L, *shape]`.
        spec: The features to write.

    Returns:
        Serialized tf.Examples, bytes `[B L]`.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> spec = FeatureSpec((Feature("age", "numeric", "user"),
        ...                     Feature("price", "numeric", "item")))
        >>> candidate_examples({"age": [31.0], "price": [[5.0, 7.0]]}, spec).shape
        (2,)
    """
    columns = _arrays(features, spec)
    users, items = spec.scope("user"), spec.scope(*LISTED)
    examples = []
    for row, place in _candidates(columns, spec):
        example = _example(items, columns, (row, place))
        example.MergeFrom(_example(users, columns, row))
        examples.append(example)
    return _serialized(examples)


def elwc(features: Mapping[str, Any], spec: FeatureSpec) -> np.ndarray:
    """Writes requests as TF-Ranking's ExampleListWithContext, for the signature `elwc`.

    Args:
        features: Raw features by name, user `[B, *shape]`, others `[B, L, *shape]`.
        spec: The features to write.

    Returns:
        Serialized ExampleListWithContext, bytes `[B]`.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> spec = FeatureSpec((Feature("age", "numeric", "user"),
        ...                     Feature("price", "numeric", "item")))
        >>> elwc({"age": [31.0], "price": [[5.0, 7.0]]}, spec).shape
        (1,)
    """
    columns = _arrays(features, spec)
    lists = [
        ExampleListWithContext(context=_example(spec.scope("user"), columns, row))
        for row in range(len(columns[spec.names[0]]))
    ]
    for row, place in _candidates(columns, spec):
        example = _example(spec.scope(*LISTED), columns, (row, place))
        lists[row].examples.append(example)
    return _serialized(lists)


def _arrays(features: Mapping[str, Any], spec: FeatureSpec) -> dict[str, np.ndarray]:
    return {f.name: np.asarray(features[f.name]) for f in spec.features}


def _candidates(
    columns: Mapping[str, np.ndarray], spec: FeatureSpec
) -> Iterator[tuple[int, ...]]:
    """Row and place of every candidate."""
    return np.ndindex(*columns[spec.scope(*LISTED)[0].name].shape[:2])


def _example(
    features: Sequence[Feature], columns: Mapping[str, np.ndarray], where: Any
) -> tf.train.Example:
    """The features of one row, or of one candidate of a row."""
    feature = {
        f.name: _tf_feature(f, np.ravel(columns[f.name][where]).tolist())
        for f in features
    }
    return tf.train.Example(features=tf.train.Features(feature=feature))


def _serialized(messages: Iterable[Any]) -> np.ndarray:
    return np.array([message.SerializeToString() for message in messages], object)


def _tf_feature(feature: Feature, values: list[Any]) -> tf.train.Feature:
    if feature.dtype == "int64":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    if feature.dtype == "float32":
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    text = [tf.compat.as_bytes(value) for value in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=text))


def _drawn(
    feature: Feature,
    spec: FeatureSpec,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    if feature.kind == "numeric":
        drawn = rng.normal(feature.mean, abs(feature.scale), shape)
        return drawn.astype(np.float32)
    table = spec.table_of(feature)
    if feature.dtype == "string":
        text = [feature.default, *table.vocabulary, "a value that no table lists"]
        return rng.choice(np.array(text, dtype=object), shape)
    if table.vocabulary:
        known = np.array(table.vocabulary, np.int64)
        return rng.choice([feature.default, *known, known.max() + 1], shape)
    return rng.integers(-1, table.size + 1, shape)
