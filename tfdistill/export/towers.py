"""The two towers of a recall model, as functions of features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.export.guards import declared_spec
from tfdistill.export.servable import called, one_output
from tfdistill.spec import FeatureSpec

__all__ = ["Towers"]

_BLOCK = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Towers:
    """The two functions of a recall model and what they read.

    Attributes:
        query: User features to vectors `[B, d]`.
        item: Item features `[N, *shape]` to vectors `[N, d]`.
        users: The user features.
        items: The item features.
        models: The Keras models, or the SavedModel, of which they are.
    """

    query: Callable[[Mapping[str, tf.Tensor]], tf.Tensor]
    item: Callable[[Mapping[str, tf.Tensor]], tf.Tensor]
    users: FeatureSpec
    items: FeatureSpec
    models: tuple[Any, ...]

    @classmethod
    def of(
        cls,
        query_model: tf.keras.Model,
        item_model: tf.keras.Model,
        spec: FeatureSpec,
        allow_privileged: bool = False,
    ) -> Towers:
        """Returns the towers of two Keras models, after a check of what they read."""
        users, items = (
            _one_side(declared_spec(model, spec, allow_privileged), scope)
            for model, scope in ((query_model, "user"), (item_model, "item"))
        )
        models = [one_output(query_model), one_output(item_model)]
        return cls(*_calls(models), users, items, tuple(models))

    def calling(self, models: Sequence[tf.keras.Model]) -> Towers:
        """Returns the same towers as two other models compute them."""
        return Towers(*_calls(models), self.users, self.items, tuple(models))

    def vectors(self, items: Mapping[str, tf.Tensor]) -> np.ndarray:
        """Returns the vectors of items `[I, d]`, by blocks."""
        return _by_blocks(self.item, items)

    def queries(self, users: Mapping[str, tf.Tensor]) -> np.ndarray:
        """Returns the vectors of users `[Q, d]`, by blocks."""
        return _by_blocks(self.query, users)


def _calls(models: Sequence[tf.keras.Model]) -> tuple[Any, Any]:
    """The two towers as functions of features."""
    query, item = models

    def vectors(columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
        listed = {name: x[tf.newaxis] for name, x in columns.items()}
        return called(item, listed)[0]

    return lambda columns: called(query, columns), vectors


def _by_blocks(
    function: Callable[[Mapping[str, tf.Tensor]], tf.Tensor],
    columns: Mapping[str, tf.Tensor],
) -> np.ndarray:
    """Vectors `[N, d]` of many rows, by blocks of them."""
    size = len(next(iter(columns.values())))
    blocks = [
        function({name: x[at : at + _BLOCK] for name, x in columns.items()}).numpy()
        for at in range(0, size, _BLOCK)
    ]
    return np.concatenate(blocks)


def _one_side(spec: FeatureSpec, scope: str) -> FeatureSpec:
    others = [f.name for f in spec.features if f.scope != scope]
    if others:
        raise ValueError(
            f"The tower of the {scope} side reads {others} of another scope; give the "
            "two towers as `JointNetwork.part(..., scope=...)`."
        )
    return spec
