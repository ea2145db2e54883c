"""Which values may enter a loss; what else comes is refused, and never trained on.

Eagerly a ValueError says what is wrong, in a graph an assertion does. XLA drops
assertions, so there the loss and its gradient become NaN, which Keras'
`TerminateOnNaN` stops at. Nothing is left out without a word.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["LOG_ZERO", "sound_teacher", "sound_temperature", "sound_weights"]

LOG_ZERO = -1e20
"""What a teacher's -inf, the log of probability 0, is in a loss: finite, and so low
that its softmax is exactly 0 at any temperature that is used."""

_NAN = float("nan")


def sound_teacher(name: str, values: tf.Tensor, log_zero: bool) -> tf.Tensor:
    """Refuses NaN and +inf, and -inf where the values themselves are compared.

    Args:
        name: The loss, for the message.
        values: float32 `[...]`, the teacher's, 0 where it doesn't count.
        log_zero: Whether -inf is taken, as probability 0.

    Returns:
        float32 scalar: 1, or NaN where an assertion was dropped.

    Raises:
        ValueError: If values are refused, eagerly.

    Example:
        >>> sound_teacher("BPR", tf.constant([0.5, float("-inf")]), True).numpy()
        1.0
    """
    if log_zero:
        return _refuse(
            tf.reduce_all(values < float("inf")),  # XLA's maximum may drop NaN
            f"{name}: the teacher's score is NaN or +inf for an item that counts. Mask "
            "items without a score (NaN in `y_true`, or `mask`), and clip a "
            "probability of 1 before you take its logit; -inf is probability 0.",
        )
    return _refuse(
        tf.reduce_all(tf.math.is_finite(values)),
        f"{name}: the teacher's signal (the labels of a hard loss) is NaN or infinite "
        "where it counts, and the values themselves are compared. Mask these items "
        "(NaN in `y_true`, or `mask`).",
    )


def sound_weights(name: str, weights: tf.Tensor) -> tf.Tensor:
    """Refuses weights that are NaN, infinite or negative.

    Args:
        name: The loss, for the message.
        weights: float32 `[...]`, 0 where masked.

    Returns:
        As `sound_teacher`.

    Raises:
        ValueError: If weights are refused, eagerly.

    Example:
        >>> sound_weights("BPR", tf.constant([0.0, 2.0])).numpy()
        1.0
    """
    return _refuse(
        tf.reduce_all((weights >= 0.0) & (weights < float("inf"))),
        f"{name}: a weight of an item that counts is NaN, infinite or negative. Give "
        "finite weights >= 0; 0 leaves an item out.",
    )


def sound_temperature(name: str, temperature: Any) -> tf.Tensor:
    """Refuses a temperature, such as a schedule's, that is not above 0 and finite.

    Args:
        name: The loss, for the message.
        temperature: float scalar.

    Returns:
        As `sound_teacher`.

    Raises:
        ValueError: If it is refused, eagerly.

    Example:
        >>> sound_temperature("RankNet", 0.5).numpy()
        1.0
    """
    value = tf.cast(temperature, tf.float32)
    return _refuse(
        tf.reduce_all((value > 0.0) & (value < float("inf"))),
        f"{name}: `temperature` must be above 0 and finite, and that of this call is "
        "not. Check the schedule that gives it.",
    )


def _refuse(right: tf.Tensor, message: str) -> tf.Tensor:
    """Raises unless `right`; returns 1, or NaN where XLA drops the assertion."""
    # Within a graph nothing can be raised: the assertion may be dropped (XLA does so),
    # but the NaN that the loss is multiplied by can't be overlooked.
    if tf.executing_eagerly():
        if not right:
            raise ValueError(message)
    else:
        tf.debugging.Assert(right, [message])
    return tf.where(right, 1.0, _NAN)
