"""Types that the whole package shares: named signals and the teacher protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import tensorflow as tf

TensorDict = Mapping[str, tf.Tensor]
"""Named tensors: a batch's features, labels or a model's outputs."""

Signals = Mapping[str, tf.Tensor]
"""What a teacher gives, by name: logits `[..., L]`, hidden layers `[..., L, H]`."""


@runtime_checkable
class Teacher(Protocol):
    """A source of signals that is not trained: frozen, logged or an ensemble.

    A teacher is a plain object, never a Keras layer: no checkpoint and no SavedModel of
    the student can contain it.
    """

    def __call__(self, features: Mapping[str, Any]) -> Signals:
        """Returns the named float32 signals for one batch of features."""
        ...
