"""Scores of pairs as features, out of fold: nothing later than a request is in."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from tfdistill.data.interactions import Histories, InteractionLog, known_from
from tfdistill.data.requests import Requests
from tfdistill.identity import fingerprint
from tfdistill.scorers.base import (
    FittedScorer,
    PairScorer,
    blocks,
    by_name,
    ranks,
    standardised,
)
from tfdistill.spec import Feature

__all__ = ["PairFeatures", "rolling_cuts"]


def rolling_cuts(windows: int = 3, width: float = 0.125) -> tuple[float, ...]:
    """Returns the cuts at which scorers are fitted anew: training windows, valid, test.

    Training's last `windows` windows of `width` each, then 1.0, where validation
    begins, and 2.0, where test does.

    Args:
        windows: How many windows of the training part teach.
        width: Width of each on the clock: a share of the training part.

    Example:
        >>> rolling_cuts()
        (0.625, 0.75, 0.875, 1.0, 2.0)
    """
    if windows < 1 or not 0 < windows * width < 1:
        raise ValueError(
            f"{windows} windows of {width} must leave a part of training before them."
        )
    return (*(1.0 - width * np.arange(windows, 0, -1)).tolist(), 1.0, 2.0)


@dataclasses.dataclass(frozen=True, eq=False)
class PairFeatures:
    """Features of (request, item) pairs from scorers that know only what came before.

    For a request at clock c each scorer is fitted on the log before the largest cut
    that is not above c, and asked with the user's history before c. Training requests
    are out of fold that way: no scorer has learned from what it is asked about. A
    request before the first cut has no features.

    Each scorer gives two features, under which a scorer's scale, which changes with the
    size of the log, means nothing: `<name>`, its score standardised over the catalogue,
    and `<name>, rank`, `log(1 + place)` among the items that the user has not taken.

    Args:
        log: All interactions, those after the requests included: they are never read.
        scorers: What scores.
        cuts: Where the scorers are fitted anew, ascending.

    Raises:
        ValueError: If there is no scorer, two have one name, or the cuts don't rise.

    Example:
        >>> from tfdistill.scorers import Popular
        >>> log = InteractionLog([0, 0, 1], [0, 1, 1], [0.1, 0.2, 0.3], 2, 3)
        >>> features = PairFeatures(log, [Popular()], cuts=[0.25])
        >>> found = features.at(log.histories([1], [0.3]), np.array([[0, 2]]))
        >>> found["popular"].round(2), found["popular, rank"].round(2)
        (array([[ 0.71, -1.41]], dtype=float32), array([[0. , 1.1]], dtype=float32))
    """

    log: InteractionLog
    scorers: Sequence[PairScorer]
    cuts: Sequence[float] = rolling_cuts()

    def __post_init__(self) -> None:
        by_name(self.scorers)
        if not len(self.cuts) or (np.diff(self.cuts) <= 0).any():
            raise ValueError(f"`cuts` must rise, got {list(self.cuts)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(n for s in self.scorers for n in (s.name, f"{s.name}, rank"))

    @property
    def spec(self) -> tuple[Feature, ...]:
        """The features as a `FeatureSpec` has them: of pairs, and for teachers only."""
        return tuple(
            Feature(name, "numeric", "pair", privileged=True) for name in self.names
        )

    @property
    def fingerprint(self) -> str:
        """Changes with whatever decides the features."""
        return fingerprint([self.log.fingerprint, self.scorers, list(self.cuts)])

    def covers(self, requests: Requests) -> np.ndarray:
        """Tells which requests come after the first cut, bool `[R]`."""
        return np.asarray(known_from(requests) >= self.cuts[0])

    def fitted(self, cut: float) -> dict[str, FittedScorer]:
        """Returns the scorers as they are fitted at a cut; they are kept."""
        return self._fitted(cut)

    @functools.cached_property
    def _fitted(self) -> Callable[[float], dict[str, FittedScorer]]:
        def fit(cut: float) -> dict[str, FittedScorer]:
            known = self.log.before(cut)
            return {scorer.name: scorer.fit(known) for scorer in self.scorers}

        return functools.lru_cache(maxsize=None)(fit)

    def cut_of(self, clock: np.ndarray) -> np.ndarray:
        """Returns the cut that holds at each clock, `[b]`.

        Raises:
            ValueError: If one is before the first cut.
        """
        if len(clock) and clock.min() < self.cuts[0]:
            raise ValueError(
                f"A request at clock {clock.min():g} comes before the first cut, "
                f"{self.cuts[0]:g}: no scorer knows anything yet. Leave such requests "
                "out (`requests.select(features.covers(requests))`), or add a cut."
            )
        return np.asarray(self.cuts)[np.searchsorted(self.cuts, clock, "right") - 1]

    def asked(
        self, histories: Histories
    ) -> Iterator[tuple[np.ndarray, Histories, dict[str, FittedScorer]]]:
        """Yields rows of requests, what they know, and the scorers of their cut.

        Args:
            histories: What b requests know, of `log`; as many come at once as fit into
                memory.
        """
        cuts = self.cut_of(histories.clock)
        for cut in np.unique(cuts):
            rows, fitted = np.flatnonzero(cuts == cut), self.fitted(cut)
            for places, block in blocks(histories[rows]):
                yield rows[places], block, fitted

    def at(self, histories: Histories, items: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the features of items `[b, L]` at requests, float32 `[b, L]` each.

        Args:
            histories: What b requests know, of `log`.
            items: int `[b, L]`, catalogue rows; where padded (-1) a feature is 0.
        """
        found = {n: np.zeros(items.shape, np.float32) for n in self.names}
        for rows, block, fitted in self.asked(histories):
            for name, values in _features(fitted, block, items[rows]):
                found[name][rows] = values
        return found

    def of(self, requests: Requests) -> dict[str, np.ndarray]:
        """Returns the features of the requests' candidates, float32 `[R, L]` each."""
        return self.at(self.log.of(requests), requests.candidates)

    def join(self, requests: Requests) -> Requests:
        """Returns the same requests with these pair features, of any item.

        Those of the listed candidates are there, those of drawn items and of the whole
        catalogue are computed when they are asked for.

        Args:
            requests: Requests from the first cut on: `requests.select(features.covers(
                requests))` leaves the others out.
        """
        return dataclasses.replace(
            requests,
            pair_features={**requests.pair_features, **self.of(requests)},
            pair_sources={**requests.pair_sources, **self.sources(requests)},
        )

    def sources(
        self, requests: Requests
    ) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
        """Returns each feature as a function of requests and any items.

        Args:
            requests: The requests, by whose rows `[b]` the functions are asked, with
                items `[b, N]`.
        """
        histories = self.log.of(requests)

        @functools.lru_cache(maxsize=2)
        def all_at(rows: bytes, items: bytes, width: int) -> dict[str, np.ndarray]:
            which = np.frombuffer(rows, np.int64)
            wanted = np.frombuffer(items, np.int64).reshape(len(which), width)
            return self.at(histories[which], wanted)

        def source(name: str, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
            which, wanted = (np.asarray(a, np.int64) for a in (rows, items))
            key = which.tobytes(), wanted.tobytes(), wanted.shape[1]
            return all_at(*key)[name]

        return {name: functools.partial(source, name) for name in self.names}


def _features(
    fitted: Mapping[str, FittedScorer], histories: Histories, items: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """Every feature `[b, L]` of a block of requests, by name."""
    taken, padded, seen = np.maximum(items, 0), items < 0, histories.seen
    found = []
    for name, scorer in fitted.items():
        scores = scorer(histories)
        places = ranks(np.where(seen, -np.inf, scores))
        for named, values in (
            (name, standardised(scores)),
            (f"{name}, rank", np.log1p(places)),
        ):
            listed = np.take_along_axis(values, taken, axis=1)
            found.append((named, np.where(padded, 0.0, listed)))
    return found
