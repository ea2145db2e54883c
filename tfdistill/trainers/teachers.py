"""Teachers that are not trained: plain objects that no checkpoint can contain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfdistill.types import Signals, Teacher, needed

__all__ = ["EnsembleTeacher", "FrozenTeacher", "LoggedTeacher"]


class FrozenTeacher:
    """A trained Keras model as a teacher: runs in the graph, is never trained or saved.

    Args:
        model: The model; called with `training=False` on the features of its inputs.
        signals: For each signal, the model's output; by default all named outputs as
            they are, or `"score"` for a model with one unnamed output.

    Example:
        >>> inputs = {"x": tf.keras.Input([2], name="x")}
        >>> model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(inputs["x"]))
        >>> teacher = FrozenTeacher(model)
        >>> sorted(teacher({"x": tf.ones([3, 2])}))
        ['score']
    """

    may_miss = False

    def __init__(
        self, model: tf.keras.Model, signals: Mapping[str, str] | None = None
    ) -> None:
        self.model = model
        self.signals = signals

    def __call__(self, features: Mapping[str, Any]) -> Signals:
        """Returns the model's signals for a batch, float32 and without gradient."""
        if isinstance(self.model.input, Mapping):
            features = needed(features, list(self.model.input))
        outputs = self.model(features, training=False)
        if not isinstance(outputs, Mapping):
            outputs = {"score": outputs}
        chosen = self.signals or {name: name for name in outputs}
        missing = sorted(set(chosen.values()) - set(outputs))
        if missing:
            raise ValueError(
                f"The teacher has no outputs {missing}; it has {sorted(outputs)}."
            )
        return {
            signal: tf.stop_gradient(tf.cast(outputs[output], tf.float32))
            for signal, output in chosen.items()
        }


class LoggedTeacher:
    """Scores of any teacher that were stored with the data: free when training.

    Args:
        keys: For each signal, the key of the batch's features that holds it; NaN means
            that the teacher did not score the item, which is then left out.

    Example:
        >>> teacher = LoggedTeacher({"score": "teacher_score"})
        >>> teacher({"teacher_score": tf.constant([[0.3]])})["score"].numpy()
        array([[0.3]], dtype=float32)
    """

    may_miss = True

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.keys = dict(keys)

    def __call__(self, features: Mapping[str, Any]) -> Signals:
        """Returns the stored signals of a batch as float32."""
        missing = sorted(set(self.keys.values()) - set(features))
        if missing:
            raise ValueError(
                f"The batch has no stored teacher signals {missing}; it has "
                f"{sorted(features)}."
            )
        return {
            signal: tf.cast(features[key], tf.float32)
            for signal, key in self.keys.items()
        }


class EnsembleTeacher:
    """Several teachers as one: the weighted mean of their logits.

    `z = sum_m w_m z_m / sum_m w_m`. The mean of logits is not the logit of the mean
    probability: it is the geometric mean of the odds.

    Args:
        teachers: The teachers, all with the same signals.
        weights: One weight >= 0 for each; by default equal ones.

    Raises:
        ValueError: If there are no teachers or the weights do not fit.

    Example:
        >>> logged = LoggedTeacher({"score": "a"}), LoggedTeacher({"score": "b"})
        >>> teacher = EnsembleTeacher(logged, weights=(3.0, 1.0))
        >>> teacher({"a": tf.constant([1.0]), "b": tf.constant([5.0])})["score"].numpy()
        array([2.], dtype=float32)

    Reference:
        Zhu et al., Ensembled CTR Prediction via KD, CIKM 2020, arXiv:2011.04106.
    """

    def __init__(
        self, teachers: Sequence[Teacher], weights: Sequence[float] | None = None
    ) -> None:
        weights = [1.0] * len(teachers) if weights is None else list(weights)
        if not teachers or len(weights) != len(teachers) or min(weights) < 0:
            raise ValueError(
                "EnsembleTeacher takes at least one teacher and one weight >= 0 for "
                f"each, got {len(teachers)} teachers and the weights {weights}."
            )
        if not sum(weights):
            raise ValueError(f"EnsembleTeacher: the weights are all 0: {weights}.")
        self.teachers = list(teachers)
        self.weights = [weight / sum(weights) for weight in weights]
        self.may_miss = any(getattr(t, "may_miss", False) for t in teachers)

    def __call__(self, features: Mapping[str, Any]) -> Signals:
        """Returns the weighted mean of each signal."""
        signals = [teacher(features) for teacher in self.teachers]
        if any(set(s) != set(signals[0]) for s in signals):
            raise ValueError(
                "The teachers of an ensemble must give the same signals, got "
                f"{[sorted(s) for s in signals]}."
            )
        return {
            name: tf.add_n([w * s[name] for w, s in zip(self.weights, signals)])
            for name in signals[0]
        }
