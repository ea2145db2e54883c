"""Soft membership in the top k of a list, by sums over it and without sorting."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses import checks, masking

__all__ = ["soft_top_k"]

_CERTAIN = 16.0  # 1 - sigmoid(16) is the resolution of float32 at 1
_HALVINGS = 32


def soft_top_k(
    scores: tf.Tensor, valid: tf.Tensor, k: int, temperature: float = 1.0
) -> tf.Tensor:
    """Log odds that an item is among the k best of its list.

    z_i = (s_i - kappa) / T, with kappa such that sum_i sigmoid(z_i) = k

    As many items as the cut keeps are kept in expectation. For a small T kappa lies
    between the k-th and the next score, where ICC puts it (in the middle); NeuralSort,
    which LCRON takes, needs an L x L matrix for each list. Here kappa is found by
    halving in O(L), and its derivative is exact (d kappa / d s_i is the share of item i
    in sum_j sigmoid'(z_j)), so that only differences of scores matter.

    Args:
        scores: float32 `[..., L]`.
        valid: bool `[..., L]`.
        k: How many are kept.
        temperature: T > 0, in units of the scores.

    Returns:
        float32 `[..., L]`: the probability is its sigmoid. 16, without gradient, in
        lists of no more than k items, which all stay, and -16 for a score of -inf,
        which never does; of no meaning where not valid.

    Example:
        >>> valid = tf.constant([True, True, True, False])
        >>> z = soft_top_k(tf.constant([2.0, 0.0, -2.0, 9.0]), valid, k=1)
        >>> p = tf.sigmoid(z)[:3]
        >>> tf.reduce_sum(p).numpy().round(3)
        1.0

    Raises:
        ValueError: If the temperature is not above 0 and finite.

    Reference:
        Wang et al., Learning cascade ranking as one network, arXiv:2503.09492, which
        also compares ICC.
    """
    temperature = checks.positive("temperature", temperature)
    valid &= tf.not_equal(scores, float("-inf"))  # NaN stays what it is
    scores = tf.where(valid, scores, 0.0) / temperature
    fixed = tf.stop_gradient(scores)

    def expected(cut: tf.Tensor) -> tf.Tensor:
        kept = tf.where(valid, tf.sigmoid(fixed - cut), 0.0)
        return tf.reduce_sum(kept, axis=-1, keepdims=True)

    def halved(low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        middle = 0.5 * (low + high)
        many = expected(middle) > float(k)
        return tf.where(many, middle, low), tf.where(many, high, middle)

    # The number kept falls as the cut rises, so halving finds it: no sort, and the same
    # steps for every list, as XLA wants.
    low = -masking.masked_max(-fixed, valid) - _CERTAIN
    high = masking.masked_max(fixed, valid) + _CERTAIN
    low, high = tf.while_loop(
        lambda *_: True, halved, (low, high), maximum_iterations=_HALVINGS
    )
    cut = 0.5 * (low + high)
    chance = tf.sigmoid(fixed - cut)
    # The expected number stays k, so d cut = sum slope_i d s_i / sum slope: the
    # implicit function theorem, where the loop itself has no gradient.
    slope = tf.where(valid, chance * (1.0 - chance), 0.0)
    share = tf.math.divide_no_nan(slope, tf.reduce_sum(slope, axis=-1, keepdims=True))
    # Adds 0, and the derivative of the cut.
    cut += tf.reduce_sum(share * (scores - fixed), axis=-1, keepdims=True)
    count = tf.math.count_nonzero(valid, axis=-1, keepdims=True)
    stays = tf.where(count > k, scores - cut, _CERTAIN)
    return tf.where(valid, stays, -_CERTAIN)
