"""Ensembles of trained rankers under a gate that learns which one to trust."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfdistill import _keras
from tfdistill.layers.extraction import standalone
from tfdistill.models.inputs import layer_names
from tfdistill.names import safe_name

__all__ = ["LogitGate", "gated_ensemble"]


@tf.keras.utils.register_keras_serializable(package="tfdistill")
class LogitGate(tf.keras.layers.Layer):
    """The mean of logits by weights that the logits decide: `z = sum_m g_m z_m`.

    `g = softmax(W h + b)` with `h = relu(V [z_1 .. z_M] + c)`. W and b start at 0, so
    at first z is the plain mean.

    Args:
        units: Width of the hidden layer h.
        **kwargs: `name`, `trainable` and `dtype` of a Keras layer.

    Call arguments:
        inputs: A list of M logits `[B, L]`.

    Returns:
        Logits `[B, L]`.

    Example:
        >>> LogitGate(4)([tf.constant([[1.0]]), tf.constant([[4.0]])]).numpy()
        array([[2.5]], dtype=float32)
    """

    def __init__(self, units: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Sequence[Any]) -> None:
        """Creates the weights."""
        members = len(input_shape)
        self.hidden_kernel = self.add_weight(
            name="hidden_kernel", shape=(members, self.units)
        )
        # A last layer of zeros gives equal gates: training begins at the mean.
        self.hidden_bias, self.kernel, self.bias = (
            self.add_weight(name=name, shape=shape, initializer="zeros")
            for name, shape in (
                ("hidden_bias", (self.units,)),
                ("kernel", (self.units, members)),
                ("bias", (members,)),
            )
        )
        super().build(input_shape)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Mixes the logits."""
        logits = tf.stack(inputs, axis=-1)  # [B, L, M]
        hidden = tf.nn.relu(
            tf.tensordot(logits, self.hidden_kernel, 1) + self.hidden_bias
        )
        gates = tf.nn.softmax(tf.tensordot(hidden, self.kernel, 1) + self.bias)
        return tf.reduce_sum(gates * logits, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "units": self.units}


def gated_ensemble(
    teachers: Sequence[tf.keras.Model], *, units: int = 16
) -> tf.keras.Model:
    """Returns trained rankers as one model under a gate for each pair.

    `z = sum_m g_m(z_1 .. z_M) z_m`, see `LogitGate`. Untrained it is the plain mean of
    the logits. Only the gate can be trained; the teachers are copies and are frozen,
    dropout included. The gate reads the teachers' logits: it needs no tables of its own
    that a few labels would have to fill, serves teachers of any features, and by
    their agreement it learns how sure each is. Train it on labels that the teachers
    have not seen: one that overfits would look trustworthy on its own training data.

    Args:
        teachers: At least two rankers with inputs by feature name and one output
            `[B, L]` by name, such as `TrainedNet.models["teacher"]` or
            `JointNetwork.part("teacher")`.
        units: Width of the gate's hidden layer.

    Returns:
        A functional model from all features of the teachers to `{"ensemble": [B, L]}`;
        as a teacher it is `FrozenTeacher(model, {"score": "ensemble"})`.

    Raises:
        ValueError: If there are fewer than two teachers, one has several outputs, or
            they read one feature in different shapes or dtypes.

    Example:
        >>> def ranker(name, scale):
        ...     price = tf.keras.Input([None], name="price")
        ...     logit = tf.keras.layers.Rescaling(scale)(price)
        ...     return tf.keras.Model({"price": price}, {name: logit})
        >>> model = gated_ensemble([ranker("dcn", 1.0), ranker("fm", 3.0)])
        >>> model({"price": tf.constant([[5.0, -1.0]])})["ensemble"].numpy()
        array([[10., -2.]], dtype=float32)
        >>> [layer.name for layer in model.layers if layer.trainable_weights]
        ['ensemble']

    Reference:
        Zhu et al., Ensembled CTR Prediction via KD, CIKM 2020, arXiv:2011.04106.
    """
    if len(teachers) < 2 or units < 1:
        raise ValueError(
            "gated_ensemble takes at least two teachers and one unit, got "
            f"{len(teachers)} teachers and units={units}."
        )
    inputs: dict[str, tf.Tensor] = {}
    logits = []
    for index, teacher in enumerate(teachers):
        member = _frozen(teacher, f"member_{index}")
        for name, given in member.input.items():
            known = inputs.setdefault(name, _input_like(name, given))
            if (known.dtype, known.shape) != (given.dtype, given.shape):
                raise ValueError(
                    f"gated_ensemble: the teachers read feature {name!r} as "
                    f"{tf.as_dtype(known.dtype).name} {known.shape} and as "
                    f"{tf.as_dtype(given.dtype).name} {given.shape}; train them over "
                    "one FeatureSpec."
                )
        outputs = member({name: inputs[name] for name in member.input}, training=False)
        logits.extend(outputs.values())
    mixed = LogitGate(units, name="ensemble", dtype="float32")(logits)
    return _keras.functional(inputs, {"ensemble": mixed}, name="ensemble")


def _frozen(teacher: tf.keras.Model, name: str) -> tf.keras.Model:
    """A copy of a teacher that no training can touch."""
    outputs = list(teacher.output) if isinstance(teacher.output, dict) else None
    if outputs is None or len(outputs) != 1:
        raise ValueError(
            "gated_ensemble: each teacher must have one output by name, got "
            f"{outputs or teacher.output}; take one task with "
            "`tf.keras.Model(model.input, {name: model.output[name]})`."
        )
    copy = standalone(teacher)
    frozen = _keras.functional(copy.input, copy.output, name=name)
    frozen.trainable = False
    return frozen


def _input_like(name: str, tensor: tf.Tensor) -> tf.Tensor:
    return tf.keras.Input(
        tensor.shape[1:],
        dtype=tensor.dtype,
        name=safe_name(name, layer_names([name], ["ensemble", "member"])),
    )
