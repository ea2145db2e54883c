"""What makes a training the one it is: settings, data, teacher, as JSON values."""

from __future__ import annotations

import collections
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill import _keras
from tfdistill.identity import described, fingerprint, flat
from tfdistill.trainers.teachers import teacher_fingerprint

__all__ = ["KERAS_CALLBACKS", "identity_of", "shapes_of", "state_attributes"]

KERAS_CALLBACKS: tuple[tuple[type, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        tf.keras.callbacks.EarlyStopping,
        ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
        (
            *("monitor", "mode", "monitor_op", "min_delta", "patience", "baseline"),
            *("restore_best_weights", "start_from_epoch"),
        ),
    ),
    (
        tf.keras.callbacks.ModelCheckpoint,
        (
            *("best", "epochs_since_last_save"),
            *("_batches_seen_since_last_saving", "_last_batch_seen"),
        ),
        (
            *("monitor", "mode", "monitor_op", "save_best_only", "save_weights_only"),
            "save_freq",
        ),
    ),
    (
        tf.keras.callbacks.ReduceLROnPlateau,
        ("wait", "best", "cooldown_counter"),
        (
            *("monitor", "mode", "factor", "patience", "min_delta", "cooldown"),
            "min_lr",
        ),
    ),
    (tf.keras.callbacks.LearningRateScheduler, (), ("schedule",)),
    (tf.keras.callbacks.History, ("epoch", "history"), ()),
)
"""Keras' callbacks that decide something: their state, and their settings."""

_NO_SETTINGS = frozenset({"name", "batch_input_shape", "batch_shape", "build_config"})
"""Of a layer's configuration: names are counted in a process, shapes come with data."""

_FIRST = 8
_LATER = (10, 30, 100, 300)
_VALIDATION = 32


def state_attributes(callback: tf.keras.callbacks.Callback) -> tuple[str, ...]:
    """Returns the names of what a callback has to keep when a training goes on."""
    for kind, state, _ in KERAS_CALLBACKS:
        if isinstance(callback, kind):  # Keras 3 has not all of Keras 2's
            return tuple(name for name in state if hasattr(callback, name))
    return getattr(callback, "state_attributes", ())


def shapes_of(variables: Sequence[tf.Variable]) -> str:
    """Counts variables by shape; their names differ from process to process."""
    shapes = [
        f"{tf.as_dtype(variable.dtype).name}{list(variable.shape)}"
        for variable in variables
    ]
    counts = collections.Counter(sorted(shapes))
    return ", ".join(f"{count} of {shape}" for shape, count in counts.items())


def identity_of(
    model: tf.keras.Model,
    batches: Callable[[int], tf.data.Dataset],
    callbacks: Sequence[tf.keras.callbacks.Callback],
    *,
    steps_per_epoch: int,
    config: Mapping[str, Any],
    validation_data: tf.data.Dataset | None,
) -> dict[str, Any]:
    """Describes a training before its first step.

    What has an `identity`, JSON values, gives it: our batches, callbacks and the
    `Distiller`. Of other batches the first eight and some later ones are compared,
    of validation data the first 32.

    Args:
        model: The compiled model.
        batches: As for `fit`, as are the arguments below.
        callbacks: All callbacks.
        steps_per_epoch: Steps in an epoch.
        config: JSON values that the caller gives.
        validation_data: What each epoch is judged by.

    Returns:
        Nested JSON values.
    """
    found = {
        "steps_per_epoch": steps_per_epoch,
        "data": _data(batches, steps_per_epoch),
        "validation_data": _digests(validation_data, _VALIDATION),
        "callbacks": [d for d in map(_callback, callbacks) if d is not None],
        "optimizer": _optimizer(model.optimizer),
        "loss": model.loss,
        "loss_weights": _keras.loss_weights_of(model),
        "seeds": _seeds(model),
        "layers": [_layer(layer) for layer in _layers(model)],
        "wiring": _wiring(getattr(model, "network", model)),
        **getattr(model, "identity", {}),
        "config": config,
    }
    # A teacher is no part of the model's config, as no checkpoint holds it.
    teacher = getattr(model, "teacher", None) if hasattr(model, "identity") else None
    if teacher is not None:
        features, *_ = tf.keras.utils.unpack_x_y_sample_weight(next(iter(batches(0))))
        found["teacher"] = teacher_fingerprint(teacher, features)
    described_: dict[str, Any] = described(found)
    return described_


def _data(batches: Callable[[int], tf.data.Dataset], steps_per_epoch: int) -> Any:
    identity = getattr(batches, "identity", None)
    if identity is not None:
        return identity
    first = min(_FIRST, steps_per_epoch)
    later = [step for step in _LATER if first <= step < steps_per_epoch]
    return {
        "first_batches": _digests(batches(0), first),
        **{f"batch_{step}": _digests(batches(step), 1) for step in later},
    }


