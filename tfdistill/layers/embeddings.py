"""Embedding tables that a teacher and its students share by identity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill import _keras
from tfdistill.layers.rows import Layout, by_column, lookup_layer, rows_of_columns
from tfdistill.spec import Feature, FeatureSpec, Table

__all__ = ["FeatureEmbeddings", "audiences", "embed_features", "masked_mean", "width"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class FeatureEmbeddings(_keras.VariedOutputs, tf.keras.layers.Layer):
    """Raw features in, one dense vector per feature out; tables of one width are fused.

    Every table of width d is a block of rows of one variable `[rows, d]`, so that all
    features of that width cost one gather. Unknown values go to the rows kept for them,
    padded values of sequences count for nothing, and a sequence becomes the mean of its
    embeddings: `e = sum_i m_i E[row(x_i)] / max(1, sum_i m_i)`.

    Call it once per scope (user, item, pair): a call that mixes them is refused, since
    it would make a query tower depend on items. Each call touches only
    the features that it is given, so a student built from its own call stands alone.
    Share it by calling the same object; `embed_features` plans the calls.

    Args:
        spec: The features and their tables.
        initializer: Initialiser of the tables.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: Raw features by name, user `[B, *shape]`, or item or pair
            `[B, L, *shape]`.
        pool: Whether a sequence becomes a mean; for attention over it, False.

    Returns:
        By name: `[B, d]` or `[B, L, d]` with the width d of the feature's table; a
        numeric feature is standardised to `[B, n]` or `[B, L, n]`. With `pool=False` a
        sequence gives the pair of its vectors `[..., n, d]` and its bool mask
        `[..., n]`.

    Raises:
        ValueError: If a call has an unknown feature or mixes scopes.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
        >>> spec = FeatureSpec(
        ...     features=(Feature("item_id", "categorical", "item", table="item"),),
        ...     tables=(Table("item", dim=4, size=10),),
        ... )
        >>> embeddings = FeatureEmbeddings(spec)
        >>> out = embeddings({"item_id": tf.constant([[3, 7, 99]], tf.int64)})
        >>> out["item_id"].shape
        TensorShape([1, 3, 4])
    """

    def __init__(
        self, spec: FeatureSpec, initializer: Any = "uniform", **kwargs: Any
    ) -> None:
        # Keras would cast raw numbers to float16 before they are standardised.
        super().__init__(autocast=False, **kwargs)
        self.spec = spec
        self.initializer = tf.keras.initializers.get(initializer)
        self._layout = Layout.of(spec)
        self._lookups = {
            table.name: lookup_layer(table)
            for table in spec.tables
            if table.kind == "vocabulary"
        }

    def build(self, input_shape: Any) -> None:
        """Creates one variable for each width."""
        self.tables = {
            str(dim): self.add_weight(
                name=f"width_{dim}",
                shape=(rows, dim),
                initializer=_copy(self.initializer),
            )
            for dim, rows in sorted(self._layout.sizes.items())
        }
        super().build(input_shape)

    def call(
        self, inputs: Mapping[str, tf.Tensor], pool: bool = True
    ) -> dict[str, Any]:
        """Embeds the features of one side."""
        features = self.spec.select(inputs).features
        if len({feature.scope for feature in features}) > 1:
            raise ValueError(
                f"A call takes features of one scope, got {sorted(inputs)}. Call the "
                "layer once for the user, the item and the pair features."
            )
        outputs: dict[str, Any] = {}
        by_dim: dict[int, list[Feature]] = {}
        for feature in features:
            if feature.kind == "numeric":
                columns = _columns(feature, inputs)
                outputs[feature.name] = self.standardised([feature], columns)
            else:
                dim = self.spec.table_of(feature).dim
                by_dim.setdefault(dim, []).append(feature)
        for group in by_dim.values():
            outputs.update(self._embedded(group, inputs, pool))
        return {feature.name: outputs[feature.name] for feature in features}

    def standardised(
        self, features: Sequence[Feature], columns: tf.Tensor
    ) -> tf.Tensor:
        """Standardises numbers: `(x - mean) / scale` of each column's feature.

        Args:
            features: Numeric features.
            columns: Their raw values side by side, `[..., columns]`.

        Returns:
            The same shape.
        """
        mean, scale = (
            by_column([getattr(f, name) for f in features for _ in range(width(f))])
            for name in ("mean", "scale")
        )
        if np.any(mean != 0):
            columns -= tf.constant(mean, tf.float32)
        if np.any(scale != 1):
            columns /= tf.constant(scale, tf.float32)
        return tf.cast(columns, self.compute_dtype)

    def _embedded(
        self, features: Sequence[Feature], inputs: Mapping[str, tf.Tensor], pool: bool
    ) -> dict[str, Any]:
        """Embeds features of one width, gathered at once: rows `[..., slots]`."""
        raw = {f.name: _columns(f, inputs) for f in features}
        # One lookup for each dtype, one gather for all: a kernel's start costs more
        # than rows.
        ordered = sorted(features, key=lambda feature: feature.dtype)
        rows = []
        for _, group in itertools.groupby(ordered, lambda feature: feature.dtype):
            alike = list(group)
            rows.append(self._rows(alike, tf.concat([raw[f.name] for f in alike], -1)))
        gathered = self._vectors(features[0], tf.concat(rows, axis=-1))
        outputs: dict[str, Any] = {}
        parts = tf.split(gathered, [width(f) for f in ordered], axis=-2)
        for feature, vectors in zip(ordered, parts):
            if not feature.shape:
                outputs[feature.name] = tf.squeeze(vectors, axis=-2)
            else:
                mask = raw[feature.name] != feature.default
                pooled = masked_mean(vectors, mask) if pool else (vectors, mask)
                outputs[feature.name] = pooled
        return outputs

    def gather(self, features: Sequence[Feature], columns: tf.Tensor) -> tf.Tensor:
        """Gathers the vectors of categorical features of one width and dtype.

        Args:
            features: The features.
            columns: Their raw values side by side, `[..., columns]`.

        Returns:
            `[..., columns, d]`.
        """
        return self._vectors(features[0], self._rows(features, columns))

    def _vectors(self, feature: Feature, rows: tf.Tensor) -> tf.Tensor:
        """Rows of the variable that has the feature's table."""
        table = self.tables[str(self.spec.table_of(feature).dim)]
        return tf.cast(tf.gather(_keras.tf_variable(table), rows), self.compute_dtype)

    def rows(self, feature: Feature, values: tf.Tensor) -> tf.Tensor:
        """Maps raw values of a categorical feature to rows of its fused variable.

        Args:
            feature: The feature.
            values: Raw values, any shape.

        Returns:
            int64 rows, of the same shape, always inside the feature's table.
        """
        table = self.spec.table_of(feature)
        return self._mapped([table], tf.cast(values, feature.dtype))

    def _rows(self, features: Sequence[Feature], columns: tf.Tensor) -> tf.Tensor:
        """Rows of the columns `[..., columns]` of features of one dtype."""
        tables = [self.spec.table_of(f) for f in features for _ in range(width(f))]
        return self._mapped(tables, columns)

    def _mapped(self, tables: Sequence[Table], columns: tf.Tensor) -> tf.Tensor:
        return rows_of_columns(tables, columns, self._layout.offsets, self._lookups)

    def restrict(self, names: Iterable[str]) -> FeatureEmbeddings:
        """Returns a new layer that holds only the rows that these features can reach.

        Args:
            names: Names of features.

        Returns:
            A built layer with the same name whose outputs for these features are equal
            to the bit; the rows of all other tables are not in it.

        Raises:
            ValueError: If the layer has no tables yet, or a feature is not in the spec.
        """
        if not self.built:
            raise ValueError(
                f"Layer {self.name!r} is not built, so it has no rows to keep; call it "
                "or load its weights first."
            )
        small = FeatureEmbeddings(
            self.spec.select(names),
            initializer=self.initializer,
            name=self.name,
            dtype=self._dtype_policy,
        )
        small.build(None)
        for dim, variable in small.tables.items():
            # A table's rows lie side by side in the variable of its width; the block
            # moves whole.
            blocks = []
            for table in small.spec.tables:
                if str(table.dim) == dim:
                    start = self._layout.offsets[table.name]
                    blocks.append(self.tables[dim][start : start + table.num_rows])
            variable.assign(tf.concat(blocks, axis=0))
        return small

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "spec": self.spec.to_json(),
            "initializer": tf.keras.initializers.serialize(self.initializer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureEmbeddings:
        """Makes the layer from what `get_config` returned."""
        config = dict(config)
        return cls(FeatureSpec.from_json(config.pop("spec")), **config)


def embed_features(
    embeddings: FeatureEmbeddings,
    inputs: Mapping[str, tf.Tensor],
    uses: Mapping[str, Iterable[str]],
) -> dict[str, tf.Tensor]:
    """Embeds every feature once, in one gather per side and audience.

    The audience of a feature is the set of models that read it. Features of one
    audience share a gather, so no model waits for, or depends on, a feature that it
    does not read, and nothing is gathered twice.

    Args:
        embeddings: The tables.
        inputs: Keras inputs or tensors, by feature name.
        uses: For each model, the names of the features that it reads.

    Returns:
        By feature name: `[B, d]` for user features, `[B, L, d]` for the others.

    Raises:
        ValueError: If a model reads a feature that is not in the spec or the inputs.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec, Table
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("user_id", "categorical", "user", table="user"),
        ...         Feature("item_id", "categorical", "item", table="item"),
        ...     ),
        ...     tables=(Table("user", dim=4, size=5), Table("item", dim=4, size=9)),
        ... )
        >>> vectors = embed_features(
        ...     FeatureEmbeddings(spec),
        ...     spec.keras_inputs(),
        ...     {"teacher": ["user_id", "item_id"], "fine": ["item_id"]},
        ... )
        >>> tuple(vectors["item_id"].shape)
        (None, None, 4)
    """
    groups = audiences(embeddings.spec, uses)
    missing = sorted({name for group in groups for name in group} - set(inputs))
    if missing:
        raise ValueError(
            f"There is no input for the features {missing}; inputs: {sorted(inputs)}."
        )
    embedded: dict[str, tf.Tensor] = {}
    for group in groups:
        embedded.update(embeddings({name: inputs[name] for name in group}))
    return embedded


def audiences(
    spec: FeatureSpec, uses: Mapping[str, Iterable[str]]
) -> list[tuple[str, ...]]:
    """Groups the features of one scope that are read by the same models.

    Args:
        spec: The features.
        uses: For each model, the names of the features that it reads.

    Returns:
        The groups of names, in the order of the spec; unread features are in none.

    Raises:
        ValueError: If a model reads a feature that is not in the spec.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> names = ("age", "income", "hour")
        >>> spec = FeatureSpec(tuple(Feature(n, "numeric", "user") for n in names), ())
        >>> audiences(spec, {"teacher": names, "fine": ["age", "hour"]})
        [('age', 'hour'), ('income',)]
    """
    # By who reads them, not by side alone: a net then depends on its own features only,
    # and can be cut out with nothing of the others'.
    readers: dict[str, list[str]] = {}
    for model, names in uses.items():
        for feature in spec.select(names).features:
            readers.setdefault(feature.name, []).append(model)
    groups: dict[tuple[str, ...], list[str]] = {}
    for feature in spec.features:
        if feature.name in readers:
            audience = (feature.scope, *readers[feature.name])
            groups.setdefault(audience, []).append(feature.name)
    return [tuple(group) for group in groups.values()]


def width(feature: Feature) -> int:
    """Number of columns of a feature."""
    return math.prod(feature.shape)


def _columns(feature: Feature, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Raw values of a feature as columns `[..., width]`."""
    values = tf.cast(inputs[feature.name], feature.dtype)
    return values if feature.shape else values[..., tf.newaxis]


def _copy(initializer: Any) -> Any:
    """A fresh initialiser: an unseeded one repeats its values when called again."""
    # A layer's initialiser has a seed of its own: used twice it would give both tables
    # one value.
    return type(initializer).from_config(initializer.get_config())


def masked_mean(vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean of `[..., n, d]` over n with mask `[..., n]`; zeros where it is empty."""
    weights = tf.cast(mask, vectors.dtype)[..., tf.newaxis]
    total = tf.reduce_sum(vectors * weights, axis=-2)
    # At least 1: an empty sequence is the zero vector and no NaN.
    return total / tf.maximum(tf.reduce_sum(weights, axis=-2), 1)
