"""Trains a Distiller with a worker and a parameter server; prints what came of it."""

from __future__ import annotations

import os
import socket

import tensorflow as tf

from tfdistill.losses import SigmoidCrossEntropy
from tfdistill.trainers import Distiller


def address() -> str:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return f"localhost:{found.getsockname()[1]}"


def main() -> None:
    cluster = tf.train.ClusterSpec({"worker": [address()], "ps": [address()]})
    servers = [tf.distribute.Server(cluster, job, 0) for job in cluster.jobs]
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster, rpc_layer=servers[0].target.partition(":")[0]
    )
    with tf.distribute.ParameterServerStrategy(resolver).scope():
        x = tf.keras.Input([4], name="x")
        model = Distiller(tf.keras.Model({"x": x}, tf.keras.layers.Dense(1)(x)))
        model.compile("sgd", loss=SigmoidCrossEntropy())
    data = tf.data.Dataset.from_tensors(({"x": tf.ones([4, 4])}, tf.ones([4, 1])))
    try:
        model.fit(data.repeat(), steps_per_epoch=2, verbose=0)
        print("trained", int(model.optimizer.iterations))
    except ValueError as error:
        print("refused", error)


if __name__ == "__main__":
    main()
    os._exit(0)  # the servers can't be stopped
