"""Types that the whole package shares: named signals and the teacher protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

    def __call__(self, features: Any) -> Signals:
        """Returns the named float32 signals for one batch of features."""
        ...


def needed(features: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Returns the features that a teacher reads.

    Args:
        features: The batch's features.
        names: What the teacher reads.

    Raises:
        ValueError: If the batch lacks one.

    Example:
        >>> needed({"age": [31.0], "price": [[5.0]]}, ["price"])
        {'price': [[5.0]]}
    """
    names = list(names)
    missing = sorted(set(names) - set(features))
    if missing:
        raise ValueError(
            f"The teacher needs the features {missing}; the batch has "
            f"{sorted(features)}."
        )
    return {name: features[name] for name in names}
