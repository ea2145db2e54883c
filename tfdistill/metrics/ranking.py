"""Exact ranking metrics over impressions and padded lists; ties are averaged."""

from __future__ import annotations

import numpy as np

from tfdistill.metrics.checks import (
    Mean,
    as_binary,
    as_mask,
    as_values,
    as_weights,
    check_cut,
    check_lists,
    mean_of,
)
from tfdistill.metrics.ties import tie_places


def auc(
    labels: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
) -> float:
    """Area under the ROC curve, exact.

    `AUC = sum_ij w_i w_j ([s_i > s_j] + [s_i = s_j] / 2) / sum_ij w_i w_j` over clicked
    i and unclicked j. `tf.keras.metrics.AUC` interpolates between 200 thresholds, and
    errs by as much as distillation gains; this one sorts.

    Use `gauc` where the order across users doesn't matter.

    Args:
        labels: 0 or 1, `[...]`.
        scores: Any monotone score, `[...]`.
        weights: How often an entry counts, `[...]`; 1 where None.
        mask: bool `[...]`, False where an entry is padding or has no label.

    Returns:
        A value in [0, 1]; NaN where only one class is there.

    Raises:
        ValueError: Where shapes differ, a label isn't 0 or 1, or a valid entry is NaN.

    Example:
        >>> auc(np.array([1, 0, 0]), np.array([0.3, 0.3, 0.1]))
        0.75

    Reference:
        Fawcett, "An introduction to ROC analysis", 2006.
    """
    mask = as_mask(mask, np.shape(scores))
    groups = np.zeros(mask.shape, dtype=np.int64)
    value, _ = _auc_of_groups(labels, scores, groups, weights, mask)
    return float(value[0]) if value.size else float("nan")


def gauc(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
) -> Mean:
    """AUC inside each group (user or request), averaged by impressions.

    `GAUC = sum_g n_g AUC_g / sum_g n_g` over the groups with both classes, `n_g` being
    the group's weight (its number of impressions where `weights` is None).

    The metric of a ranker: a score that only tells active users from others has 0.5.

    Args:
        labels: 0 or 1, `[...]`.
        scores: Any monotone score, `[...]`.
        groups: int, `[...]`, or one per row of lists: `[R]` for labels `[R, L]`.
        weights: How often an entry counts, `[...]`; 1 where None.
        mask: bool `[...]`, False where an entry is padding or has no label.

    Returns:
        The mean, and how many groups had both classes.

    Raises:
        ValueError: Where shapes differ, a label isn't 0 or 1, or a valid entry is NaN.

    Example:
        >>> gauc(
        ...     np.array([1, 0, 1, 1]),
        ...     np.array([0.2, 0.1, 0.9, 0.8]),
        ...     np.array([7, 7, 8, 8]),
        ... )
        Mean(value=1.0, over=1)

    Reference:
        Zhu et al., "Optimized Cost per Click in Taobao Display Advertising", 2017
        (arXiv:1703.02091).
    """
    mask = as_mask(mask, np.shape(scores))
    groups = _spread(np.asarray(groups), mask.shape)
    values, totals = _auc_of_groups(labels, scores, groups, weights, mask)
    both = ~np.isnan(values)
    if not both.any():
        return Mean(float("nan"), 0)
    mean = np.average(values[both], weights=totals[both])
    return Mean(float(mean), int(both.sum()))


def log_loss(
    labels: np.ndarray,
    logits: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
) -> float:
    """Mean negative log-likelihood of clicks, from logits.

    `max(z, 0) - z y + log(1 + exp(-|z|))`: finite for any finite logit.

    Args:
        labels: 0 or 1, `[...]`.
        logits: Log odds of a click, `[...]`.
        weights: How often an entry counts, `[...]`; 1 where None.
        mask: bool `[...]`, False where an entry is padding or has no label.

    Returns:
        Nats per impression; NaN where nothing counts.

    Raises:
        ValueError: Where shapes differ, a label isn't 0 or 1, or a valid entry is NaN.

    Example:
        >>> round(log_loss(np.array([1.0, 0.0]), np.array([0.0, 0.0])), 4)
        0.6931
    """
    mask = as_mask(mask, np.shape(logits))
    labels = as_binary(labels, mask)
    logits = as_values("logits", logits, mask)
    weights = as_weights(weights, mask)
    if weights.sum() == 0.0:
        return float("nan")
    # softplus(z) - y z, in the form that overflows for no logit.
    losses = np.maximum(logits, 0.0) - logits * labels
    losses += np.log1p(np.exp(-np.abs(logits)))
    return float(np.average(losses, weights=weights))