def _digests(dataset: Any, count: int) -> str | None:
    """A fingerprint of the first batches, and of how many there are."""
    if dataset is None:
        return None
    size = getattr(dataset, "cardinality", lambda: 0)()
    return fingerprint(
        [int(size), *map(_digest, itertools.islice(iter(dataset), count))]
    )


def _digest(batch: Any) -> list[bytes]:
    return [
        tf.io.serialize_tensor(tensor).numpy()
        for tensor in tf.nest.flatten(batch, expand_composites=True)
    ]


def _callback(callback: tf.keras.callbacks.Callback) -> dict[str, Any] | None:
    """The settings of a callback that decides something; None of another."""
    name = {"class": type(callback).__name__}
    for kind, _, settings in KERAS_CALLBACKS:
        if isinstance(callback, kind):
            return {**name, **{s: getattr(callback, s, None) for s in settings}}
    if hasattr(callback, "identity") or state_attributes(callback):
        return {**name, **getattr(callback, "identity", {})}
    return None


def _optimizer(optimizer: Any) -> dict[str, Any]:
    """Its settings by dotted name; how it is compiled depends on the machine."""
    settings = flat(described(optimizer))
    for key, value in settings.items():
        if key.rpartition(".")[2] == "learning_rate" and isinstance(value, float):
            settings[key] = described(np.float32(value))  # as Keras keeps it
    other = ("jit_compile", "name")
    return {k: v for k, v in settings.items() if k.rpartition(".")[2] not in other}


def _seeds(model: tf.keras.Model) -> list[int]:
    """The seeds that layers were made with, such as `SteppedDropout`'s."""
    seeds = (getattr(layer, "seed", None) for layer in _keras.layers_of(model))
    return [seed for seed in seeds if isinstance(seed, int)]


def _layers(model: tf.keras.Model) -> Iterator[tf.keras.layers.Layer]:
    """What computes: neither models, which are made of it, nor inputs and metrics."""
    others = (tf.keras.Model, tf.keras.layers.InputLayer, tf.keras.metrics.Metric)
    for layer in _keras.layers_of(model):
        if not isinstance(layer, others):
            yield layer


def _layer(layer: tf.keras.layers.Layer) -> dict[str, Any]:
    """A layer's settings without what differs from process to process."""

    def kept(value: Any) -> Any:
        if isinstance(value, list):
            return [kept(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        return {k: kept(v) for k, v in value.items() if k not in _NO_SETTINGS}

    settings: dict[str, Any] = kept(described(layer))
    if isinstance(layer, tf.keras.layers.Lambda):  # Keras writes where it stands, too
        settings["function"] = described(layer.function)
    return settings


def _wiring(model: tf.keras.Model) -> dict[str, Any] | None:
    """What each layer of a functional model is called on; None of any other model."""
    if not _keras.input_names(model):
        return None
    try:
        config = model.get_config()
    except (NotImplementedError, TypeError, ValueError):  # of a layer that has none
        return None
    return _calls(config)


def _calls(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The calls in a model's configuration, and those in the models that it calls.

    Layers go by their number and inputs by their keys: names are counted in a process.
    """
    inputs = config.get("input_layers")
    if inputs is None:
        return None
    read = [x for x in tf.nest.flatten(inputs) if isinstance(x, str)]
    keys = sorted(inputs) if isinstance(inputs, Mapping) else range(len(read))
    names = {name: f"input {key}" for name, key in zip(read, keys)}
    layers = [layer for layer in config["layers"] if layer["name"] not in names]
    # Names of layers count up in a process: numbers in the order of calls do not.
    names.update({layer["name"]: f"layer {n}" for n, layer in enumerate(layers)})

    def named(value: Any) -> Any:
        if isinstance(value, Mapping):
            own = value.get("config")
            if isinstance(own, Mapping) and "keras_history" in own:
                return named(own["keras_history"])  # the rest is shapes
            return {key: named(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [named(entry) for entry in value]
        return names.get(value, value) if isinstance(value, str) else value

    def text(value: Any) -> str:
        return json.dumps(named(value), sort_keys=True, default=described)

    found: dict[str, Any] = {"outputs": text(config["output_layers"])}
    for layer in layers:
        called = f"{names[layer['name']]}, {layer['class_name']}"
        found[called] = text(layer["inbound_nodes"])
        inner = _calls(layer["config"])
        if inner is not None:
            found[f"{called}, inside"] = inner
    return found
