"""Sums over all pairs of a list, in blocks: memory stays linear in its length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

import tensorflow as tf

from tfdistill.losses import masking

__all__ = ["FAR", "PairTerm", "pair_sums", "smooth_ranks"]

FAR = -1e30
"""Score of padding: so far below all others that pairs with it cost 0."""

PairTerm = Callable[
    [tf.Tensor, Mapping[str, tf.Tensor], Mapping[str, tf.Tensor]],
    "tuple[tf.Tensor, tf.Tensor]",
]
"""`(s_j - s_i, columns of i, columns of j) -> (loss, d loss / d s_j)`.

From a block `[N, R, R]` of leads to the losses' sum `[N]` and each pair's slope. Pairs
with padding must count 0: beyond the list's end, its score is `FAR`.
"""

# For 64 lists a block's temporaries are 4 MB each; and 2^120 is still a float32.
_BLOCK = 120


class _Blocks:
    """Cuts lists `[..., L]` into `[blocks, N, R]` and back.

    A batch without a list is one list of padding, and so is a list without an item: no
    kernel has to do with nothing.

    Args:
        like: float32 `[..., L]`.
    """

    def __init__(self, like: tf.Tensor) -> None:
        self.shape = tf.shape(like)
        self.lists = like.shape[:-1].num_elements()
        if self.lists is None:
            self.lists = tf.reduce_prod(self.shape[:-1])
        self.length = masking.last_size(like)
        length = _at_least_one(self.length)
        self.count = -(-length // _BLOCK)
        # Equal blocks of at most 120: 130 items are two blocks of 65, not 120 and 10.
        self.size = -(-length // self.count)

    def cut(self, values: tf.Tensor, padding: float = 0.0) -> tf.Tensor:
        """`[..., L]` -> `[blocks, N, R]`, padded at the end."""
        rows = tf.reshape(values, [self.lists, self.length])
        surplus = [
            [0, _at_least_one(self.lists) - self.lists],
            [0, self.count * self.size - self.length],
        ]
        rows = tf.pad(rows, surplus, constant_values=tf.cast(padding, rows.dtype))
        return tf.transpose(tf.reshape(rows, [-1, self.count, self.size]), [1, 0, 2])

    def join(self, blocks: tf.Tensor) -> tf.Tensor:
        """`[blocks, N, R]` -> `[..., L]`."""
        rows = tf.transpose(blocks, [1, 0, 2])
        rows = tf.reshape(rows, [-1, self.count * self.size])
        return tf.reshape(rows[: self.lists, : self.length], self.shape)

    def each_pair(self, body: Callable[..., Any], state: tuple[tf.Tensor, ...]) -> Any:
        """Runs `body(a, b, *state) -> state` for all blocks a <= b, one by one."""

        def step(a: tf.Tensor, b: tf.Tensor, *state: tf.Tensor) -> tuple[Any, ...]:
            state = body(a, b, *state)
            # The order of a triangle's rows: (0, 0), (0, 1), ... (1, 1), (1, 2), ...
            last = tf.equal(b + 1, self.count)
            after = tf.where(last, a + 1, b + 1)
            return (tf.where(last, a + 1, a), after, *state)

        _, _, *state = tf.while_loop(
            lambda a, *_: a < self.count,
            step,
            (tf.constant(0), tf.constant(0), *state),
            parallel_iterations=1,
            maximum_iterations=self.count * (self.count + 1) // 2,
        )
        return state


def pair_sums(
    term: PairTerm,
    student: tf.Tensor,
    columns: Mapping[str, tf.Tensor],
    *,
    padding: float = 0.0,
    symmetric: bool = False,
) -> tf.Tensor:
    """Sums a term over the pairs of each list.

    total = sum_{i<j} term(s_j - s_i, x_i, x_j), or
    total = 1/2 sum_{i,j} term(s_j - s_i, x_i, x_j) if that is `symmetric` in i and j

    A term that isn't symmetric must be 0 unless i comes before j in the list.

    Pairs are taken in `[R, R]` blocks of the upper triangle. The term gives its slope
    with its value and the block is dropped, so a batch of lists needs memory for one
    block, not for L^2 pairs, and nothing is computed twice. The total can be
    differentiated once, with respect to the student.

    Args:
        term: Loss and slopes of a block; see `PairTerm`.
        student: float32 `[..., L]`.
        columns: Constants of every item, each `[..., L]`.
        padding: What the columns hold beyond the list's end.
        symmetric: Whether the term of (j, i) is that of (i, j).

    Returns:
        float32 `[...]`.

    Example:
        >>> def falling(lead, i, j):
        ...     counts = tf.cast(i["teacher"] > j["teacher"], tf.float32)
        ...     return tf.reduce_sum(counts * lead**2, [1, 2]), counts * 2.0 * lead
        >>> teacher = tf.constant([5., 4., 4.])
        >>> pair_sums(falling, tf.constant([3., 1., 0.]), {"teacher": teacher}).numpy()
        13.0
    """
    blocks = _Blocks(student)
    constants = {k: blocks.cut(values, padding) for k, values in columns.items()}

    @tf.custom_gradient
    def total(student: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
        rows = blocks.cut(student, FAR)

        def body(
            a: tf.Tensor, b: tf.Tensor, value: tf.Tensor, slope: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            i = {k: tf.gather(v, a)[:, :, tf.newaxis] for k, v in constants.items()}
            j = {k: tf.gather(v, b)[:, tf.newaxis, :] for k, v in constants.items()}
            loss, rate = term(_leads(rows, a, b), i, j)
            # A lead is s_j - s_i: its slope counts against i (rows) and for j
            # (columns).
            both = tf.stack([-tf.reduce_sum(rate, 2), tf.reduce_sum(rate, 1)])
            if symmetric:  # a diagonal block holds each pair twice
                share = tf.where(tf.equal(a, b), 0.5, 1.0)
                loss, both = share * loss, share * both
            slope = tf.tensor_scatter_nd_add(slope, [[a], [b]], both)
            return value + loss, slope

        zeros = (tf.zeros_like(rows[0, :, 0]), tf.zeros_like(rows))
        value, slope = blocks.each_pair(body, zeros)
        slope = blocks.join(slope)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return upstream[..., tf.newaxis] * slope

        return tf.reshape(value[: blocks.lists], blocks.shape[:-1]), gradient

    return total(student)


def smooth_ranks(student: tf.Tensor, valid: tf.Tensor, temperature: float) -> tf.Tensor:
    """Differentiable ranks, from 1: how many items probably come before each.

    r_i = 1 + sum_{j != i} sigmoid((s_j - s_i) / T)
        = (1 + n + sum_j tanh((s_j - s_i) / 2T)) / 2

    over the n valid items, in blocks: tanh is odd, so one block serves its rows and its
    columns; the blocks are computed again for the gradient, so memory is linear in L.

    Args:
        student: float32 `[..., L]`.
        valid: bool `[..., L]`.
        temperature: T, width of the steps in units of the scores.

    Returns:
        float32 `[..., L]`; meaningless at invalid items.

    Example:
        >>> valid = tf.constant([True, True, False])
        >>> smooth_ranks(tf.constant([3., 1., 9.]), valid, 0.1).numpy()[:2]
        array([1., 2.], dtype=float32)
    """
    blocks = _Blocks(student)
    count = tf.reduce_sum(tf.cast(valid, tf.float32), axis=-1, keepdims=True)
    padded = tf.cast(blocks.count * blocks.size, tf.float32) - count

    def row_sums(matrix: Callable[..., tf.Tensor], like: tf.Tensor) -> tf.Tensor:
        """Row sums of an antisymmetric matrix of pairs, given block by block."""

        def body(a: tf.Tensor, b: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor]:
            pairs = matrix(a, b)
            # A block beside the diagonal serves j's rows too, with the sign turned; one
            # on the diagonal holds both (i, j) and (j, i) already.
            for_b = -tf.reduce_sum(pairs, 1) * tf.cast(a < b, tf.float32)
            both = tf.stack([tf.reduce_sum(pairs, 2), for_b])
            return (tf.tensor_scatter_nd_add(sums, [[a], [b]], both),)

        return blocks.each_pair(body, (tf.zeros_like(like),))[0]

    @tf.custom_gradient
    def ranks(student: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
        # Padding lies so far below that its tanh is -1 and the slope there 0.
        far = tf.where(valid, student / (2.0 * temperature), FAR)
        rows = blocks.cut(far, FAR)
        real = tf.cast(rows > FAR, tf.float32)
        before = row_sums(lambda a, b: tf.tanh(_leads(rows, a, b)), rows)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            slope = blocks.cut(upstream) * real

            def change(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
                flat = 1.0 - tf.square(tf.tanh(_leads(rows, a, b)))
                return _leads(slope, a, b) * flat

            changes = blocks.join(row_sums(change, rows) * real)
            return changes / (4.0 * temperature)

        return 0.5 * (1.0 + count + padded + blocks.join(before)), gradient

    return ranks(student)


def _at_least_one(size: Any) -> Any:
    """`max(size, 1)` of an int or of a scalar."""
    return max(size, 1) if isinstance(size, int) else tf.maximum(size, 1)


def _leads(rows: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """s_j - s_i for the rows i of block a and j of block b: `[N, R, R]`."""
    ours = tf.gather(rows, a)[:, :, tf.newaxis]
    return tf.gather(rows, b)[:, tf.newaxis, :] - ours
