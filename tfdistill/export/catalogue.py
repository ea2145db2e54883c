"""The items inside a SavedModel: their ids, and their features as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.names import safe_name

__all__ = ["Catalogue"]

_KEYS = 2**63 - 1


class Catalogue:
    """From rows to ids and features of items, and from ids to rows.

    All of it is variables: however many items, the graph stays small. Ids are found by
    bisection of their sorted keys: the integers themselves, or 63-bit hashes of the
    strings, where the id that is found is then compared.

    Args:
        ids: I different integers or strings.
        features: Raw features of the items by name, `[I, *shape]`.

    Raises:
        ValueError: If an id comes twice or is neither, or a feature has other rows.

    Example:
        >>> catalogue = Catalogue(["b", "a"], {"price": np.array([9.0, 7.0])})
        >>> catalogue.rows(tf.constant([["a", "x"]])).numpy().tolist()
        [[1, -1]]
        >>> catalogue.features(tf.constant([[1, 0]]), ["price"])["price"].numpy()
        array([[7., 9.]])
    """

    def __init__(self, ids: Any, features: Mapping[str, np.ndarray]) -> None:
        values = np.asarray(ids)
        if values.dtype.kind in "iu":
            values = values.astype(np.int64)
        strings = values.dtype.kind in "USO"
        if values.ndim != 1 or not (strings or values.dtype.kind == "i"):
            raise ValueError(
                "ids must be a list of integers or strings, got an array of "
                f"{values.dtype} with shape {values.shape}."
            )
        sizes = {name: len(column) for name, column in features.items()}
        different = len(set(values.tolist()))
        if {*sizes.values(), different} != {len(values)}:
            raise ValueError(
                "A catalogue has one row of features for each id and no id twice, got "
                f"{len(values)} ids, {different} of them different, and rows {sizes}."
            )
        tensor = tf.constant(values)
        keys = _keys(tensor).numpy()
        order = np.argsort(keys, kind="stable")
        if len(np.unique(keys)) != len(keys):
            raise ValueError("The hashes of two ids are equal; rename one of the ids.")
        self.size = len(values)
        self.none = tf.constant("" if strings else -1, tensor.dtype)
        self._ids = tf.Variable(tensor, trainable=False, name="item_ids")
        self._sorted = tf.Variable(keys[order], trainable=False, name="item_keys")
        self._order = tf.Variable(
            order.astype(np.int32), trainable=False, name="item_order"
        )
        self._features = {
            name: tf.Variable(column, trainable=False, name=f"items_{safe_name(name)}")
            for name, column in features.items()
        }

    @property
    def dtype(self) -> tf.DType:
        """int64 or string, of the ids."""
        return self._ids.dtype

    def ids(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the ids of rows `[...]`; of a row -1 it is -1 or the empty string."""
        return tf.where(rows >= 0, tf.gather(self._ids, tf.maximum(rows, 0)), self.none)

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the rows int32 `[...]` of ids, -1 where there is no such item."""
        place = tf.searchsorted(self._sorted, tf.reshape(_keys(ids), [-1]))
        place = tf.minimum(place, self.size - 1)
        rows = tf.reshape(tf.gather(self._order, place), tf.shape(ids))
        return tf.where(tf.gather(self._ids, rows) == ids, rows, -1)

    def features(self, rows: tf.Tensor, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Returns features of rows `[B, L]`: each `[B, L, *shape]`; of -1 row 0's."""
        rows = tf.maximum(rows, 0)
        return {name: tf.gather(self._features[name], rows) for name in names}

    def everything(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Returns features of all items: each `[I, *shape]`."""
        return {name: self._features[name].value() for name in names}


def _keys(ids: tf.Tensor) -> tf.Tensor:
    """int64 keys of ids."""
    if ids.dtype == tf.string:
        return tf.strings.to_hash_bucket_fast(ids, _KEYS)
    return ids
