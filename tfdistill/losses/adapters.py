"""TF-Ranking losses as distillation losses, over an explicit relevance map."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfdistill.losses import base, masking, relevance

__all__ = ["RankingLossAdapter", "approx_ndcg"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class RankingLossAdapter(relevance.RelevanceLoss):
    """Any `tfr.keras.losses` loss, with the teacher's scores mapped to relevance.

    loss = TFR(relevance(z_t), z_s), one value per list. Point- and pair-wise losses of
    TF-Ranking are summed over the list and divided by its count of valid items.

    TF-Ranking reads negative labels as padding and pads logits with log(1e-10), which a
    student near -60 loses against. So the map must give relevance >= 0, padding is
    marked after it, and shift-invariant losses see the student's list shifted to a
    maximum of 0.

    Args:
        loss: A `tfr.keras.losses` instance; its reduction is not used.
        relevance_map: Map of the teacher's scores; `RankLinear()` if None.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Raises:
        ValueError: If `loss` isn't a TF-Ranking loss.

    Example:
        >>> import tensorflow_ranking as tfr
        >>> softmax = tfr.keras.losses.SoftmaxLoss()
        >>> loss = RankingLossAdapter(softmax, relevance.MinMax())
        >>> loss(y_true=[[-1.0, -3.0]], y_pred=[[0.0, 0.0]]).numpy().round(4)
        2.7726

    Reference:
        Pasumarthi et al., TF-Ranking, arXiv:1812.00073.
    """

    def __init__(
        self,
        loss: Any,
        relevance_map: relevance.RelevanceMap | None = None,
        *,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        import tensorflow_ranking as tfr

        if not isinstance(loss, _family(tfr, "_RankingLoss")):
            raise ValueError(
                f"`loss` must be a tfr.keras.losses instance, received {loss!r}. Use "
                "the losses of tfdistill directly."
            )
        name = name or f"{loss.name}_distillation"
        super().__init__(relevance_map, reduction=reduction, name=name)
        self.loss = loss
        self._per_list = copy.copy(loss)
        self._per_list.reduction = base.Reduction.NONE
        self._shift = isinstance(loss, _shift_invariant(tfr))
        if not self._shift:
            self.not_applicable = {**self.not_applicable, "shift": base.ABSOLUTE}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        student = items.student
        if self._shift:
            student -= masking.masked_max(student, items.valid)
        labels = tf.where(items.valid, self._grades(items), -1.0)
        shape = tf.shape(student)
        rows = [-1, shape[-1]]
        losses = self._per_list(
            tf.reshape(labels, rows),
            tf.reshape(student, rows),
            tf.reshape(items.weights, rows),
        )
        losses = tf.reshape(losses, tf.concat([shape[:-1], [-1]], 0))
        total = tf.reduce_sum(losses, axis=-1)
        if losses.shape[-1] != 1:
            total /= masking.divisor(items.valid)
        return total

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        packed = tf.keras.saving.serialize_keras_object(self.loss)
        return {**super().get_config(), "loss": packed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RankingLossAdapter:
        """Makes the loss, with its TF-Ranking loss and its map, from `get_config`."""
        loss = tf.keras.saving.deserialize_keras_object(config["loss"])
        return super().from_config({**config, "loss": loss})


def approx_ndcg(
    relevance_map: relevance.RelevanceMap | None = None,
    *,
    temperature: float = 0.1,
    reduction: str = base.Reduction.AUTO,
    name: str | None = "approx_ndcg",
) -> RankingLossAdapter:
    """Minus a smooth NDCG of the student's order, relevance by the teacher.

    Args:
        relevance_map: Map of the teacher's scores; `RankLinear()` if None.
        temperature: Width of the smooth ranks, in units of the student's logits.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Returns:
        The adapted `tfr.keras.losses.ApproxNDCGLoss`.

    Example:
        >>> loss = approx_ndcg()
        >>> loss(y_true=[[2.0, -1.0]], y_pred=[[9.0, 0.0]]).numpy().round(4)
        -1.0

    Reference:
        Qin et al., A general approximation framework for direct optimization of
        information retrieval measures, 2010; Bruch et al., Revisiting approximate
        metric optimization in the age of deep neural networks, SIGIR 2019.
    """
    import tensorflow_ranking as tfr

    return RankingLossAdapter(
        tfr.keras.losses.ApproxNDCGLoss(temperature=temperature),
        relevance_map or relevance.RankLinear(),
        reduction=reduction,
        name=name,
    )


def _shift_invariant(tfr: Any) -> tuple[Any, ...]:
    """Lists the losses that only look at differences of the student's logits."""
    return (
        _family(tfr, "_PairwiseLoss"),
        tfr.keras.losses.SoftmaxLoss,
        tfr.keras.losses.UniqueSoftmaxLoss,
        tfr.keras.losses.ApproxNDCGLoss,
        tfr.keras.losses.ApproxMRRLoss,
        tfr.keras.losses.ListMLELoss,
        tfr.keras.losses.CoupledRankDistilLoss,
    )


def _family(tfr: Any, name: str) -> Any:
    """Returns one of TF-Ranking's base classes, which it does not export."""
    bases = tfr.keras.losses.PairwiseLogisticLoss.__mro__
    return next(base for base in bases if base.__name__ == name)
