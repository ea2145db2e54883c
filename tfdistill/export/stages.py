"""The stages of a cascade inside one model: recall, and the rankers after it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.export.examples import tf_examples
from tfdistill.export.index import Size
from tfdistill.export.recall import Recall
from tfdistill.export.searching import EXCLUDE, best_places, size_input
from tfdistill.export.servable import called, tensors_of
from tfdistill.export.signatures import columnar, from_examples
from tfdistill.layers.standing import standing
from tfdistill.names import check_name, feature_names, free_name
from tfdistill.spec import FeatureSpec

__all__ = ["RECALL", "RankingStage", "Stages"]

RECALL = "recall"
"""What the first stage is called."""

_TAKEN = ("cascade_dynamic", RECALL, "serving_default", "tf_example")


@dataclasses.dataclass(frozen=True, eq=False)
class RankingStage:
    """A stage after recall: which model orders the candidates, and how many stay.

    Args:
        name: Name of the stage, and of its own signature.
        model: A functional model with one output `[B, L]`, such as
            `JointNetwork.part("coarse")`.
        keep: How many candidates go on; of the last stage, the page.

    Raises:
        ValueError: If the name is another signature's or nothing would be kept.

    Example:
        >>> score = tf.keras.Input([None], name="price")
        >>> RankingStage("fine", tf.keras.Model(score, -score), keep=10).keep
        10
    """

    name: str
    model: tf.keras.Model
    keep: int

    def __post_init__(self) -> None:
        check_name("RankingStage", self.name)
        if self.name in _TAKEN or self.keep < 1:
            raise ValueError(
                f"A stage has a name that is none of {_TAKEN} and keeps at least one "
                f"item, got name={self.name!r} and keep={self.keep}."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Stages:
    """What the signatures of a cascade compute.

    Attributes:
        recall: The first stage.
        users: The user features of all stages.
        stages: The rankers after it, in order.
        standings: Which pair features are the score of a stage, and of which.
    """

    recall: Recall
    users: FeatureSpec
    stages: Sequence[RankingStage]
    standings: Mapping[str, str]

    @property
    def sizes(self) -> list[int]:
        """What each stage keeps, recall first."""
        return [self.recall.report.k, *(stage.keep for stage in self.stages)]

    @property
    def reads_standings(self) -> bool:
        """Whether a stage reads how its candidates stand with one before."""
        names = {name for stage in self.stages for name in feature_names(stage.model)}
        return not names.isdisjoint(self.standings)

    @property
    def keep_names(self) -> list[str]:
        """The inputs of `cascade_dynamic` that say how many each stage keeps."""
        stages = (RECALL, *(stage.name for stage in self.stages))
        return [free_name(f"keep_{name}", self.users.names) for name in stages]

    @property
    def exclude_name(self) -> str:
        """The input of `cascade_dynamic` that lists ids not to return."""
        return free_name(EXCLUDE, self.users.names)

    @property
    def ids_name(self) -> str:
        """The input of a stage's own signature that lists its candidates."""
        return free_name("ids", self.users.names)

    def page(
        self,
        columns: Mapping[str, tf.Tensor],
        sizes: Sequence[Size],
        exclude: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows `[B, page]` and scores of the last stage, one stage after the other."""
        searcher, queries = self.recall.searcher, self.recall.query(columns)
        if exclude is None:
            rows, scores = searcher.index.search(queries, sizes[0])
        else:
            rows, scores = searcher.best_without(queries, sizes[0], exclude)
        passed = _Passed.first(rows, scores)
        for stage, keep in zip(self.stages, sizes[1:]):
            if exclude is not None:
                keep = tf.clip_by_value(keep, 0, tf.shape(passed.rows)[1])
            scores = self.scores(stage, columns, passed.rows, passed.standings)
            passed = passed.after(stage.name, scores, keep)
        return passed.rows, passed.scores

    def scores(
        self,
        stage: RankingStage,
        columns: Mapping[str, tf.Tensor],
        rows: tf.Tensor,
        standings: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        """Scores `[B, L]` of candidates; their features are gathered once.

        Args:
            stage: The stage.
            columns: The user features.
            rows: The candidates `[B, L]`.
            standings: How they stand with each stage before, `[B, L, 2]`.
        """
        given = {name: columns[name] for name in self.users.names}
        given.update(
            {name: standings[s] for name, s in self.standings.items() if s in standings}
        )
        names = feature_names(stage.model)
        own = [name for name in names if name not in given]
        given.update(self.recall.searcher.catalogue.features(rows, own))
        return called(stage.model, {name: given[name] for name in names})

    def _standings(
        self, stage: RankingStage, columns: Mapping[str, tf.Tensor], rows: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """How any items stand with the stages before one, for the same user."""
        if not set(feature_names(stage.model)) & set(self.standings):
            return {}
        queries = self.recall.query(columns)
        passed = _Passed.first(
            *self.recall.searcher.index.search(queries, self.sizes[0])
        )
        scores = self.recall.products(queries, rows)
        found = {RECALL: standing(scores, passed.scores)}
        for before, keep in zip(self.stages, self.sizes[1:]):
            if before is stage:
                break
            scores = self.scores(before, columns, passed.rows, passed.standings)
            passed = passed.after(before.name, scores, keep)
            scores = self.scores(before, columns, rows, found)
            found[before.name] = standing(scores, passed.scores)
        return found

    def signatures(self) -> dict[str, Any]:
        """The functions by name."""
        searcher, users = self.recall.searcher, self.users

        def fixed(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return searcher.answer(*self.page(columns, self.sizes))

        def dynamic(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            sizes = [columns[name] for name in self.keep_names]
            found = self.page(columns, sizes, columns[self.exclude_name])
            return searcher.answer(*found, mask=True)

        sizes = [size_input(name) for name in self.keep_names]
        found = {
            "serving_default": columnar(fixed, users),
            "tf_example": from_examples(fixed, users),
            "cascade_dynamic": columnar(
                dynamic,
                users,
                others=(searcher.exclude_input(self.exclude_name), *sizes),
            ),
            "recall": columnar(self.recall.top_k, users),
        }
        candidates = tf.TensorSpec(
            [None, None], searcher.catalogue.dtype, name=self.ids_name
        )
        for stage in self.stages:
            scores = functools.partial(self._stage, stage)
            found[stage.name] = columnar(scores, users, others=(candidates,))
        return found

    def _stage(
        self, stage: RankingStage, columns: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """What a stage's own signature answers."""
        rows = self.recall.searcher.catalogue.rows(columns[self.ids_name])
        standings = self._standings(stage, columns, rows)
        scores = self.scores(stage, columns, rows, standings)
        return {"scores": tf.where(rows >= 0, scores, scores.dtype.min)}

    def requests(
        self, features: Mapping[str, np.ndarray]
    ) -> dict[str, dict[str, np.ndarray]]:
        """Requests for all signatures: smaller sizes and exclusions for the dynamic."""
        searcher = self.recall.searcher
        queries = self.recall.query(tensors_of(features, self.users))
        rows, _ = searcher.index.search(queries, self.sizes[0])
        unknown = tf.pad(rows, [[0, 0], [0, 1]], constant_values=-1)
        candidates = {self.ids_name: searcher.catalogue.ids(unknown).numpy()}
        sizes = {
            name: np.array(max(1, 2 * size // 3), np.int32)
            for name, size in zip(self.keep_names, self.sizes)
        }
        exclude = {self.exclude_name: searcher.exclusions(queries)}
        return {
            "serving_default": dict(features),
            "tf_example": {"serialized": tf_examples(features, self.users)},
            "cascade_dynamic": {**features, **exclude, **sizes},
            "recall": dict(features),
            **{stage.name: {**features, **candidates} for stage in self.stages},
        }


@dataclasses.dataclass(frozen=True, eq=False)
class _Passed:
    """What a stage passes on.

    Attributes:
        rows: int32 `[B, K]`, best first, -1 where there are fewer.
        scores: The stage's, `[B, K]`.
        standings: How they stand with it and with the stages before, `[B, K, 2]` each.
    """

    rows: tf.Tensor
    scores: tf.Tensor
    standings: Mapping[str, tf.Tensor]

    @classmethod
    def first(cls, rows: tf.Tensor, scores: tf.Tensor) -> _Passed:
        """Returns what recall passes on."""
        return cls(rows, scores, {RECALL: standing(scores, scores)})

    def after(self, name: str, scores: tf.Tensor, keep: Size) -> _Passed:
        """Returns what the stage of this name passes on, by its scores `[B, K]`."""
        best, at = best_places(self.rows, scores, keep)
        rows = tf.gather(self.rows, at, batch_dims=1)
        kept = {
            stage: tf.gather(values, at, batch_dims=1)
            for stage, values in self.standings.items()
        }
        return _Passed(rows, best, {**kept, name: standing(best, best)})
