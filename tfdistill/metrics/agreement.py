"""How closely a student follows its teacher, list by list."""

from __future__ import annotations

import numpy as np

from tfdistill.metrics.checks import Mean, as_values, check_cut, check_lists, mean_of
from tfdistill.metrics.retrieval import best_places
from tfdistill.metrics.ties import tie_places


def spearman(
    student: np.ndarray, teacher: np.ndarray, *, mask: np.ndarray | None = None
) -> Mean:
    """Rank correlation of student and teacher inside each list.

    Pearson's correlation of the two rankings, ties having their mean rank. It sorts,
    where Kendall's tau compares all L^2 pairs. It weighs all places alike: use
    `top_k_overlap` for the top.

    Args:
        student: Scores `[R, L]`.
        teacher: Scores `[R, L]`.
        mask: bool `[R, L]`, False where padded.

    Returns:
        The mean in [-1, 1] over lists where neither side is constant, and their number.

    Raises:
        ValueError: Where shapes differ or a valid score is NaN.

    Example:
        >>> spearman(np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 20.0, 90.0]]))
        Mean(value=1.0, over=1)
    """
    mask = check_lists(student, mask)
    ours, theirs = _centred_ranks(student, mask), _centred_ranks(teacher, mask)
    spread = np.sqrt((ours**2).sum(axis=1) * (theirs**2).sum(axis=1))
    together = (ours * theirs).sum(axis=1)
    known = spread > 0.0
    return mean_of(np.where(known, together / np.where(known, spread, 1.0), np.nan))


def top_k_overlap(
    student: np.ndarray,
    teacher: np.ndarray,
    k: int,
    *,
    mask: np.ndarray | None = None,
) -> Mean:
    """Share of the teacher's first k items that are among the student's first k.

    Lists of at most k items agree whatever the scores, and are left out. Equal scores
    are ordered by place. `set_overlap` compares sets of the whole catalogue.

    Args:
        student: Scores `[R, L]`.
        teacher: Scores `[R, L]`.
        k: How many places count.
        mask: bool `[R, L]`, False where padded.

    Returns:
        The mean over lists of more than k items, and their number.

    Raises:
        ValueError: Where shapes differ, k < 1 or a valid score is NaN.

    Example:
        >>> student, teacher = np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]])
        >>> top_k_overlap(student, teacher, k=2)
        Mean(value=0.5, over=1)
    """
    mask = check_lists(student, mask)
    longer = mask.sum(axis=1) > check_cut(k)
    ours = as_values("student", student, mask)[longer]
    theirs = as_values("teacher", teacher, mask)[longer]
    if not longer.any():
        return Mean(float("nan"), 0)
    chosen = [
        best_places(np.where(mask[longer], scores, -np.inf), k)
        for scores in (ours, theirs)
    ]
    both = (chosen[0][:, :, None] == chosen[1][:, None, :]).any(axis=2)
    return mean_of(both.mean(axis=1))


def logit_rmse(
    student: np.ndarray, teacher: np.ndarray, *, mask: np.ndarray | None = None
) -> float:
    """Root mean square difference of student and teacher logits.

    `sqrt(mean((z_s - z_t)^2))` over valid entries. It sees shifts and scales, which the
    rank measures don't.

    Args:
        student: Logits `[R, L]`.
        teacher: Logits `[R, L]`.
        mask: bool `[R, L]`, False where padded.

    Returns:
        The difference in logits; NaN where nothing counts.

    Raises:
        ValueError: Where shapes differ or a valid logit is NaN.

    Example:
        >>> logit_rmse(np.array([[1.0, 0.0]]), np.array([[3.0, 2.0]]))
        2.0
    """
    mask = check_lists(student, mask)
    gap = as_values("student", student, mask) - as_values("teacher", teacher, mask)
    return float(np.sqrt(np.mean(gap[mask] ** 2))) if mask.any() else float("nan")


def _centred_ranks(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns mean ranks minus their list's mean, 0 where masked: [R, L]."""
    begin, end = tie_places(scores, mask)
    # Pearson's correlation of ranks; the mean rank of ties, or their order would count.
    ranks = (begin + end) / 2.0
    counts = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    centre = (ranks * mask).sum(axis=1, keepdims=True) / counts
    return np.where(mask, ranks - centre, 0.0)
