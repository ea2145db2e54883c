"""Recall models as servables: two towers and an index of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfdistill.data.spec import FeatureSpec
from tfdistill.export.examples import example_batch, tf_examples
from tfdistill.export.guards import declared_spec
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
from tfdistill.layers.extraction import restricted

__all__ = ["recall_servable"]

_BLOCK = 4096
_VERIFIED_ITEMS = 8


def recall_servable(
    query_model: tf.keras.Model,
    item_model: tf.keras.Model,
    spec: FeatureSpec,
    items: Mapping[str, Any],
    ids: Any,
    *,
    k: int = 100,
    forbidden: Iterable[tf.keras.Model] = (),
    allow_privileged: bool = False,
    example: Mapping[str, Any] | None = None,
) -> Servable:
    """Makes the signatures of a two-tower recall model with its index.

    `serving_default` takes the user features `[B, *shape]` and gives the exact top-K of
    the catalogue: `ids [B, K]` and `scores [B, K]`, best first; `tf_example` does the
    same from `serialized [B]`. `query` (user features) and `item` (item features
    `[N, *shape]`) give `vector [., d]`, for an index elsewhere.

    Args:
        query_model: From user features to a vector, such as
            `JointNetwork.part("recall", output="recall_query", scope="user")`.
        item_model: From item features `[B, L, *shape]` to vectors, such as
            `JointNetwork.part("recall", output="recall_item", scope="item")`.
        spec: Has the features of both and may have more.
        items: Raw item features of the catalogue by name, `[I, *shape]`.
        ids: What to return for each of them: I different integers or strings.
        k: Number of items K to return.
        forbidden: Models of which nothing may be served: the teachers.
        allow_privileged: Serve privileged features: to measure a teacher's cost only.
        example: A batch of raw user features to verify with; by default a drawn one.

    Returns:
        The servable.

    Raises:
        ValueError: As `ranker_servable`, and if a tower reads features of the other
            side or the catalogue does not fit.

    Example:
        >>> from tfdistill.data.spec import Feature, FeatureSpec, Table
        >>> from tfdistill.models import Net, TwoTower, joint_network
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("age", "numeric", "user"),
        ...         Feature("item_id", "categorical", "item", table="item"),
        ...     ),
        ...     tables=(Table("item", dim=4, size=9),),
        ... )
        >>> network = joint_network(spec, {"recall": Net(TwoTower((8,)), spec.names)})
        >>> query, item = (
        ...     network.part("recall", output=f"recall_{tower}", scope=scope)
        ...     for tower, scope in (("query", "user"), ("item", "item"))
        ... )
        >>> items = {"item_id": np.arange(9)}
        >>> servable = recall_servable(query, item, spec, items, items["item_id"], k=3)
        >>> sorted(servable.signatures)
        ['item', 'query', 'serving_default', 'tf_example']
    """
    users, items_spec = (
        _one_side(declared_spec(model, spec, allow_privileged), scope)
        for model, scope in ((query_model, "user"), (item_model, "item"))
    )
    catalogue, ids = columns_of(items, items_spec), np.asarray(ids)
    _check_catalogue(catalogue, ids, k)
    towers = [one_output(query_model), one_output(item_model)]
    query, item = restricted(towers)
    index = tfrs.layers.factorized_top_k.BruteForce(k=k)
    index.index(_item_vectors(item, items_spec, catalogue), tf.constant(ids))
    features = columns_of(example or example_batch(users), users)
    some = {name: values[:_VERIFIED_ITEMS] for name, values in catalogue.items()}
    requests = {
        "serving_default": features,
        "tf_example": {"serialized": tf_examples(features, users)},
        "query": features,
        "item": some,
    }

    def top_k(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        scores, found = index(called(query, columns))
        return {"ids": found, "scores": scores}

    def difference(answers: Answers) -> float:
        queries = called(towers[0], tensors_of(features, users)).numpy()
        vectors = _item_vectors(towers[1], items_spec, catalogue).numpy()
        scores = queries @ vectors.T
        return max(
            distance(answers["query"]["vector"], queries),
            distance(answers["item"]["vector"], vectors[:_VERIFIED_ITEMS]),
            _top_k_distance(answers["serving_default"], ids, scores),
            _top_k_distance(answers["tf_example"], ids, scores),
        )

    signatures = {
        "serving_default": columnar(top_k, users),
        "tf_example": from_examples(top_k, users),
        "query": columnar(lambda x: {"vector": called(query, x)}, users),
        "item": columnar(
            lambda x: {"vector": _called_on_rows(item, x)}, items_spec, lists=False
        ),
    }
    return servable_of(signatures, [query, item], requests, difference, forbidden)


def _called_on_rows(
    model: tf.keras.Model, columns: Mapping[str, tf.Tensor]
) -> tf.Tensor:
    """The output for items `[N, *shape]` that belong to no list: `[N, d]`."""
    return called(model, {name: x[tf.newaxis] for name, x in columns.items()})[0]


def _item_vectors(
    model: tf.keras.Model, spec: FeatureSpec, catalogue: Mapping[str, np.ndarray]
) -> tf.Tensor:
    """Vectors of the catalogue `[I, d]`, by blocks of items."""
    size = len(next(iter(catalogue.values())))
    blocks = []
    for start in range(0, size, _BLOCK):
        block = {n: x[start : start + _BLOCK] for n, x in catalogue.items()}
        blocks.append(_called_on_rows(model, tensors_of(block, spec)))
    return tf.concat(blocks, axis=0)


def _one_side(spec: FeatureSpec, scope: str) -> FeatureSpec:
    others = [f.name for f in spec.features if f.scope != scope]
    if others:
        raise ValueError(
            f"The tower of the {scope} side reads {others} of the other side; give the "
            "two towers as `JointNetwork.part(..., scope=...)`."
        )
    return spec


def _check_catalogue(
    columns: Mapping[str, np.ndarray], ids: np.ndarray, k: int
) -> None:
    sizes = {name: len(column) for name, column in columns.items()}
    if set(sizes.values()) != {len(ids)} or len(set(ids.tolist())) != len(ids):
        raise ValueError(
            "A catalogue has one row of features for each id and no id twice, got "
            f"{len(ids)} ids, {len(set(ids.tolist()))} of them different, and rows "
            f"{sizes}."
        )
    if not 1 <= k <= len(ids):
        raise ValueError(f"k must be from 1 to the {len(ids)} items, got {k}.")


def _top_k_distance(
    answer: Mapping[str, np.ndarray], ids: np.ndarray, scores: np.ndarray
) -> float:
    """Distance of a top-K from the scores `[B, I]` of all items.

    Both what the returned ids should score and what the best K score is compared:
    items whose scores are equal may stand in either order.
    """
    row = {key: index for index, key in enumerate(tf.constant(ids).numpy().tolist())}
    found = answer["ids"].tolist()
    if not row.keys() >= {key for line in found for key in line}:
        return float("inf")
    rows = np.array([[row[key] for key in line] for line in found])
    best = -np.sort(-scores, axis=1)[:, : rows.shape[1]]
    return max(
        distance(answer["scores"], np.take_along_axis(scores, rows, axis=1)),
        distance(answer["scores"], best),
    )
