"""What a batch of lists learns from: the labels of its outputs and one positive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf


def tasks_of(outputs: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Returns the task of each output; those that are only named learn the labels."""
    return dict(outputs) if isinstance(outputs, Mapping) else dict.fromkeys(outputs, "")


def pair_weights(weights: tf.Tensor | None, mask: tf.Tensor) -> tf.Tensor:
    """Returns `pair_weight` of a batch: by default 1, and 0 where masked."""
    return tf.where(mask, 1.0 if weights is None else weights, 0.0)


def label_targets(
    labels: Mapping[str, tf.Tensor],
    weights: tf.Tensor,
    mask: tf.Tensor,
    outputs: Mapping[str, str],
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns y and w of a batch: 0 and weight 0 where masked or unlabelled (NaN).

    The labels are by task, and y and w by output.
    """
    y, w = {}, {}
    for output, task in outputs.items():
        labelled = mask & ~tf.math.is_nan(labels[task])
        y[output] = tf.where(labelled, labels[task], 0.0)
        w[output] = tf.where(labelled, weights, 0.0)
    return y, w


def choose_positive(
    mask: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor | None
) -> tf.Tensor:
    """Returns the position `[B]` of one interaction (label > 0) of each list, or -1.

    It is drawn uniformly by the seed `[2]`; without a seed it is the first.
    """
    interaction = mask & (labels > 0)  # [B, L]
    if seed is None:
        order = tf.cast(interaction, tf.float32)
    else:
        draw = tf.random.stateless_uniform(tf.shape(mask), seed)
        order = tf.where(interaction, draw, -1.0)
    found = tf.reduce_any(interaction, axis=1)
    return tf.where(found, tf.argmax(order, axis=1, output_type=tf.int32), -1)
