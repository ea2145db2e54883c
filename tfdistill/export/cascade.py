"""The whole cascade as one servable: from a user to the final page."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.export.catalogue import Catalogue
from tfdistill.export.examples import drawn_like
from tfdistill.export.guards import declared_spec
from tfdistill.export.index import Ivf
from tfdistill.export.recall import VERIFIED_USERS, Recall, users_of
from tfdistill.export.servable import (
    Answers,
    Servable,
    called,
    columns_of,
    distance,
    one_output,
    servable_of,
    tensors_of,
)
from tfdistill.export.stages import RECALL, RankingStage, Stages
from tfdistill.export.survivors import Survivors
from tfdistill.export.towers import Towers
from tfdistill.layers.extraction import restricted
from tfdistill.layers.standing import standing
from tfdistill.names import feature_names
from tfdistill.spec import FeatureSpec

__all__ = ["cascade_servable"]

_PassedScores = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By stage its scores `[B, I]`, and those of what it passes on, `[B, K]`."""


def cascade_servable(
    query_model: tf.keras.Model,
    item_model: tf.keras.Model,
    stages: Sequence[RankingStage],
    spec: FeatureSpec,
    items: Mapping[str, Any],
    ids: Any,
    *,
    recall: int = 500,
    index: Ivf | None = None,
    forbidden: Iterable[tf.keras.Model] = (),
    allow_privileged: bool = False,
    example: Mapping[str, Any] | None = None,
) -> Servable:
    """Makes one model of recall and the rankers after it: one call makes a page.

    The features of the items are a table inside the model; each stage takes those that
    it reads for the candidates that it gets. So a client sends the user alone:

    - `serving_default` takes the user features `[B, *shape]` and gives the page, `ids`
      and `scores` of the last stage, both `[B, keep]`, best first; a server can batch
      it;
    - `tf_example` does the same from `serialized [B]`;
    - `cascade_dynamic` takes also `exclude [B, E]`, as `recall_servable` does, and the
      scalars `keep_recall` and `keep_<stage>`, each cut to what the stage gets, and
      gives `ids`, `scores` and `mask`;
    - `recall` gives `ids` and `scores` `[B, recall]` of the first stage;
    - `<stage>` takes the user features and candidates `ids [B, L]` and gives
      `scores [B, L]`; an id that isn't in the catalogue scores the lowest float.

    A further input whose name a user feature has already gets a `_` at its end.

    A stage may read how its candidates stand with a stage before it, by a feature with
    `stage="recall"` or another's name: it is computed here, among what that stage
    passes on, in `<stage>` for the same user without exclusions.

    Args:
        query_model: The query tower: see `recall_servable`, as for what isn't here.
        item_model: The item tower.
        stages: The rankers after recall, in order.
        spec: Has the features of all models and may have more.
        items: Raw item features of the catalogue, `[I, *shape]`.
        ids: What to return for each of them.
        recall: How many items recall finds.
        index: By default exact; `Ivf()` for inverted lists.
        forbidden: Models of which nothing may be served: the teachers.
        allow_privileged: Serve privileged features: to measure a cost only.
        example: Raw features of users to verify with, and to measure `index` on.

    Returns:
        The servable.

    Raises:
        ValueError: As `recall_servable`, and if a stage keeps more than it gets or
            reads pair features that are not the score of a stage before it.

    Example:
        >>> from tfdistill.spec import Feature
        >>> spec = FeatureSpec((Feature("taste", "numeric", "user", shape=(2,)),
        ...                     Feature("genre", "numeric", "item", shape=(2,)),
        ...                     Feature("price", "numeric", "item")))
        >>> x = spec.keras_inputs()
        >>> query = tf.keras.Model(x["taste"], 1.0 * x["taste"])
        >>> item = tf.keras.Model(x["genre"], 1.0 * x["genre"])
        >>> cheap = RankingStage("fine", tf.keras.Model(x["price"], -x["price"]), 1)
        >>> items = {"genre": np.array([[1.0, 0.0], [0.8, 0.1], [0.0, 1.0]]),
        ...          "price": np.array([9.0, 7.0, 1.0])}
        >>> servable = cascade_servable(
        ...     query, item, [cheap], spec, items, ["a", "b", "c"], recall=2
        ... )
        >>> user = {"taste": tf.constant([[1.0, 0.0]])}
        >>> servable.signatures["serving_default"](**user)["ids"].numpy().tolist()
        [[b'b']]

    Reference:
        Covington et al., "Deep Neural Networks for YouTube Recommendations", RecSys
        2016 (the stages).
    """
    towers = Towers.of(query_model, item_model, spec, allow_privileged)
    specs = [declared_spec(s.model, spec, allow_privileged) for s in stages]
    _check_sizes(recall, stages)
    _check_pairs(stages, specs)
    read = {name for own in (towers.users, towers.items, *specs) for name in own.names}
    users, item_spec = (
        spec.select(f.name for f in spec.scope(scope) if f.name in read)
        for scope in ("user", "item")
    )
    known = users_of(users, example, index)
    columns = tensors_of(columns_of(items, item_spec), item_spec)
    rankers = [one_output(stage.model) for stage in stages]
    query, item, *served = restricted([*towers.models, *rankers])
    first = Recall.of(
        towers.calling([query, item]), Catalogue(ids, columns), recall, index, known
    )
    cascade = Stages(
        first,
        users,
        [dataclasses.replace(s, model=m) for s, m in zip(stages, served)],
        {f.name: f.stage for f in spec.scope("pair") if f.stage},
    )
    models = [query, *([item] if cascade.reads_standings else []), *served]
    features = {name: column[:VERIFIED_USERS] for name, column in known.items()}
    requests = cascade.requests(features)
    reference = _Reference(cascade, towers, rankers, columns, requests)
    return servable_of(
        cascade.signatures(),
        models,
        requests,
        cascade.requests(drawn_like(features, users)),
        reference.difference,
        forbidden,
        first.report,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Reference:
    """What the Keras models compute for the requests, stage by stage."""

    cascade: Stages
    towers: Towers
    rankers: Sequence[tf.keras.Model]
    columns: Mapping[str, tf.Tensor]
    requests: Mapping[str, Mapping[str, np.ndarray]]

    def difference(self, answers: Answers) -> float:
        """The largest absolute difference of the answers of all signatures."""
        cascade, searcher = self.cascade, self.cascade.recall.searcher
        users = tensors_of(self.requests["serving_default"], cascade.users)
        queries = self.towers.queries({n: users[n] for n in self.towers.users.names})
        vectors = self.towers.vectors(
            {n: self.columns[n] for n in self.towers.items.names}
        )
        dynamic = self.requests["cascade_dynamic"]
        sizes = [int(dynamic[name]) for name in cascade.keep_names]
        exclude = dynamic[cascade.exclude_name]
        found = [
            searcher.distance(answers["recall"], queries, vectors, cascade.sizes[0])
        ]
        steps = self._steps(users, queries, vectors, cascade.sizes)
        for stage, ranker, step in zip(cascade.stages, self.rankers, steps):
            ids = tf.constant(
                self.requests[stage.name][cascade.ids_name], searcher.catalogue.dtype
            )
            rows = searcher.catalogue.rows(ids).numpy()
            scores = self._scores(ranker, users, step.passed, np.maximum(rows, 0))
            expected = np.where(rows >= 0, scores, np.finfo(np.float32).min)
            found.append(distance(answers[stage.name]["scores"], expected))
        for name, asked in (
            ("serving_default", (cascade.sizes,)),
            ("tf_example", (cascade.sizes,)),
            ("cascade_dynamic", (sizes, exclude)),
        ):
            *_, last = self._steps(users, queries, vectors, *asked)
            page = (answers[name], searcher.catalogue, last.scores, asked[0][-1])
            found.append(last.left.distance(*page))
        return max(found)

    def _steps(
        self,
        users: Mapping[str, tf.Tensor],
        queries: np.ndarray,
        vectors: np.ndarray,
        sizes: Sequence[int],
        exclude: np.ndarray | None = None,
    ) -> list[_Step]:
        """What the models leave one after the other, recall first."""
        searcher = self.cascade.recall.searcher
        left, scores = searcher.survivors(queries, vectors, sizes[0], exclude)
        steps = [_Step(left, scores, {RECALL: (scores, left.best(scores, sizes[0]))})]
        for stage, ranker, keep in zip(self.cascade.stages, self.rankers, sizes[1:]):
            passed = steps[-1].passed
            scores = left.scores(functools.partial(self._scores, ranker, users, passed))
            left = left.after(scores, keep)
            now = {stage.name: (scores, left.best(scores, keep))}
            steps.append(_Step(left, scores, {**passed, **now}))
        return steps

    def _scores(
        self,
        ranker: tf.keras.Model,
        users: Mapping[str, tf.Tensor],
        passed: _PassedScores,
        rows: np.ndarray,
    ) -> np.ndarray:
        """Scores `[B, N]` of catalogue rows by a Keras model."""

        def values(name: str) -> tf.Tensor:
            if name in users:
                return users[name]
            if name not in self.cascade.standings:
                return tf.gather(self.columns[name], rows)
            scores, best = passed[self.cascade.standings[name]]
            own = np.take_along_axis(scores, rows, axis=1)
            return standing(tf.constant(own), tf.constant(best))

        names = feature_names(ranker)
        return called(ranker, {name: values(name) for name in names}).numpy()


@dataclasses.dataclass(frozen=True, eq=False)
class _Step:
    """What a stage leaves: the items, its scores `[B, I]`, and the scores passed on."""

    left: Survivors
    scores: np.ndarray
    passed: _PassedScores


def _check_pairs(stages: Sequence[RankingStage], specs: Sequence[FeatureSpec]) -> None:
    before = [RECALL]
    for stage, spec in zip(stages, specs):
        wrong = {f.name: f.stage for f in spec.scope("pair") if f.stage not in before}
        if wrong:
            raise ValueError(
                f"Stage {stage.name!r} reads the pair features {sorted(wrong)}. A "
                "cascade finds its candidates itself, so no client can send pairs, and "
                f"it computes only the scores of the stages before, {before}. Serve "
                "the ranker alone, or train one without them."
            )
        before.append(stage.name)


def _check_sizes(recall: int, stages: Sequence[RankingStage]) -> None:
    names, sizes = [s.name for s in stages], [recall, *(s.keep for s in stages)]
    if not stages or len(set(names)) < len(names) or sizes != sorted(sizes)[::-1]:
        raise ValueError(
            "A cascade has stages of different names after recall, and none keeps more "
            f"than the one before; got the stages {names} that keep {sizes[1:]} of "
            f"{recall}."
        )
