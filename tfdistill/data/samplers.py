"""Which items a distillation loss sees: drawn by the teacher's ranking, repeatably.

Every draw is a function of its seed, so that a resumed run sees what an unbroken one
would have seen. Losses themselves draw nothing here: they get lists.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

__all__ = [
    "discrepancy_weights",
    "draw_positions",
    "draw_rest",
    "popularity_groups",
    "rank_weights",
    "ranks_of",
    "teacher_head",
    "with_perplexity",
]


def teacher_head(scores: Any, topk: int, *, seen: Any = None) -> tf.Tensor:
    """Rows of the teacher's top K unobserved items, best first.

    Args:
        scores: float `[B, N]`, the teacher's scores of the whole catalogue.
        topk: K.
        seen: bool `[B, N]`, items that may not be recommended (the training positives).

    Returns:
        int32 `[B, K]`, -1 where a user has fewer unseen items.

    Raises:
        ValueError: If K is not in 1 .. N.

    Example:
        >>> teacher_head([[1.0, 9.0, 5.0]], 2, seen=[[False, True, False]]).numpy()
        array([[2, 0]], dtype=int32)

    Reference:
        Tang and Wang, Ranking distillation, arXiv:1809.07428.
    """
    scores = tf.cast(scores, tf.float32)
    if not 1 <= topk <= scores.shape[-1]:
        raise ValueError(
            f"`topk` must lie in 1 .. {scores.shape[-1]} (items), got {topk!r}."
        )
    if seen is not None:
        scores = tf.where(tf.cast(seen, tf.bool), scores.dtype.min, scores)
    best, rows = tf.math.top_k(scores, topk)
    return tf.where(best > scores.dtype.min, rows, -1)


def rank_weights(size: int, *, decay: float | None = None) -> tf.Tensor:
    """Weights by rank: linear 1 - (r - 1) / size, or exp(-(r - 1) / decay).

    The rank-aware law of Collaborative Distillation (both), and of RRD's interesting
    lists (exponential, decay 10 over the teacher's top 500).

    Args:
        size: Number of ranks.
        decay: Ranks over which the weight falls by e; None for the linear law.

    Returns:
        float32 `[size]`, 1 at the first rank.

    Raises:
        ValueError: If `decay` is not above 0.

    Example:
        >>> rank_weights(4).numpy()
        array([1.  , 0.75, 0.5 , 0.25], dtype=float32)

    Reference:
        Lee et al., Collaborative distillation, arXiv:1911.05276; Kang et al., DE-RRD,
        arXiv:2012.04357.
    """
    steps = tf.range(size, dtype=tf.float32)
    if decay is None:
        return 1.0 - steps / size
    if not 0 < decay < np.inf:
        raise ValueError(f"`decay` must be above 0, got {decay!r}.")
    return tf.exp(-steps / decay)


def draw_positions(weights: Any, count: int, *, seed: Any) -> tf.Tensor:
    """Draws positions without replacement, by weight, in ascending order.

    Gumbel top k on log weights. In ascending order, positions in a teacher's ranking
    stay in the teacher's order.

    Args:
        weights: float `[..., M]` >= 0; 0 is never drawn.
        count: How many are drawn, at most M.
        seed: int `[2]`, for instance (seed, step).

    Returns:
        int32 `[..., count]`; -1s at the end where fewer have a weight.

    Raises:
        ValueError: If `count` is not in 1 .. M.

    Example:
        >>> draw_positions([0.0, 2.0, 1.0, 0.0], 3, seed=[0, 1]).numpy()
        array([ 1,  2, -1], dtype=int32)
    """
    weights = tf.cast(weights, tf.float32)
    size = weights.shape[-1]
    if not 1 <= count <= size:
        raise ValueError(f"`count` must lie in 1 .. {size}, got {count!r}.")
    noise = tf.random.stateless_uniform(tf.shape(weights), seed, minval=1e-20)
    # Gumbel top-K: the largest of log w + noise are a draw by weight without
    # replacement.
    keys = tf.math.log(tf.where(weights > 0.0, weights, 1.0))
    keys -= tf.math.log(-tf.math.log(noise))
    keys = tf.where(weights > 0.0, keys, keys.dtype.min)
    best, places = tf.math.top_k(keys, count)
    # In order of the places, best first: the draw's own order means nothing.
    places = tf.sort(tf.where(best > keys.dtype.min, places, size), axis=-1)
    return tf.where(places < size, places, -1)


def draw_rest(taken: Any, num_items: int, count: int, *, seed: Any) -> tf.Tensor:
    """Draws items uniformly from the catalogue without those that are taken.

    Exact, without rejection: the k-th free item is found by searching the sorted taken
    ones. Draws are with replacement, so an item may repeat.

    Args:
        taken: int `[B, M]` rows, such as the teacher's head; -1s are ignored.
        num_items: N, size of the catalogue.
        count: How many are drawn per user.
        seed: int `[2]`, for instance (seed, step).

    Returns:
        int32 `[B, count]`, -1 for users without a free item.

    Example:
        >>> draw_rest([[0, 2, -1]], 4, 3, seed=[0, 1]).numpy() % 2
        array([[1, 1, 1]], dtype=int32)
    """
    taken = tf.sort(tf.cast(taken, tf.int32), axis=-1)
    # Repeats are taken out, as each would hide one more free row.
    fresh = tf.concat([taken[:, :1] >= 0, taken[:, 1:] > taken[:, :-1]], axis=-1)
    rows = tf.sort(tf.where(fresh & (taken >= 0), taken, num_items), axis=-1)
    used = tf.math.count_nonzero(rows < num_items, axis=-1, dtype=tf.int32)
    free = (num_items - used)[:, tf.newaxis]
    shape = [tf.shape(rows)[0], count]
    uniform = tf.random.stateless_uniform(shape, seed)
    # The n-th free row, without a list of the free: as many taken rows come before it
    # as have no more than n free ones before them.
    nth = tf.cast(uniform * tf.cast(free, tf.float32), tf.int32)
    # The product may round up to `free`.
    nth = tf.minimum(nth, tf.maximum(free - 1, 0))
    # Before the k-th taken row (from 0) there are row - k free ones.
    gaps = rows - tf.range(tf.shape(rows)[1])
    gaps = tf.where(rows < num_items, gaps, num_items)
    drawn = nth + tf.searchsorted(gaps, nth, side="right")
    return tf.where(free > 0, drawn, -1)


def ranks_of(scores: Any, rows: Any) -> tf.Tensor:
    """Ranks of some items among all scores of a user, from 1 (best); ties share.

    Args:
        scores: float `[B, N]`, a model's scores of the whole catalogue.
        rows: int `[B, M]`.

    Returns:
        int32 `[B, M]`; 0 where a row is -1.

    Example:
        >>> ranks_of([[3.0, 7.0, 5.0]], [[0, 1, -1]]).numpy()
        array([[3, 1, 0]], dtype=int32)
    """
    scores, rows = tf.cast(scores, tf.float32), tf.cast(rows, tf.int32)
    own = tf.gather(scores, tf.maximum(rows, 0), batch_dims=1)
    # How many items are before: the catalogue is sorted once for all rows of a user.
    above = tf.searchsorted(tf.sort(-scores, axis=-1), -own, side="left")
    return tf.where(rows >= 0, 1 + above, 0)


def discrepancy_weights(
    student_ranks: Any, teacher_ranks: Any, *, sharpness: float = 0.1
) -> tuple[tf.Tensor, tf.Tensor]:
    """Weights of the items that a student ranks too low, and of those too high.

    under = tanh(max(sharpness (k_s - k_t), 0)), over = tanh(max(sharpness (k_t - k_s),
    0)), with a floor of 1e-5 so that every list can be filled.

    Dual correction (DCD) refreshes the student's ranks every few epochs and draws what
    it still gets wrong: under-estimated items as interesting, over-estimated ones as
    uninteresting. Bidirectional distillation draws by `under` alone.

    Args:
        student_ranks: int `[B, M]`, see `ranks_of`; 0 for padding.
        teacher_ranks: int `[B, M]`.
        sharpness: How fast the weight saturates.

    Returns:
        Two float32 `[B, M]` for `draw_positions`; 0 at padding.

    Raises:
        ValueError: If `sharpness` is not above 0.

    Example:
        >>> under, over = discrepancy_weights([[30, 1, 0]], [[1, 2, 3]])
        >>> under.numpy().round(3)
        array([[0.994, 0.   , 0.   ]], dtype=float32)

    Reference:
        Lee and Kim, Dual correction strategy for ranking distillation,
        arXiv:2109.03459; Kweon et al., arXiv:2106.02870.
    """
    if not sharpness > 0:
        raise ValueError(f"`sharpness` must be above 0, got {sharpness!r}.")
    present = tf.cast(student_ranks, tf.int32) > 0
    gap = tf.cast(student_ranks, tf.float32) - tf.cast(teacher_ranks, tf.float32)
    sides = (
        tf.maximum(tf.tanh(tf.maximum(sign * sharpness * gap, 0.0)), 1e-5)
        for sign in (1.0, -1.0)
    )
    under, over = (tf.where(present, side, 0.0) for side in sides)
    return under, over


def popularity_groups(popularity: Any, groups: int) -> np.ndarray:
    """Splits items by popularity into groups of about equal total popularity.

    Args:
        popularity: float `[N]`, for instance training interactions per item.
        groups: How many groups, 2 to 5 as a rule.

    Returns:
        int32 `[N]`: 0 for the most popular items.

    Raises:
        ValueError: If there are no interactions or fewer than one group.

    Example:
        >>> popularity_groups([1, 6, 2, 3], 2)
        array([1, 0, 1, 1], dtype=int32)

    Reference:
        Chen et al., Unbiased knowledge distillation for recommendation,
        arXiv:2211.14729.
    """
    counts = np.asarray(popularity, np.float64)
    if groups < 1 or not counts.sum() > 0:
        raise ValueError(
            "Popularity groups need at least one group and one interaction, got "
            f"groups={groups!r} and a total of {counts.sum()}."
        )
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    result = np.empty(counts.shape, np.int32)
    result[order] = np.minimum(before * groups / counts.sum(), groups - 1)
    return result


def with_perplexity(scores: Any, perplexity: float, *, rounds: int = 40) -> np.ndarray:
    """Divides each user's scores so that their softmax is as wide as `perplexity`.

    z / T_u with exp(entropy(softmax(z / T_u))) = perplexity, by bisection in log T_u.
    Scores of different teachers and users have different scales: a temperature that is
    too low makes a one-item target, and that hurts a student of recall. 20 suits a
    head of 100.

    Args:
        scores: float `[U, M]`, a teacher's scores of its head; -inf where padded.
        perplexity: Effective number of items, above 1; a user with fewer items, or with
            as many equal best ones, gets the nearest width.
        rounds: Steps of the bisection.

    Returns:
        float32 `[U, M]`, 0 at each user's best item.

    Raises:
        ValueError: If `perplexity` is not above 1.

    Example:
        >>> z = with_perplexity([[30.0, 20.0, 10.0]], 2.0)
        >>> p = np.exp(z) / np.exp(z).sum()
        >>> np.exp(-(p * np.log(p)).sum()).round(3)
        2.0
    """
    if not 1.0 < perplexity < np.inf:
        raise ValueError(
            f"`perplexity` must be above 1, got {perplexity!r}. Give a finite one."
        )
    scores = np.asarray(scores, np.float64)
    scores = scores - scores.max(axis=1, keepdims=True)
    scores = np.maximum(scores, -1e30)  # finite, so that 0 * z is 0
    spread = np.maximum(np.where(scores > -1e30, -scores, 0.0).max(axis=1), 1e-12)
    # Halved on a log scale, as temperatures span many decades; by users all at once.
    low, high = np.log(spread) - 14.0, np.log(spread) + 14.0
    for _ in range(rounds):
        middle = (low + high) / 2.0
        logits = scores / np.exp(middle)[:, np.newaxis]
        p = np.exp(logits)
        total = p.sum(axis=1)
        entropy = np.log(total) - (p * logits).sum(axis=1) / total
        narrow = entropy < np.log(perplexity)
        low, high = np.where(narrow, middle, low), np.where(narrow, high, middle)
    logits = scores / np.exp((low + high) / 2.0)[:, np.newaxis]
    return np.maximum(logits, -1e4).astype(np.float32)
