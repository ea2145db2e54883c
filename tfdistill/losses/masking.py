"""Masked arithmetic that every loss and metric shares; padding never leaks through."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

__all__ = [
    "broadcast_items",
    "count_above",
    "divisor",
    "last_size",
    "masked_log_softmax",
    "masked_max",
    "masked_mean",
    "masked_ranks",
    "masked_sort",
    "take",
]


def broadcast_items(values: Any, shape: tf.Tensor, rank: int) -> tf.Tensor:
    """Aligns list-level `[B]` or `[B, 1]` values with items `[B, L]`.

    Missing axes are appended (never prepended, as numpy would), surplus ones of size 1
    are dropped (Keras weighs vectors by `[B, 1]`), then values are broadcast.

    Args:
        values: `[...]` with at most `rank` axes, not counting trailing ones of size 1.
        shape: int32 `[rank]`, the shape of the items.
        rank: Number of axes of the items.

    Returns:
        `values` with shape `shape`.

    Raises:
        ValueError: If `values` has more axes than the items.

    Example:
        >>> broadcast_items([1., 2.], tf.constant([2, 3]), 2).numpy().tolist()
        [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    values = tf.convert_to_tensor(values)
    while values.shape.rank and values.shape.rank > rank and values.shape[-1] == 1:
        values = tf.squeeze(values, axis=-1)
    if values.shape.rank is None or values.shape.rank > rank:
        raise ValueError(
            f"Weights and masks have at most the {rank} axes of the items, got "
            f"shape {values.shape}. Give one value per list or one per item."
        )
    for _ in range(rank - values.shape.rank):
        values = values[..., tf.newaxis]
    return tf.broadcast_to(values, shape)


def last_size(values: tf.Tensor) -> Any:
    """Size of the last axis: an int where it is known while tracing.

    Args:
        values: `[..., L]`.

    Returns:
        L, an int or an int32 scalar.

    Example:
        >>> last_size(tf.zeros([2, 0]))
        0
    """
    size = values.shape[-1]
    return tf.shape(values)[-1] if size is None else size


def take(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Each list's values at its own places.

    As `tf.gather(values, places, batch_dims=-1)`, whose gradient fails where there is
    no list at all.

    Args:
        values: `[..., L]`.
        places: int32 `[..., K]`, in 0 .. L - 1.

    Returns:
        `[..., K]`.

    Example:
        >>> take(tf.constant([[5., 6.], [7., 8.]]), tf.constant([[1], [0]])).numpy()
        array([[6.],
               [7.]], dtype=float32)
    """
    # Rows of the flat values: list n begins at n L, also where L is not known yet.
    first = last_size(values) * tf.range(tf.reduce_prod(tf.shape(places)[:-1]))
    first = tf.reshape(first, tf.concat([tf.shape(places)[:-1], [1]], 0))
    return tf.gather(tf.reshape(values, [-1]), first + places)


def divisor(valid: tf.Tensor, axis: Any = -1, keepdims: bool = False) -> tf.Tensor:
    """Counts what a sum is divided by: `max(count(valid), 1)`, as float32.

    Weights do not enter the count, so that twice the weight is twice the loss; a weight
    of 0 makes an item invalid, so that it equals a masked one.

    Args:
        valid: bool `[..., L]`.
        axis: Axis or axes to count over.
        keepdims: Whether the counted axes stay, with size 1.

    Returns:
        float32 `[...]`, at least 1.

    Example:
        >>> divisor(tf.constant([[True, True, False], [False] * 3])).numpy().tolist()
        [2.0, 1.0]
    """
    count = tf.math.count_nonzero(valid, axis=axis, keepdims=keepdims, dtype=tf.float32)
    return tf.maximum(count, 1.0)


def masked_mean(values: tf.Tensor, valid: tf.Tensor, axis: Any = -1) -> tf.Tensor:
    """Sum of the valid values over `divisor(valid)`; 0 where nothing is valid.

    Args:
        values: float32 `[..., L]`, already weighted.
        valid: bool `[..., L]`.
        axis: Axis or axes to average over; None for all.

    Returns:
        float32 `[...]`.

    Example:
        >>> x = tf.constant([1., 3., float("nan")])
        >>> masked_mean(x, tf.constant([True, True, False])).numpy()
        2.0
    """
    total = tf.reduce_sum(tf.where(valid, values, 0.0), axis=axis)
    return total / divisor(valid, axis)


def masked_max(values: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Largest valid value of the last axis, kept as size 1; 0 where none is valid.

    Args:
        values: float32 `[..., L]`.
        valid: bool `[..., L]`.

    Returns:
        float32 `[..., 1]`, without gradient: it serves as a shift.

    Example:
        >>> masked_max(tf.constant([5., 1.]), tf.constant([False, True])).numpy()
        array([1.], dtype=float32)
    """
    top = tf.reduce_max(
        tf.where(valid, values, values.dtype.min), axis=-1, keepdims=True
    )
    top = tf.where(tf.reduce_any(valid, axis=-1, keepdims=True), top, 0.0)
    return tf.stop_gradient(top)


def masked_log_softmax(logits: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Log-softmax over the valid items of the last axis.

    The logits are masked with the lowest finite value, not with a constant such as
    -23 or -1e9, which a student far below zero would lose against. That value is the
    result at the other items too: their softmax is exactly 0, and 0 times it is 0.

    Args:
        logits: float32 `[..., L]`, finite.
        valid: bool `[..., L]`.

    Returns:
        float32 `[..., L]`.

    Example:
        >>> valid = tf.constant([True, True, False])
        >>> log_q = masked_log_softmax(tf.constant([-60., -60., 9.]), valid)
        >>> tf.exp(log_q).numpy().round(4)
        array([0.5, 0.5, 0. ], dtype=float32)
    """
    # Added and not selected, which would cost one more pass for the gradient.
    return tf.nn.log_softmax(logits + tf.where(valid, 0.0, logits.dtype.min))


def count_above(scores: tf.Tensor, among: tf.Tensor) -> tf.Tensor:
    """For every item, how many of a subset score higher: by sorting, O(L log L).

    Args:
        scores: float32 `[..., L]`.
        among: bool `[..., L]`, the subset that is counted.

    Returns:
        float32 `[..., L]`.

    Example:
        >>> among = tf.constant([False, True, True])
        >>> count_above(tf.constant([1., 3., 1.]), among).numpy()
        array([1., 0., 1.], dtype=float32)
    """
    shape = tf.shape(scores)
    descent = tf.where(among, -scores, scores.dtype.max)
    others = tf.sort(tf.reshape(descent, [-1, shape[-1]]), axis=-1)
    above = tf.searchsorted(others, tf.reshape(-scores, [-1, shape[-1]]), side="left")
    return tf.cast(tf.reshape(above, shape), tf.float32)


def masked_ranks(
    scores: tf.Tensor, valid: tf.Tensor, topk: int | None = None
) -> tf.Tensor:
    """Ranks from 1 (best) over the valid items; ties share the best of their ranks.

    rank_i = 1 + #{j valid: scores_j > scores_i}

    Args:
        scores: float32 `[..., L]`.
        valid: bool `[..., L]`.
        topk: The largest rank of interest: every one beyond it is `topk + 1`, which
            saves sorting the rest of a long list. None for all ranks.

    Returns:
        float32 `[..., L]`; what padded items get is their place among the valid ones.

    Example:
        >>> valid = tf.constant([True, True, True, False])
        >>> masked_ranks(tf.constant([1., 3., 1., 9.]), valid).numpy()[:3]
        array([2., 1., 2.], dtype=float32)
    """
    shape, length = tf.shape(scores), last_size(scores)
    valid = tf.broadcast_to(valid, shape)
    if topk is None:
        return 1.0 + count_above(scores, valid)
    rows = tf.reshape(tf.where(valid, scores, -np.inf), [-1, length])
    best, order = tf.math.top_k(rows, tf.minimum(topk, length))
    ranks = 1 + tf.searchsorted(-best, -best, side="left")
    first = length * tf.range(tf.shape(rows)[0])[:, tf.newaxis]
    found = tf.scatter_nd((first + order)[..., tf.newaxis], ranks, [tf.size(rows)])
    found = tf.reshape(found, tf.shape(rows))
    others = tf.where(rows >= best[:, -1:], ranks[:, -1:], topk + 1)  # ties of the last
    return tf.cast(tf.reshape(tf.where(found > 0, found, others), shape), tf.float32)


def masked_sort(
    scores: tf.Tensor, valid: tf.Tensor, topk: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sorts items from the best to the worst; padded ones come last.

    Args:
        scores: float32 `[..., L]`.
        valid: bool `[..., L]`.
        topk: How many of them, K: the first of a long list cost less than all. None for
            all.

    Returns:
        Positions int32 `[..., min(K, L)]` in sorted order (ties keep theirs), and the
        ranks of the items there, int32 likewise: from 1, ties share the best, 0 for
        padding.

    Example:
        >>> valid = tf.constant([True, True, True, False])
        >>> order, ranks = masked_sort(tf.constant([1., 3., 1., 9.]), valid)
        >>> order.numpy(), ranks.numpy()
        (array([1, 0, 2, 3], dtype=int32), array([1, 2, 2, 0], dtype=int32))
    """
    length = last_size(scores)
    size = length if topk is None else tf.minimum(topk, length)
    rows = tf.reshape(tf.where(valid, scores, scores.dtype.min), [-1, length])
    best, order = tf.math.top_k(rows, size)
    ranks = 1 + tf.searchsorted(-best, -best, side="left")
    count = tf.math.count_nonzero(valid, axis=-1, keepdims=True, dtype=tf.int32)
    real = tf.range(size) < tf.reshape(count, [-1, 1])
    shape = tf.concat([tf.shape(scores)[:-1], [size]], 0)
    return tf.reshape(order, shape), tf.reshape(tf.where(real, ranks, 0), shape)
