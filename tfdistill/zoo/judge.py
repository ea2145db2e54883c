"""Judges trained nets on one part of the data, for choices and for reports."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import PairSet, Requests
from tfdistill.metrics import (
    Pairs,
    Reliability,
    dot_scores,
    ranking_summary,
    reliability,
    retrieval_summary,
    top_k,
)

__all__ = ["Judge", "Ranker", "Recaller"]


class Ranker:
    """A ranker's logits for the requests' users and any catalogue rows.

    Args:
        model: Features by name to `{output: [B, L]}`.
        requests: Where the features of users and items are.
        output: Name of the output; by default the model's only one.
    """

    def __init__(
        self, model: tf.keras.Model, requests: Requests, output: str | None = None
    ) -> None:
        self._output = output or next(iter(model.output))
        self._user = {k: v for k, v in requests.users.items() if k in model.input}
        self._item = {k: v for k, v in requests.items.items() if k in model.input}
        self._run = tf.function(lambda x: model(x)[self._output], reduce_retracing=True)
        self._num_items = requests.num_items

    def __call__(self, rows: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Scores candidates `[b, N]` (-1 padded) of the request rows `[b]`."""
        present = np.maximum(candidates, 0)
        features = {name: values[rows] for name, values in self._user.items()}
        features.update({name: v[present] for name, v in self._item.items()})
        return self._run({k: tf.constant(v) for k, v in features.items()}).numpy()

    def catalogue(self, rows: np.ndarray) -> np.ndarray:
        """Scores the whole catalogue `[b, I]` for the request rows `[b]`."""
        everything = np.arange(self._num_items)
        return self(rows, np.broadcast_to(everything, (len(rows), self._num_items)))


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


class Judge:
    """One part of the data with all that is needed to judge a net on it.

    Rankers are judged on the part's lists; recall on the whole catalogue, for each
    user's first request of the part, without the items of earlier parts.

    Args:
        requests: The requests of the part.
        relevant: All (user, item) pairs of the part, whatever their label.
        seen: The pairs of the parts before it.
        head: bool `[I]`, the popular items, by training interactions.
    """

    def __init__(
        self,
        requests: Requests,
        relevant: PairSet,
        seen: PairSet,
        head: np.ndarray,
    ) -> None:
        self.requests = requests
        self.head = head
        users, self.first = np.unique(requests.group, return_index=True)
        self.relevant = _by_position(users, relevant)
        self.seen = _by_position(users, seen)
        positive = (requests.labels > 0) & (requests.candidates >= 0)
        rows, places = np.nonzero(positive)
        self.liked = Pairs(
            np.searchsorted(users, requests.group[rows]),
            requests.candidates[rows, places],
        )
        self._lists = RequestBatches(
            requests, batch_size=256, outputs=("label",), shuffle=False
        )

    def logits(self, model: tf.keras.Model) -> dict[str, np.ndarray]:
        """Returns each output of the model on the part's lists, `[R, L]`."""
        run = tf.function(model, reduce_retracing=True)
        found: dict[str, list[np.ndarray]] = {name: [] for name in model.output}
        for x, _, _ in self._lists.once():
            outputs = run({name: x[name] for name in model.input})
            for name, values in outputs.items():
                found[name].append(values.numpy())
        return {name: np.concatenate(values) for name, values in found.items()}

    @property
    def _mask(self) -> np.ndarray:
        listed = self.requests.candidates >= 0
        return listed & ~np.isnan(self.requests.labels)

    def ranking(self, logits: np.ndarray) -> dict[str, float]:
        """Returns all metrics of a ranker, from its logits `[R, L]`."""
        return ranking_summary(
            np.nan_to_num(self.requests.labels),
            logits,
            self.requests.group,
            mask=self._mask,
            head=self.head[np.maximum(self.requests.candidates, 0)],
        )

    def calibration(self, logits: np.ndarray) -> Reliability:
        """Returns the reliability bins of a ranker, from its logits `[R, L]`."""
        labels = np.nan_to_num(self.requests.labels)
        return reliability(labels, logits, mask=self._mask)

    def recalled(self, recaller: Recaller, k: int) -> np.ndarray:
        """Returns each user's best k unseen items of the catalogue, `[U, k]`."""
        scores = dot_scores(recaller.queries(self.first), recaller.items())
        return top_k(scores, len(self.first), k, seen=self.seen)

    def best(self, ranker: Ranker, k: int) -> np.ndarray:
        """Returns each user's best k unseen items by a ranker over the catalogue."""
        block = max(1, 20_000 // self.requests.num_items)
        return top_k(
            lambda users: ranker.catalogue(self.first[users]),
            len(self.first),
            k,
            seen=self.seen,
            block=block,
        )

    def recall(self, recaller: Recaller) -> dict[str, float]:
        """Returns all metrics of recall over the full catalogue."""
        top = self.recalled(recaller, 50)
        return retrieval_summary(top, self.relevant, self.head)


def _by_position(users: np.ndarray, pairs: PairSet) -> Pairs:
    """Pairs of the judged users, by their position among them."""
    position = np.searchsorted(users, pairs.group)
    judged = np.isin(pairs.group, users)
    return Pairs(position[judged], pairs.item[judged])


def _only(outputs: Mapping[str, tf.Tensor]) -> np.ndarray:
    (values,) = outputs.values()
    return values.numpy()
