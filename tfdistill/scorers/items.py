"""Scorers by what items have to do with each other: EASE, transitions, similarity."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from scipy import sparse

from tfdistill.data.interactions import Histories, InteractionLog
from tfdistill.pairs import Pairs
from tfdistill.scorers.base import FittedScorer, PairScorer
from tfdistill.teachers.ease import Ease

__all__ = ["EaseScorer", "RatingEase", "SimilarItems", "Transitions"]


@dataclasses.dataclass(frozen=True)
class EaseScorer(PairScorer):
    """EASE of a user's history; with `memory` its newest items count most.

    `s = w B`, B of `tfdistill.teachers.Ease` and w the history's weights, 1 or
    `exp(-place / memory)`. Over all rated items it learns what is watched next, over
    the positives what is liked.

    Args:
        l2: Ridge penalty.
        memory: Places over which an item's weight falls by e; None for ones.
        positives: Whether only positives are learned from and asked with.

    Example:
        >>> log = InteractionLog([0, 0, 1], [0, 1, 1], [0.1, 0.2, 0.3], 2, 3)
        >>> fitted = EaseScorer(l2=1.0, memory=10.0).fit(log)
        >>> fitted(log.histories([1], [1.0]))[0, 0].round(2)
        0.33

    Reference:
        Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019,
        arXiv:1905.03375.
    """

    l2: float = 500.0
    memory: float | None = None
    positives: bool = True

    @property
    def name(self) -> str:
        """For example `"EASE of positives, l2 500"`."""
        of = "positives" if self.positives else "all"
        recent = "" if self.memory is None else f", memory {self.memory:g}"
        return f"EASE of {of}, l2 {self.l2:g}{recent}"

    def fit(self, log: InteractionLog) -> FittedScorer:
        """One inverse of min(U, I) rows; siblings with one log and penalty share it."""
        ease = _ease(log.positives if self.positives else log, self.l2)

        def scores(histories: Histories) -> np.ndarray:
            asked = histories.positives if self.positives else histories
            return ease.answer(asked.weights(self.memory))

        return scores


@functools.lru_cache(maxsize=4)
def _ease(log: InteractionLog, l2: float) -> Ease:
    return Ease(log.pairs, log.num_users, l2=l2)


@dataclasses.dataclass(frozen=True)
class RatingEase(PairScorer):
    """EASE of how much a user likes an item, beyond what that user gives on average.

    `s = w B` with B fitted on the values about each user's mean, and w the user's own
    values about their mean. Alone it is far below `EaseScorer`, which tells what is
    watched; beside it, it tells what is liked.

    Args:
        l2: Ridge penalty.

    Example:
        >>> log = InteractionLog(
        ...     [0, 0, 1, 1], [0, 1, 1, 2], [0.1] * 4, 2, 3, value=[5, 1, 1, 5])
        >>> scores = RatingEase(l2=1.0).fit(log)(log.histories([0], [1.0]))
        >>> scores[0].round(1)
        array([ 1.4, -1.6,  0.3], dtype=float32)
    """

    l2: float = 100.0

    @property
    def name(self) -> str:
        """For example `"EASE of ratings, l2 100"`."""
        return f"EASE of ratings, l2 {self.l2:g}"

    def fit(self, log: InteractionLog) -> FittedScorer:
        """One inverse of min(U, I) rows."""
        matrix = log.histories(np.arange(log.num_users), np.inf).opinions().tocoo()
        pairs = Pairs(matrix.row, matrix.col, log.num_items)
        ease = Ease(pairs, log.num_users, l2=self.l2, values=matrix.data)
        return lambda histories: ease.answer(histories.opinions())


@dataclasses.dataclass(frozen=True)
class Transitions(PairScorer):
    """What others liked soon after what the user took last.

    `T_ij = sum exp(-lag / decay)` over all users' histories in which j, a positive, is
    `lag` = 1 .. `lags` places after i; `s = w T'` with
    `T'_ij = T_ij / ((n_i + 10)^.7 (T_.j + 10)^.4)`, n_i the interactions of i, and
    `w = exp(-place / memory)`. On MovieLens-100K it is the feature that adds most to
    EASE: its direction in time is what EASE can't see.

    Args:
        memory: Places over which the weight of what the user took falls by e.
        decay: Lags over which a transition's weight falls by e.
        lags: The longest lag.

    Example:
        >>> log = InteractionLog([0, 0, 1], [0, 1, 0], [0.1, 0.2, 0.3], 2, 3)
        >>> scores = Transitions(lags=1).fit(log)(log.histories([1], [1.0]))
        >>> scores[0].argmax()
        1
    """

    memory: float = 10.0
    decay: float = 10.0
    lags: int = 20

    @property
    def name(self) -> str:
        """For example `"transitions, memory 10, decay 10"`."""
        return f"transitions, memory {self.memory:g}, decay {self.decay:g}"

    def fit(self, log: InteractionLog) -> FittedScorer:
        """Counts, lag by lag."""
        followed = _followed(log, self.decay, self.lags)
        into = np.asarray(followed.sum(axis=0)).ravel()
        common = sparse.diags((log.counts + 10.0) ** -0.7) @ followed
        table = (common @ sparse.diags((into + 10.0) ** -0.4)).tocsr()
        table = table.astype(np.float32)

        def scores(histories: Histories) -> np.ndarray:
            return np.asarray((histories.weights(self.memory) @ table).toarray())

        return scores


@functools.lru_cache(maxsize=4)
def _followed(log: InteractionLog, decay: float, lags: int) -> sparse.csr_matrix:
    """The table T `[I, I]`."""
    positive = log.value >= log.positive_from
    total = sparse.csr_matrix((log.num_items, log.num_items))
    for lag in range(1, lags + 1):
        kept = (log.user[lag:] == log.user[:-lag]) & positive[lag:]
        pairs = log.item[:-lag][kept], log.item[lag:][kept]
        weight = np.full(len(pairs[0]), np.exp(-lag / decay))
        total = total + sparse.csr_matrix((weight, pairs), total.shape)
    return total


@dataclasses.dataclass(frozen=True)
class SimilarItems(PairScorer):
    """Cosine of the items' users to the last items of the user.

    `s_j = sum_i w_i |U_i and U_j| / sqrt(|U_i| |U_j|)`, U the users with the item among
    their positives, `w = exp(-place / size)` over the last `size` items.

    Args:
        size: How many of the last items count.

    Example:
        >>> log = InteractionLog([0, 0, 1], [0, 1, 0], [0.1, 0.2, 0.3], 2, 3)
        >>> SimilarItems(1).fit(log)(log.histories([1], [1.0])).round(2)
        array([[1.  , 0.71, 0.  ]], dtype=float32)

    Reference:
        Sarwar et al., Item-based Collaborative Filtering, WWW 2001.
    """

    size: int = 1

    @property
    def name(self) -> str:
        """For example `"like the last 1"`."""
        return f"like the last {self.size}"

    def fit(self, log: InteractionLog) -> FittedScorer:
        """One sparse product."""
        taken = log.positives.matrix()
        norm = np.sqrt(np.maximum(log.positives.matrix().sum(axis=0).A1, 1.0))
        unit = (taken @ sparse.diags(1.0 / norm)).astype(np.float32)
        cosine = (unit.T @ unit).tocsr()

        def scores(histories: Histories) -> np.ndarray:
            asked = histories.weights(float(self.size), self.size)
            return np.asarray((asked @ cosine).toarray())

        return scores
