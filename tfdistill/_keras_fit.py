"""How Keras 2 and Keras 3 differ while they `fit`; the rest is in `_keras`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfdistill._keras import VERSION

__all__ = [
    "BuiltModel",
    "begin_within",
    "check_fit",
    "resume_at",
    "without_position",
]

_KERAS3 = VERSION == "3"


class BuiltModel:
    """A model whose variables exist when it is made, whatever features it reads.

    On several replicas Keras 3 averages the first batch to learn its shapes, which text
    and masks do not survive; here the optimizer's variables alone are still to be made.
    They are made for a file too: Keras reads an optimizer only into one that has as
    many variables as the file.
    """

    def save_own_variables(self, store: Any) -> None:
        """Writes what is no layer's; Keras calls it before it writes the optimizer."""
        self.build_optimizer()
        super().save_own_variables(store)  # type: ignore[misc]

    def load_own_variables(self, store: Any) -> None:
        """Reads what is no layer's; Keras calls it before it reads the optimizer."""
        self.build_optimizer()
        super().load_own_variables(store)  # type: ignore[misc]

    def build_optimizer(self: Any) -> None:
        """Makes the optimizer's variables, if there is one that has none yet."""
        optimizer: Any = getattr(self, "optimizer", None)
        makes = hasattr(optimizer, "build")  # a legacy one of Keras 2 can't
        if makes and not getattr(optimizer, "built", False):
            with self.distribute_strategy.scope():
                optimizer.build(self.trainable_variables)

    if _KERAS3:

        def fit(self, *args: Any, **kwargs: Any) -> Any:
            """Trains as Keras does, if it can."""
            train = super().fit  # type: ignore[misc]
            given = inspect.signature(train).bind(*args, **kwargs).arguments
            check_fit(self, given.get("steps_per_epoch"))
            return train(*args, **kwargs)

        def _maybe_symbolic_build(
            self, iterator: Any = None, data_batch: Any = None
        ) -> None:
            self.build_optimizer()


class _Position:
    """Where Keras 2 looks up the epoch and step at which `fit` begins."""

    def __init__(self, epoch: int, step: int) -> None:
        self._at = epoch, step

    def maybe_load_initial_counters_from_ckpt(
        self, steps_per_epoch: int, initial_epoch: int, mode: Any
    ) -> tuple[int, int]:
        return self._at


def resume_at(model: tf.keras.Model, epoch: int, step: int, steps_done: int) -> None:
    """Lets `fit` go on within an epoch; for a callback's `on_train_begin`.

    In Keras 3 a step above 0 needs `begin_within` before `fit` as well.

    Args:
        model: The model that is being fitted.
        epoch: The epoch to begin at.
        step: The step in it.
        steps_done: Steps that the model has had.
    """
    if _KERAS3:
        model._initial_epoch = epoch
    else:
        model._training_state = _Position(epoch, step)
        model._train_counter.assign(steps_done)


def check_fit(model: tf.keras.Model, steps_per_epoch: int | None) -> None:
    """Refuses what Keras 3 can't train, or would train otherwise than it was asked.

    Raises:
        ValueError: If the strategy is a `ParameterServerStrategy`, an epoch isn't a
            whole number of executions, or an execution of several steps runs on several
            replicas.
    """
    if not _KERAS3:
        return
    strategy, together = model.distribute_strategy, model.steps_per_execution
    if isinstance(strategy, tf.distribute.ParameterServerStrategy):
        raise ValueError(
            "Keras 3 can't train under a ParameterServerStrategy. Use Keras 2 with "
            "TF_USE_LEGACY_KERAS=1, or a MirroredStrategy."
        )
    if (steps_per_epoch or 0) % together:
        raise ValueError(
            f"With Keras 3, `steps_per_epoch` must be a multiple of the "
            f"`steps_per_execution` of `compile`, got {steps_per_epoch} and "
            f"{together}. Choose another, or Keras 2 with TF_USE_LEGACY_KERAS=1."
        )
    if together > 1 and strategy.num_replicas_in_sync > 1:
        raise ValueError(
            "Keras 3 can't run several steps per execution on several replicas, "
            f"got steps_per_execution={together}. Leave it at 1, or use Keras 2 "
            "with TF_USE_LEGACY_KERAS=1."
        )


def begin_within(model: tf.keras.Model, step: int) -> None:
    """Lets the first epoch of the next `fit` begin at a step, in Keras 3.

    Keras 3 counts the steps of an epoch from 0 in an iterator that `fit` makes; before
    the first step it hands it to a method of the model, which is replaced that once.
    """
    if not (_KERAS3 and step):
        return
    build = model._maybe_symbolic_build

    def shifted(iterator: Any = None, data_batch: Any = None) -> None:
        del model._maybe_symbolic_build  # once: evaluation has iterators of its own
        build(iterator=iterator, data_batch=data_batch)
        whole, enumerated = iterator.steps_per_epoch, iterator._enumerate_iterator

        def rest() -> Iterator[tuple[int, int, Any]]:
            iterator._enumerate_iterator = enumerated
            iterator.steps_per_epoch = whole - step
            try:
                for begin, end, data in enumerated():
                    yield begin + step, end + step, data
            finally:
                iterator.steps_per_epoch = whole

        iterator._enumerate_iterator = rest

    model._maybe_symbolic_build = shifted


def without_position(model: tf.keras.Model) -> None:
    """Lets the next `fit` begin at its first epoch."""
    if _KERAS3:
        model._initial_epoch = None
        model.__dict__.pop("_maybe_symbolic_build", None)
    else:
        model._training_state = None
