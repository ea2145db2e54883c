"""What the stages of a cascade should keep, where computers round differently."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfdistill.export.catalogue import Catalogue
from tfdistill.export.servable import distance

__all__ = ["Survivors"]

_NEARLY = 1e-4  # scores that differ by less may stand in either order


@dataclasses.dataclass(frozen=True, eq=False)
class Survivors:
    """The items that are surely left after some stages, and those that may be.

    They differ by items whose scores are nearly equal to that of the last one kept.

    Attributes:
        sure: bool `[B, I]`.
        possible: bool `[B, I]`, among them all that are sure.

    Example:
        >>> scores = np.array([[0.1, 0.9, 0.5, 0.5, 0.3]])
        >>> left = Survivors(scores > 0, scores > 0).after(scores, keep=2)
        >>> left.sure[0].nonzero()[0].tolist(), left.possible[0].nonzero()[0].tolist()
        ([1], [1, 2, 3])
    """

    sure: np.ndarray
    possible: np.ndarray

    def after(self, scores: np.ndarray, keep: int) -> Survivors:
        """Returns what a stage leaves.

        Args:
            scores: Its scores, `[B, I]`; only those of possible items count.
            keep: How many items it keeps.
        """
        # It surely stays if it is above the (keep + 1)-th of all that may be there, and
        # may stay if it reaches the keep-th of those that surely are.
        return Survivors(
            self.sure & (scores > _at(keep + 1, scores, self.possible) + _NEARLY),
            self.possible & (scores >= _at(keep, scores, self.sure) - _NEARLY),
        )

    def scores(self, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Scores the possible items.

        Args:
            score: From rows `[B, N]` to scores `[B, N]`.

        Returns:
            `[B, I]`, of other items -inf.
        """
        # Rankers score at most so many columns as the widest user has: the others are
        # padding.
        most = self.possible.sum(axis=1).max()
        rows = np.argsort(~self.possible, axis=1, kind="stable")[:, :most]
        found = np.full(self.possible.shape, -np.inf, np.float32)
        np.put_along_axis(found, rows, score(rows), axis=1)
        return np.where(self.possible, found, -np.inf)

    def best(self, scores: np.ndarray, keep: int) -> np.ndarray:
        """Returns the scores of the best possible items, float32 `[B, keep]`.

        Args:
            scores: Scores `[B, I]`.
            keep: How many; the lowest float stands where there are fewer.
        """
        lowest = np.finfo(np.float32).min
        among = np.where(self.possible, scores, lowest).astype(np.float32)
        if keep < among.shape[1]:
            among = -np.partition(-among, keep, axis=1)[:, :keep]
        return -np.sort(-among, axis=1)

    def distance(
        self,
        answer: Mapping[str, np.ndarray],
        catalogue: Catalogue,
        scores: np.ndarray,
        size: int,
    ) -> float:
        """Distance of a page from these survivors and their scores.

        Args:
            answer: `ids [B, k]`, `scores [B, k]` and perhaps `mask [B, k]`.
            catalogue: Whose ids they are.
            scores: Scores of the last stage, `[B, I]`.
            size: How many items a page has if there are so many.

        Returns:
            The largest absolute difference of a score; infinite if an item can't be on
            the page, one is missing or twice there, or the order is another.
        """
        rows = catalogue.rows(tf.constant(answer["ids"], catalogue.dtype)).numpy()
        mask = rows >= 0
        times = np.zeros(scores.shape, np.int8)
        np.add.at(times, (mask.nonzero()[0], rows[mask]), 1)
        wrong = (times > self.possible) | (times < self.sure)
        left = np.minimum(self.possible.sum(axis=1), size)
        if (
            wrong.any()
            or (mask.sum(axis=1) != left).any()
            or (answer.get("mask", mask) != mask).any()
            or (np.diff(answer["scores"], axis=1) > 0).any()
        ):
            return float("inf")
        expected = np.take_along_axis(scores, np.maximum(rows, 0), axis=1)
        return distance(answer["scores"][mask], expected[mask].astype(np.float32))


def _at(place: int, scores: np.ndarray, among: np.ndarray) -> np.ndarray | float:
    """Score `[B, 1]` of the item at a place from 1, -inf where there are fewer."""
    if place > scores.shape[1]:
        return -np.inf
    scores = np.where(among, scores, -np.inf)
    return np.partition(scores, -place, axis=1)[:, [-place]]
