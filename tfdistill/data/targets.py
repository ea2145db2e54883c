"""What a batch of lists learns from: its labels, one positive, each item's share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfdistill.data.requests import Requests
from tfdistill.pairs import Pairs


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


def log_share(
    requests: Requests,
    negatives: int,
    known: Pairs | None,
    pool: np.ndarray | None = None,
    from_pool: int = 0,
) -> np.ndarray:
    """Returns the log of each row's expected share of a batch's unmasked candidates.

    Row i is expected `(c_i + n (R - b_i) / I + m p_i / N) / R` times per request: c_i
    lists have it, a drawn i is masked in the b_i requests that list or know it, and of
    the pools of p_i requests m in N items are taken.

    Args:
        requests: R requests over a catalogue of I items.
        negatives: n, items drawn uniformly for each request.
        known: Pairs that are masked when they are drawn.
        pool: int32 `[users, N]`, -1 padded, without items that the user's lists hold.
        from_pool: m, items drawn from the user's pool for each request.

    Returns:
        float32 `[I]`.

    Example:
        >>> requests = Requests({}, {"item_id": np.arange(2)},
        ...     np.array([[0]], np.int32), np.ones([1, 1], np.float32), np.array([0]))
        >>> np.exp(log_share(requests, 1, None)).round(2)
        array([0.67, 0.33], dtype=float32)
    """
    size, total = requests.num_items, requests.num_requests
    row, position = np.nonzero(requests.candidates >= 0)
    item = requests.candidates[row, position]
    expected = np.bincount(item, minlength=size).astype(np.float64)
    if negatives:
        blocked = expected.copy()
        if known is not None:
            group = requests.group[row]
            listed = ~known.contains(group, item)
            blocked = np.bincount(item[listed], minlength=size).astype(np.float64)
            times = np.bincount(requests.group, minlength=known.user.max(initial=0) + 1)
            blocked += np.bincount(known.item, times[known.user], minlength=size)
        expected += negatives * (total - blocked) / size
    if pool is not None:
        times = np.bincount(requests.group, minlength=len(pool))
        taken = np.repeat(times * (from_pool / pool.shape[1]), pool.shape[1])
        present = pool.ravel() >= 0
        expected += np.bincount(pool[pool >= 0], taken[present], minlength=size)
    share = expected / expected.sum()
    tiny = np.finfo(np.float32).tiny  # a row that never comes has a finite log, too
    return np.log(np.maximum(share, tiny)).astype(np.float32)
