"""Deadlines, stopping, health, new versions: no request is lost, or done for nobody."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import shutil
import signal
import threading
import time
import weakref
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server_fixture import Slow, running, stub_of

from tfdistill.export.server_files import predict_request
from tfdistill.serving import serve
from tfdistill.serving.models import Versions

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE = "tensorflow.serving.PredictionService"
LONG = 200_000  # about half a second


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    path = tmp_path_factory.mktemp("slow") / "1"
    Slow().save(path)
    return path.parent


def asked(signature: str, n: int):
    name = {"slow": "n", "count": "zero"}[signature]
    inputs = {name: np.array(n, np.int32)}
    return predict_request(inputs, model="slow", signature=signature)


def begun(stub) -> int:
    (number,) = stub.Predict(asked("count", 0)).outputs["begun"].int_val
    return number


def started(stub):
    """The answer to come of a long request that has begun."""
    answer = stub.Predict.future(asked("slow", LONG))
    time.sleep(0.1)
    return answer


def test_a_client_is_answered_by_its_deadline_and_the_work_is_dropped(slow):
    with serve({"slow": slow}, workers=1) as server, stub_of(server.address) as stub:
        long = started(stub)
        calls = [stub.Predict.future(asked("slow", 1), timeout=0.1) for _ in range(9)]
        for call in calls:
            assert call.exception().code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert not long.done()
        assert long.result().outputs["n"].int_val == [LONG]
        assert begun(stub) == 1


def test_what_a_client_cancels_is_dropped(slow):
    with serve({"slow": slow}, workers=1) as server, stub_of(server.address) as stub:
        long = started(stub)
        call = stub.Predict.future(asked("slow", 1))
        time.sleep(0.1)
        call.cancel()
        assert long.result().outputs["n"].int_val == [LONG]
        assert begun(stub) == 1


def test_too_many_at_once_are_refused_and_the_rest_is_answered(slow):
    with serve({"slow": slow}, workers=1) as server, stub_of(server.address) as stub:
        long = [started(stub) for _ in range(6)]  # outlasts the sending of the others
        calls = [stub.Predict.future(asked("slow", 1)) for _ in range(400)]
        codes = [call.code() for call in calls]
        assert set(codes) == {
            grpc.StatusCode.OK,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        }
        assert 200 < codes.count(grpc.StatusCode.OK) <= 256
        assert all(call.code() == grpc.StatusCode.OK for call in long)


def test_stopping_finishes_what_is_begun_and_what_waits(slow):
    server = serve({"slow": slow}, workers=1)
    with stub_of(server.address) as stub:
        calls = [started(stub), stub.Predict.future(asked("slow", 5))]
        time.sleep(0.1)
        server.stop()
        assert [x.result().outputs["n"].int_val[0] for x in calls] == [LONG, 5]
        with pytest.raises(grpc.RpcError) as error:
            stub.Predict(asked("slow", 1))
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_context_manager_finishes_too(slow):
    with contextlib.ExitStack() as stack:
        with serve({"slow": slow}) as server:
            stub = stack.enter_context(stub_of(server.address))
            call = started(stub)
        assert call.result().outputs["n"].int_val == [LONG]


def test_what_takes_longer_than_the_grace_is_cancelled(slow):
    server = serve({"slow": slow})
    with stub_of(server.address) as stub:
        call = stub.Predict.future(asked("slow", 8 * LONG))
        time.sleep(0.1)
        start = time.monotonic()
        server.stop(grace=0.1)
        assert time.monotonic() - start < 2
        assert call.exception().code() in (
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.UNAVAILABLE,
        )


def test_a_process_that_is_told_to_end_finishes(slow):
    with running(slow, "slow") as (process, address), stub_of(address) as stub:
        call = started(stub)
        process.terminate()
        assert call.result().outputs["n"].int_val == [LONG]
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_waiting_after_what_is_begun(number, slow):
    before = signal.getsignal(number)
    server = serve({"slow": slow})
    with stub_of(server.address) as stub:
        call = started(stub)
        threading.Timer(0.1, os.kill, [os.getpid(), number]).start()
        server.wait()
        assert call.result().outputs["n"].int_val == [LONG]
    assert signal.getsignal(number) is before


def test_waiting_ends_when_another_thread_stops_the_server(slow):
    server = serve({"slow": slow})
    before = signal.getsignal(signal.SIGTERM)
    threading.Timer(0.2, server.stop).start()
    server.wait()
    assert signal.getsignal(signal.SIGTERM) is before


def health_of(channel, service: str):
    stub = health_pb2_grpc.HealthStub(channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status


def test_the_health_service_answers_while_all_workers_are_busy(slow):
    with serve({"slow": slow}, workers=1) as server, stub_of(server.address) as stub:
        with grpc.insecure_channel(server.address) as channel:
            calls = [started(stub), stub.Predict.future(asked("slow", 1))]
            assert [health_of(channel, x) for x in ("", SERVICE)] == [SERVING, SERVING]
            assert not any(call.done() for call in calls)
            with pytest.raises(grpc.RpcError) as error:
                health_of(channel, "nothing")
            assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_who_watches_the_health_is_told_of_the_end(slow):
    server = serve({"slow": slow})
    with grpc.insecure_channel(server.address) as channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        watched = health_pb2_grpc.HealthStub(channel).Watch(request)
        assert next(watched).status == SERVING
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert next(watched).status == NOT_SERVING
        stopping.join(timeout=20)  # the watcher does not hold the server
        assert not stopping.is_alive()
        with pytest.raises(grpc.RpcError):
            next(watched)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two models that differ: one counts from 100, the other from 200."""
    folder = tmp_path_factory.mktemp("versions")
    for first in (100, 200):
        Slow(first).save(folder / str(first))
    return folder


