"""Trained nets, each at its best epoch and on its own."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfdistill.data.requests import Requests
from tfdistill.export import Servable, flops, ranker_servable, recall_servable
from tfdistill.identity import fingerprint
from tfdistill.layers import standalone
from tfdistill.metrics import Reliability
from tfdistill.models import JointNetwork, Task
from tfdistill.spec import FeatureSpec
from tfdistill.study.evaluators import (
    RECALL_CUT,
    CatalogueEvaluator,
    DotRanker,
    ListEvaluator,
    Ranker,
    Recaller,
)
from tfdistill.study.validation import TOWERS

__all__ = [
    "Catalogue",
    "StoredScores",
    "TrainedNet",
    "TrainedRanker",
    "TrainedRecall",
    "taken_out",
]

INDEXED = 100
"""The items that a served recall net returns, where the catalogue has as many."""

_ROWS_AT_ONCE = 4096  # bounds the memory of the candidates' vectors


@dataclasses.dataclass(frozen=True, eq=False)
class Catalogue:
    """All items: what they are called, and their features.

    Args:
        ids: `[I]`, integers or text: what a recall model returns.
        features: Item features by name, `[I, *shape]`.
    """

    ids: np.ndarray
    features: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class TrainedNet(abc.ABC):
    """One net of a finished training at its best epoch, sharing nothing.

    It knows how to rank a catalogue, how good it is, how it is served and what a
    request costs, whatever it is for.

    Args:
        models: The Keras models that serve it, by name.
        spec: All features of the problem; it reads some of them.
        history: The training's logs, a value for each epoch.
    """

    task: ClassVar[Task]

    models: Mapping[str, tf.keras.Model]
    spec: FeatureSpec
    history: Mapping[str, list[float]]

    @property
    def fingerprint(self) -> str:
        """Changes with any weight: it names the parent of a run that starts with it."""
        return fingerprint(
            {name: model.get_weights() for name, model in self.models.items()}
        )

    @abc.abstractmethod
    def ranker(self, requests: Requests) -> Ranker | DotRanker:
        """Returns the net as a ranker of the catalogue for the requests' users."""

    @abc.abstractmethod
    def logits(self, evaluator: ListEvaluator) -> np.ndarray:
        """Returns the scores of the evaluator's lists, `[R, L]`."""

    @abc.abstractmethod
    def top(self, evaluator: CatalogueEvaluator, k: int) -> np.ndarray:
        """Returns each judged user's best k unseen items of the catalogue `[U, k]`."""

    @abc.abstractmethod
    def servable(
        self,
        catalogue: Catalogue | None = None,
        *,
        example: Mapping[str, np.ndarray] | None = None,
        forbidden: Iterable[tf.keras.Model] = (),
        allow_privileged: bool = False,
    ) -> Servable:
        """Returns the net as it is served.

        Args:
            catalogue: The items of recall's index.
            example: A request to check the answers with.
            forbidden: Models that must not go out with it, such as the teacher.
            allow_privileged: Whether it may read privileged features.
        """

    @abc.abstractmethod
    def mflops(self, catalogue: int, candidates: int) -> float:
        """Counts the MFLOP of one request.

        Args:
            catalogue: Items that recall compares the query with.
            candidates: Items that a ranker scores.
        """

    def calibration(self, evaluator: ListEvaluator) -> Reliability:
        """Returns the reliability bins of the net on the evaluator's lists.

        Args:
            evaluator: The evaluator.
        """
        return evaluator.calibration(self.logits(evaluator))

    def metrics(
        self, evaluator: ListEvaluator, task: Task | None = None
    ) -> dict[str, float]:
        """Returns all metrics of the net on a task, by default its own.

        Args:
            evaluator: The evaluator; that of a catalogue for recall.
            task: What it is judged at: a teacher is at each student's task.
        """
        if (task or self.task) == "ranking":
            return evaluator.ranking(self.logits(evaluator))
        whole = evaluator.over_catalogue("Recall")
        return whole.retrieval(self.top(whole, RECALL_CUT))


class TrainedRanker(TrainedNet):
    """A net that orders lists: one model, with an output for each task of labels."""

    task = "ranking"

    @staticmethod
    def taken_out(network: JointNetwork, name: str) -> dict[str, tf.keras.Model]:
        """Returns the model that serves it, independent of the network."""
        return {name: standalone(network.part(name))}

    @property
    def model(self) -> tf.keras.Model:
        """Features by name to logits `[B, L]` by output."""
        (model,) = self.models.values()
        return model

    def ranker(self, requests: Requests) -> Ranker:
        """Returns the net as a ranker of the catalogue for the requests' users."""
        return Ranker(self.model, requests)

    def logits(self, evaluator: ListEvaluator) -> np.ndarray:
        """Returns the scores of the evaluator's lists, `[R, L]`; of the first task."""
        return next(iter(evaluator.logits(self.model).values()))

    def top(self, evaluator: CatalogueEvaluator, k: int) -> np.ndarray:
        """Returns each judged user's best k unseen items of the catalogue `[U, k]`."""
        return evaluator.best(self.ranker(evaluator.requests), k)

    def servable(self, catalogue: Catalogue | None = None, **options: Any) -> Servable:
        """Returns the ranker as it is served; it needs no catalogue."""
        return ranker_servable(self.model, self.spec, **options)

    def mflops(self, catalogue: int, candidates: int) -> float:
        """Counts the MFLOP of a request with so many candidates."""
        return flops(self.model, list_size=candidates)


