"""List-wise losses: one list of items is one example."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfdistill.losses import base, checks, masking

__all__ = ["ListSoftmaxKL"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class ListSoftmaxKL(base.DistillationLoss):
    """Divergence between the softmax of the teacher's list and the student's.

    loss = T^2 * sum_i w_i [p_i log(p_i / q_i) - p_i + q_i], p = softmax(z_t / T),
    q = softmax(z_s / T) over the valid items, all from log-softmax. With equal weights
    the last two terms vanish and this is KL(p || q); under other weights they keep the
    minimum at q = p. The sum is an expectation under p, so it is not divided by the
    length of the list: one list counts as one example, long or short.

    The default for ranking students, and for recall over sampled lists. It moves the
    head of the list most; choose T so that p has an effective size (perplexity) of
    about 20 items in recall: a T that is too small hurts.

    Args:
        temperature: T > 0; a call may override it, for schedules.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = ListSoftmaxKL()
        >>> loss(y_true=[[2.0, 1.0, 0.0]], y_pred=[[2.0, 1.0, 0.0]]).numpy()
        0.0

    Reference:
        Cao et al., Learning to rank: from pairwise to listwise approach, ICML 2007;
        Hinton et al., arXiv:1503.02531.
    """

    example_rank = 1
    overrides = ("temperature",)

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.temperature = checks.positive("temperature", temperature)

    def _per_example(self, items: base.Items) -> tf.Tensor:
        t = items.inputs.get("temperature", self.temperature)
        log_p = masking.masked_log_softmax(items.teacher / t, items.valid)
        log_q = masking.masked_log_softmax(items.student / t, items.valid)
        p, q = tf.exp(log_p), tf.exp(log_q)
        divergence = p * (log_p - log_q) - p + q
        return t**2 * tf.reduce_sum(items.weights * divergence, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "temperature": self.temperature}
