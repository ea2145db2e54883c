"""FeatureSpec: one description of the features for readers, inputs and serving."""

# ruff: noqa: UP007, UP045 - pydantic reads annotations when it runs, on Python 3.9 too

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Optional, Union

import numpy as np
import pydantic
import tensorflow as tf

from tfdistill.documents import Checked, Int64, as_json, one_of, read
from tfdistill.files import written_whole
from tfdistill.names import check_name, safe_name
from tfdistill.tables import Axis, Table

__all__ = ["LISTED", "RESERVED_NAMES", "Feature", "FeatureSpec", "Table"]

RESERVED_NAMES = frozenset(
    "item_row log_q mask pair_weight positive request_id".split()
)
"""Keys of a batch that are not features, so no feature may take them."""

LISTED = ("item", "pair")
"""The scopes of the features that every candidate of a list has."""

_DEFAULTS: Mapping[str, Union[str, int, float]] = {
    "string": "",
    "int64": -1,
    "float32": 0.0,
}
_LARGEST = float(np.finfo(np.float32).max)

Float32 = Annotated[float, pydantic.Field(ge=-_LARGEST, le=_LARGEST)]


def _check(name: str, argument: str, value: object, allowed: Iterable[object]) -> None:
    choices = tuple(allowed)
    if value not in choices:
        raise ValueError(f"{name}: {argument} must be one of {choices}, got {value!r}.")


@dataclasses.dataclass(frozen=True)
class Feature(Checked):
    """One feature as it arrives: raw values, before any lookup.

    Args:
        name: Name of the column, the Keras input and the serving tensor.
        kind: `"categorical"` (rows of `table`) or `"numeric"`.
        scope: `"user"` (once per request, context included), `"item"` (a row of the
            catalogue) or `"pair"` (once per candidate of a request, such as a scorer's
            score of the two).
        table: The `Table` of a categorical feature, by name.
        shape: `()` for one value, `(n,)` for a sequence or a multi-hot of up to n
            values padded with `default`; their embeddings are averaged.
        dtype: `"string"`, `"int64"` or `"float32"`. By default `"int64"` for
            categorical and `"float32"` for numeric.
        default: Value for missing and padded. By default `""`, `-1` or `0.0`.
        privileged: Known when training and never when serving: for teachers only. By
            default pair features are, but for those of a stage: say `False` for one
            that a client can send.
        mean: Subtracted from a numeric value.
        scale: A numeric value is divided by it after `mean` was subtracted.
        stage: Of a numeric pair feature of shape (2,): the stage of a cascade whose
            score of the candidate it is, as `layers.standing` writes it. `"recall"` is
            the first one, later ones have names. The cascade computes it.

    Raises:
        ValueError: If the arguments contradict each other.

    Example:
        >>> Feature("genres", "categorical", "item", table="genre", shape=(3,),
        ...         dtype="string").default
        ''
    """

    name: str
    kind: Annotated[str, one_of("categorical", "numeric")]
    scope: Annotated[str, one_of("user", "item", "pair")]
    table: Optional[str] = None
    shape: Annotated[tuple[Axis, ...], pydantic.Field(max_length=1)] = ()
    dtype: str = ""
    default: Union[str, Int64, Float32, None] = None
    privileged: Optional[bool] = None
    mean: Float32 = 0.0
    scale: Float32 = 1.0
    stage: Optional[str] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        label = check_name("Feature", self.name, RESERVED_NAMES)
        numeric = self.kind == "numeric"
        if not self.dtype:
            object.__setattr__(self, "dtype", "float32" if numeric else "int64")
        allowed = ("float32",) if numeric else ("string", "int64")
        _check(f"{label} ({self.kind})", "dtype", self.dtype, allowed)
        if self.default is None:
            object.__setattr__(self, "default", _DEFAULTS[self.dtype])
        if self.privileged is None:
            alone = self.scope == "pair" and self.stage is None
            object.__setattr__(self, "privileged", alone)
        values = (int, float) if numeric else type(_DEFAULTS[self.dtype])
        if not isinstance(self.default, values):
            raise ValueError(
                f"{label}: default {self.default!r} is no value of dtype "
                f"{self.dtype!r}."
            )
        self._check_kind(label, numeric)

    def _check_kind(self, label: str, numeric: bool) -> None:
        if numeric != (self.table is None):
            raise ValueError(
                f"{label}: a categorical feature names its table and a numeric one has "
                f"none, got kind={self.kind!r} and table={self.table!r}."
            )
        if not numeric and (self.mean, self.scale) != (0.0, 1.0):
            raise ValueError(f"{label}: mean and scale are for numeric features only.")
        if self.stage is not None:
            check_name(f"{label}: stage", self.stage)
            is_one = ("numeric", "pair", (2,))
            if (self.kind, self.scope, self.shape) != is_one:
                raise ValueError(
                    f"{label}: the score of a stage is {is_one}, got "
                    f"{(self.kind, self.scope, self.shape)} and stage={self.stage!r}."
                )
        if np.float32(self.scale) == 0:
            raise ValueError(f"{label}: scale must not be 0, got {self.scale}.")

    @property
    def batch_shape(self) -> tuple[int | None, ...]:
        """Shape of the feature in a batch, without the batch axis."""
        return self.shape if self.scope == "user" else (None, *self.shape)


