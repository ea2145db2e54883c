"""Explicit maps from a teacher's scores to relevance >= 0, for NDCG-like losses.

TF-Ranking reads negative labels as padding, so logits must never be passed as labels,
and its gain 2^rel - 1 asks for a relevance of at most 4 or 5. Each map is a small
frozen dataclass that serialises.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfdistill.losses import checks, masking

__all__ = [
    "Exponential",
    "MinMax",
    "QuantileBuckets",
    "RankLinear",
    "RankLog",
    "RelevanceMap",
    "Sigmoid",
]


@dataclasses.dataclass(frozen=True)
class RelevanceMap:
    """A monotone map of a list's teacher scores to relevance >= 0.

    Subclasses implement `__call__(scores, valid)`; fields are the configuration.
    """

    def __call__(self, scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Maps `[..., L]` scores to float32 relevance >= 0; 0 at invalid items."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__.")

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RelevanceMap:
        """Makes the map from its configuration."""
        return cls(**config)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class RankLinear(RelevanceMap):
    """top * max(K - rank + 1, 0) / K: linear in the rank, 0 below the top K.

    Args:
        topk: K, how many items get a relevance above 0.
        top: Relevance of the best item.

    Example:
        >>> RankLinear(topk=2, top=4.0)(tf.constant([-3., 7., 1.]), True).numpy()
        array([0., 4., 2.], dtype=float32)
    """

    topk: int = 10
    top: float = 4.0

    def __post_init__(self) -> None:
        checks.at_least("topk", self.topk, 1)
        checks.positive("top", self.top)

    def __call__(self, scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Maps `[..., L]` scores to float32 relevance >= 0; 0 at invalid items."""
        left = tf.maximum(self.topk + 1.0 - masking.masked_ranks(scores, valid), 0.0)
        return tf.where(valid, self.top * left / self.topk, 0.0)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class RankLog(RelevanceMap):
    """log(1 + R) - log(min(rank, R)): falls fast at the head, 0.7 or less at the tail.

    Args:
        cutoff: R; items from rank R on share the lowest relevance.
        top: Relevance of the best item; log(1 + R) if None.

    Example:
        >>> RankLog(cutoff=3, top=4.0)(tf.constant([0., 9.]), True).numpy()
        array([2., 4.], dtype=float32)

    Reference:
        The list-wise distillation loss of Alibaba EasyRec (R = 512).
    """

    cutoff: int = 512
    top: float | None = 4.0

    def __post_init__(self) -> None:
        checks.at_least("cutoff", self.cutoff, 1)
        if self.top is not None:
            checks.positive("top", self.top)

    def __call__(self, scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Maps `[..., L]` scores to float32 relevance >= 0; 0 at invalid items."""
        ranks = tf.minimum(masking.masked_ranks(scores, valid), float(self.cutoff))
        best = tf.math.log(1.0 + float(self.cutoff))
        scale = 1.0 if self.top is None else self.top / best
        return tf.where(valid, scale * (best - tf.math.log(ranks)), 0.0)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class Exponential(RelevanceMap):
    """top * exp(-(rank - 1) / decay): geometric in the rank.

    Args:
        decay: Ranks over which the relevance falls by e.
        top: Relevance of the best item.

    Example:
        >>> Exponential(decay=1.0, top=1.0)(tf.constant([0., 9.]), True).numpy()
        array([0.36787945, 1.        ], dtype=float32)
    """

    decay: float = 10.0
    top: float = 4.0

    def __post_init__(self) -> None:
        checks.positive("decay", self.decay)
        checks.positive("top", self.top)

    def __call__(self, scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Maps `[..., L]` scores to float32 relevance >= 0; 0 at invalid items."""
        ranks = masking.masked_ranks(scores, valid)
        return tf.where(valid, self.top * tf.exp((1.0 - ranks) / self.decay), 0.0)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class Sigmoid(RelevanceMap):
    """top * sigmoid(z / temperature): the teacher's click probability, scaled.

    Args:
        temperature: T > 0.
        top: Relevance of a certain click.

    Example:
        >>> Sigmoid(top=4.0)(tf.constant([0., -200.]), True).numpy()
        array([2., 0.], dtype=float32)
    """

    temperature: float = 1.0
    top: float = 4.0

    def __post_init__(self) -> None:
        checks.positive("temperature", self.temperature)
        checks.positive("top", self.top)

    def __call__(self, scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Maps `[..., L]` scores to float32 relevance >= 0; 0 at invalid items."""
        return tf.where(valid, self.top * tf.sigmoid(scores / self.temperature), 0.0)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class MinMax(RelevanceMap):
    """top * (z - min) / (max - min) over the list; all 0 when the list is constant.

    Args:
        top: Relevance of the best item.

    Example:
        >>> MinMax(top=4.0)(tf.constant([-1., 3., 1.]), True).numpy()
        array([0., 4., 2.], dtype=float32)
    """

    top: float = 4.0

    def __post_init__(self) -> None:
        checks.positive("top", self.top)

    def __call__(self, scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Maps `[..., L]` scores to float32 relevance >= 0; 0 at invalid items."""
        valid = tf.broadcast_to(valid, tf.shape(scores))
        low = -masking.masked_max(-scores, valid)
        span = masking.masked_max(scores, valid) - low
        share = tf.math.divide_no_nan(tf.where(valid, scores - low, 0.0), span)
        return self.top * share


@tf.keras.utils.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class QuantileBuckets(RelevanceMap):
    """Grades `levels`-1 ... 0 by equal shares of the list, like human judgements.

    rel = floor(levels * (n - rank) / n) for n valid items.

    Args:
        levels: How many grades.

    Example:
        >>> scores = tf.constant([9., 8., 1., 0.])
        >>> QuantileBuckets(levels=2)(scores, True).numpy()
        array([1., 1., 0., 0.], dtype=float32)
    """

    levels: int = 5

    def __post_init__(self) -> None:
        checks.at_least("levels", self.levels, 2)

    def __call__(self, scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Maps `[..., L]` scores to float32 relevance >= 0; 0 at invalid items."""
        valid = tf.broadcast_to(valid, tf.shape(scores))
        count = masking.divisor(valid, keepdims=True)
        better = count - masking.masked_ranks(scores, valid)
        return tf.where(valid, tf.floor(self.levels * better / count), 0.0)
