"""Transfer: which signal teaches which output, how, and how much."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Union

import tensorflow as tf

from tfdistill.identity import described
from tfdistill.losses.base import DistillationLoss
from tfdistill.types import TensorDict

__all__ = ["Transfer", "Weight"]

Weight = Union[float, Callable[[tf.Tensor], tf.Tensor]]
"""A constant, or a function of the step such as a Keras learning rate schedule."""

_ASKED = (0, 1, 10, 100, 1_000, 10_000, 100_000)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class Transfer:
    """One term of distillation: `weight(step) * loss(source -> target)`.

    The source is a signal of the `Distiller`'s teacher, or an output of the trained
    network itself, such as a teacher that is trained jointly. By default no gradient
    reaches the source (the gradient block of Rocket Launching). Wherever an output or a
    feature is named, a derived signal can be.

    Args:
        name: Name of the term in logs.
        source: Name of the signal that teaches; None for the labels, which makes it a
            hard loss, for what `compile(loss=)` can't say: on some of the items, or of
            a derived signal.
        target: Name of the network's output that learns.
        loss: How they are compared.
        weight: Factor, constant or a schedule of `optimizer.iterations`.
        mask: Key of the features with a bool mask of valid items.
        without: Key of labels; an item with a label above 0 is left out, as in the
            lists of a teacher that was trained on such items: it overfits them, and
            what it teaches is the order of the others.
        weights: Key with the weights of items or lists: of `sample_weight`, which is 0
            where an item has no label, or else of the features, such as the
            `pair_weight` of `RequestBatches`, which weighs all that is unmasked.
        labels: Key of the labels, for losses that take hard labels too.
        inputs: For further keywords of the loss, the keys of the features.
        overrides: For arguments of the loss that follow a schedule (such as the
            temperature), the schedules.
        teacher_gradient: Whether the gradient reaches a source of the network too.

    Example:
        >>> from tfdistill.losses import SigmoidSoftLabel
        >>> transfer = Transfer(
        ...     "fine", source="teacher", target="fine", loss=SigmoidSoftLabel()
        ... )
        >>> z = tf.constant([[1.0, -1.0]])
        >>> value = transfer.value(z, z, step=0)

    Reference:
        Zhou et al., Rocket Launching, AAAI 2018, arXiv:1708.04106.
    """

    name: str
    source: str | None
    target: str
    loss: DistillationLoss
    weight: Weight = 1.0
    mask: str | None = None
    without: str | None = None
    weights: str | None = None
    labels: str | None = None
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    overrides: Mapping[str, Weight] = dataclasses.field(default_factory=dict)
    teacher_gradient: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.loss, DistillationLoss):
            raise ValueError(
                f"Transfer {self.name!r}: loss must be a DistillationLoss of "
                f"tfdistill.losses, got {self.loss!r}. A Keras loss on labels belongs "
                "into compile(loss=)."
            )
        if self.source is None and self.labels is None:
            raise ValueError(
                f"Transfer {self.name!r}: without a source the labels teach, but "
                "labels is None; name the output whose labels are meant."
            )
        if not callable(self.weight) and not 0.0 <= self.weight < math.inf:
            raise ValueError(
                f"Transfer {self.name!r}: weight must be >= 0, got {self.weight}. Give "
                "a finite number or a schedule."
            )
        takes = {"inputs": self.loss.inputs, "overrides": self.loss.overrides}
        for what, allowed in takes.items():
            unknown = sorted(set(getattr(self, what)) - set(allowed))
            if unknown:
                raise ValueError(
                    f"Transfer {self.name!r}: {type(self.loss).__name__} takes the "
                    f"{what} {list(allowed)}, got {unknown}."
                )
        config = self.loss.get_config()
        constants = {k: v for k, v in self.overrides.items() if not callable(v)}
        # The constructor checks them, as if they were the loss's own.
        type(self.loss).from_config(
            {**config, **{k: v for k, v in constants.items() if k in config}}
        )

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument, for a `.keras` file.

        Raises:
            ValueError: If a schedule is a function that no file can name.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for schedule in (self.weight, *self.overrides.values()):
            path = getattr(schedule, "__qualname__", "")
            if "<" in path:  # <lambda> or <locals>
                raise ValueError(
                    f"Transfer {self.name!r}: a file can't hold the schedule "
                    f"{path!r}, a function that has no name outside. "
                    "Take a schedule of tf.keras.optimizers.schedules or a function "
                    "that is registered."
                )
        return fields

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Transfer:
        """Makes the transfer from a serialised `get_config`."""
        read = tf.keras.utils.deserialize_keras_object
        return cls(**{name: read(value) for name, value in config.items()})

    @property
    def signals(self) -> set[str]:
        """Names of all that it reads, besides labels."""
        named = (self.source, self.target, self.mask, self.weights)
        return {name for name in (*named, *self.inputs.values()) if name is not None}

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies the transfer, as JSON values.

        A schedule counts with its `get_config`, a function with its values at some
        steps.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["weight"] = _schedule(self.weight)
        fields["overrides"] = {k: _schedule(v) for k, v in self.overrides.items()}
        found: dict[str, Any] = described(fields)
        return found

    def value(
        self,
        source: tf.Tensor | None,
        target: tf.Tensor,
        *,
        step: Any,
        features: TensorDict | None = None,
        labels: TensorDict | None = None,
        weights: TensorDict | None = None,
        present: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes the loss of one batch, without the factor `weight`.

        Args:
            source: The signal that teaches; None where it is the labels.
            target: The output that learns.
            step: Step of the optimiser, for the schedules.
            features: The batch's features, where `mask` and `inputs` are found.
            labels: The batch's labels by name.
            weights: The batch's sample weights by name.
            present: bool, where the source has a value; None for everywhere.

        Returns:
            float32 scalar: the mean over valid examples.

        Raises:
            ValueError: If the batch lacks a key that the transfer names.
        """
        masks = [] if present is None else [present]
        if self.mask is not None:
            masks.append(tf.cast(self._find("features", features, self.mask), tf.bool))
        if self.without is not None:
            masks.append(self._find("labels", labels, self.without) <= 0)
        found = {k: self._find("features", features, v) for k, v in self.inputs.items()}
        scheduled = {k: at_step(v, step) for k, v in self.overrides.items()}
        given = self.labels and self._find("labels", labels, self.labels)
        return self.loss.reduce(
            student=target,
            teacher=given if source is None else source,
            labels=given,
            mask=functools.reduce(tf.logical_and, masks) if masks else None,
            weights=self.weights and self._find_weights(weights, features),
            teacher_gradient=self.teacher_gradient or None,
            **found,
            **scheduled,
        )

    def _find_weights(
        self, weights: TensorDict | None, features: TensorDict | None
    ) -> tf.Tensor:
        """Looks among the sample weights first, then among the features."""
        both: dict[str, tf.Tensor] = {}
        for batch in (features, weights):
            both.update(batch if isinstance(batch, Mapping) else {})
        return self._find("sample weights and features", both, str(self.weights))

    def _find(self, what: str, batch: TensorDict | None, key: str) -> tf.Tensor:
        if not isinstance(batch, Mapping) or key not in batch:
            there = sorted(batch) if isinstance(batch, Mapping) else type(batch)
            raise ValueError(
                f"Transfer {self.name!r} needs {key!r} among the batch's {what}, which "
                f"are {there}."
            )
        return batch[key]


def _schedule(schedule: Weight) -> Any:
    """A number, the settings of a schedule, or the values of a function."""
    if not callable(schedule) or hasattr(schedule, "get_config"):
        return described(schedule)
    return {f"at {step}": float(at_step(schedule, step)) for step in _ASKED}


def at_step(schedule: Weight, step: Any) -> tf.Tensor:
    """Returns the float32 value of a constant or of a schedule at a step.

    Args:
        schedule: A number or a function of the step.
        step: The step.

    Returns:
        float32 scalar.

    Example:
        >>> at_step(lambda step: 0.5 * tf.cast(step, tf.float32), 3).numpy()
        1.5
    """
    value = schedule(step) if callable(schedule) else schedule
    return tf.cast(value, tf.float32)