class TrainedRecall(TrainedNet):
    """A net that finds items of the catalogue: a query and an item tower."""

    task = "recall"

    @staticmethod
    def taken_out(network: JointNetwork, name: str) -> dict[str, tf.keras.Model]:
        """Returns the towers that serve it, independent of the network."""
        return {
            side: standalone(network.part(name, output=f"{name}_{side}", scope=scope))
            for side, scope in TOWERS
        }

    def recaller(self, requests: Requests) -> Recaller:
        """Returns its vectors for the requests' users and the catalogue."""
        return Recaller(self.models["query"], self.models["item"], requests)

    def ranker(self, requests: Requests) -> DotRanker:
        """Returns the net as a ranker of the catalogue, by its products."""
        return DotRanker(self.recaller(requests))

    def logits(self, evaluator: ListEvaluator) -> np.ndarray:
        """Returns the products of the evaluator's lists, `[R, L]`."""
        candidates, ranker = (
            evaluator.requests.candidates,
            self.ranker(evaluator.requests),
        )
        rows = np.arange(len(candidates))
        blocks = np.array_split(rows, 1 + len(rows) // _ROWS_AT_ONCE)
        return np.concatenate([ranker(block, candidates[block]) for block in blocks])

    def top(self, evaluator: CatalogueEvaluator, k: int) -> np.ndarray:
        """Returns each judged user's best k unseen items of the catalogue `[U, k]`."""
        return evaluator.recalled(self.recaller(evaluator.requests), k)

    def servable(self, catalogue: Catalogue | None = None, **options: Any) -> Servable:
        """Returns the towers as they are served, with an index of the catalogue."""
        if catalogue is None:
            raise ValueError(
                "Recall is served with an index of the catalogue: give `catalogue`, "
                "such as problem.items."
            )
        return recall_servable(
            self.models["query"],
            self.models["item"],
            self.spec,
            catalogue.features,
            catalogue.ids,
            k=min(INDEXED, len(catalogue.ids)),
            **options,
        )

    def mflops(self, catalogue: int, candidates: int) -> float:
        """Counts the MFLOP of a query and its products with the catalogue."""
        query = self.models["query"]
        (vector,) = query.outputs
        return flops(query) + 2e-6 * catalogue * vector.shape[-1]


@dataclasses.dataclass(frozen=True)
class StoredScores:
    """A teacher of whom only the scores of the lists are there.

    Args:
        name: Of the scores, among `Requests.scores`; NaN where there is none.

    Example:
        >>> scored = Requests(
        ...     {}, {"item": np.arange(2)}, np.array([[0, 1]], np.int32),
        ...     np.array([[1, 0]], np.float32), np.array([0]),
        ...     scores={"mine": np.array([[2.0, -1.0]], np.float32)})
        >>> StoredScores("mine").metrics(ListEvaluator(scored))["auc"]
        1.0
    """

    name: str

    def metrics(
        self, evaluator: ListEvaluator, task: Task = "ranking"
    ) -> dict[str, float]:
        """Returns the metrics of a ranker, where there are scores.

        Args:
            evaluator: The evaluator.
            task: What it is judged at.

        Raises:
            ValueError: If it is recall: the catalogue has no scores.
        """
        if task != "ranking":
            raise ValueError(
                f"Stored scores are of lists, and can't be judged at {task}."
            )
        scores = evaluator.requests.scores[self.name]
        return evaluator.ranking(scores, scored=~np.isnan(scores))


_KINDS: dict[Task, type[TrainedRanker] | type[TrainedRecall]] = {
    kind.task: kind for kind in (TrainedRanker, TrainedRecall)
}


def taken_out(
    network: JointNetwork,
    name: str,
    spec: FeatureSpec,
    history: Mapping[str, list[float]],
) -> TrainedNet:
    """Returns a net of a network, independent of it.

    Args:
        network: The network.
        name: The net.
        spec: All features of the problem: those of a network are what its own nets
            read, and a cascade has nets of several networks.
        history: The training's logs.
    """
    kind = _KINDS[network.nets[name].task]
    return kind(kind.taken_out(network, name), spec, history)
