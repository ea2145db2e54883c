"""Recall models as servables: two towers and an index of the catalogue."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.export.catalogue import Catalogue
from tfdistill.export.cost import ParameterCount
from tfdistill.export.examples import drawn_like, example_batch, tf_examples
from tfdistill.export.index import ExactIndex, Index, IndexReport, Ivf
from tfdistill.export.searching import EXCLUDE, Searcher, size_input
from tfdistill.export.servable import (
    Answers,
    Servable,
    columns_of,
    distance,
    servable_of,
    tensors_of,
)
from tfdistill.export.signatures import columnar, from_examples
from tfdistill.export.towers import Towers
from tfdistill.files import read_as
from tfdistill.layers.extraction import restricted
from tfdistill.names import free_name
from tfdistill.spec import FeatureSpec

__all__ = ["VERIFIED_USERS", "Recall", "recall_servable", "reindexed", "users_of"]

_VERIFIED_ITEMS = 8
VERIFIED_USERS = 32
"""How many users a request for verification has at most."""


def recall_servable(
    query_model: tf.keras.Model,
    item_model: tf.keras.Model,
    spec: FeatureSpec,
    items: Mapping[str, Any],
    ids: Any,
    *,
    k: int = 100,
    index: Ivf | None = None,
    forbidden: Iterable[tf.keras.Model] = (),
    allow_privileged: bool = False,
    example: Mapping[str, Any] | None = None,
) -> Servable:
    """Makes the signatures of a two-tower recall model with its index.

    - `serving_default` takes the user features `[B, *shape]` and gives the top-K of the
      catalogue: `ids [B, K]` and `scores [B, K]`, best first; a server can batch it;
    - `tf_example` does the same from `serialized [B]`;
    - `top_k_dynamic` takes the user features, `exclude [B, E]` (ids not to return; pad
      with what is no id) and the scalar `k`, and gives `ids`, `scores` and `mask`, all
      `[B, min(k, I)]`. Where a user has fewer items left, mask is False, the id is -1
      or "" and the score the lowest float; an input whose name a feature has already
      is called `exclude_` or `k_`;
    - `query` (user features) and `item` (item features `[N, *shape]`) give
      `vector [., d]`, for an index elsewhere and for `reindexed`.

    Args:
        query_model: From user features to a vector, such as
            `JointNetwork.part("recall", output="recall_query", scope="user")`.
        item_model: From item features `[B, L, *shape]` to vectors, such as
            `JointNetwork.part("recall", output="recall_item", scope="item")`.
        spec: Has the features of both and may have more.
        items: Raw item features of the catalogue by name, `[I, *shape]`.
        ids: What to return for each of them: I different integers or strings.
        k: Number of items K to return.
        index: By default the exact index; `Ivf()` for inverted lists, which are
            faster for large catalogues and find almost all of the exact top-K.
        forbidden: Models of which nothing may be served: the teachers.
        allow_privileged: Serve privileged features: to measure a teacher's cost only.
        example: Raw features of users to verify with; by default drawn ones. Inverted
            lists need real ones, some hundred: their recall is measured on them.

    Returns:
        The servable.

    Raises:
        ValueError: As `ranker_servable`, and if a tower reads features of the other
            side or the catalogue does not fit.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
        >>> from tfdistill.models import Net, TwoTower, joint_network
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("age", "numeric", "user"),
        ...         Feature("item_id", "categorical", "item", table="item"),
        ...     ),
        ...     tables=(Table("item", dim=4, size=9),),
        ... )
        >>> towers = Net(TwoTower((8,)), spec.names, task="recall")
        >>> network = joint_network(spec, {"recall": towers})
        >>> query, item = (
        ...     network.part("recall", output=f"recall_{tower}", scope=scope)
        ...     for tower, scope in (("query", "user"), ("item", "item"))
        ... )
        >>> items = {"item_id": np.arange(9)}
        >>> servable = recall_servable(query, item, spec, items, items["item_id"], k=3)
        >>> sorted(servable.signatures)
        ['item', 'query', 'serving_default', 'tf_example', 'top_k_dynamic']
    """
    towers = Towers.of(query_model, item_model, spec, allow_privileged)
    served = restricted(towers.models)
    return _servable(
        towers, towers.calling(served), items, ids, k, index, forbidden, example
    )


def reindexed(
    path: str | Path,
    spec: FeatureSpec,
    items: Mapping[str, Any],
    ids: Any,
    *,
    k: int = 100,
    index: Ivf | None = None,
    example: Mapping[str, Any] | None = None,
) -> Servable:
    """Makes a published recall model anew over other items, without training.

    The towers are those of the SavedModel, whose signatures `query` and `item` are
    called: neither the Keras model nor what it was trained on is needed. New items are
    placed by their features; an id that the item tower has not seen is served by
    its table's row for unknown values.

    Args:
        path: Folder of a SavedModel made of `recall_servable`, version included.
        spec: The features that it was made with.
        items: Raw features of the new catalogue, `[I, *shape]`.
        ids: What to return for each of them.
        k: As in `recall_servable`, like the arguments below.
        index: By default exact.
        example: Raw features of users.

    Returns:
        A servable with the same signatures; publish it beside the old version. Its
        report counts all parameters as those of layers: tables aren't counted apart.

    Raises:
        ValueError: If the folder holds no recall model or the catalogue does not fit.

    Example:
        >>> import tempfile
        >>> from tfdistill.spec import Feature
        >>> spec = FeatureSpec((Feature("taste", "numeric", "user", shape=(2,)),
        ...                     Feature("genre", "numeric", "item", shape=(2,))))
        >>> inputs = spec.keras_inputs()
        >>> query = tf.keras.Model(inputs["taste"], 1.0 * inputs["taste"])
        >>> item = tf.keras.Model(inputs["genre"], 1.0 * inputs["genre"])
        >>> old, new = ({"genre": np.eye(2)[rows]} for rows in ([0], [0, 1]))
        >>> with tempfile.TemporaryDirectory() as path:
        ...     recall_servable(query, item, spec, old, ["a"], k=1).save(path)
        ...     servable = reindexed(path, spec, new, ["a", "b"], k=2)
        >>> request = {"taste": tf.constant([[0.0, 1.0]])}
        >>> servable.signatures["serving_default"](**request)["ids"].numpy().tolist()
        [[b'b', b'a']]
    """
    with read_as(path, "a SavedModel", remedy="Export it again."):
        loaded = tf.saved_model.load(str(path))
    missing = {"query", "item"} - set(loaded.signatures)
    if missing:
        raise ValueError(
            f"The SavedModel in {str(path)!r} lacks the signatures {sorted(missing)}; "
            "give one that was made of `recall_servable`."
        )
    query, item = (loaded.signatures[name] for name in ("query", "item"))
    users, items_spec = (
        spec.select(x.name for x in function.structured_input_signature[1].values())
        for function in (query, item)
    )

    def vectors(function: Any, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
        keys = {
            x.name: key for key, x in function.structured_input_signature[1].items()
        }
        return function(**{keys[name]: x for name, x in columns.items()})["vector"]

    towers = Towers(
        functools.partial(vectors, query),
        functools.partial(vectors, item),
        users,
        items_spec,
        (loaded,),
    )
    servable = _servable(towers, towers, items, ids, k, index, (), example)
    used = {v.ref(): v.shape for function in (query, item) for v in function.variables}
    count = sum(shape.num_elements() for shape in used.values())
    return dataclasses.replace(servable, parameters=ParameterCount(0, count))


@dataclasses.dataclass(frozen=True, eq=False)
class Recall:
    """The recall stage of a servable.

    Attributes:
        towers: What is served.
        searcher: The index over their vectors, and the ids.
        report: What the index finds.
    """

    towers: Towers
    searcher: Searcher
    report: IndexReport

    @classmethod
    def of(
        cls,
        towers: Towers,
        catalogue: Catalogue,
        k: int,
        index: Ivf | None,
        users: Mapping[str, np.ndarray],
    ) -> Recall:
        """Builds the index over the items of a catalogue and measures it.

        Args:
            towers: What is served.
            catalogue: The items.
            k: K of recall.
            index: The wanted inverted lists, or None for the exact index.
            users: What `users_of` gives: inverted lists are measured on it.

        Returns:
            The stage.

        Raises:
            ValueError: If k is out of range.
        """
        if not 1 <= k <= catalogue.size:
            raise ValueError(
                f"k must be from 1 to the {catalogue.size} items, got {k}."
            )
        vectors = towers.vectors(catalogue.everything(towers.items.names))
        found: Index = ExactIndex(vectors)
        report = IndexReport(catalogue.size, k)
        if index is not None:
            own = {name: users[name] for name in towers.users.names}
            queries = towers.queries(tensors_of(own, towers.users))
            found, report = index.build(vectors, queries, k)
        return cls(towers, Searcher(found, catalogue), report)

    def query(self, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the query vectors `[B, d]`, whatever other columns there are."""
        return self.towers.query(
            {name: columns[name] for name in self.towers.users.names}
        )

    def products(self, queries: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Returns the scores `[B, L]` of any items, by their tower.

        Args:
            queries: Query vectors `[B, d]`.
            rows: Rows of the catalogue `[B, L]`, or -1.
        """
        names = self.towers.items.names
        listed = self.searcher.catalogue.features(rows, names)
        flat = {n: tf.reshape(x, [-1, *x.shape[2:]]) for n, x in listed.items()}
        shape = [*tf.unstack(tf.shape(rows)), queries.shape[-1]]
        vectors = tf.reshape(self.towers.item(flat), shape)
        return tf.einsum("bd,bld->bl", queries, vectors)

    def top_k(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What the signature with fixed sizes answers."""
        found = self.searcher.index.search(self.query(columns), self.report.k)
        return self.searcher.answer(*found)

    def top_k_dynamic(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What the signature with a list of exclusions answers."""
        exclude, k = (columns[name] for name in _dynamic_names(self.towers.users))
        found = self.searcher.best_without(self.query(columns), k, exclude)
        return self.searcher.answer(*found, mask=True)


def users_of(
    spec: FeatureSpec, example: Mapping[str, Any] | None, index: Ivf | None
) -> dict[str, np.ndarray]:
    """Returns the users to verify with, and to measure an index on.

    Args:
        spec: The user features.
        example: Raw features of real users.
        index: The wanted inverted lists.

    Raises:
        ValueError: If inverted lists are wanted and there are no real users.
    """
    if index is not None and example is None:
        raise ValueError(
            "The recall of inverted lists is measured on users: give the features of "
            f"some hundred as `example`, or no {index} for the exact index."
        )
    return columns_of(example or example_batch(spec), spec)


def _dynamic_names(users: FeatureSpec) -> tuple[str, str]:
    """The inputs of `top_k_dynamic` beside the features: exclusions and k."""
    return free_name(EXCLUDE, users.names), free_name("k", users.names)


def _servable(
    reference: Towers,
    towers: Towers,
    items: Mapping[str, Any],
    ids: Any,
    k: int,
    index: Ivf | None,
    forbidden: Iterable[tf.keras.Model],
    example: Mapping[str, Any] | None,
) -> Servable:
    """Puts towers, an index and the ids together."""
    users = towers.users
    columns = tensors_of(columns_of(items, towers.items), towers.items)
    known = users_of(users, example, index)
    recall = Recall.of(towers, Catalogue(ids, columns), k, index, known)
    features = {name: column[:VERIFIED_USERS] for name, column in known.items()}
    searcher, (exclude_name, k_name) = recall.searcher, _dynamic_names(users)
    some = {n: x[:_VERIFIED_ITEMS].numpy() for n, x in columns.items()}

    def requests_of(
        features: Mapping[str, np.ndarray], items: Mapping[str, np.ndarray]
    ) -> dict[str, dict[str, np.ndarray]]:
        exclude = searcher.exclusions(recall.query(tensors_of(features, users)))
        others = {exclude_name: exclude, k_name: np.array(k, np.int32)}
        return {
            "serving_default": dict(features),
            "tf_example": {"serialized": tf_examples(features, users)},
            "top_k_dynamic": {**features, **others},
            "query": dict(features),
            "item": dict(items),
        }

    requests = requests_of(features, some)
    exclude = requests["top_k_dynamic"][exclude_name]
    listed = drawn_like({n: x[np.newaxis] for n, x in some.items()}, towers.items)
    warm_up = requests_of(
        drawn_like(features, users), {name: x[0] for name, x in listed.items()}
    )

    def difference(answers: Answers) -> float:
        queries = reference.queries(tensors_of(features, users))
        vectors = reference.vectors(columns)
        dynamic = answers["top_k_dynamic"]
        return max(
            distance(answers["query"]["vector"], queries),
            distance(answers["item"]["vector"], vectors[:_VERIFIED_ITEMS]),
            searcher.distance(answers["serving_default"], queries, vectors, k),
            searcher.distance(answers["tf_example"], queries, vectors, k),
            searcher.distance(dynamic, queries, vectors, k, exclude),
        )

    others = (searcher.exclude_input(exclude_name), size_input(k_name))
    signatures = {
        "serving_default": columnar(recall.top_k, users),
        "tf_example": from_examples(recall.top_k, users),
        "top_k_dynamic": columnar(recall.top_k_dynamic, users, others=others),
        "query": columnar(lambda x: {"vector": towers.query(x)}, users),
        "item": columnar(
            lambda x: {"vector": towers.item(x)}, towers.items, lists=False
        ),
    }
    return servable_of(
        signatures,
        towers.models,
        requests,
        warm_up,
        difference,
        forbidden,
        recall.report,
    )
