"""Scorers by what items and users are like: popularity, groups of users, content."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse

from tfdistill.data.interactions import Histories, InteractionLog
from tfdistill.scorers.base import FittedScorer, PairScorer

__all__ = ["ContentTaste", "GroupTaste", "Popular", "Rated"]


@dataclasses.dataclass(frozen=True)
class Popular(PairScorer):
    """The most popular items, in the time before the request.

    `s_j = log(1 + sum exp(-(t - t_n) / (memory T)))` over the interactions n with j up
    to the request's time t, T the time from the first to the last of the log; or
    `log(1 + n_j)` without a memory or without times.

    Args:
        memory: Share of T over which an interaction's weight falls by e; None for all
            alike.

    Example:
        >>> log = InteractionLog([0, 1], [0, 1], [0.1, 0.2], 2, 3, time=[0, 864000])
        >>> Popular(memory=1.0).fit(log)(log.histories([1], [1.0])).round(2)
        array([[0.31, 0.69, 0.  ]], dtype=float32)
    """

    memory: float | None = None

    @property
    def name(self) -> str:
        """For example `"popular, memory 0.1"`."""
        return "popular" if self.memory is None else f"popular, memory {self.memory:g}"

    def fit(self, log: InteractionLog) -> FittedScorer:
        """Counts now, or with a memory for each request, in order of time."""
        total = np.log1p(log.counts).astype(np.float32)
        if self.memory is None or log.time is None or not len(log):
            return lambda histories: np.tile(total, (len(histories), 1))
        order = np.argsort(log.time, kind="stable")
        item, time = log.item[order], log.time[order]
        memory = self.memory * max(time[-1] - time[0], 1e-9)
        return lambda histories: np.log1p(
            _decayed(item, time, log.num_items, histories.moments, memory)
        ).astype(np.float32)


def _decayed(
    item: np.ndarray, time: np.ndarray, size: int, moments: np.ndarray, memory: float
) -> np.ndarray:
    """Weighted counts `[b, I]` of the interactions up to each moment."""
    found = np.zeros((len(moments), size))
    state, now, done = np.zeros(size), -np.inf, 0
    for row in np.argsort(moments, kind="stable"):
        end = int(np.searchsorted(time, moments[row], side="right"))
        state = state * np.exp((now - moments[row]) / memory) if done else state
        fresh = np.exp((time[done:end] - moments[row]) / memory)
        state = state + np.bincount(item[done:end], fresh, minlength=size)
        now, done, found[row] = moments[row], end, state
    return found


@dataclasses.dataclass(frozen=True)
class Rated(PairScorer):
    """How well those who took an item liked it: the share of positives, smoothed.

    `s_j = (p_j + 3) / (n_j + 6)`, p_j the positives among its n_j interactions.

    Example:
        >>> log = InteractionLog(
        ...     [0, 1], [0, 1], [0.1, 0.2], 2, 3, value=[5, 1], positive_from=4)
        >>> Rated().fit(log)(log.histories([1], [1.0])).round(2)
        array([[0.57, 0.43, 0.5 ]], dtype=float32)
    """

    @property
    def name(self) -> str:
        """`"liked by those who took it"`."""
        return "liked by those who took it"

    def fit(self, log: InteractionLog) -> FittedScorer:
        """Counts."""
        share = (log.positives.counts + 3.0) / (log.counts + 6.0)
        return lambda histories: np.tile(share.astype(np.float32), (len(histories), 1))


@dataclasses.dataclass(frozen=True, eq=False)
class GroupTaste(PairScorer):
    """How much more often the user's group takes an item than all do.

    `s_gj = log(P(j | g) / P(j))` of positives, P(j | g) smoothed with 5 draws of P(j).

    Args:
        label: What the groups are, such as `"age"`.
        groups: int `[U]`, each user's group, from 0.

    Example:
        >>> log = InteractionLog([0, 1], [0, 1], [0.1, 0.2], 3, 2)
        >>> fitted = GroupTaste("age", np.array([0, 1, 0])).fit(log)
        >>> fitted(log.histories([2], [1.0])).round(2)
        array([[ 0.15, -0.18]], dtype=float32)
    """

    label: str
    groups: np.ndarray

    @property
    def name(self) -> str:
        """For example `"taste of the group, age"`."""
        return f"taste of the group, {self.label}"

    def fit(self, log: InteractionLog) -> FittedScorer:
        """Counts."""
        liked = log.positives
        counts = np.zeros((int(self.groups.max()) + 1, log.num_items))
        np.add.at(counts, (self.groups[liked.user], liked.item), 1.0)
        share = (counts.sum(axis=0) + 1e-3) / (len(liked) + 1e-3 * log.num_items)
        own = (counts + 5.0 * share) / (counts.sum(axis=1, keepdims=True) + 5.0)
        table = np.log(own / share).astype(np.float32)
        return lambda histories: table[self.groups[histories.user]]


@dataclasses.dataclass(frozen=True, eq=False)
class ContentTaste(PairScorer):
    """How much an item is like what the user takes beyond what all do.

    `s_uj = f_j . (w_u F / |w_u F| - base)`, F the items' features, f_j those of item j,
    w the weights of the history and base the features of all positives.

    Args:
        label: What the features are, such as `"genres"`.
        features: float `[I, G]`, >= 0: values that an item has, such as genres.
        memory: Places over which a taken item's weight falls by e; None for ones.
        positives: Whether only positives tell what a user likes.

    Example:
        >>> log = InteractionLog([0, 0, 1], [0, 1, 2], [0.1, 0.2, 0.2], 2, 3)
        >>> kinds = np.array([[1, 0], [1, 0], [0, 1]])
        >>> fitted = ContentTaste("kind", kinds).fit(log)
        >>> fitted(log.histories([0], [1.0])).round(2)
        array([[ 0.33,  0.33, -0.33]], dtype=float32)
    """

    label: str
    features: np.ndarray
    memory: float | None = None
    positives: bool = False

    @property
    def name(self) -> str:
        """For example `"taste of genres, memory 10"`."""
        recent = "" if self.memory is None else f", memory {self.memory:g}"
        liked = ", positives" if self.positives else ""
        return f"taste of {self.label}{recent}{liked}"

    def fit(self, log: InteractionLog) -> FittedScorer:
        """Counts."""
        size = np.maximum(self.features.sum(axis=1, keepdims=True), 1e-9)
        unit = sparse.csr_matrix(self.features / size, dtype=np.float32)
        common = unit.T @ log.positives.counts
        base = (common / max(common.sum(), 1e-9)).astype(np.float32)

        def scores(histories: Histories) -> np.ndarray:
            asked = histories.positives if self.positives else histories
            profile = (asked.weights(self.memory) @ unit).toarray()
            mass = profile.sum(axis=1, keepdims=True)
            own = profile / np.maximum(mass, 1e-9) - np.where(mass > 0, base, 0.0)
            return np.asarray((unit @ own.T).T, np.float32)

        return scores
