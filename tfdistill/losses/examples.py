"""The prepared inputs of a loss, and how its values become one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tfdistill.losses import masking, sound

__all__ = ["Items", "Outcome", "Reduction", "reduce_examples"]

Reduction = tf.keras.losses.Reduction


class Items(NamedTuple):
    """The prepared inputs of a loss: float32, finite, aligned.

    Attributes:
        student: float32 `[..., L]` (or `[..., H]`), 0 at invalid items.
        teacher: float32, shaped as `student`, without gradient, 0 at invalid items;
            `LOG_ZERO` for -inf.
        labels: float32, shaped as `weights`, or None.
        valid: bool `[..., L]`: unmasked and with a weight that isn't 0.
        weights: float32 `[..., L]`, 0 at invalid items.
        inputs: The call's further inputs, by keyword.
    """

    student: tf.Tensor
    teacher: tf.Tensor
    labels: tf.Tensor | None
    valid: tf.Tensor
    weights: tf.Tensor
    inputs: Mapping[str, Any]

    @property
    def possible(self) -> tf.Tensor:
        """Bool `[..., L]`: valid items whose teacher's score isn't -inf."""
        return self.valid & (self.teacher > sound.LOG_ZERO)


class Outcome(NamedTuple):
    """A loss before its mean: values, which count, and 1 (or NaN; see `sound`)."""

    values: tf.Tensor
    valid: tf.Tensor
    sound: tf.Tensor


def reduce_examples(
    values: tf.Tensor, valid: tf.Tensor, reduction: str = Reduction.AUTO
) -> tf.Tensor:
    """Reduces per-example losses, in the Keras path and in the Distiller alike.

    mean = sum(values over valid examples) / max(count(valid examples), 1)

    Weights are inside `values` already and not in the count: twice the weight is twice
    the loss. The mean is the replica's own; Keras divides by the number of replicas.

    Args:
        values: float32 `[...]`, per-example losses.
        valid: bool `[...]`, which examples count; with further trailing axes, an
            example counts when any of its items does.
        reduction: `AUTO` or `SUM_OVER_BATCH_SIZE` (mean over valid), `SUM` or `NONE`.

    Returns:
        float32 scalar, or `[...]` for `NONE`.

    Raises:
        ValueError: If the reduction is none of these.

    Example:
        >>> valid = tf.constant([True, True, False])
        >>> reduce_examples(tf.constant([1., 3., 8.]), valid).numpy()
        2.0
    """
    Reduction.validate(reduction)
    # An example of several items counts if one of them is valid.
    extra = valid.shape.rank - values.shape.rank
    if extra:
        valid = tf.reduce_any(valid, axis=list(range(-extra, 0)))
    if reduction == Reduction.NONE:
        return tf.where(valid, values, 0.0)
    if reduction == Reduction.SUM:
        return tf.reduce_sum(tf.where(valid, values, 0.0))
    return masking.masked_mean(values, valid, axis=None)
