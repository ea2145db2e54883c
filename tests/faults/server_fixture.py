"""Small models and a server process for the tests of the server's faults."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tfdistill.export import Servable, ranker_servable
from tfdistill.export.server_files import write_warm_up
from tfdistill.models import Dnn, Net, joint_network
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    (
        Feature("age", "numeric", "user"),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("tag", "categorical", "item", table="tag", dtype="string"),
        Feature("pair", "numeric", "item", shape=(2,)),
        Feature("price", "numeric", "item"),
    ),
    (Table("item", 4, size=99), Table("tag", 4, kind="hash", size=20)),
)


def ranker(seed: int = 0) -> Servable:
    """A ranker of all kinds of features."""
    tf.keras.utils.set_random_seed(seed)
    network = joint_network(SPEC, {"fine": Net(Dnn((8,)), SPEC.names)})
    return ranker_servable(network.part("fine"), SPEC)


class Slow(tf.Module):
    """Counts to n, one number after the other, and from `first` how often it began."""

    def __init__(self, first: int = 0) -> None:
        super().__init__()
        self.begun = tf.Variable(first)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="n")])
    def slow(self, n):
        begun = self.begun.assign_add(1)
        with tf.control_dependencies([begun]):
            (n,) = tf.while_loop(lambda i: i < n, lambda i: [i + 1], [tf.constant(0)])
        return {"n": n}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="zero")])
    def count(self, zero):
        return {"begun": self.begun + zero}

    def save(self, path: Path) -> None:
        signatures = {"slow": self.slow, "count": self.count}
        tf.saved_model.save(self, str(path), signatures=signatures)
        (path / "assets.extra").mkdir()
        file = path / "assets.extra" / "tf_serving_warmup_requests"
        write_warm_up(file, {"count": {"zero": np.array(0, np.int32)}})


@contextlib.contextmanager
def running(base: Path, name: str = "fine") -> Iterator[tuple[subprocess.Popen, str]]:
    """A server process of `tfdistill serve` and its address."""
    command = [sys.executable, "-m", "tfdistill", "serve", str(base)]
    with subprocess.Popen(
        [*command, "--name", name, "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            yield process, line.split(" at ")[1].split(";")[0]
        finally:
            process.kill()


@contextlib.contextmanager
def stub_of(
    address: str,
) -> Iterator[PredictionServiceStub]:
    """A client."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(address, options) as channel:
        grpc.channel_ready_future(channel).result(timeout=60)
        yield PredictionServiceStub(channel)
