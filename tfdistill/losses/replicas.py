"""Rows of the other replicas, for losses that compare all rows of a batch."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["first_row", "gather_rows"]


def gather_rows(rows: tf.Tensor) -> tf.Tensor:
    """Gathers the rows of all replicas, with gradient; outside a strategy, its input.

    Every replica must have the same number of rows: batch with `drop_remainder=True`.

    Args:
        rows: `[N, ...]`, this replica's rows.

    Returns:
        `[replicas * N, ...]`, in the order of the replicas.

    Example:
        >>> gather_rows(tf.ones([2, 3])).shape.as_list()
        [2, 3]
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return rows
    if rows.dtype == tf.bool:
        return tf.cast(context.all_gather(tf.cast(rows, tf.int32), axis=0), tf.bool)
    return context.all_gather(rows, axis=0)


def first_row(rows: tf.Tensor) -> tf.Tensor:
    """Index of this replica's first row among the gathered ones.

    Args:
        rows: `[N, ...]`, this replica's rows.

    Returns:
        int32 scalar.

    Example:
        >>> first_row(tf.ones([2, 3])).numpy()
        0
    """
    context = tf.distribute.get_replica_context()
    replica = 0 if context is None else context.replica_id_in_sync_group
    return tf.cast(replica, tf.int32) * tf.shape(rows)[0]
