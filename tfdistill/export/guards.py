"""What may leave the training process: declared features, their rows, no teacher."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from tfdistill import _keras
from tfdistill.export.values import leaving, refuse_values
from tfdistill.layers.embeddings import FeatureEmbeddings
from tfdistill.layers.fields import FieldProjection
from tfdistill.names import feature_names
from tfdistill.spec import FeatureSpec

__all__ = ["declared_spec", "refuse_forbidden"]

_SHARED = (FeatureEmbeddings, FieldProjection)
"""Layers that nets have in common by design; of tables only the rows that are read."""


def declared_spec(
    model: tf.keras.Model, spec: FeatureSpec, allow_privileged: bool = False
) -> FeatureSpec:
    """Returns the spec of the features that a model reads.

    Args:
        model: A functional model whose inputs have the features' names.
        spec: Has these features and may have more.
        allow_privileged: Accept features that do not exist when serving.

    Returns:
        The features of the model, in the order of `spec`.

    Raises:
        ValueError: If the model is not functional or reads a feature that is privileged
            or not in the spec.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(
            "Only a functional Keras model with one input per feature can be exported, "
            f"such as `JointNetwork.part(name)`; got {type(model).__name__}."
        )
    declared = spec.select(feature_names(model))
    privileged = [f.name for f in declared.features if f.privileged]
    if privileged and not allow_privileged:
        raise ValueError(
            f"Model {model.name!r} reads the privileged features {privileged}, which "
            "do not exist when serving. Export a student that was built without them."
        )
    return declared


def refuse_forbidden(
    signatures: Mapping[str, Any],
    lookups: Iterable[Any],
    models: Iterable[Any],
    forbidden: Iterable[tf.keras.Model],
) -> None:
    """Raises if something of a forbidden model would be served.

    Args:
        signatures: Concrete functions by signature.
        lookups: The lookup tables that they use.
        models: What is served; its tables and representation may be a teacher's, too.
        forbidden: The teachers.

    Raises:
        ValueError: If a variable of a forbidden model, or a copy of its values, is in
            reach of a signature.
    """
    theirs = [_keras.tf_variable(v) for model in forbidden for v in model.variables]
    owned = {id(variable): variable for variable in theirs}
    if not owned:
        return
    used = {id(v): v for function in signatures.values() for v in function.variables}
    common = [
        _keras.tf_variable(variable)
        for model in models
        if isinstance(model, tf.keras.Model)
        for layer in _keras.layers_of(model)
        if isinstance(layer, _SHARED)
        for variable in layer.weights
    ]
    shared = {id(variable): variable for variable in common}
    own = [variable for key, variable in used.items() if key not in shared]
    found = sorted(v.name for v in own if id(v) in owned)
    if found:
        raise ValueError(
            f"The exported graph reaches variables of a forbidden model: {found}. "
            "Export a part that ends before the teacher, such as "
            "`JointNetwork.part(student)`."
        )
    # A normalisation's statistics are the data's: not trained, one for each column.
    weights = [v for v in owned.values() if v.trainable or len(v.shape) > 1]
    refuse_values(
        leaving(signatures, own, lookups), weights, shared=list(shared.values())
    )
