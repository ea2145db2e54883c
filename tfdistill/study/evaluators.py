"""Judges trained nets on one part of the data, for choices and for reports."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.pair_features import PairSource
from tfdistill.data.requests import Requests
from tfdistill.identity import described
from tfdistill.metrics import (
    Reliability,
    dot_scores,
    ranking_summary,
    reliability,
    retrieval_summary,
    top_k,
)
from tfdistill.pairs import Pairs

__all__ = [
    "RECALL_CUT",
    "CatalogueEvaluator",
    "DotRanker",
    "ListEvaluator",
    "Ranker",
    "Recaller",
]

RECALL_CUT = 50
"""The deepest cut of recall's metrics."""

_Evaluator = TypeVar("_Evaluator", bound="ListEvaluator")

_PAIRS_AT_ONCE = 20_000  # bounds the memory when a ranker scores a whole catalogue


class Ranker:
    """A ranker's logits for the requests' users and any catalogue rows.

    Args:
        model: Features by name to `{output: [B, L]}`.
        requests: Where the features of users, items and pairs are.
        output: Name of the output; by default the model's only one.

    Raises:
        ValueError: If it reads a pair feature that only listed candidates have.
    """

    def __init__(
        self, model: tf.keras.Model, requests: Requests, output: str | None = None
    ) -> None:
        self._model, self._output = model, output or next(iter(model.output))
        self._user = {k: v for k, v in requests.users.items() if k in model.input}
        self._item = {k: v for k, v in requests.items.items() if k in model.input}
        self._pairs = tuple(set(requests.listed_pairs) & set(model.input))
        requests.require_sources("A ranker of any items", self._pairs)
        self._requests = requests

    def __call__(self, rows: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Scores candidates `[b, N]` (-1 padded) of the request rows `[b]`."""
        present = np.maximum(candidates, 0)
        features = {name: values[rows] for name, values in self._user.items()}
        features.update({name: v[present] for name, v in self._item.items()})
        features.update(self._requests.pair_values(self._pairs, rows, present))
        return self._model(features)[self._output].numpy()

    def catalogue(self, rows: np.ndarray) -> np.ndarray:
        """Scores the whole catalogue `[b, I]` for the request rows `[b]`."""
        size = self._requests.num_items
        return self(rows, np.broadcast_to(np.arange(size), (len(rows), size)))


class Recaller:
    """A recall net's vectors for the requests' users and the catalogue.

    Args:
        query: User features by name to `{name: [B, d]}`.
        item: Item features by name to `{name: [B, L, d]}`.
        requests: Where the features of users and items are.
    """

    def __init__(
        self, query: tf.keras.Model, item: tf.keras.Model, requests: Requests
    ) -> None:
        self._query, self._item = query, item
        self._users = {k: v for k, v in requests.users.items() if k in query.input}
        self._items = {k: v for k, v in requests.items.items() if k in item.input}

    def queries(self, rows: np.ndarray) -> np.ndarray:
        """Returns the query vectors `[b, d]` of the request rows `[b]`."""
        return _only(self._query({k: v[rows] for k, v in self._users.items()}))

    def items(self) -> np.ndarray:
        """Returns the candidate vectors `[I, d]` of the whole catalogue."""
        features = {k: v[np.newaxis] for k, v in self._items.items()}
        return _only(self._item(features))[0]


class DotRanker:
    """A recall net as a ranker, from vectors that are computed once.

    Args:
        recaller: The net.
    """

    def __init__(self, recaller: Recaller) -> None:
        self._recaller, self._items = recaller, recaller.items()

    def __call__(self, rows: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Scores candidates `[b, N]` (-1 padded) of the request rows `[b]`."""
        items = self._items[np.maximum(candidates, 0)]
        return np.einsum("bd,bnd->bn", self._recaller.queries(rows), items)

    def catalogue(self, rows: np.ndarray) -> np.ndarray:
        """Scores the whole catalogue `[b, I]` for the request rows `[b]`."""
        return self._recaller.queries(rows) @ self._items.T


class ListEvaluator:
    """Judges rankers on the lists of some requests.

    Args:
        requests: The requests of the part.
        head: bool `[I]`, the popular items, to evaluate head and tail apart; or None.
    """

    def __init__(self, requests: Requests, head: np.ndarray | None = None) -> None:
        self.requests = requests
        self.head = head
        self._listed = requests.candidates >= 0
        self._batches = RequestBatches(requests, batch_size=256, shuffle=False)

    @property
    def identity(self) -> dict[str, Any]:
        """All that it evaluates by, as JSON values."""
        return {"requests": self.requests.identity, "head": described(self.head)}

    def knowing(self: _Evaluator, sources: Mapping[str, PairSource]) -> _Evaluator:
        """Returns the evaluator whose requests have these pair features, too.

        Args:
            sources: See `Requests.with_pair_sources`.
        """
        evaluator = copy.copy(self)
        evaluator.requests = self.requests.with_pair_sources(sources)
        evaluator._batches = RequestBatches(
            evaluator.requests, batch_size=256, shuffle=False
        )
        return evaluator

    def logits(self, model: tf.keras.Model) -> dict[str, np.ndarray]:
        """Returns each output of the model on the lists, `[R, L]`."""
        found: dict[str, list[np.ndarray]] = {name: [] for name in model.output}
        for x, _, _ in self._batches.once():
            for name, values in model({k: x[k] for k in model.input}).items():
                found[name].append(values.numpy())
        return {name: np.concatenate(values) for name, values in found.items()}

    def over_catalogue(self, what: str) -> CatalogueEvaluator:
        """Returns the evaluator itself if it ranks the whole catalogue.

        Args:
            what: What needs it, for the error.

        Raises:
            ValueError: If it evaluates lists alone.
        """
        raise ValueError(
            f"{what} is judged over the whole catalogue, which needs a "
            f"CatalogueEvaluator, got {type(self).__name__}: make the problem with "
            "`item=`, the column of the item."
        )

    def labels(self, task: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Returns the labels `[R, L]` of a task and where there is one."""
        labels = self.requests.tasks[task] if task else self.requests.labels
        return np.nan_to_num(labels), self._listed & ~np.isnan(labels)

    def graded(self, task: str = "") -> bool:
        """Tells whether a task has labels that are neither 0 nor 1."""
        labels, mask = self.labels(task)
        return not np.isin(labels[mask], (0, 1)).all()

    def ranking(
        self, logits: np.ndarray, task: str = "", *, scored: Any = True
    ) -> dict[str, float]:
        """Returns all metrics of a ranker, from its logits `[R, L]` of a task.

        Args:
            logits: The logits.
            task: The task.
            scored: bool `[R, L]`, where there are logits.
        """
        labels, mask = self.labels(task)
        mask = mask & scored
        head = self.head
        if head is not None:
            head = head[np.maximum(self.requests.candidates, 0)]
        group = self.requests.group
        return ranking_summary(labels, logits, group, mask=mask, head=head)

    def defined(self, task: str = "") -> set[str]:
        """Returns the metrics of a ranker that the labels of a task let be computed.

        GAUC needs a user with labels of both kinds, AUC both kinds, and all of them a
        label.
        """
        if not self.labels(task)[1].any():
            return set()
        even = np.zeros(self.requests.labels.shape, np.float32)
        return {k for k, v in self.ranking(even, task).items() if not np.isnan(v)}

    def calibration(self, logits: np.ndarray) -> Reliability:
        """Returns the reliability bins of a ranker, from its logits `[R, L]`."""
        labels, mask = self.labels()
        return reliability(labels, logits, mask=mask)


class CatalogueEvaluator(ListEvaluator):
    """Judges recall and whole cascades too, over the full catalogue.

    Each user counts once, with the features of the first request of the part, and
    without the items of earlier parts. Relevant are the items with a label above 0: the
    implicit positives that recall is trained on. Where a policy chose what users were
    shown, these favour the recall net that has learned the policy; clicks on items that
    were shown at random don't, so give them if there are any.

    Args:
        requests: The requests of the part.
        seen: The (user, item) pairs of the parts before it.
        head: bool `[I]`, the popular items, by training interactions.
        relevant: The (user, item) pairs of other items that are relevant instead, such
            as clicks on random traffic. Lists are judged by their own labels anyway.

    Raises:
        ValueError: If none of them is of a user of the requests, or the requests have
            no catalogue.
    """

    def __init__(
        self,
        requests: Requests,
        seen: Pairs,
        head: np.ndarray,
        *,
        relevant: Pairs | None = None,
    ) -> None:
        requests.require_catalogue("CatalogueEvaluator")
        super().__init__(requests, head)
        self.popular = head
        users, self.first = np.unique(requests.group, return_index=True)
        self.before, self.seen = seen, seen.among(users)
        found = requests.positives() if relevant is None else relevant
        self.relevant = found.among(users)
        if relevant is not None and not len(self.relevant):
            raise ValueError(
                f"CatalogueEvaluator: none of the {len(relevant)} relevant pairs is "
                f"of one of the {len(users)} users of the requests, as numbered in "
                "`group`."
            )

    def over_catalogue(self, what: str) -> CatalogueEvaluator:
        """Returns the evaluator itself.

        Args:
            what: What needs it.
        """
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """All that it evaluates by, as JSON values."""
        pairs = {"seen": self.seen, "relevant": self.relevant}
        known = {name: [part.user, part.item] for name, part in pairs.items()}
        return {**super().identity, **described(known)}

    def recalled(self, recaller: Recaller, k: int) -> np.ndarray:
        """Returns each user's best k unseen items of the catalogue, `[U, k]`."""
        scores = dot_scores(recaller.queries(self.first), recaller.items())
        return top_k(scores, len(self.first), k, seen=self.seen)

    def best(self, ranker: Ranker | DotRanker, k: int) -> np.ndarray:
        """Returns each user's best k unseen items by a ranker over the catalogue."""
        return top_k(
            lambda users: ranker.catalogue(self.first[users]),
            len(self.first),
            k,
            seen=self.seen,
            block=max(1, _PAIRS_AT_ONCE // self.requests.num_items),
        )

    def recall(self, recaller: Recaller) -> dict[str, float]:
        """Returns all metrics of recall over the full catalogue."""
        return self.retrieval(self.recalled(recaller, RECALL_CUT))

    def retrieval(self, top: np.ndarray) -> dict[str, float]:
        """Returns all metrics of recall of given items `[U, RECALL_CUT]`."""
        return retrieval_summary(top, self.relevant, self.popular)

    def for_users(
        self, ranker: Ranker | DotRanker
    ) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """Returns the ranker as a function of judged users and candidates."""
        return lambda users, candidates: ranker(self.first[users], candidates)


def _only(outputs: Mapping[str, tf.Tensor]) -> np.ndarray:
    (values,) = outputs.values()
    return values.numpy()
