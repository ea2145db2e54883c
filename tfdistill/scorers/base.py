"""What scores pairs of a user and an item from what is known at a request."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tfdistill.data.interactions import Histories, InteractionLog

__all__ = ["FittedScorer", "PairScorer", "Sum", "blocks", "pair_scores"]

FittedScorer = Callable[[Histories], np.ndarray]
"""Scores of the whole catalogue: b requests -> float32 `[b, I]`."""

_AT_ONCE = 1 << 22
"""So many scores are in memory at once, or those of one request."""


class PairScorer(abc.ABC):
    """A simple model of pairs: fitted on a log up to a cut, called with histories.

    What it learns is in the log that it is fitted on, and what it knows of a user is
    that user's history at the request: nothing of either is later than the request if
    the log was cut before it. It is refitted, not updated, as time goes on.

    Its subclasses are frozen dataclasses of their settings.
    """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Its name, with the settings in which scorers of its class differ."""

    @abc.abstractmethod
    def fit(self, log: InteractionLog) -> FittedScorer:
        """Learns from all that a log holds: give it `log.before(cut)`."""


def blocks(histories: Histories) -> Iterator[tuple[slice, Histories]]:
    """Yields places of requests, and the requests, as many as fit into memory."""
    step = max(1, _AT_ONCE // histories.log.num_items)
    for begin in range(0, len(histories), step):
        rows = slice(begin, begin + step)
        yield rows, histories[rows]


def pair_scores(
    fitted: FittedScorer, histories: Histories, items: np.ndarray
) -> np.ndarray:
    """Returns the scores of given items, float32 `[b, L]`, NaN where padded.

    Args:
        fitted: A fitted scorer.
        histories: Of b requests.
        items: int `[b, L]`, catalogue rows, -1 where padded.

    Example:
        >>> log = InteractionLog([0, 1], [1, 1], [0.1, 0.2], 2, 3)
        >>> def popular(histories):
        ...     return np.tile(log.counts.astype(np.float32), (len(histories), 1))
        >>> pair_scores(popular, log.histories([0], 1.0), np.array([[1, 2, -1]]))
        array([[ 2.,  0., nan]], dtype=float32)
    """
    found = np.full(items.shape, np.nan, np.float32)
    for rows, block in blocks(histories):
        taken = np.take_along_axis(fitted(block), np.maximum(items[rows], 0), axis=1)
        found[rows] = np.where(items[rows] >= 0, taken, np.nan)
    return found


@dataclasses.dataclass(frozen=True)
class Sum(PairScorer):
    """Several scorers as one, added up after each was put on one scale per request.

    `s = sum_m w_m (s^m - mean s^m) / sd s^m` over the catalogue, as `fused_scores` has
    it for teachers of fixed users; with `by_rank` it is `sum_m w_m / (60 + rank^m)`.

    Args:
        scorers: What is added up.
        weights: One weight for each; by default equal ones.
        by_rank: Whether ranks are added instead of scores.

    Example:
        >>> from tfdistill.scorers import Popular, Rated
        >>> log = InteractionLog([0, 1], [1, 1], [0.1, 0.2], 2, 3)
        >>> both = Sum((Popular(), Rated()), weights=(1.0, 2.0))
        >>> both.name, int(both.fit(log)(log.histories([0], [1.0])).argmax())
        ('popular + liked by those who took it', 1)

    Reference:
        Cormack et al., Reciprocal Rank Fusion, SIGIR 2009.
    """

    scorers: tuple[PairScorer, ...]
    weights: tuple[float, ...] | None = None
    by_rank: bool = False

    @property
    def name(self) -> str:
        """The names of its parts."""
        return " + ".join(scorer.name for scorer in self.scorers)

    def fit(self, log: InteractionLog) -> FittedScorer:
        """Fits each."""
        fitted = [scorer.fit(log) for scorer in self.scorers]
        weights = self.weights or (1.0,) * len(fitted)
        if len(weights) != len(fitted):
            raise ValueError(
                f"Sum: {len(fitted)} scorers need as many weights, got {weights}."
            )
        scaled = _reciprocal if self.by_rank else standardised

        def scores(histories: Histories) -> np.ndarray:
            return np.asarray(
                sum(w * scaled(f(histories)) for w, f in zip(weights, fitted)),
                np.float32,
            )

        return scores


def standardised(scores: np.ndarray) -> np.ndarray:
    """Scores `[b, I]` with mean 0 and deviation 1 in each row."""
    spread = scores.std(axis=1, keepdims=True)
    return (scores - scores.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-12)


def ranks(scores: np.ndarray) -> np.ndarray:
    """Places `[b, I]` of scores in their rows, the best 0; of equals the first."""
    order = np.argsort(-scores, axis=1, kind="stable")
    found = np.empty(scores.shape, np.int32)
    np.put_along_axis(found, order, np.arange(scores.shape[1], dtype=np.int32), 1)
    return found


def _reciprocal(scores: np.ndarray) -> np.ndarray:
    return 1.0 / (60.0 + ranks(scores))


def by_name(scorers: Sequence[PairScorer]) -> dict[str, PairScorer]:
    """Scorers by their names.

    Raises:
        ValueError: If there is none or two have one name.
    """
    named = {scorer.name: scorer for scorer in scorers}
    if not named or len(named) != len(scorers):
        raise ValueError(
            "There must be at least one scorer, each of another name, got "
            f"{[scorer.name for scorer in scorers]}."
        )
    return named
