"""What may leave the training process: declared features, their rows, no teacher."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tfdistill.data.spec import FeatureSpec
from tfdistill.names import feature_names

__all__ = ["declared_spec", "refuse_variables"]


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
    if not getattr(model, "inputs", None) or not hasattr(model, "input_names"):
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


def refuse_variables(
    reachable: Iterable[Any], forbidden: Iterable[tf.keras.Model]
) -> None:
    """Raises if something of a forbidden model would be served.

    Args:
        reachable: Variables that the signatures use.
        forbidden: The teachers.

    Raises:
        ValueError: If a variable of a forbidden model is among them.
    """
    owned = {id(variable) for model in forbidden for variable in model.variables}
    found = sorted(v.name for v in reachable if id(v) in owned)
    if found:
        raise ValueError(
            f"The exported graph reaches variables of a forbidden model: {found}. "
            "Export a part that ends before the teacher, such as "
            "`JointNetwork.part(student)`."
        )
