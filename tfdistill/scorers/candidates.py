"""Lists of candidates for a powerful ranker: the tops of several scorers, together."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfdistill.data.interactions import Histories, InteractionLog
from tfdistill.data.requests import Requests
from tfdistill.data.states import Asked, taken_among, users_at
from tfdistill.metrics.retrieval import hits
from tfdistill.scorers.base import ranks
from tfdistill.scorers.features import PairFeatures
from tfdistill.study.evaluators import ListEvaluator

__all__ = ["Candidates"]


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """The items that a powerful teacher ranks: each at its best place in any list.

    Items that the user has taken are left out. On MovieLens-100K 300 of 1,682 items
    hold .86 of what users go on to like.

    Args:
        features: The features of pairs, whose scorers give the lists.
        by: Names of the scorers whose lists count; all by default.
        size: How many candidates.

    Raises:
        ValueError: If a name is no scorer's.

    Example:
        >>> from tfdistill.scorers import Popular
        >>> log = InteractionLog([0, 1, 1], [1, 1, 2], [0.1, 0.2, 0.3], 2, 4)
        >>> candidates = Candidates(PairFeatures(log, [Popular()], cuts=[1.0]), size=3)
        >>> candidates.of(log.histories([0], 1.0)).tolist()
        [[2, 0, 3]]
    """

    features: PairFeatures
    by: tuple[str, ...] = ()
    size: int = 300

    def __post_init__(self) -> None:
        names = [scorer.name for scorer in self.features.scorers]
        unknown = sorted(set(self.by) - set(names))
        if unknown or self.size < 1:
            raise ValueError(
                f"Candidates: `by` must name scorers of {names} and `size` be at least "
                f"1, got {unknown or list(self.by)} and {self.size}."
            )

    def of(self, histories: Histories) -> np.ndarray:
        """Returns the candidates, int32 `[b, size]`, best first, -1 where padded."""
        found = np.full((len(histories), self.size), -1, np.int32)
        for rows, block, fitted in self.features.asked(histories):
            scores, seen = (fitted[n](block) for n in self.by or fitted), block.seen
            places = [ranks(np.where(seen, -np.inf, s)) for s in scores]
            best = np.min(places, axis=0)
            best[seen] = seen.shape[1]
            order = np.argsort(best, axis=1, kind="stable")[:, : self.size]
            left = np.take_along_axis(~seen, order, axis=1)
            found[rows, : order.shape[1]] = np.where(left, order, -1)
        return found

    def judged(self, evaluator: ListEvaluator) -> Requests:
        """Returns an evaluator's requests, one for each user, with these candidates.

        The labels say which are relevant to the evaluator.

        Raises:
            ValueError: If the evaluator has no catalogue.
        """
        evaluator = evaluator.over_catalogue("A list of candidates")
        asked = evaluator.requests.select(evaluator.first)
        items = self.of(self.features.log.of(asked))
        items[hits(items, evaluator.seen)] = -1
        labels = hits(items, evaluator.relevant).astype(np.float32)
        listed = Requests(
            asked.users,
            asked.items,
            items,
            labels,
            asked.group,
            clock=asked.clock,
            time=asked.time,
        )
        return dataclasses.replace(listed, pair_features=self.features.of(listed))

    def requests(
        self,
        asked: Asked,
        known: Requests,
        *,
        shown: bool = False,
        history: str = "history",
    ) -> Requests:
        """Returns requests with these candidates, their labels and pair features.

        A user's features are those of its first request in `known`, but for the
        history, which is that of the log when the user asks.

        Args:
            asked: Who asks.
            known: Requests of all these users, over the catalogue.
            shown: Whether what users took until the end, liked or not, joins the list:
                for training only, as it says what is to come.
            history: Name of the user feature that holds the last items.

        Raises:
            ValueError: If a user has no request in `known`.
        """
        log = self.features.log
        histories = log.histories(asked.user, asked.clock)
        items = self.of(histories)
        if shown:
            items = np.concatenate([items, _others(log, asked, items)], axis=1)
        kept = (items >= 0).any(axis=0)
        items = items[:, : len(kept) - int(kept[::-1].argmax())]
        return Requests(
            users_at(known, histories, history),
            known.items,
            items,
            labels=taken_among(log.positives, asked, items).astype(np.float32),
            group=asked.user,
            clock=asked.clock,
            pair_features=self.features.at(histories, items),
        )


def _others(log: InteractionLog, asked: Asked, items: np.ndarray) -> np.ndarray:
    """What each user takes while it is relevant and is not listed, -1 padded."""
    later = log.histories(asked.user, asked.until)
    before = log.histories(asked.user, asked.clock)
    size = later.sizes - before.sizes
    width = int(size.max(initial=0))
    newest = later.newest(width)
    fresh = np.arange(width) < size[:, np.newaxis]
    listed = np.zeros((len(items), log.num_items + 1), bool)
    np.put_along_axis(listed, items, True, axis=1)  # -1 is the column too many
    known = np.take_along_axis(listed, newest, axis=1)
    again = np.array([_repeated(row) for row in newest]).reshape(newest.shape)
    return np.where(fresh & ~known & ~again, newest, -1).astype(np.int32)


def _repeated(row: np.ndarray) -> np.ndarray:
    """Which values of a row were in it before."""
    found = np.ones(len(row), bool)
    found[np.unique(row, return_index=True)[1]] = False
    return found
