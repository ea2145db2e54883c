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

from tfdistill.losses import base, checks, masking, sound

__all__ = [
    "Exponential",
    "MinMax",
    "QuantileBuckets",
    "RankLinear",
    "RankLog",
    "RelevanceLoss",
    "RelevanceMap",
    "Sigmoid",
    "discounts",
    "normalised_gains",
]


@dataclasses.dataclass(frozen=True)
class RelevanceMap:
    """A monotone map of a list's teacher scores to relevance >= 0.

    A loss asks it about items that the teacher gives a chance: -inf has relevance 0.
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
        left = self.topk + 1.0 - masking.masked_ranks(scores, valid, self.topk)
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
        ranks = masking.masked_ranks(scores, valid, self.cutoff)
        ranks = tf.minimum(ranks, float(self.cutoff))
        best = tf.math.log(1.0 + float(self.cutoff))
        scale = 1.0 if self.top is None else self.top / best
        return tf.where(valid, scale * (best - tf.math.log(ranks)), 0.0)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class Exponential(RelevanceMap):
    """top * exp(-(rank - 1) / decay): geometric in the rank, 0 below the top K.

    Args:
        decay: Ranks over which the relevance falls by e.
        top: Relevance of the best item.
        topk: How many items get a relevance above 0; None for all.

    Example:
        >>> Exponential(decay=1.0, top=1.0)(tf.constant([0., 9.]), True).numpy()
        array([0.36787945, 1.        ], dtype=float32)
    """

    decay: float = 10.0
    top: float = 4.0
    topk: int | None = None

    def __post_init__(self) -> None:
        checks.positive("decay", self.decay)
        checks.positive("top", self.top)
        if self.topk is not None:
            checks.at_least("topk", self.topk, 1)

    def __call__(self, scores: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Maps `[..., L]` scores to float32 relevance >= 0; 0 at invalid items."""
        ranks = masking.masked_ranks(scores, valid, self.topk)
        head = valid if self.topk is None else valid & (ranks <= self.topk)
        return tf.where(head, self.top * tf.exp((1.0 - ranks) / self.decay), 0.0)


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
        valid = tf.broadcast_to(valid, tf.shape(scores)) & (scores > sound.LOG_ZERO)
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


def discounts(ranks: tf.Tensor, topn: int | None = None) -> tf.Tensor:
    """Discount of the NDCG: 1 / log2(1 + rank), 0 below the cut.

    Args:
        ranks: float32 `[..., L]`, from 1; they may be smooth.
        topn: Cut, None for none.

    Returns:
        float32 `[..., L]`.

    Example:
        >>> discounts(tf.constant([1.0, 3.0, 4.0]), topn=3).numpy()
        array([1. , 0.5, 0. ], dtype=float32)
    """
    values = tf.math.log(2.0) / tf.math.log1p(ranks)
    return values if topn is None else tf.where(ranks > topn, 0.0, values)


def normalised_gains(
    grades: tf.Tensor, valid: tf.Tensor, topn: int | None = None
) -> tf.Tensor:
    """Gains (2^r - 1) / ideal DCG, so that their discounted sum is the NDCG.

    Args:
        grades: float32 `[..., L]`, relevance >= 0, 0 at invalid items.
        valid: bool `[..., L]`.
        topn: Cut, None for none.

    Returns:
        float32 `[..., L]`; 0 for lists without relevance.

    Example:
        >>> valid = tf.constant([True, True])
        >>> normalised_gains(tf.constant([0.0, 2.0]), valid).numpy()
        array([0., 1.], dtype=float32)
    """
    # expm1, as 2^r - 1 loses the digits of small grades.
    gains = tf.where(valid, tf.math.expm1(tf.math.log(2.0) * grades), 0.0)
    places = tf.range(1, tf.shape(gains)[-1] + 1, dtype=tf.float32)
    best = tf.sort(gains, axis=-1, direction="DESCENDING") * discounts(places, topn)
    return tf.math.divide_no_nan(gains, tf.reduce_sum(best, axis=-1, keepdims=True))


class RelevanceLoss(base.DistillationLoss):
    """A list-wise loss on relevance that a map makes of the teacher's scores.

    Args:
        relevance_map: Map of the teacher's scores; `RankLinear()` if None.
        reduction: See `DistillationLoss`.
        name: Name of the loss.
    """

    example_rank = 1
    log_zero = True
    not_applicable = {"minimum": "relevance is no logit to be matched"}

    def __init__(
        self,
        relevance_map: RelevanceMap | None = None,
        *,
        reduction: str = base.Reduction.AUTO,
        name: str | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        self.relevance_map = relevance_map or RankLinear()

    def _grades(self, items: base.Items) -> tf.Tensor:
        """Maps the teacher's scores to relevance, 0 at -inf and at invalid items."""
        return self.relevance_map(items.teacher, items.possible)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        packed = tf.keras.utils.serialize_keras_object(self.relevance_map)
        return {**super().get_config(), "relevance_map": packed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RelevanceLoss:
        """Makes the loss, with its relevance map, from `get_config`."""
        packed = config["relevance_map"]
        relevance_map = tf.keras.utils.deserialize_keras_object(packed)
        return cls(**{**config, "relevance_map": relevance_map})
