"""Feature losses: hidden vectors and embeddings instead of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfdistill.losses import base, checks

__all__ = ["ClassifierTransfer", "CosineHint", "Hint"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class Hint(base.DistillationLoss):
    """Squared distance between a hidden vector of the student and the teacher's.

    loss = 1/2 ||h_s - h_t||^2 for `h_s` of the teacher's width. The projection from
    the student's width is a layer of the network (it is trained and thrown away at
    export), not a part of the loss: one dense layer gives FitNets,
    `tfdistill.layers.DistillationExperts` gives distillation experts (DE).

    Moves most for dot-product models. It wants layers of comparable scale: put a
    normalisation before the projection, or use a small weight.

    Args:
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> Hint()(y_true=[[0.0, 1.0]], y_pred=[[2.0, 1.0]]).numpy()
        2.0

    Departures:
        FitNets trains the hint in a stage of its own; here it is a term like others.

    Reference:
        Romero et al., FitNets, arXiv:1412.6550; Kang et al., DE-RRD, arXiv:2012.04357.
    """

    example_rank = 1
    item_rank = 1
    not_applicable = {"shift": base.ABSOLUTE}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        distance = tf.math.squared_difference(items.student, items.teacher)
        return items.weights * 0.5 * tf.reduce_sum(distance, axis=-1)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class CosineHint(base.DistillationLoss):
    """One minus the cosine between a hidden vector of the student and the teacher's.

    loss = 1 - cos(h_s, h_t): `Hint` without the lengths, so it needs no common scale.

    Args:
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Example:
        >>> CosineHint()(y_true=[[0.0, 1.0]], y_pred=[[2.0, 0.0]]).numpy()
        1.0

    Departures:
        The paper's squared distance of normalised vectors is twice this.

    Reference:
        Sun et al., Patient knowledge distillation, arXiv:1908.09355, which compares
        normalised vectors.
    """

    example_rank = 1
    item_rank = 1
    not_applicable = {"shift": "directions are compared, and a shift changes them"}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        student, teacher = (
            tf.math.l2_normalize(rows, axis=-1)
            for rows in (items.student, items.teacher)
        )
        return items.weights * (1.0 - tf.reduce_sum(student * teacher, axis=-1))


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class ClassifierTransfer(base.DistillationLoss):
    """Hints over several hidden layers of equal widths, as one loss.

    loss = sum_l c_l mean_h (h^l_s - h^l_t)^2

    Student and teacher each give the concatenation of their hidden layers,
    `[..., H_1 + H_2 + ...]`. Every layer is averaged over its width, so that a wide one
    doesn't drown the others.

    Args:
        widths: H_1, H_2, ... in the order of the concatenation.
        coefficients: c_1, c_2, ...; all 1 if None.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Raises:
        ValueError: If a width isn't positive or the coefficients don't match.

    Example:
        >>> loss = ClassifierTransfer([2, 1])
        >>> loss(y_true=[[0.0, 1.0, 5.0]], y_pred=[[2.0, 1.0, 4.0]]).numpy()
        3.0

    Departures:
        iQIYI published no formula; squared distances averaged over each width are ours.

    Reference:
        iQIYI, Dual DNN ranking model (2020), where the student's hidden layers follow
        the teacher's; Romero et al., FitNets, arXiv:1412.6550.
    """

    example_rank = 1
    item_rank = 1
    not_applicable = {"shift": base.ABSOLUTE}

    def __init__(
        self,
        widths: Sequence[int],
        coefficients: Sequence[float] | None = None,
        *,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.widths = [checks.at_least("widths", width, 1) for width in widths]
        self.coefficients = list(coefficients or [1.0] * len(self.widths))
        if len(self.coefficients) != len(self.widths):
            raise ValueError(
                f"`coefficients` must have one value per layer of {self.widths}, "
                f"got {self.coefficients}."
            )

    def _per_example(self, items: base.Items) -> tf.Tensor:
        distance = tf.math.squared_difference(items.student, items.teacher)
        layers = tf.split(distance, self.widths, axis=-1)
        means = [
            coefficient * tf.reduce_mean(layer, axis=-1)
            for coefficient, layer in zip(self.coefficients, layers)
        ]
        return items.weights * tf.add_n(means)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {
            **super().get_config(),
            "widths": self.widths,
            "coefficients": self.coefficients,
        }
