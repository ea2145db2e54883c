"""Files that TensorFlow Serving reads beside a model: warm-up, models, batching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorflow_serving.apis import (  # type: ignore[import-untyped]
    classification_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)
from tensorflow_serving.config import (  # type: ignore[import-untyped]
    model_server_config_pb2,
)

__all__ = [
    "batching_parameters",
    "classification_request",
    "model_config",
    "predict_request",
    "regression_request",
    "write_warm_up",
]

Arrays = Mapping[str, Any]


def predict_request(
    inputs: Arrays, *, model: str = "", signature: str = "serving_default"
) -> Any:
    """Makes a PredictRequest of arrays: what a gRPC client sends.

    Args:
        inputs: Inputs of the signature by name.
        model: Name of the model on the server.
        signature: Name of the signature.

    Returns:
        The message.

    Example:
        >>> request = predict_request({"x": np.array([1.5])}, model="fine")
        >>> request.inputs["x"].tensor_shape.dim[0].size
        1
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(np.asarray(values)))
    return request


def classification_request(records: Sequence[bytes], *, model: str = "") -> Any:
    """Makes a ClassificationRequest of `candidate_examples`.

    Args:
        records: Serialized tf.Examples, one per candidate.
        model: Name of the model on the server.

    Returns:
        The message.

    Example:
        >>> request = classification_request([b""], model="fine")
        >>> len(request.input.example_list.examples)
        1
    """
    request = classification_pb2.ClassificationRequest()
    return _of_examples(request, records, model, "classify")


def regression_request(records: Sequence[bytes], *, model: str = "") -> Any:
    """Makes a RegressionRequest of `candidate_examples`.

    Args:
        records: Serialized tf.Examples, one per candidate.
        model: Name of the model on the server.

    Returns:
        The message.

    Example:
        >>> regression_request([b""], model="fine").model_spec.signature_name
        'regress'
    """
    request = regression_pb2.RegressionRequest()
    return _of_examples(request, records, model, "regress")


def write_warm_up(path: str | Path, requests: Mapping[str, Arrays]) -> None:
    """Writes requests that a server runs before it takes a model into service.

    The first call of a signature costs many times a later one. At most 1000 requests.

    Args:
        path: `assets.extra/tf_serving_warmup_requests` in the SavedModel.
        requests: Inputs of each signature, by its name.

    Raises:
        ValueError: If there are more requests than a server accepts.
    """
    if len(requests) > 1000:
        raise ValueError(
            f"A server warms up with at most 1000 requests, got {len(requests)}."
        )
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            log = prediction_log_pb2.PredictionLog()
            if signature == "classify":
                request = classification_request(inputs["inputs"])
                log.classify_log.request.CopyFrom(request)
            elif signature == "regress":
                log.regress_log.request.CopyFrom(regression_request(inputs["inputs"]))
            else:
                request = predict_request(inputs, signature=signature)
                log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def model_config(
    models: Mapping[str, str | Path],
    *,
    labels: Mapping[str, Mapping[str, int]] | None = None,
) -> str:
    """Returns the text of a `--model_config_file` that serves several models.

    Args:
        models: Base path of each model by name: the directory of its versions.
        labels: Versions by label such as `"stable"`, by name of the model; all labelled
            versions are served, and of any other model the newest.

    Returns:
        The text of a `ModelServerConfig`.

    Raises:
        ValueError: If a label is given for a model that is not there.

    Example:
        >>> print(model_config({"fine": "/models/fine"}))
        model_config_list {
          config {
            name: "fine"
            base_path: "/models/fine"
            model_platform: "tensorflow"
          }
        }
        <BLANKLINE>
    """
    labels = labels or {}
    unknown = sorted(set(labels) - set(models))
    if unknown:
        raise ValueError(
            f"There are labels of the models {unknown}, but only {sorted(models)} are "
            "served."
        )
    config = model_server_config_pb2.ModelServerConfig()
    for name, path in models.items():
        entry = config.model_config_list.config.add(
            name=name, base_path=str(path), model_platform="tensorflow"
        )
        versions = labels.get(name, {})
        for label, version in versions.items():
            entry.version_labels[label] = version
        if versions:
            wanted = sorted(set(versions.values()))
            entry.model_version_policy.specific.versions.extend(wanted)
    return text_format.MessageToString(config)


def batching_parameters(
    *, sizes: Sequence[int] = (1, 4, 16), timeout_micros: int = 500, threads: int = 2
) -> str:
    """Returns the text of a `--batching_parameters_file`.

    A server that batches pads lists to the longest of the batch, and a batch to the
    next allowed size. For lists of hundreds of candidates on a CPU that costs more than
    it saves; it is meant for short lists and for GPUs.

    Args:
        sizes: Allowed sizes of a batch, rising; the last is the largest.
        timeout_micros: How long the first request of a batch waits for others.
        threads: Batches that run at the same time.

    Returns:
        The text.

    Raises:
        ValueError: If the sizes do not rise from 1 or more.

    Example:
        >>> print(batching_parameters(sizes=(1, 8)).splitlines()[0])
        max_batch_size { value: 8 }
    """
    rising = all(a < b for a, b in zip(sizes, sizes[1:]))
    if not sizes or sizes[0] < 1 or not rising:
        raise ValueError(
            f"The sizes of a batch must rise from 1 or more, got {tuple(sizes)}."
        )
    lines = [
        f"max_batch_size {{ value: {sizes[-1]} }}",
        f"batch_timeout_micros {{ value: {timeout_micros} }}",
        f"num_batch_threads {{ value: {threads} }}",
        *(f"allowed_batch_sizes: {size}" for size in sizes),
        "pad_variable_length_inputs: true",
    ]
    return "\n".join(lines) + "\n"


def _of_examples(
    request: Any, records: Sequence[bytes], model: str, signature: str
) -> Any:
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    request.input.example_list.SetInParent()  # an empty list is one, too
    for record in records:
        request.input.example_list.examples.add().ParseFromString(record)
    return request
