"""How an item stands among those that a stage of a cascade passes on."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

__all__ = ["standing"]

_RANKS = 2.0 ** np.arange(17, dtype=np.float32)
_FARTHEST = 5.0
_TIED = 0.05


def standing(scores: tf.Tensor, passed: tf.Tensor) -> tf.Tensor:
    """Returns how far up items stand among those that an earlier stage passes on.

    `z = (s - mean_k p_k) / std_k p_k`, cut to -5 .. 5, and the log of the item's rank
    among the K that are passed on, linear in z between the ranks 1, 2, 4, ... and K. So
    both are continuous in the scores, and rounding moves neither much: scores that
    differ by .05 standard deviations or less count as nearly equal.

    It is the value of a `Feature(stage=...)`: what a ranker corrects. Training and
    serving compute it here.

    Args:
        scores: The stage's scores of any items, `[B, N]`.
        passed: Its scores of those that it passes on, `[B, K]`, best first, and the
            lowest float where there are fewer.

    Returns:
        float32 `[B, N, 2]`.

    Example:
        >>> passed = tf.constant([[4.0, 2.0, 0.0]])
        >>> standing(tf.constant([[4.0, 1.0, -9.0]]), passed).numpy().round(2)
        array([[[ 1.22,  0.  ],
                [-0.61,  0.9 ],
                [-5.  ,  1.1 ]]], dtype=float32)
    """
    passed = tf.pad(passed, [[0, 0], [0, 1]], constant_values=passed.dtype.min)
    there = passed > passed.dtype.min
    count = tf.reduce_sum(tf.cast(there, tf.float32), 1, keepdims=True)
    count = tf.maximum(count, 1.0)
    mean = tf.reduce_sum(tf.where(there, passed, 0.0), 1, keepdims=True) / count
    off = tf.where(there, passed, mean) - mean
    deviation = tf.sqrt(tf.reduce_sum(off * off, 1, keepdims=True) / count + 1e-8)
    z, steps = (
        tf.clip_by_value((x - mean) / deviation, -_FARTHEST, _FARTHEST)
        for x in (scores, passed)
    )
    rank = tf.minimum(_RANKS, count)  # [B, 17]
    steps = tf.gather(steps, tf.cast(rank, tf.int32) - 1, batch_dims=1)
    gap = tf.maximum(steps[:, :-1] - steps[:, 1:], _TIED)
    share = (steps[:, tf.newaxis, :-1] - z[..., tf.newaxis]) / gap[:, tf.newaxis]
    share = tf.clip_by_value(share, 0.0, 1.0)
    weight = tf.math.log(rank[:, 1:] / rank[:, :-1])
    return tf.stack([z, tf.einsum("bnr,br->bn", share, weight)], axis=-1)
