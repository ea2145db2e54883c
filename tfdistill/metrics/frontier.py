"""Sizes of a cascade's stages against quality and cost of a request."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfdistill.metrics.cascade import CandidateScores, Reranker, run_cascade

_USERS = 256  # per call of a stage's scorer

Sizes = tuple[int, ...]
"""How many items recall and each stage after it keep; the last one is the page."""

Price = Literal["mflops", "p50_ms"]
"""What of a `RequestCost` counts."""


@dataclass(frozen=True)
class RequestCost:
    """What serving one request costs.

    Attributes:
        mflops: Million floating-point operations.
        p50_ms: Median latency in milliseconds.
    """

    mflops: float
    p50_ms: float


@dataclass(frozen=True)
class FunnelPoint:
    """One choice of sizes.

    Attributes:
        sizes: What each stage keeps, recall first, the page last.
        quality: Quality of the page.
        cost: Cost of a request.
    """

    sizes: Sizes
    quality: float
    cost: RequestCost


def size_grid(*sizes: Sequence[int]) -> list[Sizes]:
    """Every combination of sizes in which no stage keeps more than it gets.

    Args:
        *sizes: For recall and each stage after it, the numbers to try.

    Returns:
        The combinations.

    Example:
        >>> size_grid([50, 200], [100], [10])
        [(200, 100, 10)]
    """
    every = itertools.product(*sizes)
    return [kept for kept in every if list(kept) == sorted(kept, reverse=True)]


def sweep(
    recalled: np.ndarray,
    stages: Mapping[str, CandidateScores],
    sizes: Sequence[Sizes],
    *,
    quality: Callable[[np.ndarray], float],
    cost: Callable[[Sizes], RequestCost],
) -> list[FunnelPoint]:
    """Judges a cascade at each of some sizes.

    Every stage scores recall's widest set once; a narrower cascade looks its scores up.

    Args:
        recalled: int32 `[U, N]`, recall's items, best first, -1 padded.
        stages: The scorers after recall, in order, by name; if empty, recall's order is
            the page.
        sizes: What recall and each stage keep: `size_grid`. Recall keeps at most N.
        quality: Pages `[U, page]`, best first, -1 padded -> quality, more is better.
        cost: Sizes -> cost of a request.

    Returns:
        A point for each of the sizes.

    Raises:
        ValueError: If not every stage has a size, or one would keep more than it gets.

    Example:
        >>> points = sweep(
        ...     np.array([[7, 3, 5]], np.int32),
        ...     {"fine": lambda rows, items: -items.astype(float)},
        ...     size_grid([1, 2], [1]),
        ...     quality=lambda page: float((page == 3).mean()),
        ...     cost=lambda kept: RequestCost(mflops=kept[0], p50_ms=1.0),
        ... )
        >>> [(point.sizes, point.quality) for point in points]
        [((1, 1), 0.0), ((2, 1), 1.0)]
    """
    width = recalled.shape[1]
    for kept in sizes:
        if len(kept) != 1 + len(stages) or kept[0] > width:
            raise ValueError(
                f"`sizes` must say what recall keeps, of its {width} items, and each "
                f"stage of {list(stages)}, got {kept}."
            )
    # Places instead of items: each stage's scores are computed once for all recalled
    # items, and every funnel only looks them up.
    places = np.where(recalled >= 0, np.arange(width, dtype=np.int32), -1)
    scorers = {name: _remembered(recalled, score) for name, score in stages.items()}
    points = []
    for kept in sizes:
        rerankers = [Reranker(n, scorers[n], k) for n, k in zip(scorers, kept[1:])]
        last = list(run_cascade(places[:, : kept[0]], rerankers).values())[-1]
        page = np.take_along_axis(recalled, np.maximum(last, 0), axis=1)
        page = np.where(last >= 0, page, -1)
        points.append(FunnelPoint(kept, quality(page), cost(kept)))
    return points


def pareto(points: Sequence[FunnelPoint], by: Price) -> list[FunnelPoint]:
    """The points that no other one beats in quality at the same or less cost.

    Args:
        points: Such as `sweep`'s.
        by: What of the cost counts.

    Returns:
        The Pareto frontier, the cheapest first.

    Example:
        >>> points = [
        ...     FunnelPoint((n, 10), quality, RequestCost(mflops, 1.0))
        ...     for n, quality, mflops in ((50, 0.2, 1.0), (80, 0.1, 2.0))
        ... ]
        >>> [point.sizes for point in pareto(points, "mflops")]
        [(50, 10)]
    """
    left: list[FunnelPoint] = []
    for point in sorted(points, key=lambda p: (getattr(p.cost, by), -p.quality)):
        if not left or point.quality > left[-1].quality:
            left.append(point)
    return left


def cheapest(
    points: Sequence[FunnelPoint], quality: float, by: Price
) -> FunnelPoint | None:
    """The cheapest point of at least this quality, None if there is none.

    Args:
        points: Such as `sweep`'s.
        quality: What must be reached, such as another cascade's.
        by: What of the cost counts.

    Example:
        >>> point = FunnelPoint((50, 10), 0.2, RequestCost(mflops=1.0, p50_ms=1.0))
        >>> cheapest([point], 0.2, "mflops") is point
        True
    """
    enough = [point for point in points if point.quality >= quality]
    return min(enough, key=lambda point: getattr(point.cost, by), default=None)


def _remembered(recalled: np.ndarray, score: CandidateScores) -> CandidateScores:
    """The scores of recall's items, computed once, by their places in its lists."""
    starts = range(0, len(recalled), _USERS)
    blocks = [np.arange(s, min(s + _USERS, len(recalled))) for s in starts]
    scores = np.concatenate([score(rows, recalled[rows]) for rows in blocks])
    return lambda rows, places: np.take_along_axis(
        scores[rows], np.maximum(places, 0), 1
    )
