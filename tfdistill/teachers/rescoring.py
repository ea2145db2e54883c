"""A fine ranker as a teacher of recall: it orders what a cheap model recalled."""

from __future__ import annotations

import numpy as np

from tfdistill.metrics.cascade import CandidateScores, rerank

__all__ = ["rescored_lists"]


def rescored_lists(
    recalled: np.ndarray, score: CandidateScores, keep: int, *, block: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the best `keep` of each user's recalled items, by an expensive teacher.

    A ranker can't score a whole catalogue for every user. Over what a cheap model
    (EASE, LightGCN, an older recall) puts on top it can, and its lists teach a recall
    student to recall what the ranker will want: `scored_top_k`'s answer in another
    order.

    Args:
        recalled: int32 `[U, N]` item rows of a cheap model, -1 where padded:
            `metrics.top_k`, without the items that the user knows.
        score: The ranker: user rows `[b]` and candidates `[b, N]` -> scores `[b, N]`,
            such as `evaluator.for_users(Ranker(model, requests))`.
        keep: How long the lists are.
        block: Users per call of `score`.

    Returns:
        int32 `[U, keep]`, best first, -1 padded, and their scores, float32, NaN there:
        what `recall_from_lists.list_batches` and `TeacherLists` take.

    Raises:
        ValueError: Where a candidate's score is NaN, a shape is wrong or `keep` < 1.

    Example:
        >>> def ranker(rows, items):
        ...     return items / 10
        >>> head, scores = rescored_lists(np.array([[3, 8, 5]]), ranker, keep=2)
        >>> head.tolist(), scores.tolist()
        ([[8, 5]], [[0.800000011920929, 0.5]])

    Reference:
        Qin et al., RankFlow, SIGIR 2022: the next stage teaches the one before.
    """
    head = rerank(recalled, score, keep, block=block)
    blocks = np.split(np.arange(len(head)), range(block, len(head), block))
    scores = np.concatenate([np.asarray(score(rows, head[rows])) for rows in blocks])
    return head, np.where(head >= 0, scores, np.nan).astype(np.float32)
