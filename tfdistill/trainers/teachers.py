"""Teachers that are not trained: plain objects that no checkpoint can contain."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill import _keras
from tfdistill.identity import fingerprint
from tfdistill.types import Signals, Teacher, needed

__all__ = [
    "EnsembleTeacher",
    "FrozenTeacher",
    "LoggedTeacher",
    "teacher_fingerprint",
    "teacher_source",
    "own_fingerprint",
]


class FrozenTeacher:
    """A trained model as a teacher: runs in the graph, is never trained or saved.

    Any Keras model (functional, Sequential or subclassed, such as a `tfrs.Model`) and
    any function of the batch's features. A Keras model runs with `training=False`. A
    functional one gets the features of its inputs by name, and may read fewer than the
    batch has; others get the features as they are.

    Args:
        model: The model, which has its weights already.
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

    def __init__(self, model: Any, signals: Mapping[str, str] | None = None) -> None:
        if not callable(model):
            raise ValueError(
                "FrozenTeacher takes a Keras model or a function of the features, "
                f"got {model!r}."
            )
        self.model = model
        self.signals = signals

    @property
    def variables(self) -> Sequence[Any]:
        """The model's variables."""
        return _variables(self.model)

    @property
    def fingerprint(self) -> str | None:
        """Changes with the model and the signals; None if the model has none."""
        told = own_fingerprint(self.model)
        return told and fingerprint([told, self.signals])

    @property
    def source(self) -> str:
        """The model, in words."""
        return teacher_source(self.model)

    def __call__(self, features: Any) -> Signals:
        """Returns the model's signals for a batch, float32 and without gradient."""
        outputs = self._named(self._run(features))
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

    def _run(self, features: Any) -> Any:
        """Calls the model on what it reads of the batch."""
        if not isinstance(self.model, tf.keras.layers.Layer):
            return self.model(features)
        if not self.model.built:
            raise ValueError(
                f"The teacher {self.model.name!r} has no weights yet: it was never "
                "called. Train it, or call it on one batch and load its weights."
            )
        return self.model(self._read(features), training=False)

    def _read(self, features: Any) -> Any:
        """The features of a functional model's inputs, in their structure."""
        names = _keras.input_names(self.model)
        if not isinstance(features, Mapping) or not names:
            return features
        inputs = self.model.input
        if isinstance(inputs, Mapping):
            return needed(features, inputs)
        if not isinstance(inputs, (list, tuple)):
            if len(features) == 1:  # whatever its name: Keras makes up Sequential's
                return next(iter(features.values()))
            return needed(features, names)[names[0]]
        return list(needed(features, names).values())

    def _named(self, outputs: Any) -> Mapping[str, Any]:
        """The outputs by name; one without a name is the score."""
        if isinstance(outputs, Mapping):
            return outputs
        if not isinstance(outputs, (list, tuple)):
            return {"score": outputs}
        names = getattr(self.model, "output_names", None) or []
        if len(names) != len(outputs):
            raise ValueError(
                f"The teacher gives {len(outputs)} outputs without names. Let it "
                "return a dict, such as {'score': logits}."
            )
        return dict(zip(names, outputs))


