"""Several recall teachers as one, by their ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfdistill.metrics.retrieval import BlockScores

__all__ = ["fused_ranks"]


def fused_ranks(
    teachers: Sequence[BlockScores],
    weights: Sequence[float] | None = None,
    *,
    smoothing: float = 20.0,
) -> BlockScores:
    """Fuses teachers whose scores have nothing in common but their order.

    `s_ui = sum_m w_m / (smoothing + rank_m(i))`, reciprocal rank fusion over the whole
    catalogue. A linear item model is sure at the head of the list and blind further
    down; a graph or factor model orders the whole catalogue. The fusion has both.

    Args:
        teachers: Functions of user rows `[b]` to scores `[b, I]`.
        weights: One weight > 0 for each; by default equal ones.
        smoothing: How little the first ranks stand out, above 0.

    Returns:
        A function of user rows to fused scores, float32 `[b, I]`.

    Raises:
        ValueError: If there is no teacher, a weight is missing, or a number is not
            above 0.

    Example:
        >>> one, other = np.array([[3.0, 2.0, 1.0]]), np.array([[1.0, 3.0, 2.0]])
        >>> fused = fused_ranks([lambda r: one[r], lambda r: other[r]], smoothing=1.0)
        >>> fused(np.array([0])).argmax()
        1

    Reference:
        Cormack et al., Reciprocal rank fusion outperforms Condorcet and individual rank
        learning methods, SIGIR 2009.
    """
    shares = [1.0] * len(teachers) if weights is None else list(weights)
    if not teachers or len(shares) != len(teachers) or min(*shares, smoothing) <= 0:
        raise ValueError(
            "fused_ranks takes at least one teacher, a weight above 0 for each, and a "
            f"smoothing above 0; received {len(teachers)} teachers, the weights "
            f"{shares} and smoothing={smoothing}."
        )

    def fused(rows: np.ndarray) -> np.ndarray:
        scores = [teacher(rows) for teacher in teachers]
        total = np.zeros(scores[0].shape, np.float32)
        for values, share in zip(scores, shares):
            order = np.argsort(-values, axis=1, kind="stable")
            ranks = np.empty_like(order)
            places = np.arange(1, order.shape[1] + 1)
            np.put_along_axis(ranks, order, places[np.newaxis], axis=1)
            total += share / (smoothing + ranks)
        return total

    return fused
