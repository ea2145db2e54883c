"""A server on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from tensorflow_serving.apis import (  # type: ignore[import-untyped]
    prediction_service_pb2_grpc,
)

from tfdistill.serving.models import load_model
from tfdistill.serving.service import PredictionService

__all__ = ["Server", "serve"]

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # or two servers would share a port, unnoticed
]


class Server:
    """A running server; as a context manager it stops at the end.

    Attributes:
        address: Host and port, for `grpc.insecure_channel`.
    """

    def __init__(self, server: Any, address: str) -> None:
        self._server = server
        self.address = address

    def wait(self) -> None:
        """Serves until the process is interrupted."""
        self._server.wait_for_termination()

    def stop(self) -> None:
        """Stops, after the requests that are being answered."""
        self._server.stop(grace=None).wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def serve(
    models: Mapping[str, str | Path],
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    threads: int = 1,
    workers: int = 2,
) -> Server:
    """Serves exported models over gRPC, as TensorFlow Serving would.

    For tests and local use: it has no TLS and listens to this machine only, unless
    another host is given.

    Args:
        models: Base path of each model by the name that clients use.
        port: Port to listen on; 0 takes a free one.
        host: Address to listen on.
        threads: Threads within and between operations of a request.
        workers: Requests that are answered at the same time.

    Returns:
        The running server.

    Raises:
        ValueError: If there is no model, a path has none, or the port is taken.

    Example:
        >>> import tempfile
        >>> import tensorflow as tf
        >>> from tfdistill.data.spec import Feature, FeatureSpec
        >>> from tfdistill.export import ranker_servable
        >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
        >>> inputs = spec.keras_inputs()
        >>> model = tf.keras.Model(inputs, 2.0 * inputs["price"])
        >>> with tempfile.TemporaryDirectory() as path:
        ...     ranker_servable(model, spec).save(path)
        ...     with serve({"fine": path}) as server:
        ...         print(server.address.partition(":")[0])
        127.0.0.1
    """
    if not models:
        raise ValueError("serve needs at least one model, got none.")
    loaded = {name: load_model(path, threads=threads) for name, path in models.items()}
    pool = futures.ThreadPoolExecutor(workers)
    server = grpc.server(pool, options=_OPTIONS)
    service = PredictionService(loaded)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise ValueError(
            f"Can't listen on {host}:{port}; is another server running there? Give "
            "another port, or 0 for a free one."
        ) from error
    server.start()
    return Server(server, f"{host}:{bound}")