def ndcg_at_k(
    labels: np.ndarray,
    scores: np.ndarray,
    k: int,
    *,
    mask: np.ndarray | None = None,
) -> Mean:
    """Normalised discounted cumulative gain of each list's first k items.

    `DCG@k = sum_{r <= k} (2^y_r - 1) / log2(r + 1)`, over the DCG of the best order.
    Items with equal scores share the mean discount of their places: the expectation
    over the orders of ties, so that constant scores earn what a random order earns.
    Lists without a relevant item are left out; TF-Ranking's metric counts them as 0.

    Args:
        labels: Graded relevance >= 0, `[R, L]`.
        scores: `[R, L]`.
        k: How many places count.
        mask: bool `[R, L]`, False where padded.

    Returns:
        The mean over lists that have a relevant item, and how many those are.

    Raises:
        ValueError: Where shapes differ, k < 1, a valid entry is NaN or a label < 0.

    Example:
        >>> labels, scores = np.array([[0, 1], [0, 0]]), np.array([[2.0, 1.0]] * 2)
        >>> round(ndcg_at_k(labels, scores, k=2).value, 4)
        0.6309

    Reference:
        Jarvelin & Kekalainen, 2002; ties: McSherry & Najork, 2008.
    """
    mask = check_lists(scores, mask)
    labels = _relevance(labels, mask)
    gains = np.exp2(labels) - 1.0
    places = np.arange(mask.shape[1])
    discounts = np.where(places < check_cut(k), 1.0 / np.log2(places + 2.0), 0.0)
    found = (gains * _mean_discount(scores, mask, discounts)).sum(axis=1)
    best = (-np.sort(-gains, axis=1) * discounts).sum(axis=1)
    return mean_of(_divide(found, best))


def recall_at_k(
    labels: np.ndarray,
    scores: np.ndarray,
    k: int,
    *,
    mask: np.ndarray | None = None,
) -> Mean:
    """Share of each list's relevant items that stand in its first k places.

    `Recall@k = |relevant in the first k| / |relevant|`; ties count by the share of
    their places that are within k. Over the whole catalogue use
    `retrieval_recall`, which doesn't need the score matrix.

    Args:
        labels: 0 or 1 (anything above 0 is relevant), `[R, L]`.
        scores: `[R, L]`.
        k: How many places count.
        mask: bool `[R, L]`, False where padded.

    Returns:
        The mean over lists that have a relevant item, and how many those are.

    Raises:
        ValueError: Where shapes differ, k < 1, a valid entry is NaN or a label < 0.

    Example:
        >>> recall_at_k(np.array([[1, 1, 0]]), np.array([[3.0, 1.0, 2.0]]), k=2)
        Mean(value=0.5, over=1)
    """
    mask = check_lists(scores, mask)
    relevant = (_relevance(labels, mask) > 0.0).astype(np.float64)
    within = (np.arange(mask.shape[1]) < check_cut(k)).astype(np.float64)
    found = (relevant * _mean_discount(scores, mask, within)).sum(axis=1)
    return mean_of(_divide(found, relevant.sum(axis=1)))


