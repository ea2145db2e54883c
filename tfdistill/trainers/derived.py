"""Signals made of others: what a stage keeps, and who survives all stages."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Protocol

import tensorflow as tf

from tfdistill.losses import checks, masking, soft_top_k
from tfdistill.types import Signals

__all__ = ["Derived", "Kept", "Survival"]


class Derived(Protocol):
    """A function of signals, whose value is a signal too.

    In the `Distiller` its value has a name that a transfer can give as its source or
    target, or where it names a feature, such as its mask. Write your own as a frozen
    dataclass: its fields tell a resumed run whether it is the same. A `.keras` file of
    the `Distiller` holds it if it has `get_config` and `from_config` and is registered.
    """

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of what it needs: outputs, signals, features, earlier derived ones."""

    def __call__(self, signals: Signals) -> tf.Tensor:
        """Computes the value from a mapping that holds at least `reads`."""


class _Packed:
    """A frozen dataclass that a `.keras` file holds."""

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Makes the signal from `get_config`."""
        return cls(**config)


@tf.keras.utils.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class Kept(_Packed):
    """Which items of its list a stage passes on: a mask for the next one's losses.

    kept_i = valid_i and rank_i <= keep

    Items that tie at the cut all stay; an item without a score (NaN) does not.

    Args:
        by: The output, or the teacher's signal, that orders the list `[..., L]`.
        keep: How many stay.
        mask: Name of the bool mask of the items that the stage gets, such as what the
            stage before it kept; None if it gets all.

    Example:
        >>> scores = {"recall": tf.constant([[3.0, 1.0, 2.0]])}
        >>> Kept("recall", keep=2)(scores).numpy().tolist()
        [[True, False, True]]
    """

    by: str
    keep: int
    mask: str | None = None

    def __post_init__(self) -> None:
        _check_cuts(type(self).__name__, {self.by: self.keep})

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the signals that it needs."""
        return _named(self.by, self.mask)

    def __call__(self, signals: Signals) -> tf.Tensor:
        """Returns bool `[..., L]`, without gradient."""
        scores = tf.stop_gradient(tf.cast(signals[self.by], tf.float32))
        valid = _valid(signals, self.mask, scores) & ~tf.math.is_nan(scores)
        ranks = masking.masked_ranks(tf.where(valid, scores, 0.0), valid, self.keep)
        return valid & (ranks <= float(self.keep))


@tf.keras.utils.register_keras_serializable(package="tfdistill")
@dataclasses.dataclass(frozen=True)
class Survival(_Packed):
    """Log odds that an item survives all stages: the target of a point-wise loss.

    q_i = prod_s sigmoid(z_si), with z_s of `soft_top_k`; the value is log q / (1 - q)

    `SigmoidCrossEntropy` on labels, or `TopKSoftLabel` on a teacher's scores, are then
    - sum_{relevant} log q_i - sum_{others} log(1 - q_i), as in LCRON. The sum that
    makes log odds of a product is stable for scores of any size.

    As in LCRON, each stage's cut is over the whole list: what all stages would keep is
    surely kept by the cascade. A list in training is shorter than one in serving, and
    so are its cuts. Stages at the same scale of scores can share the temperature.

    Args:
        stages: How many items of the list each output keeps, in order.
        temperature: T > 0 of the soft cuts, in units of the scores.
        mask: Name of the bool mask of valid items; None if all are.

    Example:
        >>> scores = tf.constant([[9.0, 8.0, -9.0, -9.0]])
        >>> survival = Survival({"recall": 2, "fine": 1}, temperature=0.1)
        >>> z = survival({"recall": scores, "fine": scores})
        >>> tf.sigmoid(z).numpy().round(2)
        array([[0.99, 0.01, 0.  , 0.  ]], dtype=float32)

    Reference:
        Wang et al., Learning cascade ranking as one network, ICML 2025,
        arXiv:2503.09492.
    """

    stages: Mapping[str, int]
    temperature: float = 1.0
    mask: str | None = None

    def __post_init__(self) -> None:
        _check_cuts(type(self).__name__, self.stages)
        if not self.stages:
            raise ValueError(f"Survival needs a stage, got stages={self.stages!r}.")
        checks.positive("temperature", self.temperature)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the signals that it needs."""
        return _named(*self.stages, self.mask)

    def __call__(self, signals: Signals) -> tf.Tensor:
        """Returns float32 `[..., L]`; its gradient reaches all stages."""
        stays = []
        for name, keep in self.stages.items():
            scores = tf.cast(signals[name], tf.float32)
            valid = _valid(signals, self.mask, scores)
            stays.append(soft_top_k(scores, valid, keep, self.temperature))
        return functools.reduce(_both, stays)


def _both(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Log odds of p q from those of p and q: 1/(pq) - 1 = a + b + ab, a = 1/p - 1."""
    # -log(1/p - 1) of the product p of two chances given as logits: 1/p = (1 + e^-a)(1
    # + e^-b).
    terms = tf.stack([-one, -other, -one - other])
    return -tf.reduce_logsumexp(terms, axis=0)


def _valid(signals: Signals, mask: str | None, scores: tf.Tensor) -> tf.Tensor:
    """The mask `[..., L]`; all True where there is none."""
    if mask is None:
        return tf.ones_like(scores, tf.bool)
    valid = tf.cast(signals[mask], tf.bool)
    return masking.broadcast_items(valid, tf.shape(scores), scores.shape.rank)


def _named(*names: str | None) -> tuple[str, ...]:
    return tuple(name for name in names if name is not None)


def _check_cuts(kind: str, cuts: Mapping[str, int]) -> None:
    """Rejects stages that keep nothing."""
    if any(keep < 1 for keep in cuts.values()):
        raise ValueError(f"{kind}: a stage keeps at least one item, got {dict(cuts)}.")
