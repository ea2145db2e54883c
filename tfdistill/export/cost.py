"""What serving costs: parameters, FLOPs, and latency of exported models in turns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill import _keras
from tfdistill.export.standalone import in_fresh_process, timings
from tfdistill.layers.embeddings import FeatureEmbeddings
from tfdistill.names import feature_names, structured

__all__ = ["Latency", "ParameterCount", "flops", "latency", "parameters"]


@dataclasses.dataclass(frozen=True)
class ParameterCount:
    """Number of parameters.

    Attributes:
        tables: In embedding tables: memory, hardly any time.
        rest: In all other layers: time.
    """

    tables: int
    rest: int


@dataclasses.dataclass(frozen=True)
class Latency:
    """Time of a request in milliseconds.

    Attributes:
        p50: Median.
        p99: 99th percentile.
        mean: Mean.
        speedup: Median of the baseline over this median.
    """

    p50: float
    p99: float
    mean: float
    speedup: float


def parameters(*models: tf.keras.Model) -> ParameterCount:
    """Counts the floating-point weights of models; shared ones count once.

    Args:
        *models: Built Keras models.

    Returns:
        The counts; tables are those of `FeatureEmbeddings` and Keras' `Embedding`.

    Example:
        >>> inputs = tf.keras.Input([3])
        >>> parameters(tf.keras.Model(inputs, tf.keras.layers.Dense(2)(inputs)))
        ParameterCount(tables=0, rest=8)
    """
    kinds = (FeatureEmbeddings, tf.keras.layers.Embedding)
    tables = {
        id(weight)
        for model in models
        for layer in _keras.layers_of(model)
        if isinstance(layer, kinds)
        for weight in layer.weights
    }
    weights = {id(weight): weight for model in models for weight in model.weights}
    counts = {True: 0, False: 0}
    for key, weight in weights.items():
        if tf.as_dtype(weight.dtype).is_floating:
            counts[key in tables] += int(np.prod(weight.shape))
    return ParameterCount(tables=counts[True], rest=counts[False])


def flops(model: tf.keras.Model, *, list_size: int = 500) -> float:
    """Counts the floating-point operations of one request.

    A multiplication and an addition count as two. Lookups and gathers count nothing:
    they cost time, which `latency` measures.

    Args:
        model: A functional model with an input for each feature.
        list_size: Number of candidates L of the request.

    Returns:
        MFLOP for one user and L candidates.

    Example:
        >>> inputs = tf.keras.Input([None, 3])
        >>> layer = tf.keras.layers.Dense(2, use_bias=False)
        >>> flops(tf.keras.Model(inputs, layer(inputs)), list_size=1000)
        0.012
    """
    sizes = (1, list_size)
    fixed = {
        name: tf.TensorSpec(
            [n or sizes[axis] for axis, n in enumerate(tensor.shape)], tensor.dtype
        )
        for name, tensor in zip(feature_names(model), model.inputs)
    }
    served = tf.function(lambda x: model(structured(model, x), training=False))
    profiler = tf.compat.v1.profiler
    options = {**profiler.ProfileOptionBuilder.float_operation(), "output": "none"}
    graph = served.get_concrete_function(fixed).graph
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # the profiler calls functions that warn of their age
    try:
        counted = float(profiler.profile(graph, options=options).total_float_ops)
    finally:
        logger.setLevel(level)
    products = [op for op in graph.get_operations() if op.type == "Einsum"]
    return (counted + sum(_einsum_flops(op) for op in products)) / 1e6


def _einsum_flops(op: tf.Operation) -> float:
    """Twice the product of all sizes in the equation; the profiler counts none."""
    sizes: dict[str, int] = {}
    terms = op.get_attr("equation").decode().split("->")[0].split(",")
    for term, tensor in zip(terms, op.inputs):
        first, dots, last = term.partition("...")
        extra = len(tensor.shape) - len(first) - len(last)
        broadcast = [f"dots {axis}" for axis in range(extra, 0, -1)] if dots else []
        for name, size in zip([*first, *broadcast, *last], tensor.shape):
            sizes[name] = max(sizes.get(name, 1), size or 1)
    return 2.0 * float(np.prod(list(sizes.values())))


def latency(
    paths: Mapping[str, str | Path],
    requests: Sequence[Mapping[str, Any]],
    *,
    baseline: str,
    rounds: int = 50,
    threads: int | None = None,
    signatures: Mapping[str, str] | None = None,
    inputs: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Latency]:
    """Measures exported models by Python calls, which take turns in one process.

    Compare only what one call measured: the load of the machine is then the same for
    all. Students are fastest with one thread.

    Args:
        paths: Folders of SavedModels (with the version) by name.
        requests: Raw features by name, those of all models together: for example user
            `[1, *shape]` and item `[1, 500, *shape]`.
        baseline: Name of the model that the others are compared with: the teacher.
        rounds: How often all requests are sent to each model.
        threads: Measure in a fresh process with so many threads. By default in this
            process, with the threads that it has.
        signatures: Which signature to call, by name of the model; by default
            `serving_default`. Give one folder under two names to compare two.
        inputs: What a model gets besides the requests, by its name: such as
            `{"keep_recall": 200}` of a cascade's sizes.

    Returns:
        The latency by name.

    Raises:
        ValueError: If there is nothing to measure, the baseline is not in `paths` or a
            request lacks a feature.
        RuntimeError: If the fresh process fails.

    Example:
        >>> import tempfile
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> from tfdistill.export import example_batch, ranker_servable
        >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
        >>> inputs = spec.keras_inputs()
        >>> model = tf.keras.Model(inputs, 2.0 * inputs["price"])
        >>> with tempfile.TemporaryDirectory() as path:
        ...     ranker_servable(model, spec).save(path)
        ...     request = example_batch(spec, batch_size=1, list_size=500)
        ...     found = latency({"fine": path}, [request], baseline="fine", rounds=3)
        >>> found["fine"].speedup
        1.0
    """
    if baseline not in paths or not requests or rounds < 1:
        raise ValueError(
            "latency needs a baseline among its models, a request and a round, got "
            f"baseline={baseline!r}, models {sorted(paths)}, {len(requests)} requests "
            f"and rounds={rounds}."
        )
    folders = [str(Path(path).resolve()) for path in paths.values()]
    chosen = [(signatures or {}).get(name, "serving_default") for name in paths]
    own = [_arrays((inputs or {}).get(name, {})) for name in paths]
    sent = [_arrays(request) for request in requests]
    arguments = (list(zip(folders, chosen, own)), sent, rounds)
    if threads is None:
        spent = timings(*arguments)
    else:
        spent, _ = in_fresh_process("timings", *arguments, threads=threads)
    medians = dict(zip(paths, np.median(spent, axis=1)))
    return {
        name: Latency(
            p50=float(medians[name]),
            p99=float(np.percentile(row, 99)),
            mean=float(row.mean()),
            speedup=float(medians[baseline] / medians[name]),
        )
        for name, row in zip(paths, spent)
    }


def _arrays(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in values.items()}
