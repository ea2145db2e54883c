"""An existing teacher into an existing student, in one call."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfdistill.trainers.teachers import FrozenTeacher

__all__ = ["distill"]

_LOSSES: dict[str, tuple[type, Callable[[Any], Any]]] = {
    "binary_crossentropy": (tf.keras.losses.BinaryCrossentropy, tf.sigmoid),
    "categorical_crossentropy": (
        tf.keras.losses.CategoricalCrossentropy,
        tf.nn.softmax,
    ),
    "mean_squared_error": (tf.keras.losses.MeanSquaredError, tf.identity),
}
"""The losses by Keras' name, and what turns logits into what their labels are."""


def distill(
    student: tf.keras.Model,
    teacher: Any,
    data: tf.data.Dataset,
    *,
    loss: Any = "binary_crossentropy",
    soft: float = 0.5,
    epochs: int = 1,
    optimizer: Any = "adam",
    **options: Any,
) -> tf.keras.Model:
    """Trains a Keras model on labels and on what another one predicts.

    `L = loss((1 - soft) y + soft t(x), s(x))`, with the teacher t and the student s.
    For a cross entropy that is `(1 - soft) loss(y, s) + soft loss(t, s)`, and for a
    squared error it has the same gradient.

    Use it where both models and a data set of `(x, y)` are there. For hints, lists,
    several outputs or joint training take the `Distiller`.

    Args:
        student: The model to train, with one output.
        teacher: A trained Keras model, or a function, from x to what the student
            should predict: probabilities for a cross entropy, or logits where the loss
            takes logits.
        data: Batches `(x, y)` or `(x, y, sample_weight)`.
        loss: "binary_crossentropy", "categorical_crossentropy", "mean_squared_error",
            or Keras' loss of that kind, such as `BinaryCrossentropy(from_logits=True)`.
        soft: The teacher's share, from 0 to 1.
        epochs: Passes over the data.
        optimizer: As in Keras.
        **options: Further arguments of `fit`.

    Returns:
        The student.

    Raises:
        ValueError: If the loss is another one, `soft` is out of range, or the teacher's
            predictions have another shape than the labels.

    Example:
        >>> x = tf.random.stateless_normal([64, 4], seed=[0, 1])
        >>> data = tf.data.Dataset.from_tensor_slices((x, x[:, :1] > 0)).batch(16)
        >>> teacher = lambda x: tf.sigmoid(4.0 * x[:, :1])
        >>> student = tf.keras.Sequential([tf.keras.layers.Dense(1, "sigmoid")])
        >>> distill(student, teacher, data, epochs=2, verbose=0) is student
        True

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network, arXiv:1503.02531.
    """
    if not (isinstance(soft, (int, float)) and math.isfinite(soft) and 0 <= soft <= 1):
        raise ValueError(f"distill: soft must be from 0 to 1, got {soft!r}.")
    found, as_label = _loss(loss)
    if not found.get_config().get("from_logits"):
        as_label = tf.identity
    taught = FrozenTeacher(teacher)

    def mixed(x: Any, y: Any, *weight: Any) -> Any:
        # Keras has no loss of two targets; a cross entropy is linear in its label, so
        # the mean of labels has the mean of both losses.
        (target,) = taught(x).values()
        y = tf.cast(y, tf.float32)
        target = _shaped(as_label(target), y)
        return (x, (1.0 - soft) * y + soft * target, *weight)

    student.compile(optimizer, loss=found)
    student.fit(data.map(mixed), epochs=epochs, **options)
    return student


def _loss(given: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The Keras loss, and what makes labels of a teacher's logits."""
    for name, (kind, as_label) in _LOSSES.items():
        if given == name:
            return kind(), as_label
        if isinstance(given, kind):
            return given, as_label
    raise ValueError(
        f"distill: loss must be one of {list(_LOSSES)} or Keras' loss of that kind, "
        f"got {given!r}. For other losses take the Distiller."
    )


def _shaped(target: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The teacher's predictions in the shape of the labels, give or take a last 1."""
    if target.shape.rank == y.shape.rank + 1 and target.shape[-1] == 1:
        target = tf.squeeze(target, -1)
    elif target.shape.rank == y.shape.rank - 1 and y.shape[-1] == 1:
        target = target[..., tf.newaxis]
    if not target.shape.is_compatible_with(y.shape):
        raise ValueError(
            f"distill: the teacher predicts {target.shape}, and the labels are "
            f"{y.shape}: they must have one shape."
        )
    return target
