"""RankDistil: orders drawn from the teacher, their likelihood under the student."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfdistill.losses import base, checks, listwise, masking

__all__ = ["RankDistil", "draw_orders"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class RankDistil(base.TemperedLoss):
    """Minus the likelihood of orders that are drawn from the teacher (Plackett-Luce).

    loss = -E_{pi ~ PL(z_t / T)} sum_{k <= K} w_k log PL(pi_k | pi_<k, z_s) / min(K, n)

    `PlackettLuce` learns the teacher's one best order; here its doubts count too: items
    that the teacher finds equal are drawn in either order. The expectation is a mean
    over `samples` draws by Gumbel top K. Unlike TF-Ranking's `CoupledRankDistilLoss`,
    negative scores are legal and every step draws other orders.

    Args:
        topk: K, how many items are drawn.
        samples: How many orders are drawn per list.
        temperature: T > 0 of the teacher; a call may override it.
        seed: Seed of the draws. With the override `step` they are a function of
            (seed, step), which a resumed run repeats, with XLA and without. Without
            `step` they are TensorFlow's random numbers, and XLA has its own: the
            values differ, the expectation doesn't.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> loss = RankDistil(topk=1)
        >>> value = loss.reduce(student=[[0.0, 0.0]], teacher=[[5.0, -5.0]], step=3)
        >>> value.numpy().round(4)
        0.6931

    Departures:
        The paper's coupled loss, as a mean over its K terms instead of a sum; its pair-
        wise penalty for items outside of the top K is left out, as they stand in the
        denominators.

    Reference:
        Reddi et al., RankDistil: knowledge distillation for ranking, AISTATS 2021.
    """

    example_rank = 1
    log_zero = True
    overrides = ("temperature", "step", "orders")
    not_applicable = {"minimum": "a mean over drawn orders is not at its minimum there"}

    def __init__(
        self,
        topk: int = 10,
        samples: int = 8,
        *,
        temperature: float = 1.0,
        seed: int = 0,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(temperature, reduction=reduction, name=name)
        self.topk = checks.at_least("topk", topk, 1)
        self.samples = checks.at_least("samples", samples, 1)
        self.seed = seed

    def _per_example(self, items: base.Items) -> tf.Tensor:
        orders = items.inputs.get("orders")
        complete = orders is None and self.topk >= (items.student.shape[-1] or math.inf)
        if orders is None:
            orders = self._draw(items)
        # Items of -inf come last and teach nothing, but stand in the denominators.
        # The sign carries "in the denominators alone" through the gather.
        weights = _take(tf.where(items.possible, items.weights, -items.weights), orders)
        drawn = (orders >= 0) & tf.not_equal(weights, 0.0)
        student, weights = _take(items.student, orders), tf.nn.relu(weights)
        weights = tf.where(drawn, weights, 0.0)
        line = student + tf.where(drawn, 0.0, student.dtype.min)
        if not complete:
            others = _rest(items, tf.where(drawn, orders, -1))
            line = tf.concat([line, others], -1)
        tails = listwise.log_tail_sums(line)[..., : tf.shape(orders)[-1]]
        # Padding has a weight of 0 and a finite tail.
        losses = tf.reduce_sum(weights * (tails - student), axis=-1)
        return tf.reduce_mean(losses / masking.divisor(weights > 0.0), axis=-1)

    def _draw(self, items: base.Items) -> tf.Tensor:
        """Draws orders by (seed, step) if the call has a step."""
        seed = None
        if "step" in items.inputs:
            seed = tf.stack([self.seed, tf.cast(items.inputs["step"], tf.int32)])
        scores = items.teacher / self._temperature(items)
        return draw_orders(scores, items.valid, self.topk, self.samples, seed)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {
            **super().get_config(),
            "topk": self.topk,
            "samples": self.samples,
            "seed": self.seed,
        }


def draw_orders(
    scores: tf.Tensor,
    valid: tf.Tensor,
    topk: int,
    samples: int,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Draws the heads of Plackett-Luce orders, by adding Gumbel noise and sorting.

    Args:
        scores: float32 `[..., L]` logits.
        valid: bool `[..., L]`.
        topk: K, length of the heads; at most L are drawn.
        samples: S, how many orders per list.
        seed: int32 `[2]` of a stateless draw; None for TensorFlow's random numbers.

    Returns:
        int32 `[..., S, min(K, L)]` positions, -1 where a list is shorter.

    Example:
        >>> valid = tf.constant([True, True, False])
        >>> draw_orders(tf.constant([90., 0., 99.]), valid, 3, 1, [0, 1]).numpy()
        array([[ 0,  1, -1]], dtype=int32)
    """
    shape = tf.shape(scores)
    shape = tf.concat([shape[:-1], [samples], shape[-1:]], 0)
    if seed is None:
        uniform = tf.random.uniform(shape, minval=1e-21)
    else:
        uniform = _stateless_uniform(shape, seed)
    scores = tf.where(valid, scores, scores.dtype.min)  # which noise doesn't change
    # -log(-log u) is Gumbel noise: the order of noisy scores is one of Plackett-Luce.
    noisy = scores[..., tf.newaxis, :] - tf.math.log(-tf.math.log(uniform))
    length = masking.last_size(scores)
    best, orders = tf.math.top_k(noisy, tf.minimum(topk, length))
    return tf.where(best > noisy.dtype.min, orders, -1)


def _stateless_uniform(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draws from (0, 1), the same with and without XLA, whose floats are others."""
    bits = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, "philox")
    # 23 bits and a half: never 0 or 1, whose logarithms are infinite, and equal with
    # XLA.
    bits = tf.cast(tf.bitwise.right_shift(bits, 9), tf.int32)
    return (tf.cast(bits, tf.float32) + 0.5) * 2.0**-23


def _take(values: tf.Tensor, orders: tf.Tensor) -> tf.Tensor:
    """Values `[..., L]` at the positions `[..., S, K]`, or at 0 where those are -1."""
    shape = tf.shape(orders)
    places = tf.reshape(tf.maximum(orders, 0), tf.concat([shape[:-2], [-1]], 0))
    return tf.reshape(masking.take(values, places), shape)


def _rest(items: base.Items, orders: tf.Tensor) -> tf.Tensor:
    """Log of the sum of e^s over the items that an order lacks: `[..., S, 1]`."""
    shape = tf.concat([tf.shape(orders)[:-1], tf.shape(items.valid)[-1:]], 0)
    rest = items.valid[..., tf.newaxis, :] & ~_chosen(orders, shape)
    student = items.student[..., tf.newaxis, :]
    scores = tf.where(rest, student, student.dtype.min)
    return tf.reduce_logsumexp(scores, axis=-1, keepdims=True)


def _chosen(orders: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Marks positions `[..., K]` (-1 for none) in a bool tensor `[..., L]`."""
    rows = tf.reshape(orders, [-1, tf.shape(orders)[-1]])
    count, length = tf.shape(rows)[0], shape[-1]
    # One more column takes the -1s.
    places = tf.where(rows < 0, length, rows)
    places += tf.range(count)[:, tf.newaxis] * (length + 1)
    places = tf.reshape(places, [-1, 1])
    marks = tf.scatter_nd(places, tf.ones_like(places[:, 0]), [count * (length + 1)])
    return tf.reshape(tf.reshape(marks, [count, length + 1])[:, :-1], shape) > 0
