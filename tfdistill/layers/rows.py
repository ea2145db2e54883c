"""From raw values to rows of fused tables: the one map of training and serving."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.names import safe_name
from tfdistill.spec import FeatureSpec, Table

__all__ = ["Layout", "by_column", "lookup_layer", "rows_of_columns"]

# Knuth's multiplicative hash for 64 bits: the odd integer next to 2^64 / golden ratio.
_HASH_MULTIPLIER = -7046029254386353131


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where each table lies in the fused variable of its width."""

    offsets: Mapping[str, int]
    sizes: Mapping[int, int]

    @classmethod
    def of(cls, spec: FeatureSpec) -> Layout:
        """Puts the tables of each width below each other, in the order of the spec."""
        offsets: dict[str, int] = {}
        sizes: dict[int, int] = {}
        for table in spec.tables:
            offsets[table.name] = sizes.get(table.dim, 0)
            sizes[table.dim] = offsets[table.name] + table.num_rows
        return cls(offsets, sizes)


def rows_of_columns(
    tables: Sequence[Table],
    columns: tf.Tensor,
    offsets: Mapping[str, int],
    lookups: Mapping[str, tf.keras.layers.Layer],
) -> tf.Tensor:
    """Maps raw values to rows, neighbouring columns of one kind of table at once.

    Args:
        tables: The table of each column, or one table for values of any shape.
        columns: Raw values side by side, `[..., columns]`.
        offsets: First row of each table in its fused variable.
        lookups: The lookup layers of the vocabulary tables.

    Returns:
        int64 rows, of the same shape, always inside the column's table.
    """

    # Neighbours that are mapped by one formula are one piece; each vocabulary is its
    # own.
    def alike(table: Table) -> tuple[str, str]:
        return table.kind, table.name if table.kind == "vocabulary" else ""

    runs = [list(run) for _, run in itertools.groupby(tables, alike)]
    parts = [columns]
    if runs[1:]:
        parts = tf.split(columns, [len(run) for run in runs], axis=-1)
    rows = [_mapped(*pair, offsets, lookups) for pair in zip(runs, parts)]
    return tf.concat(rows, axis=-1) if rows[1:] else rows[0]


def by_column(values: Sequence[Any]) -> np.ndarray:
    """A constant for each column, or one for all: that is cheaper to apply."""
    return np.array(values if len(set(values)) > 1 else values[0])


def _mapped(
    tables: Sequence[Table],
    values: tf.Tensor,
    offsets: Mapping[str, int],
    lookups: Mapping[str, tf.keras.layers.Layer],
) -> tf.Tensor:
    """Rows of columns whose tables are of one kind."""
    kind, text = tables[0].kind, values.dtype == tf.string
    start = by_column([offsets[table.name] for table in tables])
    size = by_column([table.size for table in tables])
    oov = by_column([table.oov for table in tables])
    if kind == "vocabulary":
        return tf.cast(lookups[tables[0].name](values), tf.int64) + start
    if kind == "integer":
        known = (values >= 0) & (values < size)
        # The remainder by 1 is 0, and a division costs more than the rest together.
        unknown = tf.math.floormod(values, oov) if np.any(oov > 1) else 0
        return tf.where(known, values + (oov + start), unknown + start)
    return (_text_bucket(values, size) if text else _bucket(values, size)) + start


def _bucket(values: tf.Tensor, size: np.ndarray) -> tf.Tensor:
    # Unsigned: the upper bits of a negative product would be copies of its sign.
    mixed = tf.bitcast(values * _HASH_MULTIPLIER, tf.uint64)
    # The high bits depend on every bit of the value, the low ones on its low ones
    # alone.
    high = tf.bitwise.right_shift(mixed, tf.constant(33, tf.uint64))
    return tf.math.floormod(tf.cast(high, tf.int64), size)


def _text_bucket(values: tf.Tensor, size: np.ndarray) -> tf.Tensor:
    """Buckets of strings, as `tf.strings.to_hash_bucket_fast` has them."""
    if not size.ndim:
        return tf.strings.to_hash_bucket_fast(values, int(size))
    # `to_hash_bucket_fast` takes one size only; this is the same hash, by hand.
    bits = tf.bitcast(tf.fingerprint(tf.reshape(values, [-1])), tf.uint64)
    bits = tf.reshape(bits, tf.shape(values))
    return tf.cast(tf.math.floormod(bits, size.astype(np.uint64)), tf.int64)


def lookup_layer(table: Table) -> tf.keras.layers.Layer:
    """The Keras lookup of a vocabulary table: unknown values first, then the listed."""
    text = isinstance(table.vocabulary[0], str)
    kind = tf.keras.layers.StringLookup if text else tf.keras.layers.IntegerLookup
    return kind(
        vocabulary=list(table.vocabulary),
        num_oov_indices=table.oov,
        mask_token=None,
        # Keras' own tokens, "[UNK]" and -1, may well be values of a column.
        oov_token="\0" if text else tf.int64.min,
        name=f"{safe_name(table.name)}_lookup",
    )