def put(source, base, version: int) -> None:
    """A version as a publisher writes it: beside its place, then renamed."""
    shutil.copytree(source, base / "unfinished")
    (base / "unfinished").rename(base / str(version))


class Client:
    """Requests one after the other, until it is told to end."""

    def __init__(self, stub) -> None:
        self._stub, self._ended = stub, False
        self.found: list[tuple[int, int]] = []
        self._thread = futures.ThreadPoolExecutor(1)
        self._done = self._thread.submit(self._run)

    def _run(self) -> None:
        while not self._ended:
            response = self._stub.Predict(asked("count", 0), timeout=30)
            (count,) = response.outputs["begun"].int_val
            self.found.append((response.model_spec.version.value, count))

    def wait_for(self, version: int) -> None:
        deadline = time.monotonic() + 60
        while not self.found or self.found[-1][0] != version:
            assert time.monotonic() < deadline and not self._done.done(), self._done
            time.sleep(0.02)

    def end(self) -> None:
        """Raises what a request raised."""
        self._ended = True
        self._done.result()
        self._thread.shutdown()


def test_new_versions_are_taken_up_without_a_lost_request(tmp_path, saved):
    put(saved / "100", tmp_path, 1)
    with serve({"slow": tmp_path}, poll=0.02) as server:
        with stub_of(server.address) as stub:
            client = Client(stub)
            client.wait_for(1)
            put(saved / "200", tmp_path, 10)
            client.wait_for(10)
            put(saved / "100", tmp_path, 9)  # not newer, though written later
            shutil.copytree(saved / "100", tmp_path / "11")
            (tmp_path / "11" / "saved_model.pb").write_bytes(b"half")
            time.sleep(0.2)
            put(saved / "100", tmp_path, 12)
            client.wait_for(12)
            shutil.rmtree(tmp_path / "12")
            shutil.rmtree(tmp_path / "11")
            client.wait_for(10)
            client.end()
    assert set(client.found) == {(1, 100), (10, 200), (12, 100)}


def test_who_asks_for_a_version_gets_it_or_an_error(tmp_path, saved):
    put(saved / "100", tmp_path, 1)
    put(saved / "200", tmp_path, 2)
    with serve({"slow": tmp_path}) as server, stub_of(server.address) as stub:
        request = asked("count", 0)
        request.model_spec.version.value = 2
        assert stub.Predict(request).outputs["begun"].int_val == [200]
        request.model_spec.version.value = 1
        with pytest.raises(grpc.RpcError) as error:
            stub.Predict(request)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND


def damaged(folder, how: str) -> None:
    """A version that can't be served."""
    file = {
        "graph": "saved_model.pb",
        "weights": "variables/variables.data-00000-of-00001",
        "index": "variables/variables.index",
        "warm-up": "assets.extra/tf_serving_warmup_requests",
    }[how.split()[1]]
    if how.startswith("no"):
        (folder / file).unlink()
    else:
        (folder / file).write_bytes((folder / file).read_bytes()[:-1])


@pytest.mark.parametrize(
    "how",
    ["cut graph", "no graph", "cut weights", "no weights", "no index", "cut warm-up"],
)
def test_a_broken_version_is_reported_once_and_mended(how, tmp_path, saved, caplog):
    put(saved / "100", tmp_path, 1)
    models = Versions(tmp_path)
    shutil.copytree(saved / "200", tmp_path / "2")
    damaged(tmp_path / "2", how)
    for _ in range(3):
        models.renew()
        assert models.current.version == 1
    (said,) = [x.getMessage() for x in caplog.records if x.levelno == logging.ERROR]
    assert str(tmp_path / "2") in said
    shutil.rmtree(tmp_path / "2")
    put(saved / "200", tmp_path, 2)
    models.renew()
    assert models.current.version == 2


def test_an_emptied_folder_leaves_what_is_served(tmp_path, saved):
    put(saved / "100", tmp_path, 1)
    models = Versions(tmp_path)
    shutil.rmtree(tmp_path / "1")
    models.renew()
    assert models.current.version == 1


def test_a_folder_that_can_t_be_read_for_a_moment_leaves_what_is_served(
    tmp_path, saved, monkeypatch
):
    """The thread that looks for versions lives on, and takes up the next one."""
    put(saved / "100", tmp_path, 1)
    models = Versions(tmp_path)

    def unreadable(folder):
        raise OSError(errno.ESTALE, "Stale file handle", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", unreadable)
        models.renew()
    assert models.current.version == 1
    put(saved / "200", tmp_path, 2)
    models.renew()
    assert models.current.version == 2


def test_an_old_version_ends_with_its_last_request(tmp_path, saved):
    put(saved / "100", tmp_path, 1)
    models = Versions(tmp_path)
    in_progress = models.current
    old = weakref.ref(in_progress.model)
    put(saved / "200", tmp_path, 2)
    models.renew()
    gc.collect()
    assert models.current.version == 2 and old() is not None
    del in_progress
    gc.collect()
    assert old() is None
