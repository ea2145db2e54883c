"""A small ranker with every kind of feature, exported; and a client of its server."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfdistill.export import Servable, example_batch, ranker_servable
from tfdistill.models import Dnn, Net, joint_network
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    features=(
        Feature("city", "categorical", "user", table="city", dtype="string"),
        Feature("history", "categorical", "user", table="item", shape=(3,)),
        Feature("age", "numeric", "user", mean=30.0, scale=9.0),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("tag", "categorical", "item", table="tag", dtype="string"),
        Feature("price", "numeric", "item"),
    ),
    tables=(
        Table("city", 4, kind="vocabulary", vocabulary=("Bern", "Ulm")),
        Table("item", 4, size=50),
        Table("tag", 4, kind="hash", size=20),
    ),
)


def servable() -> Servable:
    tf.keras.utils.set_random_seed(3)
    network = joint_network(SPEC, {"fine": Net(Dnn(units=(8,)), SPEC.names)})
    return ranker_servable(network.part("fine"), SPEC)


def features(batch_size: int = 2, list_size: int = 5) -> dict[str, np.ndarray]:
    return example_batch(SPEC, batch_size=batch_size, list_size=list_size, seed=7)
