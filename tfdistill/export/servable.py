"""Servables: a student as signatures of plain tensors, with nothing else in reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfdistill.data.spec import FeatureSpec
from tfdistill.export.cost import ParameterCount, parameters
from tfdistill.export.examples import example_batch, tf_examples
from tfdistill.export.guards import declared_spec, refuse_variables
from tfdistill.export.signatures import columnar, from_examples
from tfdistill.layers.extraction import restricted

__all__ = ["Servable", "ranker_servable", "recall_servable"]

Answers = Mapping[str, Mapping[str, np.ndarray]]
"""Outputs of each signature."""

_BLOCK = 4096
_VERIFIED_ITEMS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Servable:
    """A model ready to be published: see `ranker_servable` and `recall_servable`.

    Attributes:
        signatures: Concrete functions by signature.
        tracked: The variables and lookup tables that they use: all that is stored.
        requests: Example inputs of each signature.
        difference: From the answers to `requests` to the largest absolute difference
            from what the Keras model computes.
        parameters: Parameters of the model.
    """

    signatures: Mapping[str, Any]
    tracked: Sequence[Any]
    requests: Mapping[str, Mapping[str, np.ndarray]]
    difference: Callable[[Answers], float]
    parameters: ParameterCount

    def save(self, path: str | Path) -> None:
        """Writes the SavedModel, unverified; `publish` is the way to a server."""
        root = tf.Module()
        root.tracked = list(self.tracked)
        tf.saved_model.save(root, str(path), signatures=dict(self.signatures))


def ranker_servable(
    model: tf.keras.Model,
    spec: FeatureSpec,
    *,
    output: str | None = None,
    forbidden: Iterable[tf.keras.Model] = (),
    allow_privileged: bool = False,
    example: Mapping[str, Any] | None = None,
) -> Servable:
    """Makes the signatures of a ranking model.

    `serving_default` takes one tensor per feature, user `[B, *shape]` and item
    `[B, L, *shape]`, and gives `scores [B, L]`. `tf_example` takes `serialized [B]`,
    one tf.Example per request (`FeatureSpec.parsing_spec`), and gives scores up to the
    longest list; a client cuts its own. Any B and L. The columnar signature is the fast
    one: parsing costs more than a small student.

    Args:
        model: A functional model such as `JointNetwork.part("fine")`.
        spec: Has the model's features and may have more.
        output: Name of the output that is served; by default the only one.
        forbidden: Models of which nothing may be served: the teachers.
        allow_privileged: Serve privileged features: to measure a teacher's cost only.
        example: A batch of raw features to verify with; by default a drawn one.

    Returns:
        The servable, with only the rows of tables that the model's features can reach.

    Raises:
        ValueError: If the model is not functional, reads a privileged feature or one
            that the spec lacks, or if a variable of a forbidden model is in reach.

    Example:
        >>> from tfdistill.data.spec import Feature, FeatureSpec, Table
        >>> from tfdistill.models import Dnn, Net, joint_network
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("age", "numeric", "user"),
        ...         Feature("item_id", "categorical", "item", table="item"),
        ...     ),
        ...     tables=(Table("item", dim=4, size=9),),
        ... )
        >>> network = joint_network(spec, {"fine": Net(Dnn((8,)), spec.names)})
        >>> servable = ranker_servable(network.part("fine"), spec)
        >>> sorted(servable.signatures)
        ['serving_default', 'tf_example']
    """
    spec = declared_spec(model, spec, allow_privileged)
    model = _one_output(model, output)
    served = restricted([model])[0]
    features = _columns(example or example_batch(spec), spec)
    requests = {
        "serving_default": features,
        "tf_example": {"serialized": tf_examples(features, spec)},
    }

    def scores(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"scores": _called(served, columns)}

    def difference(answers: Answers) -> float:
        expected = _called(model, _tensors(features, spec)).numpy()
        return max(_distance(a["scores"], expected) for a in answers.values())

    signatures = {
        "serving_default": columnar(scores, spec),
        "tf_example": from_examples(scores, spec),
    }
    return _servable(signatures, [served], requests, difference, forbidden)


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
    catalogue, ids = _columns(items, items_spec), np.asarray(ids)
    _check_catalogue(catalogue, ids, k)
    towers = [_one_output(query_model), _one_output(item_model)]
    query, item = restricted(towers)
    index = tfrs.layers.factorized_top_k.BruteForce(k=k)
    index.index(_item_vectors(item, items_spec, catalogue), tf.constant(ids))
    features = _columns(example or example_batch(users), users)
    some = {name: values[:_VERIFIED_ITEMS] for name, values in catalogue.items()}
    requests = {
        "serving_default": features,
        "tf_example": {"serialized": tf_examples(features, users)},
        "query": features,
        "item": some,
    }

    def top_k(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        scores, found = index(_called(query, columns))
        return {"ids": found, "scores": scores}

    def difference(answers: Answers) -> float:
        queries = _called(towers[0], _tensors(features, users)).numpy()
        vectors = _item_vectors(towers[1], items_spec, catalogue).numpy()
        scores = queries @ vectors.T
        return max(
            _distance(answers["query"]["vector"], queries),
            _distance(answers["item"]["vector"], vectors[:_VERIFIED_ITEMS]),
            _top_k_distance(answers["serving_default"], ids, scores),
            _top_k_distance(answers["tf_example"], ids, scores),
        )

    signatures = {
        "serving_default": columnar(top_k, users),
        "tf_example": from_examples(top_k, users),
        "query": columnar(lambda x: {"vector": _called(query, x)}, users),
        "item": columnar(
            lambda x: {"vector": _called_on_rows(item, x)}, items_spec, lists=False
        ),
    }
    return _servable(signatures, [query, item], requests, difference, forbidden)


def _servable(
    signatures: Mapping[str, Any],
    models: Sequence[tf.keras.Model],
    requests: Mapping[str, Mapping[str, np.ndarray]],
    difference: Callable[[Answers], float],
    forbidden: Iterable[tf.keras.Model],
) -> Servable:
    """Collects what the signatures use, and refuses what they may not."""
    used = {id(v): v for function in signatures.values() for v in function.variables}
    refuse_variables(used.values(), forbidden)
    resource = tf.saved_model.experimental.TrackableResource
    lookups = [
        tracked
        for model in models
        for tracked in tf.train.TrackableView(model).descendants()
        if isinstance(tracked, resource)
    ]
    variables = sorted(used.values(), key=lambda variable: variable.name)
    count = parameters(*models)
    return Servable(signatures, (*variables, *lookups), requests, difference, count)


def _one_output(model: tf.keras.Model, name: str | None = None) -> tf.keras.Model:
    """Cuts a model down to one output."""
    outputs = model.output
    if not isinstance(outputs, Mapping):
        outputs = dict(zip(model.output_names, model.outputs))
    if name is None and len(outputs) == 1:
        name = next(iter(outputs))
    if name not in outputs:
        raise ValueError(
            f"Model {model.name!r} has the outputs {sorted(outputs)}; name the one to "
            f"serve, got output={name!r}."
        )
    return tf.keras.Model(model.input, outputs[name], name=model.name)


def _called(model: tf.keras.Model, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The output as it is served."""
    return tf.cast(model(dict(columns), training=False), tf.float32)