@tf.keras.utils.register_keras_serializable(package="tfdistill")
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

    @property
    def fingerprint(self) -> str:
        """Changes with the keys; what is stored under them is data."""
        return fingerprint(self.keys)

    @property
    def source(self) -> str:
        """The columns, in words."""
        return f"the stored scores {sorted(self.keys.values())}"

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, which are the whole teacher."""
        return {"keys": self.keys}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LoggedTeacher:
        """Makes the teacher from `get_config`."""
        return cls(**config)

    def __call__(self, features: Any) -> Signals:
        """Returns the stored signals of a batch as float32."""
        if not isinstance(features, Mapping):
            raise ValueError(
                "Stored teacher signals are found among features by name; the batch "
                f"has a {type(features).__name__}. Give a dict of features."
            )
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

    @property
    def variables(self) -> Sequence[Any]:
        """The variables of all teachers."""
        return [v for teacher in self.teachers for v in _variables(teacher)]

    @property
    def fingerprint(self) -> str | None:
        """Changes with any teacher or weight; None if a teacher has none."""
        told = [own_fingerprint(teacher) for teacher in self.teachers]
        return None if None in told else fingerprint([told, self.weights])

    @property
    def source(self) -> str:
        """The teachers, in words."""
        return f"an ensemble of {', '.join(map(teacher_source, self.teachers))}"

    def __call__(self, features: Any) -> Signals:
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


def teacher_fingerprint(teacher: Callable[[Any], Any], features: Any) -> str:
    """Tells a teacher from all others, and from itself under other weights.

    The teacher's own (`own_fingerprint`), or else one of its answers for some
    rows, to the bit, with its variables if it has any. Processors of different kinds
    round differently: a function that must be known on all of them takes a
    `fingerprint` of its own, `score.fingerprint = "version 7"`.

    Args:
        teacher: A teacher, or any function of a batch's features or of user rows.
        features: What it is called with if it has none: always the same rows.

    Returns:
        Its fingerprint.

    Example:
        >>> rows = {"x": tf.constant([[1.0, 2.0]])}
        >>> one, other = (teacher_fingerprint(f, rows) for f in (
        ...     lambda x: 2.0 * x["x"], lambda x: x["x"] + x["x"]))
        >>> one == other, one == teacher_fingerprint(lambda x: 3.0 * x["x"], rows)
        (True, False)
    """
    told = own_fingerprint(teacher)
    if told is not None:
        return told
    answer = tf.nest.flatten(teacher(features), expand_composites=True)
    return fingerprint([answer, _variables(teacher)])


def own_fingerprint(teacher: Any) -> str | None:
    """Returns a teacher's own fingerprint, which needs no scores.

    It is its `fingerprint`, if that is a text, or what the weights and the config of a
    functional or sequential Keras model give. `tf.function` is looked through.

    Args:
        teacher: A teacher, a model or any function.

    Returns:
        The fingerprint; None if it has none.

    Example:
        >>> own_fingerprint(LoggedTeacher({"score": "a"})) == own_fingerprint(
        ...     tf.function(LoggedTeacher({"score": "a"})))
        True
        >>> own_fingerprint(lambda features: 0.0)
    """
    teacher = getattr(teacher, "python_function", teacher)
    own = getattr(teacher, "fingerprint", None)
    if isinstance(own, str):
        return own
    config = _config(teacher)
    return None if config is None else fingerprint([config, _variables(teacher)])


def teacher_source(teacher: Any) -> str:
    """Says in words which model or file a teacher's scores come from.

    Args:
        teacher: A teacher, a model or any function; its `source`, if that is a text, is
            what it says of itself.

    Returns:
        The words, for errors; teachers may share them.

    Example:
        >>> teacher_source(LoggedTeacher({"score": "gbdt"}))
        "the stored scores ['gbdt']"
        >>> teacher_source(FrozenTeacher(tf.keras.Sequential(name="big")))
        "the Keras model 'big'"
    """
    teacher = getattr(teacher, "python_function", teacher)
    own = getattr(teacher, "source", None)
    if isinstance(own, str):
        return own
    if isinstance(teacher, tf.keras.layers.Layer):
        return f"the Keras model {teacher.name!r}"
    name = getattr(teacher, "__qualname__", None)
    return f"the function {name!r}" if name else f"a {type(teacher).__name__}"


def _variables(teacher: Any) -> list[np.ndarray]:
    """Values of the variables of what has any."""
    teacher = getattr(teacher, "python_function", teacher)
    return [np.asarray(variable) for variable in getattr(teacher, "variables", ())]


def _config(model: Any) -> str | None:
    """A Keras model's config as text; None where it does not say what is computed."""
    try:
        config = model.get_config()
        if "layers" not in config:  # a subclassed model's is in its code
            return None
        text = json.dumps(config, default=_as_json)
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None
    plain = {"class_name": "Functional", "config": json.loads(text)}
    names = {name: f"#{n}" for n, name in enumerate(dict.fromkeys(_numbered(plain)))}
    return json.dumps(_renamed(plain, names), sort_keys=True)


def _as_json(value: Any) -> Any:
    """Arrays as lists, and slices, dtypes and the like as they are written."""
    text = repr(value)
    if " at 0x" in text:
        raise TypeError(f"{text} is another in each process.")
    return np.asarray(value).tolist() if hasattr(value, "__array__") else text


def _numbered(config: Any) -> Iterator[str]:
    """Names that Keras made of classes and of numbers that depend on the process."""
    if isinstance(config, dict):
        kind, inner = config.get("class_name"), config.get("config")
        name = inner.get("name") if isinstance(inner, dict) else None
        if isinstance(kind, str) and isinstance(name, str):
            stem = re.sub(r"_\d+$", "", name).replace("_", "").lower()
            made_of = {kind.rpartition(">")[2].lower(), "model", "input", "kerastensor"}
            if stem in made_of or name.startswith("tf."):
                yield name
    entries = config.values() if isinstance(config, dict) else config
    for entry in entries:
        if isinstance(entry, (dict, list)):
            yield from _numbered(entry)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(entry, names) for key, entry in value.items()}
    if isinstance(value, list):
        return [_renamed(entry, names) for entry in value]
    return names.get(value, value) if isinstance(value, str) else value
