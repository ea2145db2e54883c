"""Point-wise losses: each item's logit is compared with the teacher's, alone."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses import base

__all__ = [
    "LogitMSE",
    "ProbabilityMSE",
    "SigmoidCrossEntropy",
    "SigmoidSoftLabel",
    "SoftmaxSoftLabel",
]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class SigmoidSoftLabel(base.TemperedLoss):
    """Cross entropy against the teacher's softened click probability.

    loss = T^2 * BCE(sigmoid(z_t / T), sigmoid(z_s / T)), from logits. The factor T^2
    keeps the gradient's scale when T changes: d/dz_s = T (sigmoid(z_s/T) -
    sigmoid(z_t/T)), which is (z_s - z_t) / 4 for a large T.

    The default for click-through students. Only T = 1 keeps a student calibrated (mean
    prediction = mean label): with T > 1, as with `LogitMSE`, a student that can't match
    its teacher under-predicts low rates. Use T > 1 on an auxiliary head, or where order
    alone matters.

    Args:
        temperature: T > 0; a call may override it, for schedules.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = SigmoidSoftLabel(temperature=2.0)
        >>> loss(y_true=[[0.0, -1.0]], y_pred=[[0.0, -1.0]]).numpy().round(4)
        2.712

    Departures:
        T^2 is Hinton's; Zhu et al. leave it out.

    Reference:
        Hinton et al., Distilling the knowledge in a neural network, arXiv:1503.02531;
        Zhu et al., Ensembled CTR prediction via knowledge distillation,
        arXiv:2011.04106.
    """

    log_zero = True
    not_applicable = {"shift": base.ABSOLUTE}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        t = self._temperature(items)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.sigmoid(items.teacher / t), logits=items.student / t
        )
        return items.weights * t**2 * entropy


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class SoftmaxSoftLabel(base.TemperedLoss):
    """Cross entropy against the teacher's softened classes, the classic of Hinton.

    loss = T^2 * CE(softmax(z_t / T), softmax(z_s / T)), over classes `[..., C]`. The
    factor T^2 keeps the gradient's scale when T changes, so that the weight between
    hard and soft loss keeps its meaning.

    For outputs with several classes, such as next-action or rating grades. Classes are
    not items: the mask says which examples count. For a list of items see
    `ListSoftmaxKL`.

    Args:
        temperature: T > 0, usually 2 to 5; a call may override it, for schedules.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = SoftmaxSoftLabel(temperature=2.0)
        >>> loss(y_true=[[1.0, 1.0]], y_pred=[[0.0, 0.0]]).numpy().round(4)
        2.7726

    Reference:
        Hinton et al., Distilling the knowledge in a neural network, arXiv:1503.02531.
    """

    example_rank = 1
    item_rank = 1
    log_zero = True

    def _per_example(self, items: base.Items) -> tf.Tensor:
        t = self._temperature(items)
        entropy = tf.nn.softmax_cross_entropy_with_logits(
            labels=tf.nn.softmax(items.teacher / t), logits=items.student / t
        )
        return items.weights * t**2 * entropy


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class LogitMSE(base.DistillationLoss):
    """Squared difference of the logits, the hint of Rocket Launching.

    loss = (z_s - z_t)^2, the limit of `SigmoidSoftLabel` for a large temperature (up to
    a factor of 8). It transfers the teacher's whole margin, and with a capacity gap it
    makes a sigmoid student under-predict low rates: watch calibration, or use it on an
    auxiliary head.

    Args:
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> LogitMSE()(y_true=[[1.0, float("nan")]], y_pred=[[3.0, 5.0]]).numpy()
        4.0

    Reference:
        Zhou et al., Rocket launching, arXiv:1708.04106.
    """

    not_applicable = {"shift": base.ABSOLUTE}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        return items.weights * tf.math.squared_difference(items.student, items.teacher)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class ProbabilityMSE(base.DistillationLoss):
    """Squared difference of the click probabilities, from logits.

    loss = (sigmoid(z_s) - sigmoid(z_t))^2. Rocket Launching compares it with its hint
    on logits. Its minimum is the teacher's mean probability, so that it keeps a student
    calibrated, as `SigmoidSoftLabel` at T = 1 does; but where both are sure, there is
    hardly a gradient: a student that is sure and wrong learns slowly.

    Args:
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> loss = ProbabilityMSE()
        >>> loss(y_true=[[0.0, float("nan")]], y_pred=[[100.0, 5.0]]).numpy()
        0.25

    Departures:
        The paper compares softmax outputs; for two classes their squared distance is
        twice this.

    Reference:
        Zhou et al., Rocket launching, arXiv:1708.04106.
    """

    log_zero = True
    not_applicable = {"shift": base.ABSOLUTE}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        return items.weights * tf.math.squared_difference(
            tf.sigmoid(items.student), tf.sigmoid(items.teacher)
        )


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class SigmoidCrossEntropy(base.DistillationLoss):
    """Cross entropy against hard labels, item by item, for `compile(loss=)`.

    loss = BCE(y, sigmoid(z_s)), from logits, with `y` in the teacher's place
    (`y_true`). Keras' `BinaryCrossentropy` averages the last axis before it weighs, so
    it can't take one weight per item `[B, L]`; here NaN labels and zero weights drop
    single items, and the mean is over the items that are left.

    Args:
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> SigmoidCrossEntropy()([[1.0, float("nan")]], [[0.0, 9.0]]).numpy().round(4)
        0.6931

    Reference:
        Keras `BinaryCrossentropy(from_logits=True)`, which it equals on full lists.
    """

    not_applicable = {
        "shift": base.ABSOLUTE,
        "minimum": "the second signal is a label in [0, 1], not a logit to be matched",
    }

    def _per_example(self, items: base.Items) -> tf.Tensor:
        return items.weights * tf.nn.sigmoid_cross_entropy_with_logits(
            labels=items.teacher, logits=items.student
        )
