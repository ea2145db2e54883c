"""Models as a server holds them: found by version, loaded by the C++ loader, warm."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (  # type: ignore[import-untyped]
    prediction_log_pb2,
)

from tfdistill.export.c_loader import Failure, Model, loaded
from tfdistill.files import read_as
from tfdistill.serving.messages import records_of, to_wire

__all__ = [
    "ServedModel",
    "Versions",
    "load_model",
    "newest_version",
    "signature_defs",
    "warm_up_requests",
]

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A loaded SavedModel.

    Attributes:
        folder: Where it is.
        version: Its version.
        model: What answers.
        signatures: Protocol buffers `SignatureDef` by name.
    """

    folder: Path
    version: int
    model: Model
    signatures: Mapping[str, Any]


class Versions:
    """A folder of versions, of which the newest that can be served is.

    Who asks for `current` has that version until he is done with it: the session of an
    older one ends with its last request.

    Args:
        path: Base path of the model, or the folder of a version.
        threads: Threads within and between operations of a request.

    Raises:
        ValueError: As `load_model`.

    Attributes:
        current: The version that is served.
    """

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        self._path, self._threads = path, threads
        self._refused: object = None
        self.current = load_model(newest_version(path), threads=threads)

    def renew(self) -> None:
        """Serves the version that is the newest now, an older one if it was removed.

        One that can't be served is reported, and tried again when its files change. A
        folder that is empty or can't be read leaves what is served.
        """
        try:
            folder = newest_version(self._path)
        except (OSError, ValueError):
            return
        if folder == self.current.folder:
            return
        files: object = None
        try:
            files = _state(folder)
            if files != self._refused:
                self.current = load_model(folder, threads=self._threads)
        except (OSError, ValueError) as error:
            self._refused = files
            _LOG.error("%s goes on being served. %s", self.current.folder, error)


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


def load_model(folder: Path, *, threads: int = 1) -> ServedModel:
    """Loads a model and runs its warm-up requests.

    Args:
        folder: Folder of the SavedModel.
        threads: Threads within and between operations of a request.

    Returns:
        The model; a folder whose name is no version counts as version 1.

    Raises:
        ValueError: If it can't be loaded or does not answer a warm-up request.
    """
    try:
        model = loaded(folder, threads=threads)
        signatures = signature_defs(folder)
        for signature, inputs in warm_up_requests(folder):
            model.answer(signature, inputs)
    except (Failure, DecodeError, OSError, ValueError, tf.errors.OpError) as error:
        wrong = error.args[1] if isinstance(error, Failure) else error
        raise ValueError(
            f"The SavedModel in {str(folder)!r} can't be served: {wrong} Export it "
            "again."
        ) from error
    version = int(folder.name) if folder.name.isdecimal() else 1
    return ServedModel(folder, version, model, signatures)


def _state(folder: Path) -> object:
    """What changes with the files of a folder."""
    found = [(path, path.stat()) for path in sorted(folder.rglob("*"))]
    return [(path, stat.st_size, stat.st_mtime_ns) for path, stat in found]


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

    Raises:
        ValueError: If the file is damaged.
    """
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    if not file.is_file():
        return
    with read_as(file, "warm-up requests", remedy="Export the model again."):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = getattr(log, log.WhichOneof("log_type")).request
            if hasattr(request, "inputs"):
                inputs = {name: to_wire(name, x) for name, x in request.inputs.items()}
            else:
                inputs = {"inputs": records_of(request.input)}
            yield request.model_spec.signature_name, inputs
