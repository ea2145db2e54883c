"""Models as a server holds them: found by version, loaded by the C++ loader, warm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (  # type: ignore[import-untyped]
    prediction_log_pb2,
)

from tfdistill.export.c_loader import Failure, Model, loaded

__all__ = [
    "ServedModel",
    "load_model",
    "newest_version",
    "records_of",
    "signature_defs",
    "to_wire",
    "warm_up_requests",
]

_MOST_VALUES = 2**27


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A loaded SavedModel.

    Attributes:
        version: Its version.
        model: What answers.
        signatures: Protocol buffers `SignatureDef` by name.
    """

    version: int
    model: Model
    signatures: Mapping[str, Any]


def newest_version(path: str | Path) -> Path:
    """Returns the folder of the newest version of a model.

    Args:
        path: Base path of the model, or the folder of a version.

    Returns:
        The folder of the SavedModel.

    Raises:
        ValueError: If there is none.
    """
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return path
    found = path.iterdir() if path.is_dir() else iter(())
    versions = [folder for folder in found if folder.name.isdecimal()]
    if not versions:
        raise ValueError(
            f"There is no SavedModel in {str(path)!r}: neither a version of one nor "
            "a folder of versions 1, 2 and so on. Export the model first."
        )
    return max(versions, key=lambda folder: int(folder.name))


def load_model(path: str | Path, *, threads: int = 1) -> ServedModel:
    """Loads the newest version of a model and runs its warm-up requests.

    Args:
        path: Base path of the model, or the folder of a version.
        threads: Threads within and between operations of a request.

    Returns:
        The model; a folder whose name is no version counts as version 1.

    Raises:
        ValueError: If there is no SavedModel, or if it can't be loaded or does not
            answer a warm-up request.
    """
    folder = newest_version(path)
    try:
        model = loaded(folder, threads=threads)
        for signature, inputs in warm_up_requests(folder):
            model.answer(signature, inputs)
    except Failure as failure:
        raise ValueError(
            f"The SavedModel in {str(folder)!r} can't be served: {failure.args[1]} "
            "Export it again."
        ) from failure
    version = int(folder.name) if folder.name.isdecimal() else 1
    return ServedModel(version, model, signature_defs(folder))


def signature_defs(folder: Path) -> dict[str, Any]:
    """Reads the signatures of a SavedModel, as clients see them."""
    content = folder.joinpath("saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    return {
        name: signature
        for name, signature in graph.signature_def.items()
        if not name.startswith("__")
    }


def warm_up_requests(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads the warm-up requests of a SavedModel.

    Args:
        folder: Folder of the SavedModel.

    Yields:
        The signature and its inputs, in the form that `Model.answer` takes.
    """
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    if not file.is_file():
        return
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = getattr(log, log.WhichOneof("log_type")).request
        if hasattr(request, "inputs"):
            inputs = {name: to_wire(x) for name, x in request.inputs.items()}
        else:
            inputs = {"inputs": records_of(request.input)}
        yield request.model_spec.signature_name, inputs


def to_wire(tensor: Any) -> tuple[int, tuple[int, ...], Any]:
    """Takes a TensorProto apart.

    Args:
        tensor: The protocol buffer.

    Returns:
        Number of the dtype, shape, and the bytes or the list of strings.

    Raises:
        ValueError: If its values do not fill its shape.
    """
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"A tensor must have a full shape, got {shape}.")
    if np.prod(shape, dtype=np.float64) > _MOST_VALUES:
        raise ValueError(f"A tensor of shape {shape} has too many values.")
    try:
        values = tf.make_ndarray(tensor)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"A tensor of shape {shape} can't be read: {error}") from error
    if tensor.dtype == tf.string.as_datatype_enum:
        return tensor.dtype, shape, list(values.flat)
    return tensor.dtype, shape, values.tobytes()


def records_of(given: Any) -> tuple[int, tuple[int, ...], list[bytes]]:
    """Makes a tensor of the tf.Examples of an `Input`, each with the context."""
    kind = given.WhichOneof("kind")
    if kind is None:
        raise ValueError("Input is empty.")
    records = []
    for example in getattr(given, kind).examples:
        whole = tf.train.Example()
        if kind == "example_list_with_context":
            whole.CopyFrom(given.example_list_with_context.context)
        whole.MergeFrom(example)
        records.append(whole.SerializeToString())
    return tf.string.as_datatype_enum, (len(records),), records
