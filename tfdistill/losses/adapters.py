"""TF-Ranking losses as distillation losses, over an explicit relevance map."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Callable

import tensorflow as tf

from tfdistill.losses import base, checks, masking, relevance

__all__ = ["RankingLossAdapter"]

# Pairs per chunk of lists: 16 MB for each of TF-Ranking's [lists, L, L] tensors.
_PAIRS = 2**22


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class RankingLossAdapter(relevance.RelevanceLoss):
    """Any `tfr.keras.losses` loss on one logit per item, over the teacher's relevance.

    loss = TFR(relevance(z_t), z_s), one value per list. Point- and pair-wise losses of
    TF-Ranking are summed over the list and divided by its count of valid items; list-
    wise ones are as they are. Losses that draw samples are averaged over them.

    TF-Ranking reads negative labels as padding and pads logits with log(1e-10), which a
    student near -60 loses against. So the map must give relevance >= 0, padding is
    marked after it, and shift-invariant losses see the student's list shifted to a
    maximum of 0. Weights count as TF-Ranking counts them: most list-wise losses average
    a list's weights by relevance.

    TF-Ranking holds several [L, L] tensors per list. Lists go through it in chunks
    whose gradient is taken at once, which bounds memory up to L of about 2,000; the
    losses of tfdistill itself need no such limit. Can be differentiated once. XLA can't
    compile the losses that draw samples.

    Args:
        loss: A `tfr.keras.losses` instance; its reduction is not used.
        relevance_map: Map of the teacher's scores; `RankLinear()` if None.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Raises:
        ValueError: If `loss` isn't a TF-Ranking loss, or its temperature not above 0.

    Example:
        >>> import tensorflow_ranking as tfr
        >>> softmax = tfr.keras.losses.SoftmaxLoss()
        >>> loss = RankingLossAdapter(softmax, relevance.MinMax())
        >>> loss(y_true=[[-1.0, -3.0]], y_pred=[[0.0, 0.0]]).numpy().round(4)
        2.7726

    Departures:
        The values are TF-Ranking's; the map of scores to relevance, the shift and the
        divisor by items are ours.

    Reference:
        Pasumarthi et al., TF-Ranking, arXiv:1812.00073.
    """

    constant_teacher = True

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
        options = loss.get_config()
        if options.get("temperature") is not None:
            checks.positive("temperature", options["temperature"])
        name = name or f"{loss.name or type(loss).__name__}_distillation"
        super().__init__(relevance_map, reduction=reduction, name=name)
        self.loss = loss
        self._each = copy.copy(loss)
        self._each.reduction = base.Reduction.NONE
        self._of_lists = isinstance(
            loss,
            (_family(tfr, "_ListwiseLoss"), tfr.keras.losses.CoupledRankDistilLoss),
        )
        self._shift = isinstance(loss, _shift_invariant(tfr)) and not isinstance(
            loss, tfr.keras.losses.CalibratedSoftmaxLoss
        )
        if not self._shift:
            self.not_applicable = {**self.not_applicable, "shift": base.ABSOLUTE}

    def _per_example(self, items: base.Items) -> tf.Tensor:
        student = items.student
        if self._shift:
            student -= masking.masked_max(student, items.valid)
        labels = tf.where(items.valid, self._grades(items), -1.0)
        shape = tf.shape(student)
        rows = [tf.reduce_prod(shape[:-1]), masking.last_size(student)]
        values = _in_chunks(
            self._per_list,
            tf.reshape(student, rows),
            (tf.reshape(labels, rows), tf.reshape(items.weights, rows)),
        )
        return tf.reshape(values, shape[:-1])

    def _per_list(
        self, student: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        """One value per list from TF-Ranking's per list, per item or per sample."""
        count, length = tf.unstack(tf.shape(student))
        each = self._each(labels, student, weights)
        if self._of_lists:
            return tf.reduce_mean(tf.reshape(each, [count, -1]), axis=-1)
        each = tf.reduce_sum(tf.reshape(each, [count, -1, length]), axis=-1)
        return tf.reduce_mean(each, axis=-1) / masking.divisor(labels >= 0.0)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        packed = tf.keras.saving.serialize_keras_object(self.loss)
        return {**super().get_config(), "loss": packed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RankingLossAdapter:
        """Makes the loss, with its TF-Ranking loss and its map, from `get_config`."""
        loss = tf.keras.saving.deserialize_keras_object(config["loss"])
        return super().from_config({**config, "loss": loss})


def _in_chunks(
    function: Callable[..., tf.Tensor],
    student: tf.Tensor,
    constants: tuple[tf.Tensor, tf.Tensor],
) -> tf.Tensor:
    """`function(student, *constants)` `[N]` of `[N, L]`, chunk by chunk of lists."""
    pairs = student.shape.num_elements()
    if pairs and pairs * student.shape[-1] <= _PAIRS:
        return function(student, *constants)  # one chunk
    count, length = tf.unstack(tf.shape(student))
    wide = tf.maximum(length, 1)  # nothing is one item of padding
    lists = tf.clip_by_value(_PAIRS // (wide * wide), 1, tf.maximum(count, 1))
    chunks = tf.maximum(-(-count // lists), 1)

    def cut(rows: tf.Tensor, padding: float) -> tf.Tensor:
        """`[N, L]` -> `[chunks, lists, L]`."""
        extra = [[0, chunks * lists - count], [0, wide - length]]
        rows = tf.pad(rows, extra, constant_values=padding)
        return tf.reshape(rows, [chunks, lists, student.shape[-1] or wide])

    labels, weights = constants

    @tf.custom_gradient
    def values(student: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
        def chunk(parts: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
            rows, *rest = parts
            with tf.GradientTape() as tape:
                tape.watch(rows)
                losses = function(rows, *rest)
            zero = tf.UnconnectedGradients.ZERO
            return losses, tape.gradient(losses, rows, unconnected_gradients=zero)

        losses, slopes = tf.map_fn(
            chunk,
            (cut(student, 0.0), cut(labels, -1.0), cut(weights, 0.0)),
            fn_output_signature=(tf.float32, tf.float32),
            parallel_iterations=1,
        )

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            rows = tf.reshape(slopes, [chunks * lists, -1])[:count, :length]
            return upstream[:, tf.newaxis] * rows

        return tf.reshape(losses, [-1])[:count], gradient

    return values(student)


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
    members = (tfr.keras.losses.PairwiseLogisticLoss, tfr.keras.losses.SoftmaxLoss)
    bases = [base for member in members for base in member.__mro__]
    return next(base for base in bases if base.__name__ == name)
