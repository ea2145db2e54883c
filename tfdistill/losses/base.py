"""The contract of all distillation losses, and the one way they are averaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from tfdistill import _keras
from tfdistill.losses import checks, masking, sound
from tfdistill.losses.examples import Items, Outcome, Reduction, reduce_examples

__all__ = [
    "DistillationLoss",
    "Items",
    "Reduction",
    "TemperedLoss",
    "reduce_examples",
]

ABSOLUTE = "the values themselves are compared, not their differences"
"""Why a loss is not invariant to a shift of the student."""


class DistillationLoss(tf.keras.losses.Loss):
    """A loss between a student's output and a teacher's, usable in three places.

    `per_example(student=, teacher=, ...)` is the keyword contract, `reduce(...)` its
    mean over valid examples (what a `Transfer` calls), and `loss(y_true, y_pred,
    sample_weight)` the Keras path for `compile(loss=)` and TFRS tasks, where `y_true`
    is the teacher's signal and NaN marks padding or an item the teacher did not score.
    All three prepare inputs alike: they become float32, the teacher loses its gradient,
    masked and zero-weight items are replaced before any arithmetic.

    A subclass implements `_per_example` and declares:

    * `example_rank`: how many trailing axes of the student one example takes (0 for a
      point-wise loss, 1 for a list, a pair list or a hidden vector);
    * `item_rank`: how many trailing axes one maskable item takes (1 for vectors);
    * `inputs`: further keywords it needs; `overrides`: arguments a call may replace,
      such as a scheduled temperature;
    * `teacher_gradient`: whether its gradient reaches the teacher by default;
    * `constant_teacher`: whether it takes the teacher as a constant at all times;
    * `log_zero`: whether a teacher's -inf is taken, as the log of probability 0; a list
      that is -inf throughout counts as masked;
    * `not_applicable`: properties of the test contract that do not hold, with reasons.

    Args:
        reduction: `AUTO` or `SUM_OVER_BATCH_SIZE` for the mean over valid examples,
            `SUM` or `NONE`.
        name: Name of the loss; the class name if None.

    Example:
        >>> class LogitMAE(DistillationLoss):
        ...     def _per_example(self, items):
        ...         return items.weights * tf.abs(items.student - items.teacher)
        >>> LogitMAE()(y_true=[[1.0, float("nan")]], y_pred=[[3.0, 9.0]]).numpy()
        2.0
    """

    example_rank: ClassVar[int] = 0
    item_rank: ClassVar[int] = 0
    inputs: ClassVar[tuple[str, ...]] = ()
    overrides: ClassVar[tuple[str, ...]] = ()
    teacher_gradient: ClassVar[bool] = False
    constant_teacher: ClassVar[bool] = False
    log_zero: ClassVar[bool] = False
    not_applicable: Mapping[str, str] = {}

    def __init__(
        self, *, reduction: str = Reduction.AUTO, name: str | None = None
    ) -> None:
        Reduction.validate(reduction)
        super().__init__(name=name or type(self).__name__)
        self.reduction = reduction  # Keras 3 knows no AUTO

    def per_example(
        self,
        *,
        student: Any,
        teacher: Any,
        labels: Any = None,
        mask: Any = None,
        weights: Any = None,
        **inputs: Any,
    ) -> tf.Tensor:
        """Computes one float32 loss per example.

        Args:
            student: `[..., L]` logits, dense or ragged (`[..., H]` for feature losses,
                dense).
            teacher: The teacher's signal, shaped as `student`.
            labels: `[..., L]` hard labels, for the losses that use them.
            mask: bool `[..., L]`, True for real items; or one value per list.
            weights: `[..., L]` item weights, or `[B]` / `[B, 1]` list weights, finite
                and >= 0.
            **inputs: Exactly the loss's declared `inputs`, and any of its `overrides`.

        Returns:
            float32 `[...]`, without the axes that one example takes; 0 for an example
            without a valid item.

        Raises:
            ValueError: If shapes do not fit, vectors are ragged, an input is missing or
                unknown, or (eagerly; in a graph it is an assertion) a value is refused:
                see `tfdistill.losses.sound`.
        """
        found = self._evaluate(student, teacher, labels, mask, weights, inputs)
        return found.sound * found.values

    def reduce(
        self,
        *,
        student: Any,
        teacher: Any,
        labels: Any = None,
        mask: Any = None,
        weights: Any = None,
        teacher_gradient: bool | None = None,
        **inputs: Any,
    ) -> tf.Tensor:
        """Reduces `per_example` by the loss's reduction; the mean over valid examples.

        Args:
            student: As in `per_example`.
            teacher: As in `per_example`.
            labels: As in `per_example`.
            mask: As in `per_example`.
            weights: As in `per_example`.
            teacher_gradient: Whether the gradient reaches the teacher too, for mutual
                learning with a trained teacher; by default as the loss declares.
            **inputs: As in `per_example`.

        Returns:
            float32 scalar (`[...]` for `Reduction.NONE`).
        """
        found = self._evaluate(
            student, teacher, labels, mask, weights, inputs, teacher_gradient
        )
        return found.sound * reduce_examples(found.values, found.valid, self.reduction)

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """Computes one loss per example; NaN in `y_true` marks missing items."""
        teacher, mask = self._split_missing(y_true)
        return self.per_example(student=y_pred, teacher=teacher, mask=mask)

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> tf.Tensor:
        """Reduces the loss between a teacher's `y_true` and a student's `y_pred`.

        Args:
            y_true: The teacher's signal, NaN where it is missing or padded; lists may
                be ragged.
            y_pred: The student's output, ragged if `y_true` is.
            sample_weight: `[B]` or `[B, 1]` weighs lists, `[B, L]` items.

        Returns:
            float32 scalar, or one value per example for `Reduction.NONE`.
        """
        with tf.name_scope(self.name):
            teacher, mask = self._split_missing(y_true)
            found = self._evaluate(y_pred, teacher, None, mask, sample_weight, {})
            reduction = _keras.reduction_of(self)
            value = reduce_examples(found.values, found.valid, reduction)
            if reduction not in (Reduction.NONE, Reduction.SUM):
                value = _keras.mean_over_replicas(value)
            return found.sound * value

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {"reduction": self.reduction, "name": self.name}

    def present(self, signal: tf.Tensor) -> tf.Tensor:
        """Returns which items of a signal have a value, bool.

        NaN means that the teacher has none; a vector is one item, present if it has no
        NaN at all.

        Args:
            signal: float `[..., L]`, or `[..., H]` for a loss of vectors.
        """
        present = ~tf.math.is_nan(signal)
        if self.item_rank:
            present = tf.reduce_all(present, axis=list(range(-self.item_rank, 0)))
        return present

    def _per_example(self, items: Items) -> tf.Tensor:
        """Computes the losses of prepared examples."""
        raise NotImplementedError(f"{type(self).__name__} must define _per_example.")

    def _valid_examples(self, items: Items) -> tf.Tensor:
        """Which examples count, or which of their items; see `reduce_examples`."""
        return items.valid

    def _split_missing(self, y_true: Any) -> tuple[Any, tf.Tensor]:
        """Separates the NaN marks of the Keras path from the teacher's signal."""
        self._check_dense(y_true)
        if isinstance(y_true, tf.RaggedTensor):
            y_true = y_true.to_tensor(float("nan"))
        y_true = tf.convert_to_tensor(y_true)
        if not y_true.dtype.is_floating:
            y_true = tf.cast(y_true, tf.float32)
        return y_true, self.present(y_true)

    def _evaluate(
        self,
        student: Any,
        teacher: Any,
        labels: Any,
        mask: Any,
        weights: Any,
        inputs: Mapping[str, Any],
        teacher_gradient: bool | None = None,
    ) -> Outcome:
        """Returns per-example losses and which examples (or items) count."""
        missing = [name for name in self.inputs if name not in inputs]
        unknown = set(inputs) - set(self.inputs) - set(self.overrides)
        if missing or unknown:
            raise ValueError(
                f"{self.name} takes the inputs {list(self.inputs)} and may override "
                f"{list(self.overrides)}, got {sorted(inputs)}. Missing: "
                f"{missing}; unknown: {sorted(unknown)}."
            )
        self._check_dense(teacher, student)
        teacher = _dense(teacher)
        passes = self.teacher_gradient if teacher_gradient is None else teacher_gradient
        if passes and self.constant_teacher:
            raise ValueError(
                f"{self.name} takes the teacher as a constant, got "
                "teacher_gradient=True. Use MarginMSE or ListSoftmaxKL for mutual "
                "learning."
            )
        if not passes:
            teacher = tf.stop_gradient(teacher)
        items = self._enter(student, teacher, labels, mask, weights, inputs)
        right = self._sound(items, weighted=weights is not None)
        if not self.log_zero:
            values, valid = self._per_example(items), self._valid_examples(items)
            return Outcome(values, valid, right)
        heard, floor = self._heard(items), sound.LOG_ZERO
        if heard is not None:
            floor = tf.where(heard, floor, 0.0)
        items = items._replace(teacher=tf.maximum(items.teacher, floor))
        values, valid = self._per_example(items), self._valid_examples(items)
        if heard is not None:
            values = tf.where(heard[..., 0], values, 0.0)
            valid &= heard[..., 0] if self.item_rank else heard
        return Outcome(values, valid, right)

    def _sound(self, items: Items, *, weighted: bool) -> tf.Tensor:
        """Refuses values that the loss doesn't take; see `sound`."""
        right = sound.sound_teacher(self.name, items.teacher, self.log_zero)
        if weighted:
            right *= sound.sound_weights(self.name, items.weights)
        if "temperature" in items.inputs:
            right *= sound.sound_temperature(self.name, items.inputs["temperature"])
        return right

    def _heard(self, items: Items) -> tf.Tensor | None:
        """Which lists have a score above -inf, bool `[..., 1]`; None for no lists."""
        if not self.example_rank:
            return None
        present = items.valid[..., tf.newaxis] if self.item_rank else items.valid
        scores = tf.where(present, items.teacher, sound.LOG_ZERO)
        return tf.reduce_max(scores, axis=-1, keepdims=True) > sound.LOG_ZERO

    def _enter(
        self,
        student: Any,
        teacher: Any,
        labels: Any,
        mask: Any,
        weights: Any,
        inputs: Mapping[str, Any],
    ) -> Items:
        """Prepares the inputs: dense, float32, finite and aligned."""
        if isinstance(student, tf.RaggedTensor):
            present = tf.ones_like(student, tf.bool).to_tensor(False)
            mask = present if mask is None else present & _dense(mask, tf.bool)
        student = _dense(student)
        self._check_shapes(student, teacher)
        valid, weights = self._align(student, mask, weights)
        # An axis for each that an item has beyond its mask: `[..., 1]` for vectors.
        present = valid
        for _ in range(self.item_rank):
            present = present[..., tf.newaxis]
        # Replaced before any arithmetic: NaN times a mask of 0 is NaN, in gradients
        # too.
        return Items(
            tf.where(present, student, 0.0),
            tf.where(present, teacher, 0.0),
            None if labels is None else tf.where(valid, _dense(labels), 0.0),
            valid,
            weights,
            inputs,
        )

    def _check_dense(self, *signals: Any) -> None:
        """Raises for ragged vectors: padding would cut into a vector, not a list."""
        if self.item_rank and any(isinstance(x, tf.RaggedTensor) for x in signals):
            raise ValueError(
                f"{self.name} compares vectors and takes dense tensors only, got "
                "a RaggedTensor. Pad ragged lists of vectors first: the teacher with "
                "`.to_tensor(float('nan'))`, which marks padding, the student with "
                "`.to_tensor()`."
            )

    def _check_shapes(self, student: tf.Tensor, teacher: tf.Tensor) -> None:
        """Raises if the teacher isn't shaped as the student."""
        if not student.shape.is_compatible_with(teacher.shape):
            raise ValueError(
                f"{self.name} needs a teacher shaped as the student, got student "
                f"{student.shape} and teacher {teacher.shape}. Project or gather one "
                "of them to the other's shape first."
            )

    def _align(
        self, student: tf.Tensor, mask: Any, weights: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns validity and weights of every item, 0 where invalid."""
        rank = student.shape.rank - self.item_rank
        shape = tf.shape(student)[:rank]
        valid = tf.ones(shape, tf.bool)
        if mask is not None:
            valid = masking.broadcast_items(_dense(mask, tf.bool), shape, rank)
        if weights is None:
            return valid, tf.cast(valid, tf.float32)
        weights = masking.broadcast_items(_dense(weights), shape, rank)
        valid &= tf.not_equal(weights, 0.0)  # NaN counts, so that it is refused
        return valid, tf.where(valid, weights, 0.0)


class TemperedLoss(DistillationLoss):
    """A loss with a temperature, which a call may override for schedules.

    Args:
        temperature: T, finite and > 0.
        reduction: See `DistillationLoss`.
        name: Name of the loss.

    Raises:
        ValueError: If the temperature is not above 0 and finite.
    """

    overrides: ClassVar[tuple[str, ...]] = ("temperature",)

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        reduction: str = Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.temperature = checks.positive("temperature", temperature)

    def _temperature(self, items: Items) -> Any:
        """Returns the call's temperature, or the loss's own."""
        return items.inputs.get("temperature", self.temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return {**super().get_config(), "temperature": self.temperature}


def _dense(values: Any, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Casts to `dtype`; ragged rows are padded with zeros, which the mask covers."""
    if isinstance(values, tf.RaggedTensor):
        values = values.to_tensor()
    return tf.cast(tf.convert_to_tensor(values), dtype)