def mrr(
    labels: np.ndarray, scores: np.ndarray, *, mask: np.ndarray | None = None
) -> Mean:
    """Mean reciprocal rank of each list's first relevant item.

    `MRR = mean(1 / rank of the first relevant)`, in expectation over the orders of
    ties: in a block of n ties that starts after b items and holds m relevant ones,
    `E = sum_j P(first at j) / (b + j)` with P hypergeometric.

    Use it where one good answer is enough; `ndcg_at_k` where all of them matter.

    Args:
        labels: 0 or 1 (anything above 0 is relevant), `[R, L]`.
        scores: `[R, L]`.
        mask: bool `[R, L]`, False where padded.

    Returns:
        The mean over lists that have a relevant item, and how many those are.

    Raises:
        ValueError: Where shapes differ, a valid entry is NaN, or a label is < 0.

    Example:
        >>> mrr(np.array([[0, 1, 0]]), np.array([[3.0, 2.0, 1.0]]))
        Mean(value=0.5, over=1)
    """
    mask = check_lists(scores, mask)
    relevant = (_relevance(labels, mask) > 0.0) & mask
    scores = as_values("scores", scores, mask)
    listed = relevant.any(axis=1)
    relevant, scores, mask = relevant[listed], scores[listed], mask[listed]
    best = np.max(scores, axis=1, where=relevant, initial=-np.inf)[:, None]
    before = ((scores > best) & mask).sum(axis=1, keepdims=True)
    ties = ((scores == best) & mask).sum(axis=1, keepdims=True)
    wanted = ((scores == best) & relevant).sum(axis=1, keepdims=True)
    # P(the block's place j holds its first relevant item), j = 0 .. L - 1: [R, L]
    place = np.arange(mask.shape[1])[None, :]
    left = np.maximum(ties - place, 1)
    # Chance that the ties' places 0 .. j hold nothing relevant, drawn without
    # replacement.
    missed = np.cumprod(np.maximum(ties - wanted - place, 0) / left, axis=1)
    reached = np.concatenate([np.ones_like(missed[:, :1]), missed[:, :-1]], axis=1)
    first = np.where(place < ties, reached * wanted / left, 0.0)
    return mean_of((first / (before + place + 1)).sum(axis=1))


def _auc_of_groups(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    weights: np.ndarray | None,
    mask: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns each group's AUC (NaN with one class) and its summed weight."""
    labels = as_binary(labels, mask)[mask]
    scores = as_values("scores", scores, mask)[mask]
    weights = as_weights(weights, mask)[mask]
    groups = groups[mask]
    # By group, then by score: a group is one stretch, and equal scores lie side by
    # side.
    order = np.lexsort((scores, groups))
    labels, scores, groups = labels[order], scores[order], groups[order]
    positive, negative = labels * weights[order], (1.0 - labels) * weights[order]
    if not order.size:
        return np.zeros(0), np.zeros(0)
    starts = _starts(groups[1:] != groups[:-1])
    ties = _starts((groups[1:] != groups[:-1]) | (scores[1:] != scores[:-1]))
    # Per block of ties: the negatives below it in its group, half of its own beside.
    clicked = np.add.reduceat(positive, ties)
    skipped = np.add.reduceat(negative, ties)
    # A running count over all groups; less what came before the own group's first
    # block.
    below = np.cumsum(skipped) - skipped
    first = np.searchsorted(ties, starts)
    sizes = np.diff(np.append(first, ties.size))
    below -= np.repeat(below[first], sizes)
    won = np.add.reduceat(clicked * (below + skipped / 2.0), first)
    clicks = np.add.reduceat(clicked, first)
    skips = np.add.reduceat(skipped, first)
    return _divide(won, clicks * skips), clicks + skips


def _starts(changes: np.ndarray) -> np.ndarray:
    """Returns where blocks begin, given where neighbours differ."""
    return np.flatnonzero(np.concatenate([[True], changes]))


def _spread(groups: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns groups of the entries' shape, from one per entry or one per row."""
    if groups.shape != shape[: groups.ndim] or groups.ndim == 0:
        raise ValueError(
            f"`groups` must have shape {shape} or {shape[:1]}, got "
            f"{groups.shape}. Give one group per entry or per row."
        )
    groups = groups.reshape(groups.shape + (1,) * (len(shape) - groups.ndim))
    return np.broadcast_to(groups, shape)


def _relevance(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns labels as float64 >= 0 with 0 where masked."""
    labels = as_values("labels", labels, mask)
    if labels.size and labels.min() < 0.0:
        raise ValueError(
            f"`labels` must be >= 0, got {labels.min():g}. Mask items without a "
            "label instead of marking them with a negative one."
        )
    return labels


def _mean_discount(
    scores: np.ndarray, mask: np.ndarray, discounts: np.ndarray
) -> np.ndarray:
    """Returns each item's expected discount [R, L] over the orders of ties."""
    # An item among ties gets the mean discount of the places that the ties share: its
    # expectation if their order is drawn.
    begin, end = tie_places(scores, mask)
    total = np.concatenate([[0.0], np.cumsum(discounts)])
    return np.where(mask, (total[end] - total[begin]) / (end - begin), 0.0)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Returns the quotient, NaN where the denominator is 0."""
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0.0)
    return result