def _called_on_rows(
    model: tf.keras.Model, columns: Mapping[str, tf.Tensor]
) -> tf.Tensor:
    """The output for items `[N, *shape]` that belong to no list: `[N, d]`."""
    return _called(model, {name: x[tf.newaxis] for name, x in columns.items()})[0]


def _item_vectors(
    model: tf.keras.Model, spec: FeatureSpec, catalogue: Mapping[str, np.ndarray]
) -> tf.Tensor:
    """Vectors of the catalogue `[I, d]`, by blocks of items."""
    size = len(next(iter(catalogue.values())))
    blocks = []
    for start in range(0, size, _BLOCK):
        block = {n: x[start : start + _BLOCK] for n, x in catalogue.items()}
        blocks.append(_called_on_rows(model, _tensors(block, spec)))
    return tf.concat(blocks, axis=0)


def _columns(given: Mapping[str, Any], spec: FeatureSpec) -> dict[str, np.ndarray]:
    """The spec's features as arrays; anything else that is given is left out."""
    missing = [name for name in spec.names if name not in given]
    if missing:
        raise ValueError(f"There are no values of {missing}, only of {sorted(given)}.")
    return {name: np.asarray(given[name]) for name in spec.names}


def _tensors(
    columns: Mapping[str, np.ndarray], spec: FeatureSpec
) -> dict[str, tf.Tensor]:
    return {f.name: tf.constant(columns[f.name], f.dtype) for f in spec.features}


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


def _distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference; infinite for another shape or values not finite."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max(initial=0.0))


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
        _distance(answer["scores"], np.take_along_axis(scores, rows, axis=1)),
        _distance(answer["scores"], best),
    )
