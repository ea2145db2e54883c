"""All metrics of one kind of model in one call, by the names of `METRICS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfdistill.metrics.agreement import logit_rmse, spearman, top_k_overlap
from tfdistill.metrics.calibration import calibration_ratio, reliability
from tfdistill.metrics.cascade import set_overlap, survival
from tfdistill.metrics.checks import as_mask
from tfdistill.metrics.ranking import auc, gauc, log_loss, ndcg_at_k
from tfdistill.metrics.retrieval import retrieval_ndcg, retrieval_recall
from tfdistill.pairs import Pairs

OF_LOG_ODDS = {"log_loss", "calibration", "calibration_head", "calibration_tail", "ece"}
"""Metrics of rankers that mean something where logits are log odds of a label."""


def ranking_summary(
    labels: np.ndarray,
    logits: np.ndarray,
    groups: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    head: np.ndarray | None = None,
) -> dict[str, float]:
    """Everything about a ranker: order, likelihood and calibration.

    Of graded labels only NDCG is defined, with gains 2^label - 1; all else is NaN.

    Args:
        labels: 0 or 1, or grades >= 0, `[R, L]`.
        logits: Log odds of a click, `[R, L]`.
        groups: The user of each list, int `[R]`.
        mask: bool `[R, L]`, False where padded or unlabelled.
        head: bool `[R, L]`, where an item is popular (`head_items(...)[rows]`); its AUC
            and calibration are then given for head and tail items apart.

    Returns:
        Metric name -> value; NaN where it is undefined.

    Raises:
        ValueError: Where shapes differ, a label is negative or a valid entry is NaN.

    Example:
        >>> scores = ranking_summary(
        ...     np.array([[1, 0]]), np.array([[2.0, -2.0]]), np.array([0])
        ... )
        >>> scores["gauc"], scores["ndcg@10"], round(scores["log_loss"], 3)
        (1.0, 1.0, 0.127)
    """
    mask = as_mask(mask, np.shape(logits))
    order = {"ndcg@10": ndcg_at_k(labels, logits, 10, mask=mask).value}
    if np.isin(np.asarray(labels)[mask], (0, 1)).all():
        return {**_of_clicks(labels, logits, groups, mask, head), **order}
    even = np.zeros(np.shape(logits), np.float32)
    undefined = _of_clicks(even, even, groups, mask, head)
    return {**dict.fromkeys(undefined, np.nan), **order}


def _of_clicks(
    labels: np.ndarray,
    logits: np.ndarray,
    groups: np.ndarray,
    mask: np.ndarray,
    head: np.ndarray | None,
) -> dict[str, float]:
    """What only labels of 0 and 1 define."""
    values = {
        "auc": auc(labels, logits, mask=mask),
        "gauc": gauc(labels, logits, groups, mask=mask).value,
        "log_loss": log_loss(labels, logits, mask=mask),
        "calibration": calibration_ratio(labels, logits, mask=mask),
        "ece": reliability(labels, logits, mask=mask).error,
    }
    if head is not None:
        for part, chosen in (("head", mask & head), ("tail", mask & ~head)):
            values[f"auc_{part}"] = auc(labels, logits, mask=chosen)
            values[f"calibration_{part}"] = calibration_ratio(
                labels, logits, mask=chosen
            )
    return values


def retrieval_summary(
    top: np.ndarray,
    relevant: Pairs,
    head: np.ndarray | None = None,
    *,
    cuts: Sequence[int] = (10, 50),
) -> dict[str, float]:
    """Everything about a returned set: Recall at each cut, NDCG@10, head and tail.

    Args:
        top: int `[U, K]` item rows, best first, -1 where padded.
        relevant: The relevant pairs.
        head: bool `[I]` from `head_items`; where given, each metric is also computed
            with only head, and with only tail items being relevant.
        cuts: The k of Recall@k; `(10,)` for the final page of a cascade.

    Returns:
        Metric name -> mean over users; NaN where no user has a relevant item.

    Raises:
        ValueError: Where a cut is above K, or fewer than ten items are returned.

    Example:
        >>> top, relevant = np.arange(10)[None, :], Pairs([0], [0])
        >>> retrieval_summary(top, relevant, cuts=(10,))
        {'ndcg@10': 1.0, 'recall@10': 1.0}
    """
    parts = {"": relevant}
    if head is not None:
        parts["_head"] = relevant.where(head)
        parts["_tail"] = relevant.where(~head)
    values = {}
    for part, pairs in parts.items():
        values[f"ndcg@10{part}"] = retrieval_ndcg(top, pairs, 10).value
        for k in cuts:
            values[f"recall@{k}{part}"] = retrieval_recall(top, pairs, k).value
    return values


def cascade_summary(
    sets: Mapping[str, np.ndarray],
    relevant: Pairs,
    reference: np.ndarray,
    head: np.ndarray,
) -> dict[str, dict[str, float]]:
    """What each stage of a cascade lets through, and shares with the teacher.

    Args:
        sets: `run_cascade`'s result.
        relevant: The relevant pairs.
        reference: The teacher's best over the whole catalogue, `[U, N]`, best first,
            as many as recall returns.
        head: bool `[I]` from `head_items`.

    Returns:
        Stage -> "survival", "survival_head", "survival_tail" (share of relevant pairs
        still there) and "overlap" (share of the teacher's set at the same cut).

    Example:
        >>> relevant = Pairs([0], [3])
        >>> top = np.array([[3, 5]])
        >>> cascade_summary({"recall": top}, relevant, top, np.arange(6) < 2)["recall"][
        ...     "survival_tail"
        ... ]
        1.0
    """
    survivals = {
        "survival": survival(sets, relevant),
        "survival_head": survival(sets, relevant.where(head)),
        "survival_tail": survival(sets, relevant.where(~head)),
    }
    return {
        stage: {
            **{name: shares[stage] for name, shares in survivals.items()},
            "overlap": set_overlap(items, reference).value,
        }
        for stage, items in sets.items()
    }


def agreement_summary(
    student: np.ndarray, teacher: np.ndarray, *, mask: np.ndarray | None = None
) -> dict[str, float]:
    """How closely a student follows its teacher: order, top of the list, logits.

    Args:
        student: Logits `[R, L]`.
        teacher: Logits `[R, L]`.
        mask: bool `[R, L]`, False where padded.

    Returns:
        Metric name -> value; NaN where it is undefined.

    Raises:
        ValueError: Where shapes differ or a valid logit is NaN.

    Example:
        >>> logits = np.array([[2.0, 1.0, 0.0]])
        >>> agreement_summary(logits, logits)["logit_rmse"]
        0.0
    """
    return {
        "spearman": spearman(student, teacher, mask=mask).value,
        "top_overlap@10": top_k_overlap(student, teacher, 10, mask=mask).value,
        "logit_rmse": logit_rmse(student, teacher, mask=mask),
    }
