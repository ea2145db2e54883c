"""TF-Ranking losses as distillation losses, over an explicit relevance map."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from collections.abc import Mapping
from typing import Any, Callable

import tensorflow as tf

from tfdistill.losses import base, checks, masking, relevance

__all__ = ["RankingLossAdapter", "tf_ranking"]

# Pairs per chunk of lists: 16 MB for each of TF-Ranking's [lists, L, L] tensors.
_PAIRS = 2**22


def tf_ranking() -> Any:
    """Returns TF-Ranking, as `import tensorflow_ranking` where TensorFlow is 2.15.

    TF-Ranking 0.5.5 reads `tensorflow.estimator.ModeKeys` while it is imported, which
    TensorFlow 2.16 and later lack; they get it for that time. The classes of its
    `keras` part need Keras 2; its losses work with any Keras in `RankingLossAdapter`.

    Returns:
        The module `tensorflow_ranking`.

    Raises:
        ImportError: If it is not installed, with the command that installs it.

    Example:
        >>> tfr = tf_ranking()
        >>> loss = RankingLossAdapter(tfr.keras.losses.ApproxNDCGLoss())
        >>> loss(y_true=[[2.0, 1.0, 3.0]], y_pred=[[0.2, 0.1, 0.3]]).numpy().round(2)
        -0.9
    """
    places = []
    if "tensorflow_ranking" not in sys.modules and not hasattr(tf, "estimator"):
        places = [tf, tf.compat.v1, importlib.import_module("tensorflow.compat.v1")]
    keys = types.SimpleNamespace(TRAIN="train", EVAL="eval", PREDICT="infer")
    for place in places:
        place.estimator = types.SimpleNamespace(ModeKeys=keys)
    try:
        import tensorflow_ranking as tfr
    except ModuleNotFoundError as error:
        if error.name != "tensorflow_ranking":
            raise
        raise ImportError(
            "TF-Ranking is not installed. With TensorFlow 2.15: pip install "
            "tensorflow-ranking==0.5.5. Later ones are above the cap in its metadata, "
            "and work: pip install --no-deps tensorflow-ranking==0.5.5."
        ) from error
    finally:
        for place in places:
            if hasattr(place, "estimator"):
                delattr(place, "estimator")
    return tfr


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
        >>> tfr = tf_ranking()
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
        tfr = tf_ranking()
        if not isinstance(loss, _family(tfr, "_RankingLoss")):
            raise ValueError(
                f"`loss` must be a tfr.keras.losses instance, got {loss!r}. Use "
                "the losses of tfdistill directly."
            )
        options = loss.get_config()
        if options.get("temperature") is not None:
            checks.positive("temperature", options["temperature"])
        name = name or f"{type(loss).__name__}_distillation"
        super().__init__(relevance_map, reduction=reduction, name=name)
        self.loss = loss
        impl = importlib.import_module("tensorflow_ranking.python.losses_impl")
        self._sampler = getattr(loss, "_gumbel_sampler", None)
        self._of_lists = isinstance(loss._loss, impl._ListwiseLoss)
        self._weighs_labels = isinstance(loss._loss, impl.SoftmaxLoss)
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
        items = masking.divisor(labels >= 0.0)
        each = self._weighted(labels, student, weights)
        each = tf.reduce_sum(each, axis=list(range(1, each.shape.rank)))
        samples = self._sampler._sample_size if self._sampler else 1
        values = tf.reduce_mean(tf.reshape(each, [-1, samples]), axis=-1)
        return values if self._of_lists else values / items

    def _weighted(
        self, labels: tf.Tensor, student: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        """What the Keras class of TF-Ranking computes before Keras reduces it."""
        if self._sampler:
            labels, student, weights = self._sampler.sample(
                labels, student, weights=weights
            )
        virtual = getattr(self.loss, "_virtual_label", None)
        if virtual is not None:  # one more item, of score 0
            one = tf.ones_like(student[:, :1])
            labels = tf.concat([labels, virtual * one], axis=1)
            student = tf.concat([student, 0.0 * one], axis=1)
            weights = tf.concat([weights, one], axis=1)
        loss = self.loss._loss
        if self._weighs_labels:
            each, own = loss.compute_per_list(labels, student, weights)
            return each * own
        each, own = loss.compute_unreduced_loss(labels, loss.get_logits(student))
        return each * own * loss.normalize_weights(labels, weights)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        config = self.loss.get_config()
        kind = type(self.loss)
        wanted = set(inspect.signature(kind).parameters) - {"name", "reduction"}
        packed = {
            "of": tf.keras.utils.get_registered_name(kind),
            "arguments": {k: config[k] for k in config if k in wanted},
        }
        return {**super().get_config(), "loss": packed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RankingLossAdapter:
        """Makes the loss, with its TF-Ranking loss and its map, from `get_config`."""
        tf_ranking()  # registers its losses
        kind = tf.keras.utils.get_registered_object(config["loss"]["of"])
        loss = kind.from_config(config["loss"]["arguments"])
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
