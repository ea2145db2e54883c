"""A small problem with every kind of feature, two of them privileged."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfdistill.export import Servable, example_batch
from tfdistill.models import DcnV2, Dnn, JointNetwork, Net, TwoTower, joint_network
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    features=(
        Feature("city", "categorical", "user", table="city", dtype="string"),
        Feature("secret", "categorical", "user", table="secret", privileged=True),
        Feature("history", "categorical", "user", table="item", shape=(4,)),
        Feature("age", "numeric", "user", mean=30.0, scale=9.0),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("genres", "categorical", "item", "genre", (3,), dtype="string"),
        Feature("dwell", "numeric", "item", privileged=True),
        Feature("price", "numeric", "item"),
    ),
    tables=(
        Table("secret", dim=8, size=10),
        Table("city", 8, kind="vocabulary", vocabulary=("Bern", "Ulm", "Zürich")),
        Table("item", dim=8, size=50),
        Table("genre", dim=4, kind="hash", size=20),
    ),
)
SERVED = SPEC.non_privileged().names
FINE = ("city", "age", "item_id", "genres", "price")
SENTINEL = 1234.5678
ITEMS = 40


def network() -> JointNetwork:
    """A trained-like network: biases are not zero; privileged rows hold a sentinel."""
    tf.keras.utils.set_random_seed(3)
    nets = {
        "teacher": Net(DcnV2(cross_layers=2, units=(32, 16)), SPEC.names),
        "fine": Net(Dnn(units=(16, 8), dropout=0.1), FINE),
        "recall": Net(TwoTower(units=(8,), dim=6), SERVED, task="recall"),
    }
    joint = joint_network(SPEC, nets, hints=[("fine_hidden", "teacher_hidden")])
    rng = np.random.default_rng(0)
    for weight in joint.model.trainable_weights:
        weight.assign(rng.normal(0, 0.3, weight.shape).astype(np.float32))
    secret = [[3, -1, 10, *range(10)]]  # every row of the table, the unknown one too
    rows = joint.embeddings.rows(SPEC["secret"], tf.constant(secret, tf.int64))
    table = joint.embeddings.tables["8"]
    values = table.numpy()
    values[tf.reshape(rows, [-1])] = SENTINEL
    table.assign(values)
    return joint


def towers(joint: JointNetwork) -> tuple[tf.keras.Model, tf.keras.Model]:
    return (
        joint.part("recall", output="recall_query", scope="user"),
        joint.part("recall", output="recall_item", scope="item"),
    )


def catalogue() -> dict[str, np.ndarray]:
    """Raw item features of the catalogue `[ITEMS, ...]`."""
    drawn = example_batch(SPEC, batch_size=1, list_size=ITEMS, seed=5)
    return {f.name: drawn[f.name][0] for f in SPEC.scope("item")}


def batch(batch_size: int = 3, list_size: int = 7, seed: int = 1) -> dict[str, object]:
    drawn = example_batch(SPEC, batch_size=batch_size, list_size=list_size, seed=seed)
    return {f.name: tf.constant(drawn[f.name], f.dtype) for f in SPEC.features}


def of(features: dict[str, object], names: tuple[str, ...]) -> dict[str, object]:
    return {name: features[name] for name in names}


def answered(servable: Servable) -> dict[str, dict[str, np.ndarray]]:
    """What the signatures answer to the requests, before they are saved."""
    found = {}
    for name, function in servable.signatures.items():
        inputs = tf.nest.flatten(function.structured_input_signature)
        request = servable.requests[name]
        sent = {x.name: tf.constant(request[x.name], x.dtype) for x in inputs}
        found[name] = {key: x.numpy() for key, x in function(**sent).items()}
    return found
