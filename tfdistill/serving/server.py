"""A server on this machine."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from grpc_health.v1 import (  # type: ignore[import-untyped]
    health,
    health_pb2,
    health_pb2_grpc,
)
from tensorflow_serving.apis import (  # type: ignore[import-untyped]
    prediction_service_pb2_grpc,
)

from tfdistill.serving.models import Versions
from tfdistill.serving.service import PredictionService

__all__ = ["GRACE", "Server", "serve"]

GRACE = 30.0
"""Seconds that requests in progress have when a server stops."""
_SERVICE = "tensorflow.serving.PredictionService"
_MOST_REQUESTS = 256  # that are answered or wait; each has a thread
_TOLD = 0.2  # seconds in which who watches the health reads that it ended

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

    def __init__(
        self,
        server: Any,
        address: str,
        health: Any,
        models: Collection[Versions],
        poll: float,
    ) -> None:
        self._server = server
        self._health = health
        self._asked = threading.Event()  # to stop
        self._poller = threading.Thread(target=self._renew, args=(models, poll))
        self._poller.daemon = True
        self._poller.start()
        self.address = address

    def wait(self, *, grace: float = GRACE) -> None:
        """Serves until the process gets SIGTERM or Ctrl-C; then stops.

        A second signal ends the process at once.

        Args:
            grace: As in `stop`.
        """
        with _on_signals(self._asked.set):
            self._asked.wait()
        self.stop(grace)

    def stop(self, grace: float = GRACE) -> None:
        """Takes no further requests, finishes those that it has, and stops.

        Args:
            grace: Seconds after which requests that are not finished are cancelled.
        """
        self._asked.set()
        self._health.enter_graceful_shutdown()
        stopped = self._server.stop(grace)
        if not stopped.wait(_TOLD):
            self._health.leave()
        stopped.wait()
        self._poller.join()

    def _renew(self, models: Collection[Versions], seconds: float) -> None:
        while not self._asked.wait(seconds):
            for versions in models:
                versions.renew()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class _Health(health.HealthServicer):  # type: ignore[misc]
    """gRPC's health service; whoever watches it can't keep a server from stopping."""

    def __init__(self) -> None:
        super().__init__()
        self._changing = threading.Lock()
        self._watchers: list[grpc.ServicerContext] = []
        self.set(_SERVICE, health_pb2.HealthCheckResponse.SERVING)

    def Watch(self, request: Any, context: Any, *answer: Any) -> Any:
        """Tells the status now and whenever it changes."""
        with self._changing:
            self._watchers = [x for x in self._watchers if x.is_active()] + [context]
        return super().Watch(request, context, *answer)

    def leave(self) -> None:
        """Ends what watches."""
        with self._changing:
            for context in self._watchers:
                context.cancel()


@contextlib.contextmanager
def _on_signals(act: Callable[[], None]) -> Iterator[None]:
    """Lets the first signal to end the process do something else."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    before: dict[signal.Signals, Any] = {}

    def once(*_: object) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        act()

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, once)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(
    models: Mapping[str, str | Path],
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    threads: int = 1,
    workers: int = 2,
    poll: float = 1.0,
) -> Server:
    """Serves exported models over gRPC, as TensorFlow Serving would.

    For tests and local use: it has no TLS and listens to this machine only, unless
    another host is given. A newer version in a model's folder is loaded beside the old
    one, which ends with its last request; one that can't be served is reported and
    changes nothing. gRPC's health service answers for the server and for
    `tensorflow.serving.PredictionService`.

    Args:
        models: Base path of each model by the name that clients use.
        port: Port to listen on; 0 takes a free one.
        host: Address to listen on.
        threads: Threads within and between operations of a request.
        workers: Requests that are answered at the same time; up to 256 wait for them,
            each until its deadline.
        poll: Seconds between looks for newer versions.

    Returns:
        The running server.

    Raises:
        ValueError: If there is no model, a path has none, or the port is taken.

    Example:
        >>> import tempfile
        >>> import tensorflow as tf
        >>> from tfdistill.spec import Feature, FeatureSpec
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
    loaded = {name: Versions(path, threads=threads) for name, path in models.items()}
    pool = futures.ThreadPoolExecutor(_MOST_REQUESTS)
    server = grpc.server(pool, options=_OPTIONS, maximum_concurrent_rpcs=_MOST_REQUESTS)
    service = PredictionService(loaded, workers)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    healthy = _Health()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise ValueError(
            f"Can't listen on {host}:{port}; is another server running there? Give "
            "another port, or 0 for a free one."
        ) from error
    server.start()
    return Server(server, f"{host}:{bound}", healthy, loaded.values(), poll)
