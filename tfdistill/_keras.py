"""All that differs between Keras 2 and Keras 3, but for `fit`, in `_keras_fit`.

No other module asks which one it is. What `tf.keras` is when it is imported decides,
and nothing here changes it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

__all__ = [
    "ADAM_WITHOUT_XLA",
    "NO_WEIGHTED_METRICS",
    "VERSION",
    "VariedOutputs",
    "adam_slots",
    "add_step_counter",
    "calls_of",
    "check_writer",
    "clone_model",
    "compile_losses",
    "each_row_once",
    "functional",
    "input_names",
    "inputs_by_feature",
    "labels_by_output",
    "layers_of",
    "loss_weights_of",
    "mean_over_replicas",
    "path_of",
    "readers_of",
    "reduction_of",
    "tf_variable",
    "total_loss",
]

VERSION = "3" if getattr(tf.keras, "__version__", "2").startswith("3") else "2"
"""The Keras that `tf.keras` is: "2" or "3"."""

_KERAS3 = VERSION == "3"


def check_writer(version: str, what: str, otherwise: str) -> None:
    """Refuses what the other Keras wrote.

    Args:
        version: The `VERSION` that wrote it.
        what: Begins the error's sentence, such as "This file was written".
        otherwise: What else to do than to use that Keras.

    Raises:
        ValueError: If it is the other one's.
    """
    if version == VERSION:
        return
    setting = {
        "2": "with TF_USE_LEGACY_KERAS=1, or with TensorFlow 2.15",
        "3": "with TensorFlow 2.16 or newer and without TF_USE_LEGACY_KERAS",
    }[version]
    raise ValueError(
        f"{what} with Keras {version}, and `tf.keras` is Keras {VERSION} here: run "
        f"Python {setting}, or {otherwise}."
    )


def add_step_counter(layer: tf.keras.layers.Layer) -> Any:
    """Adds a layer's count of training calls, int64, the same on every replica."""
    if _KERAS3:
        kept: dict[str, Any] = {"aggregation": "only_first_replica"}
    else:
        kept = {
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
    return layer.add_weight(
        name="step",
        shape=(),
        dtype=tf.int64,
        initializer="zeros",
        trainable=False,
        **kept,
    )


def reduction_of(loss: tf.keras.losses.Loss) -> str:
    """Returns a loss's reduction; Keras 2 refuses means in a replica's own loop."""
    return loss.reduction if _KERAS3 else loss._get_reduction()


def mean_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Divides a replica's mean by their number, where Keras leaves it to the loss.

    Keras 2 divides the losses of `compile` itself, Keras 3 expects it of the loss:
    gradients are summed over the replicas in both.
    """
    if not _KERAS3:
        return value
    return value / tf.distribute.get_strategy().num_replicas_in_sync


def tf_variable(weight: Any) -> tf.Variable:
    """Returns the TensorFlow variable of a weight; a gather reads only its rows."""
    return weight.value if _KERAS3 and not isinstance(weight, tf.Variable) else weight


def layers_of(model: tf.keras.layers.Layer) -> list[tf.keras.layers.Layer]:
    """Returns a model and all layers in it, each before those that it holds."""
    return list(model._flatten_layers())


def path_of(weight: Any) -> str:
    """Returns a weight's name with that of its layer before it."""
    return weight.path if _KERAS3 else weight.name.partition(":")[0]


def input_names(model: tf.keras.Model) -> list[str]:
    """Returns the names of a functional model's inputs, in the order of `inputs`.

    Of a model without symbolic inputs, there are none.
    """
    if _KERAS3:
        return [x.name for x in getattr(model, "inputs", None) or ()]
    return list(getattr(model, "input_names", None) or ())


@contextlib.contextmanager
def inputs_by_feature() -> Iterator[None]:
    """Lets functional models be made whose dict of inputs has other keys than names.

    A feature may have any name, Keras' input only some: see `tfdistill.names`. Keras 3
    warns of that and goes by the keys, as Keras 2 does.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "When providing `inputs` as a dict, all keys")
        yield


def functional(inputs: Any, outputs: Any, name: str | None = None) -> tf.keras.Model:
    """Returns the functional model of inputs by the names of their features."""
    with inputs_by_feature():
        return tf.keras.Model(inputs, outputs, name=name)


def clone_model(model: tf.keras.Model, clone_function: Any = None) -> tf.keras.Model:
    """Returns what Keras' function of this name does, for what `functional` made."""
    with inputs_by_feature():
        return tf.keras.models.clone_model(model, clone_function=clone_function)


def calls_of(layer: tf.keras.layers.Layer) -> list[dict[str, Any]]:
    """Returns the outputs by name of each call of a layer from a dict to a dict.

    A call whose outputs are not one tensor for each input is left out in Keras 3.
    """
    if not _KERAS3:
        return [node.outputs for node in layer.inbound_nodes]
    calls = [
        (sorted(node.arguments.args[0]), node.outputs) for node in layer._inbound_nodes
    ]
    return [dict(zip(*call)) for call in calls if len(call[0]) == len(call[1])]


def readers_of(layer: tf.keras.layers.Layer) -> list[tuple[Any, list[Any], Any]]:
    """Returns the calls that read a layer's outputs: the layer, inputs and output."""
    if _KERAS3:
        return [
            (node.operation, node.arguments.keras_tensors, node.outputs[0])
            for node in layer._outbound_nodes
        ]
    return [
        (node.layer, node.keras_inputs, node.outputs) for node in layer.outbound_nodes
    ]


class VariedOutputs:
    """A layer whose calls may give different numbers of outputs.

    Keras 3 takes the number of the first call for that of every call when it makes a
    functional model, so that outputs of later calls are missing; this names the most.
    """

    if _KERAS3:

        @property
        def output(self) -> Any:
            """The outputs of the call that has the most."""
            nodes = self._inbound_nodes  # type: ignore[attr-defined]
            return max((node.outputs for node in nodes), key=len)


ADAM_WITHOUT_XLA: dict[str, Any] = {} if _KERAS3 else {"jit_compile": False}
"""Arguments of Keras' Adam that keep its updates out of XLA."""


def adam_slots(optimizer: Any, variable: Any) -> tuple[tf.Variable, tf.Variable]:
    """Returns the first and second moments that Keras' Adam keeps of a variable."""
    if _KERAS3:
        slot = optimizer._get_variable_index(variable)
    else:
        slot = optimizer._index_dict[optimizer._var_key(variable)]
    moments = (optimizer._momentums[slot], optimizer._velocities[slot])
    return tf_variable(moments[0]), tf_variable(moments[1])


def each_row_once(gradient: tf.IndexedSlices) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the rows of a sparse gradient and their sums, as an optimizer gets it.

    Keras 2 has added the occurrences of a row up before; Keras 3 has not.
    """
    if not _KERAS3:
        return gradient.indices, gradient.values
    rows, place = tf.unique(gradient.indices)
    return rows, tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))


NO_WEIGHTED_METRICS: Any = None if _KERAS3 else {}
"""`weighted_metrics` for none; Keras 2 warns of None, Keras 3 wants labels for {}."""


class _OutputLosses:
    """Keras 3's losses of `compile`, for outputs by name of which some have labels.

    Its own container wants labels and weights for every output or for none, and keeps
    no mean of a loss that is the only one.
    """

    built = True

    def __init__(
        self, kind: Any, losses: Mapping[str, Any], weights: Any, outputs: int
    ) -> None:
        self._losses = {
            name: kind(loss) for name, loss in losses.items() if loss is not None
        }
        self._user_loss_weights = weights
        self._weights = weights or {}
        names = self._losses if outputs > 1 else ()
        self._means = {
            name: tf.keras.metrics.Mean(name=f"{name}_loss") for name in names
        }

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        return list(self._means.values())

    @property
    def variables(self) -> list[Any]:
        return [v for metric in self.metrics for v in metric.variables]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        total = tf.zeros([])
        for name, loss in self._losses.items():
            labels = (y_true or {}).get(name)
            if labels is None:
                continue
            value = loss(labels, y_pred[name], (sample_weight or {}).get(name))
            if name in self._means:
                size = tf.shape(y_pred[name])[0]
                self._means[name].update_state(value * replicas, sample_weight=size)
            total += value * self._weights.get(name, 1.0)
        return total


def compile_losses(
    model: tf.keras.Model, loss: Any, loss_weights: Any, outputs: int
) -> None:
    """Lets a model that was compiled so have labels for some of its outputs."""
    if _KERAS3 and loss is not None:
        kind = type(model._compile_loss)
        model._compile_loss = _OutputLosses(kind, loss, loss_weights, outputs)


def total_loss(
    model: tf.keras.Model,
    y: Any,
    y_pred: Any,
    sample_weight: Any,
    terms: Sequence[tf.Tensor],
) -> tf.Tensor:
    """Adds a compiled model's losses and further terms, each a mean of the replica's.

    Args:
        model: The model.
        y: Labels by output name; some may be missing.
        y_pred: Outputs by name.
        sample_weight: Weights by output name, or None.
        terms: Scalars.

    Returns:
        A scalar, of which gradients are summed over the replicas.
    """
    if not _KERAS3:
        return model.compiled_loss(
            y, y_pred, sample_weight, regularization_losses=list(terms)
        )
    total = mean_over_replicas(tf.add_n([tf.zeros([]), *terms]))
    if model._compile_loss is not None:
        total += model._compile_loss(y, y_pred, sample_weight)
    return total


def labels_by_output(
    model: tf.keras.Model, y: Any, y_pred: Any, sample_weight: Any
) -> tuple[Any, Any]:
    """Returns labels and weights as a compiled model's metrics want them.

    Keras 3 wants both for every output; metrics of an output without labels are dropped
    at the first batch, as Keras 2 passes them over.
    """
    if not _KERAS3 or model._compile_metrics is None:
        return y, sample_weight
    metrics, y = model._compile_metrics, y or {}
    if not metrics.built:
        for kind in ("_user_metrics", "_user_weighted_metrics"):
            given = getattr(metrics, kind) or {}
            setattr(metrics, kind, {k: m for k, m in given.items() if k in y})
    weights = sample_weight or None
    if weights:
        weights = {name: weights.get(name) for name in y_pred}
    return {name: y.get(name) for name in y_pred}, weights


def loss_weights_of(model: tf.keras.Model) -> Any:
    """Returns the `loss_weights` that a model was compiled with."""
    container = model._compile_loss if _KERAS3 else model.compiled_loss
    return getattr(container, "_user_loss_weights", None)