@dataclasses.dataclass(frozen=True)
class FeatureSpec(Checked):
    """All features and tables of a problem: the single source of truth.

    The readers, the Keras inputs, the embeddings, the serving signatures and the export
    guard are made from it, so that they can't disagree.

    Args:
        features: The features, in the order in which models concatenate them.
        tables: The tables that they name; a table that no feature names is dropped.

    Raises:
        ValueError: If names repeat, a table is missing, or features of different dtypes
            share a table.

    Example:
        >>> spec = FeatureSpec(
        ...     features=(
        ...         Feature("age", "numeric", "user", mean=35.0, scale=10.0),
        ...         Feature("item_id", "categorical", "item", table="item_id"),
        ...     ),
        ...     tables=(Table("item_id", dim=16, size=1000),),
        ... )
        >>> spec.names
        ('age', 'item_id')
        >>> FeatureSpec.from_json(spec.to_json()) == spec
        True
    """

    features: tuple[Feature, ...]
    tables: tuple[Table, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        used = {feature.table for feature in self.features}
        kept = tuple(table for table in self.tables if table.name in used)
        object.__setattr__(self, "tables", kept)
        for what, names in (("feature", self.names), ("table", tuple(self._tables))):
            source = self.features if what == "feature" else kept
            if len(set(names)) != len(source):
                raise ValueError(f"FeatureSpec: a {what} name repeats in {names}.")
        if not self.features:
            raise ValueError("FeatureSpec: give at least one feature, got none.")
        self._check_tables()

    def _check_tables(self) -> None:
        dtypes: dict[str, str] = {}
        for feature in self.features:
            if feature.table is None:
                continue
            table = self._tables.get(feature.table)
            if table is None:
                raise ValueError(
                    f"Feature {feature.name!r} names table {feature.table!r}, which is "
                    f"not in the spec; its tables are {sorted(self._tables)}."
                )
            dtype = dtypes.setdefault(feature.table, feature.dtype)
            listed = {str: "string", int: "int64"}.get(
                type(table.vocabulary[0]) if table.vocabulary else type(None), dtype
            )
            if not feature.dtype == dtype == listed:
                raise ValueError(
                    f"Feature {feature.name!r} has dtype {feature.dtype!r}, but its "
                    f"table {feature.table!r} holds {listed!r} and other features of "
                    f"it have {dtype!r}."
                )
            if table.kind == "integer" and feature.dtype != "int64":
                raise ValueError(
                    f"Feature {feature.name!r}: a table of kind 'integer' takes dtype "
                    f"'int64', got {feature.dtype!r}; use kind 'vocabulary' or 'hash'."
                )

    @property
    def _tables(self) -> dict[str, Table]:
        return {table.name: table for table in self.tables}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(feature.name for feature in self.features)

    def __getitem__(self, name: str) -> Feature:
        return self.select([name]).features[0]

    def table_of(self, feature: Feature) -> Table:
        """Returns the table of a categorical feature."""
        return self._tables[str(feature.table)]

    def select(self, names: Iterable[str]) -> FeatureSpec:
        """Returns the spec of these features only, in the order of this spec.

        Args:
            names: Names of features.

        Returns:
            A spec with these features and the tables that they name.

        Raises:
            ValueError: If a name is not in the spec.
        """
        wanted = set(names)
        unknown = sorted(wanted - set(self.names))
        if unknown:
            raise ValueError(f"No feature {unknown} in the spec; it has {self.names}.")
        kept = tuple(feature for feature in self.features if feature.name in wanted)
        return FeatureSpec(kept, self.tables)

    def scope(self, *scopes: str) -> tuple[Feature, ...]:
        """Returns the features of these scopes, in the order of the spec.

        Args:
            *scopes: Such as `"user"`, or `*LISTED` for what every candidate has.
        """
        for scope in scopes:
            _check("FeatureSpec.scope", "scope", scope, ("user", *LISTED))
        return tuple(feature for feature in self.features if feature.scope in scopes)

    def non_privileged(self) -> FeatureSpec:
        """Returns the spec of the features that exist when serving."""
        return self.select(f.name for f in self.features if not f.privileged)

    def keras_inputs(self, taken: Collection[str] = ()) -> dict[str, tf.Tensor]:
        """Returns a `tf.keras.Input` per feature, its layer named by `safe_name`.

        Args:
            taken: Names that other layers of the same model have or may get.

        Returns:
            By name: user features `[B, *shape]`, item and pair features `[B, L,
            *shape]` with any batch size B and list size L, holding raw values.
        """
        return {
            f.name: tf.keras.Input(
                f.batch_shape, dtype=f.dtype, name=safe_name(f.name, taken)
            )
            for f in self.features
        }

    def parsing_spec(self) -> dict[str, Any]:
        """Returns the spec for `tf.io.parse_example`: one tf.Example per request.

        A user feature is one list of `shape` values; an item or pair feature is the
        flat list of its values over the candidates, padded to the longest request of
        the batch.
        """
        parsing: dict[str, Any] = {}
        for f in self.features:
            dtype = tf.as_dtype(f.dtype)
            if f.scope == "user":
                default = [f.default] * f.shape[0] if f.shape else f.default
                parsing[f.name] = tf.io.FixedLenFeature(f.shape, dtype, default)
            else:
                parsing[f.name] = tf.io.FixedLenSequenceFeature(
                    f.shape, dtype, allow_missing=True, default_value=f.default
                )
        return parsing

    def to_json(self) -> str:
        """Returns the spec as JSON text; `from_json` reads it back to an equal spec."""
        return as_json(self)

    @classmethod
    def from_json(cls, text: str) -> FeatureSpec:
        """Reads what `to_json` wrote, or what a user wrote by hand.

        Args:
            text: JSON with the lists `features` and `tables`; arguments that have a
                default may be left out.

        Returns:
            The spec.

        Raises:
            ValueError: If the text is no JSON, or an argument does not exist or has a
                value that it can't have.
        """
        return read(text, cls, what="a feature spec")

    def save(self, path: str | Path) -> None:
        """Writes the spec as a JSON file: whole, or not at all."""
        with written_whole(path) as unfinished:
            unfinished.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> FeatureSpec:
        """Reads a spec from a JSON file.

        Args:
            path: The file.

        Returns:
            The spec.

        Raises:
            ValueError: As for `from_json`, naming the file.
        """
        remedy = "Give the path of one: JSON with `features` and `tables`."
        return read(Path(path), cls, what="a feature spec", remedy=remedy)
