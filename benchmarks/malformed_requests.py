"""A local server under ten thousand malformed requests: alive, small, right and quick.

A server of a small ranker on this machine gets right requests from one client, first
alone (the quiet time), then while a second client, in a process of its own, sends
malformed ones of all shapes of `mutations.py`, one after the other. Measured are the
growth of the server's resident memory from the end of the quiet time on, the answers of
the right requests, and their 99th percentile beside the quiet one.

    python benchmarks/malformed_requests.py [--rerun]

A finished run is one line of benchmarks/results/malformed_requests.jsonl. The last one
is printed; --rerun measures another one.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
import timing
from mutations import MUTATIONS, REFUSED
from tensorflow_serving.apis import predict_pb2
from timing import answer, as_child, child, percentiles, resident

from tfdistill.export import ranker_servable
from tfdistill.export.server_files import predict_request
from tfdistill.models import Dnn, Net, joint_network
from tfdistill.spec import Feature, FeatureSpec, Table

REQUESTS, QUIET, WARM, PAUSE = 10_000, 3000, 500, 0.002
SIGNATURES = ("serving_default", "packed", "tf_example", "elwc")
SPEC = FeatureSpec(
    (
        Feature("city", "categorical", "user", table="city", dtype="string"),
        Feature("history", "categorical", "user", table="item", shape=(3,)),
        Feature("age", "numeric", "user", mean=30.0, scale=9.0),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("tag", "categorical", "item", table="tag", dtype="string"),
        Feature("price", "numeric", "item"),
    ),
    (
        Table("city", 4, kind="vocabulary", vocabulary=("Bern", "Ulm")),
        Table("item", 4, size=50),
        Table("tag", 4, kind="hash", size=20),
    ),
)


@contextlib.contextmanager
def server(base: str) -> Iterator[tuple[int, str]]:
    """Process id and address of a server of the folder."""
    command = [sys.executable, "-m", "tfdistill", "serve", base, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            yield process.pid, line.split(" at ")[1].split(";")[0]
        finally:
            process.terminate()


@contextlib.contextmanager
def client(address: str) -> Iterator[Any]:
    """A function that sends bytes to Predict and gives those of the answer."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(address, options) as channel:
        grpc.channel_ready_future(channel).result(timeout=60)
        yield channel.unary_unary("/tensorflow.serving.PredictionService/Predict")


class Right:
    """A client of right requests, one signature after the other."""

    def __init__(self, send: Any, requests: Mapping[str, bytes]) -> None:
        self._send, self._requests = send, requests
        self._expected = {name: self._answer(name) for name in requests}
        self.times: list[float] = []
        self.wrong = 0

    def _answer(self, name: str) -> dict[str, np.ndarray]:
        content = self._send(self._requests[name], timeout=60)
        outputs = predict_pb2.PredictResponse.FromString(content).outputs
        return {key: tf.make_ndarray(x) for key, x in outputs.items()}

    def once(self) -> None:
        """Sends the next request after a pause, and looks at the answer."""
        time.sleep(PAUSE)
        name = SIGNATURES[len(self.times) % len(SIGNATURES)]
        start = time.perf_counter()
        found = self._answer(name)
        self.times.append(1e3 * (time.perf_counter() - start))
        expected = self._expected[name]
        same = found.keys() == expected.keys()
        if not (same and all(np.array_equal(found[k], expected[k]) for k in found)):
            self.wrong += 1


def attack(send: Any, rights: Mapping[str, bytes]) -> collections.Counter[str]:
    """Sends the malformed requests and counts what became of them."""
    rng = np.random.default_rng(0)
    outcomes: collections.Counter[str] = collections.Counter()
    mutations = list(MUTATIONS.items())
    for number in range(REQUESTS):
        name, mutation = mutations[number % len(mutations)]
        signature = SIGNATURES[number // len(mutations) % len(SIGNATURES)]
        copied = predict_pb2.PredictRequest.FromString(rights[signature])
        message = mutation(rng, copied)
        content = message if isinstance(message, bytes) else message.SerializeToString()
        try:
            send(content, timeout=60)
            outcomes["answered though refused" if name in REFUSED else "answered"] += 1
        except grpc.RpcError as error:
            outcomes[error.code().name] += 1
    return outcomes


def attack_here(address: str, folder: str) -> dict[str, int]:
    """The attack from this process; what became of the requests."""
    rights = {name: pathlib.Path(folder, name).read_bytes() for name in SIGNATURES}
    with client(address) as send:
        return dict(sorted(attack(send, rights).items()))


def one_run(options: argparse.Namespace) -> dict[str, Any]:
    tf.keras.utils.set_random_seed(3)
    network = joint_network(SPEC, {"fine": Net(Dnn(units=(8,)), SPEC.names)})
    servable = ranker_servable(network.part("fine"), SPEC)
    requests = {}
    for name in SIGNATURES:
        inputs = servable.requests[name]
        request = predict_request(inputs, model="model", signature=name)
        requests[name] = request.SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        servable.save(f"{folder}/model/1")
        for name, content in requests.items():
            pathlib.Path(folder, name).write_bytes(content)
        with server(f"{folder}/model") as (pid, address), client(address) as send:
            return measure(Right(send, requests), pid, [address, folder])


def measure(right: Right, pid: int, arguments: list[str]) -> dict[str, Any]:
    """Right requests alone, then between those of a child."""
    for _ in range(WARM + QUIET):
        right.once()
    quiet, right.times = right.times[WARM:], []
    before = resident(pid=pid)
    attacker = child(__file__, *arguments)
    while attacker.poll() is None:
        right.once()
    outcomes = answer(attacker)
    times = percentiles(right.times, 50, 99)
    alone = {f"quiet_{q}": x for q, x in percentiles(quiet, 50, 99).items()}
    return {
        "shapes": len(MUTATIONS),
        "malformed": sum(outcomes.values()),
        "outcomes": outcomes,
        "megabytes_before": round(before, 1),
        "megabytes_grown": round(resident(pid=pid) - before, 1),
        "right": len(right.times),
        "right_with_other_answers": right.wrong,
        **alone,
        **times,
        "p99_over_quiet": round(times["p99"] / alone["quiet_p99"], 2),
    }


if __name__ == "__main__":
    if not as_child(attack_here):
        timing.main("malformed_requests", one_run)
