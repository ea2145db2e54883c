"""The whole cascade as one servable: from a user to the final page."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.data.spec import FeatureSpec
from tfdistill.export.catalogue import Catalogue
from tfdistill.export.examples import drawn_like, tf_examples
from tfdistill.export.guards import declared_spec
from tfdistill.export.index import Ivf, Size
from tfdistill.export.recall import VERIFIED_USERS, Recall, users_of
from tfdistill.export.searching import EXCLUDE, best_of, size_input
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
from tfdistill.export.signatures import columnar, from_examples
from tfdistill.export.towers import Towers
from tfdistill.layers.extraction import restricted
from tfdistill.names import check_name, feature_names, free_name

__all__ = ["RankingStage", "cascade_servable"]

_TAKEN = ("cascade_dynamic", "recall", "serving_default", "tf_example")


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
        ValueError: As `recall_servable`, and if a stage keeps more than it gets.

    Example:
        >>> from tfdistill.data.spec import Feature
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
    for stage, own in zip(stages, specs):
        _refuse_pairs(stage.name, own)
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
    cascade = _Cascade(
        first, users, [dataclasses.replace(s, model=m) for s, m in zip(stages, served)]
    )
    features = {name: column[:VERIFIED_USERS] for name, column in known.items()}
    requests = cascade.requests(features)
    reference = _Reference(cascade, towers, rankers, columns, requests)
    return servable_of(
        cascade.signatures(),
        [query, *served],
        requests,
        cascade.requests(drawn_like(features, users)),
        reference.difference,
        forbidden,
        first.report,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Cascade:
    """What the signatures compute."""

    recall: Recall
    users: FeatureSpec
    stages: Sequence[RankingStage]

    @property
    def sizes(self) -> list[int]:
        """What each stage keeps, recall first."""
        return [self.recall.report.k, *(stage.keep for stage in self.stages)]

    @property
    def keep_names(self) -> list[str]:
        """The inputs of `cascade_dynamic` that say how many each stage keeps."""
        stages = ("recall", *(stage.name for stage in self.stages))
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
        for stage, keep in zip(self.stages, sizes[1:]):
            scores = self.scores(stage, columns, rows)
            if exclude is not None:
                keep = tf.clip_by_value(keep, 0, tf.shape(rows)[1])
            rows, scores = best_of(rows, scores, keep)
        return rows, scores

    def scores(
        self, stage: RankingStage, columns: Mapping[str, tf.Tensor], rows: tf.Tensor
    ) -> tf.Tensor:
        """Scores `[B, L]` of candidates; their features are gathered once."""
        names = feature_names(stage.model)
        own = [name for name in names if name not in self.users.names]
        features = self.recall.searcher.catalogue.features(rows, own)
        features.update({n: columns[n] for n in names if n in self.users.names})
        return called(stage.model, features)

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
        scores = self.scores(stage, columns, rows)
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
class _Reference:
    """What the Keras models compute for the requests, stage by stage."""

    cascade: _Cascade
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
        for stage, ranker in zip(cascade.stages, self.rankers):
            ids = tf.constant(
                self.requests[stage.name][cascade.ids_name], searcher.catalogue.dtype
            )
            rows = searcher.catalogue.rows(ids).numpy()
            scores = self._scores(ranker, users, np.maximum(rows, 0))
            expected = np.where(rows >= 0, scores, np.finfo(np.float32).min)
            found.append(distance(answers[stage.name]["scores"], expected))
        for name, asked in (
            ("serving_default", (cascade.sizes,)),
            ("tf_example", (cascade.sizes,)),
            ("cascade_dynamic", (sizes, exclude)),
        ):
            page = self._page_distance(answers[name], users, queries, vectors, *asked)
            found.append(page)
        return max(found)

    def _page_distance(
        self,
        answer: Mapping[str, np.ndarray],
        users: Mapping[str, tf.Tensor],
        queries: np.ndarray,
        vectors: np.ndarray,
        sizes: Sequence[int],
        exclude: np.ndarray | None = None,
    ) -> float:
        """Distance of a page from what the models leave one after the other."""
        searcher = self.cascade.recall.searcher
        left, scores = searcher.survivors(queries, vectors, sizes[0], exclude)
        for ranker, keep in zip(self.rankers, sizes[1:]):
            scores = left.scores(functools.partial(self._scores, ranker, users))
            left = left.after(scores, keep)
        return left.distance(answer, searcher.catalogue, scores, sizes[-1])

    def _scores(
        self, ranker: tf.keras.Model, users: Mapping[str, tf.Tensor], rows: np.ndarray
    ) -> np.ndarray:
        """Scores `[B, N]` of catalogue rows by a Keras model."""
        features = {
            name: users[name] if name in users else tf.gather(self.columns[name], rows)
            for name in feature_names(ranker)
        }
        return called(ranker, features).numpy()


def _refuse_pairs(name: str, spec: FeatureSpec) -> None:
    pairs = [feature.name for feature in spec.scope("pair")]
    if pairs:
        raise ValueError(
            f"Stage {name!r} reads the pair features {pairs}, but a cascade finds its "
            "candidates itself, so no client can send them; serve the ranker alone, or "
            "train one without them."
        )


def _check_sizes(recall: int, stages: Sequence[RankingStage]) -> None:
    names, sizes = [s.name for s in stages], [recall, *(s.keep for s in stages)]
    if not stages or len(set(names)) < len(names) or sizes != sorted(sizes)[::-1]:
        raise ValueError(
            "A cascade has stages of different names after recall, and none keeps more "
            f"than the one before; got the stages {names} that keep {sizes[1:]} of "
            f"{recall}."
        )
