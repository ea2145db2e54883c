"""Sums over all pairs of a list, in blocks: memory stays linear in its length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

import tensorflow as tf

__all__ = ["PairTerm", "pair_sums"]

PairTerm = Callable[
    [tf.Tensor, Mapping[str, tf.Tensor], Mapping[str, tf.Tensor]],
    "tuple[tf.Tensor, tf.Tensor]",
]
"""`(s_i - s_j, columns of i, columns of j) -> (loss, counted)`, all `[N, R, R]`.

Called once per unordered pair, so the term decides by its columns who should win.
"""

_BLOCK = 128


def pair_sums(
    term: PairTerm,
    student: tf.Tensor,
    valid: tf.Tensor,
    columns: Mapping[str, tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums a term over the counted pairs of valid items of each list, and counts them.

    total = sum_{i<j} term(s_i - s_j, x_i, x_j)

    Pairs are taken in `[R, R]` blocks of the upper triangle. Each block's gradient is
    taken together with its value and the block is dropped, so a batch of lists needs
    memory for one block, not for L^2 pairs, and nothing is computed twice. The total
    can be differentiated once, with respect to the student.

    Args:
        term: Loss of a pair; see `PairTerm`.
        student: float32 `[..., L]`.
        valid: bool `[..., L]`.
        columns: Constants of every item, each `[..., L]`.

    Returns:
        The totals and the numbers of counted pairs, float32 `[...]`.

    Example:
        >>> valid = tf.constant([True, True, False])
        >>> squared = lambda d, x, y: (d**2, tf.ones_like(d, tf.bool))
        >>> total, count = pair_sums(squared, tf.constant([3., 1., 9.]), valid, {})
        >>> total.numpy(), count.numpy()
        (4.0, 1.0)
    """
    lead = tf.shape(student)[:-1]
    length = student.shape[-1] or tf.shape(student)[-1]
    blocks = -(-length // _BLOCK)
    size = -(-length // blocks)

    def cut(values: tf.Tensor) -> tf.Tensor:
        """`[..., L]` -> `[blocks, N, size]`, padded with zeros."""
        rows = tf.reshape(values, [-1, length])
        rows = tf.pad(rows, [[0, 0], [0, blocks * size - length]])
        return tf.transpose(tf.reshape(rows, [-1, blocks, size]), [1, 0, 2])

    constants = {name: cut(values) for name, values in columns.items()}
    kept = cut(valid)

    @tf.custom_gradient
    def sums(student: tf.Tensor) -> tuple[Any, Callable[..., tf.Tensor]]:
        total, count, slope = _sum_blocks(term, cut(student), kept, constants, size)
        rows = tf.reshape(tf.transpose(slope, [1, 0, 2]), [-1, blocks * size])

        def gradient(upstream: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            slopes = tf.reshape(upstream, [-1, 1]) * rows[:, :length]
            return tf.reshape(slopes, tf.shape(student))

        return (tf.reshape(total, lead), tf.reshape(count, lead)), gradient

    return sums(student)


def _sum_blocks(
    term: PairTerm,
    student: tf.Tensor,
    valid: tf.Tensor,
    columns: Mapping[str, tf.Tensor],
    size: Any,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns totals `[N]`, counts `[N]` and slopes `[blocks, N, size]`."""
    blocks = tf.shape(student)[0]
    before = tf.range(size)[:, tf.newaxis] < tf.range(size)

    def body(
        a: tf.Tensor, b: tf.Tensor, total: tf.Tensor, count: tf.Tensor, slope: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        ours = {k: tf.gather(v, a)[:, :, tf.newaxis] for k, v in columns.items()}
        theirs = {k: tf.gather(v, b)[:, tf.newaxis, :] for k, v in columns.items()}
        pairs = tf.gather(valid, a)[:, :, tf.newaxis]
        pairs &= tf.gather(valid, b)[:, tf.newaxis, :] & (before | (a < b))
        s_a, s_b = tf.gather(student, a), tf.gather(student, b)
        with tf.GradientTape() as tape:
            tape.watch([s_a, s_b])
            gap = s_a[:, :, tf.newaxis] - s_b[:, tf.newaxis, :]
            loss, counted = term(gap, ours, theirs)
            pairs &= counted
            block = tf.reduce_sum(tf.where(pairs, loss, 0.0), axis=[1, 2])
        slope = tf.tensor_scatter_nd_add(
            slope, [[a], [b]], tf.stack(tape.gradient(block, [s_a, s_b]))
        )
        count += tf.math.count_nonzero(pairs, axis=[1, 2], dtype=tf.float32)
        last = tf.equal(b + 1, blocks)
        after = tf.where(last, a + 1, b + 1)
        return tf.where(last, a + 1, a), after, total + block, count, slope

    zeros = tf.zeros_like(student[0, :, 0])
    *_, total, count, slope = tf.while_loop(
        lambda a, *_: a < blocks,
        body,
        (tf.constant(0), tf.constant(0), zeros, zeros, tf.zeros_like(student)),
        parallel_iterations=1,
        maximum_iterations=blocks * (blocks + 1) // 2,
    )
    return total, count, slope
