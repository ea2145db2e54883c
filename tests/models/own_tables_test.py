"""Nets of a joint network that have tables of their own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras
from tfdistill.models import (
    DcnV2,
    Dnn,
    JointNetwork,
    Net,
    Representation,
    TwoTower,
    joint_network,
)
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    features=(
        Feature("user_id", "categorical", "user", table="user"),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("dwell", "categorical", "item", table="dwell", privileged=True),
    ),
    tables=(
        Table("user", 4, size=7),
        Table("item", 4, size=9),
        Table("dwell", 4, size=3),
    ),
)
STUDENT = ("user_id", "item_id")
NETS = {
    "teacher": Net(DcnV2(1, (6,)), SPEC.names),
    "recall": Net(TwoTower((5,), dim=3), STUDENT),
    "fine": Net(Dnn((4,)), STUDENT),
}


def network(nets=NETS, **options: object) -> JointNetwork:
    tf.keras.utils.set_random_seed(6)
    return joint_network(SPEC, nets, **options)


def test_a_net_with_tables_of_its_own_trains_and_reads_no_other():
    joint = network(
        hints=[("fine_hidden", "teacher_hidden")],
        own_tables=("teacher",),
        representation=Representation(3, "relu"),
    )
    others = network({n: net for n, net in NETS.items() if n != "teacher"})
    sizes = [sum(w.shape[0] for w in n.embeddings.weights) for n in (others, joint)]
    assert sizes[0] == sizes[1]  # no rows of `dwell`, which the teacher alone reads
    rng = np.random.default_rng(0)
    items = {"item_id": rng.integers(0, 9, (3, 4)), "dwell": rng.integers(0, 3, (3, 4))}
    x = {"user_id": rng.integers(0, 7, 3), **items}
    for output, own in (("teacher", True), ("recall", False), ("fine_hidden", False)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(joint.model(x)[output] ** 2)
        weights = joint.model.trainable_weights
        tables = [w for w in weights if "embeddings" in _keras.path_of(w)]
        reached = {
            _keras.path_of(table).split("/")[0]: gradient is not None
            for table, gradient in zip(tables, tape.gradient(loss, tables))
        }
        assert reached == {"teacher_embeddings": own, "embeddings": not own}
    names = [
        _keras.path_of(w)
        for w in joint.part("teacher").weights
        if "embeddings" in _keras.path_of(w)
    ]
    assert [name.split("/")[0] for name in names] == ["teacher_embeddings"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"own_tables": ("techer",)}, r"own_tables must be .*\('techer',\)"),
        ({"own_tables": tuple(NETS)}, "own_tables must be .* not of all"),
        (
            {"own_tables": ("teacher",), "blocked": ("teacher",)},
            r"that share tables, \['fine', 'recall'\].* got \('teacher',\)",
        ),
    ],
)
def test_contradictions_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        network(**change)
