"""Top-K over the whole catalogue by blocks of users, and its quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdistill.identity import fingerprint
from tfdistill.metrics.checks import Mean, as_items, check_cut, mean_of
from tfdistill.pairs import Pairs

BlockScores = Callable[[np.ndarray], np.ndarray]
"""Scores of the whole catalogue: int64 user rows `[b]` -> `[b, I]`."""


def dot_scores(queries: np.ndarray, items: np.ndarray) -> BlockScores:
    """The catalogue's scores as matrix products: `queries[rows] @ items.T`.

    Args:
        queries: User vectors, `[U, d]`.
        items: Item vectors, `[I, d]`.

    Returns:
        A callback for `top_k`.

    Raises:
        ValueError: Where the widths differ.

    Example:
        >>> score = dot_scores(np.eye(2), np.eye(2))
        >>> score(np.array([1]))
        array([[0., 1.]])
    """
    if queries.ndim != 2 or items.ndim != 2 or queries.shape[1] != items.shape[1]:
        raise ValueError(
            f"`queries` [U, d] and `items` [I, d] must share d, got "
            f"{queries.shape} and {items.shape}. Take both from one model."
        )
    return _DotScores(queries, items)


@dataclass(frozen=True, eq=False)
class _DotScores:
    """What `dot_scores` gives."""

    queries: np.ndarray
    items: np.ndarray

    @property
    def fingerprint(self) -> str:
        return fingerprint([self.queries, self.items])

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.queries[rows] @ self.items.T)


def top_k(
    score: BlockScores,
    num_users: int,
    k: int,
    *,
    seen: Pairs | None = None,
    block: int = 256,
) -> np.ndarray:
    """The k best unseen items of the whole catalogue for each user, best first.

    Exact; memory is that of `block` rows of scores, whatever the number of users. Equal
    scores are ordered by item row. A score of -inf takes an item out for that user.

    Args:
        score: User rows `[b]` -> scores `[b, I]`: `dot_scores` of a two-tower model, or
            any model over the whole catalogue. Never written to.
        num_users: U; the callback gets rows 0 .. U - 1, in blocks.
        k: How many items.
        seen: Pairs that must not be returned, usually those of training.
        block: Users per call of `score`.

    Returns:
        int32 `[U, k]` item rows; -1 where a user has fewer items left.

    Raises:
        ValueError: Where a score is NaN or has the wrong shape, or k < 1.

    Example:
        >>> scores = np.array([[0.1, 0.9, 0.5]])
        >>> seen = Pairs([0], [1])
        >>> top_k(lambda rows: scores[rows], 1, 3, seen=seen)
        array([[ 2,  0, -1]], dtype=int32)
    """
    return scored_top_k(score, num_users, k, seen=seen, block=block)[0]


def scored_top_k(
    score: BlockScores,
    num_users: int,
    k: int,
    *,
    seen: Pairs | None = None,
    block: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """As `top_k`, with the scores of the items: a teacher's ranking lists.

    Args:
        score: As for `top_k`, and so are the other arguments.
        num_users: U.
        k: How many items.
        seen: Pairs that must not be returned.
        block: Users per call of `score`.

    Returns:
        The rows of `top_k`, int32 `[U, k]`, and their float32 scores, -inf where
        padded.

    Example:
        >>> scores = np.array([[0.1, 0.9, 0.5]])
        >>> scored_top_k(lambda rows: scores[rows], 1, 2)[1]
        array([[0.9, 0.5]], dtype=float32)
    """
    check_cut(k)
    if block < 1:
        raise ValueError(f"`block` must be at least 1, got {block}.")
    seen = seen or Pairs([], [])
    top = np.full((num_users, k), -1, dtype=np.int32)
    best_scores = np.full((num_users, k), -np.inf, dtype=np.float32)
    for begin in range(0, num_users, block):
        rows = np.arange(begin, min(begin + block, num_users))
        scores = _checked(score(rows), rows)
        scores[seen.between(begin, begin + len(rows))] = -np.inf
        # TensorFlow's top-K is threaded and breaks ties by the lower row; NumPy's
        # partition does neither.
        best, places = tf.math.top_k(scores, min(k, scores.shape[1]))
        top[rows, : places.shape[1]] = np.where(np.isneginf(best), -1, places)
        best_scores[rows, : places.shape[1]] = best
    return top, best_scores


def hits(top: np.ndarray, relevant: Pairs) -> np.ndarray:
    """Which of the returned items are relevant.

    Args:
        top: int `[U, K]` item rows, -1 where padded.
        relevant: The relevant pairs.

    Returns:
        bool `[U, K]`.

    Raises:
        ValueError: Where a relevant pair's user isn't a row of `top`, or an item
            repeats in a list.

    Example:
        >>> hits(np.array([[4, 2, -1]]), Pairs([0], [2]))
        array([[False,  True, False]])
    """
    last = relevant.user.max(initial=-1)
    if last >= len(top):
        raise ValueError(
            f"`relevant.user` must be rows of `top` (< {len(top)}), got "
            f"{last}. Renumber the users that are judged: `relevant.among(users)`."
        )
    rows = np.arange(len(top))[:, np.newaxis]
    return relevant.contains(rows, as_items("top", top))


def retrieval_recall(top: np.ndarray, relevant: Pairs, k: int) -> Mean:
    """Share of each user's relevant items among the first k returned.

    `Recall@k = |top k and relevant| / |relevant|`, mean over users with a relevant
    item. Judge head and tail apart with `relevant.where(head)` and
    `relevant.where(~head)`. `recall_at_k` does the same for scored, padded lists.

    Args:
        top: int `[U, K]`, best first, -1 where padded; K >= k.
        relevant: The relevant pairs.
        k: How many places count.

    Returns:
        The mean, and how many users have a relevant item.

    Raises:
        ValueError: Where k is below 1 or above K, or an item repeats in a list.

    Example:
        >>> relevant = Pairs([0, 0], [4, 9])
        >>> retrieval_recall(np.array([[4, 2]]), relevant, k=2)
        Mean(value=0.5, over=1)
    """
    found = hits(_cut(top, k), relevant).sum(axis=1)
    wanted = relevant.per_user(len(top))
    return mean_of(np.where(wanted > 0, found / np.maximum(wanted, 1), np.nan))


def retrieval_ndcg(top: np.ndarray, relevant: Pairs, k: int) -> Mean:
    """Normalised discounted gain of the first k returned items.

    `DCG@k = sum_{r <= k} [item r is relevant] / log2(r + 1)`, over the DCG of
    min(k, |relevant|) hits in front; mean over users with a relevant item.

    Args:
        top: int `[U, K]`, best first, -1 where padded; K >= k.
        relevant: The relevant pairs.
        k: How many places count.

    Returns:
        The mean, and how many users have a relevant item.

    Raises:
        ValueError: Where k is below 1 or above K, or an item repeats in a list.

    Example:
        >>> relevant = Pairs([0], [2])
        >>> round(retrieval_ndcg(np.array([[4, 2]]), relevant, k=2).value, 4)
        0.6309
    """
    discounts = 1.0 / np.log2(np.arange(k) + 2.0)
    found = hits(_cut(top, k), relevant) @ discounts
    wanted = np.minimum(relevant.per_user(len(top)), k)
    # NaN where a user has nothing relevant, so that the mean leaves the user out.
    best = np.concatenate([[np.nan], np.cumsum(discounts)])[wanted]
    return mean_of(found / best)


def head_items(interactions: np.ndarray, share: float = 0.2) -> np.ndarray:
    """The most popular items: the head; all others are the tail.

    The `ceil(share * I)` items of the catalogue with most training interactions; of
    equals, the lower row. Distillation tends to strengthen the head, so every metric of
    retrieval is given for both.

    Args:
        interactions: Training interactions of each item, `[I]`.
        share: The head's share of the catalogue, in (0, 1).

    Returns:
        bool `[I]`.

    Raises:
        ValueError: Where `share` is outside (0, 1).

    Example:
        >>> head_items(np.array([5, 90, 3, 7, 1]))
        array([False,  True, False, False, False])

    Reference:
        Chen et al., "Unbiased Knowledge Distillation for Recommendation", 2023
        (arXiv:2211.14729).
    """
    if not 0.0 < share < 1.0:
        raise ValueError(
            f"`share` must be in (0, 1), got {share}. 0.2 calls a fifth the head."
        )
    interactions = np.asarray(interactions)
    head = np.zeros(interactions.shape, dtype=bool)
    size = int(np.ceil(share * interactions.size))
    head[np.argsort(-interactions, kind="stable")[:size]] = True
    return head


def best_places(scores: np.ndarray, k: int) -> np.ndarray:
    """Returns the columns of each row's k best scores, best first, ties by column.

    Args:
        scores: `[b, I]`, -inf for what must not be taken.
        k: At most I.

    Returns:
        int64 `[b, k]`; -1 where a row has fewer than k scores above -inf.

    Example:
        >>> best_places(np.array([[1.0, 3.0, 3.0]]), 2)
        array([[1, 2]])
    """
    best, places = tf.math.top_k(scores, k)  # of equals, the lower column comes first
    return np.where(np.isneginf(best), -1, places).astype(np.int64)


def _checked(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns a copy of a block's scores, after a check of shape and NaN."""
    scores = np.array(scores)
    if scores.ndim != 2 or len(scores) != len(rows):
        raise ValueError(
            f"`score` must return [{len(rows)}, I] for {len(rows)} users, got "
            f"shape {scores.shape}. Score the whole catalogue for each row."
        )
    wrong = int(np.count_nonzero(np.isnan(scores)))
    if wrong:
        raise ValueError(
            f"`score` must not return NaN, got {wrong} for users {rows[0]} to "
            f"{rows[-1]}. Use -inf to take an item out."
        )
    return scores


def _cut(top: np.ndarray, k: int) -> np.ndarray:
    """Returns the first k columns."""
    if check_cut(k) > top.shape[1]:
        raise ValueError(
            f"`k` must be at most {top.shape[1]}, the items returned per user, "
            f"got {k}. Ask `top_k` for more."
        )
    return top[:, :k]
