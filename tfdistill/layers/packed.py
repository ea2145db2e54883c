"""Features packed side by side in a few tensors: the form that is fast to serve."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from tfdistill.layers.embeddings import FeatureEmbeddings, masked_mean, width
from tfdistill.spec import LISTED, Feature, FeatureSpec

__all__ = ["PackedEmbeddings", "packed_order", "unpacked"]

_Key = tuple[str, int]
_Place = tuple[_Key, int, int]
_KINDS = {"int64": "ids", "string": "strings", "float32": "numbers"}


def packed_order(spec: FeatureSpec) -> dict[str, tuple[Feature, ...]]:
    """Returns the tensors of a packed request and the features in each.

    A feature has one column, one of shape `(n,)` has n, and they follow each other in
    the order of the spec. There are up to three tensors a side: `user_ids` int64,
    `user_strings` and `user_numbers` float32 `[B, columns]`, and `item_ids`,
    `item_strings` and `item_numbers` `[B, L, columns]`, which have the pair features,
    too.

    Args:
        spec: The features.

    Returns:
        The features by tensor; one that would be empty does not exist.

    Example:
        >>> spec = FeatureSpec((Feature("age", "numeric", "user"),
        ...                     Feature("price", "numeric", "item"),
        ...                     Feature("income", "numeric", "user")))
        >>> {k: [f.name for f in v] for k, v in packed_order(spec).items()}
        {'user_numbers': ['age', 'income'], 'item_numbers': ['price']}
    """
    order: dict[str, list[Feature]] = {}
    sides = {"user": spec.scope("user"), "item": spec.scope(*LISTED)}
    for side, (dtype, kind) in itertools.product(sides, _KINDS.items()):
        features = [f for f in sides[side] if f.dtype == dtype]
        if features:
            order[f"{side}_{kind}"] = features
    return {name: tuple(features) for name, features in order.items()}


def unpacked(
    packed: Mapping[str, tf.Tensor], spec: FeatureSpec
) -> dict[str, tf.Tensor]:
    """Cuts packed tensors into one tensor for each feature, as Keras models take them.

    Args:
        packed: Tensors as `packed_order` has them.
        spec: The features.

    Returns:
        By name: user `[B, *shape]`, item and pair `[B, L, *shape]`.

    Example:
        >>> spec = FeatureSpec((Feature("age", "numeric", "user"),
        ...                     Feature("income", "numeric", "user")))
        >>> unpacked({"user_numbers": tf.constant([[31.0, 5.0]])}, spec)["income"]
        <tf.Tensor: shape=(1,), dtype=float32, numpy=array([5.], dtype=float32)>
    """
    features = {}
    for name, group in packed_order(spec).items():
        parts = tf.split(packed[name], [width(f) for f in group], axis=-1)
        for feature, part in zip(group, parts):
            features[feature.name] = part if feature.shape else part[..., 0]
    return features


class PackedEmbeddings:
    """What `FeatureEmbeddings` gives, from packed tensors without cutting them.

    All categorical columns of one tensor and width are mapped and gathered at once, and
    numbers are standardised as one matrix. Features that are wanted side by side in the
    order of the spec are then there already: a side with ids first and numbers after
    them costs one gather and one concatenation, however many features it has.

    Args:
        embeddings: The tables, built.
        spec: The features of the packed tensors.
        packed: Tensors as `packed_order` has them.

    Example:
        >>> from tfdistill.spec import Table
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("shop", "categorical", "item", table="shop"),
        ...         Feature("item_id", "categorical", "item", table="item"),
        ...         Feature("price", "numeric", "item"),
        ...     ),
        ...     tables=(Table("shop", dim=4, size=5), Table("item", dim=4, size=9)),
        ... )
        >>> embeddings = FeatureEmbeddings(spec)
        >>> embeddings.build(None)
        >>> ids, prices = tf.zeros([2, 7, 2], tf.int64), tf.ones([2, 7, 1])
        >>> packed = {"item_ids": ids, "item_numbers": prices}
        >>> PackedEmbeddings(embeddings, spec, packed).joined(spec.names).shape
        TensorShape([2, 7, 9])
    """

    def __init__(
        self,
        embeddings: FeatureEmbeddings,
        spec: FeatureSpec,
        packed: Mapping[str, tf.Tensor],
    ) -> None:
        self._embeddings = embeddings
        self._flat: dict[_Key, tf.Tensor] = {}
        self._places: dict[str, _Place] = {}
        for name, features in packed_order(spec).items():
            for dim in dict.fromkeys(map(self._dim, features)):
                chosen = [self._dim(feature) == dim for feature in features]
                group = list(itertools.compress(features, chosen))
                columns = _columns_of(features, chosen, packed[name])
                self._add((name, dim), group, columns)

    def joined(self, names: Iterable[str]) -> tf.Tensor:
        """Returns the vectors of features of one side, side by side.

        Args:
            names: Names of features, in the order that is wanted.

        Returns:
            `[B, d]` for user features, `[B, L, d]` for those of candidates.
        """
        # Runs of neighbours are cut out in one piece: often the whole tensor, and no
        # copy.
        runs: list[_Place] = []
        for key, start, stop in (self._places[name] for name in names):
            if runs and runs[-1][0] == key and runs[-1][2] == start:
                start = runs.pop()[1]
            runs.append((key, start, stop))
        parts = [_sliced(self._flat[key], start, stop) for key, start, stop in runs]
        return tf.concat(parts, axis=-1) if parts[1:] else parts[0]

    def _dim(self, feature: Feature) -> int:
        """Width of the feature's table; 0 for numbers, which are their own vector."""
        table = feature.table and self._embeddings.spec.table_of(feature)
        return table.dim if table else 0

    def _add(self, key: _Key, features: Sequence[Feature], columns: tf.Tensor) -> None:
        """Stores the vectors of columns `[..., slots]` as `[..., slots d]`."""
        layer, (_, dim) = self._embeddings, key
        if not dim:
            self._flat[key] = layer.standardised(features, columns)
        else:
            vectors = layer.gather(features, columns)
            flat = tf.concat([tf.shape(columns)[:-1], [columns.shape[-1] * dim]], 0)
            self._flat[key] = tf.reshape(vectors, flat)
        start = 0
        for feature in features:
            stop = start + width(feature)
            if dim and feature.shape:
                mask = columns[..., start:stop] != feature.default
                pooled = masked_mean(vectors[..., start:stop, :], mask)
                own = (f"{key[0]}:{feature.name}", dim)  # no tensor's name has a colon
                self._flat[own] = pooled
                self._places[feature.name] = (own, 0, dim)
            else:
                size = dim or 1
                self._places[feature.name] = (key, start * size, stop * size)
            start = stop


def _columns_of(
    features: Sequence[Feature], chosen: Sequence[bool], columns: tf.Tensor
) -> tf.Tensor:
    """The columns of the chosen features."""
    if all(chosen):
        return columns
    parts = tf.split(columns, [width(feature) for feature in features], axis=-1)
    return tf.concat(list(itertools.compress(parts, chosen)), axis=-1)


def _sliced(flat: tf.Tensor, start: int, stop: int) -> tf.Tensor:
    """Columns of a matrix; a slice of all of them would still be a copy."""
    return flat if stop - start == flat.shape[-1] else flat[..., start:stop]
