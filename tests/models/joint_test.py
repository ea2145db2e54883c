"""Joint networks: parts stand alone, gradients are blocked where asked, names fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdistill._keras import calls_of, path_of
from tfdistill.models import (
    CoarseTwoTower,
    DcnV2,
    Dnn,
    JointNetwork,
    Net,
    NetInputs,
    Representation,
    TwoTower,
    joint_network,
)
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    features=(
        Feature("user_id", "categorical", "user", table="user"),
        Feature("age", "numeric", "user"),
        Feature("history", "categorical", "user", table="item", shape=(2,)),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("price", "numeric", "item"),
        Feature("dwell", "categorical", "item", table="dwell", privileged=True),
        Feature("unread", "categorical", "item", table="unread"),
    ),
    tables=(
        Table("user", 4, size=7),
        Table("item", 4, size=9),
        Table("dwell", 4, size=3),
        Table("unread", 4, size=1000),
    ),
)
READ = tuple(name for name in SPEC.names if name != "unread")
STUDENT = ("age", "history", "item_id")
NETS = {
    "teacher": Net(DcnV2(1, (6,)), READ),
    "recall": Net(TwoTower((5,), dim=3), STUDENT),
    "coarse": Net(CoarseTwoTower((5,), dim=3, interaction=2), STUDENT),
    "fine": Net(Dnn((4,)), (*STUDENT, "price")),
}
HINTS = (
    ("fine_hidden", "teacher_hidden"),
    ("coarse_hidden", "teacher_hidden_0"),
)
OUTPUTS = {
    "teacher": (),
    "teacher_hidden": (6,),
    "teacher_hidden_0": (6,),
    "recall": (),
    "recall_query": (3,),
    "recall_item": (3,),
    "coarse": (),
    "coarse_hidden": (2,),
    "coarse_hidden_0": (2,),
    "coarse_hidden_hint": (6,),
    "fine": (),
    "fine_hidden": (4,),
    "fine_hidden_0": (4,),
    "fine_hidden_hint": (6,),
}


def network(nets=NETS, hints=HINTS, **options: object) -> JointNetwork:
    tf.keras.utils.set_random_seed(6)
    return joint_network(SPEC, nets, hints=hints, **options)


@pytest.fixture(scope="module")
def joint() -> JointNetwork:
    return network()


@pytest.fixture(scope="module")
def blocked() -> JointNetwork:
    return network(blocked=("recall", "coarse", "fine"))


def batch(names=READ, size: int = 3, length: int = 4) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(size)
    x = {}
    for name in READ:
        feature = SPEC[name]
        lead = (size,) if feature.scope == "user" else (size, length)
        shape = (*lead, *feature.shape)
        numeric = feature.kind == "numeric"
        drawn = rng.normal(size=shape) if numeric else rng.integers(0, 9, shape)
        x[name] = tf.constant(drawn, feature.dtype)
    return {name: x[name] for name in names}


@pytest.mark.parametrize(("size", "length"), [(1, 1), (3, 6), (2, 0)])
def test_the_network_has_every_output_and_hints_the_teachers_width(joint, size, length):
    found = joint.model(batch(READ, size, length))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        name: (size, *last) if name == "recall_query" else (size, length, *last)
        for name, last in OUTPUTS.items()
    }


def test_the_network_holds_what_some_net_reads_and_no_more(joint):
    assert joint.spec == SPEC.select(READ)
    assert set(joint.model.input) == set(READ)
    assert {k: v.shape[0] for k, v in joint.embeddings.tables.items()} == {"4": 22}


@pytest.mark.parametrize("name", NETS)
def test_a_part_stands_alone_and_scores_as_in_the_network(joint, name):
    part = joint.part(name)
    assert set(part.input) == set(NETS[name].features)
    found = part(batch(NETS[name].features))
    assert set(found) == {name}
    np.testing.assert_array_equal(found[name], joint.model(batch())[name])
    others = [other for other in NETS if other != name]
    owners = {path_of(weight).split("_")[0] for weight in part.weights}
    assert not owners & set(others)
    shared = {id(weight) for weight in joint.model.weights}
    assert {id(weight) for weight in part.weights} <= shared


@pytest.mark.parametrize(
    ("scope", "output", "features"),
    [
        ("user", "recall_query", ["age", "history"]),
        ("item", "recall_item", ["item_id"]),
    ],
)
def test_a_tower_is_a_part_of_its_own_side(joint, scope, output, features):
    tower = joint.part("recall", output=output, scope=scope)
    assert sorted(tower.input) == features
    found = tower(batch(features))[output]
    np.testing.assert_array_equal(found, joint.model(batch())[output])


def trains(joint: JointNetwork, output: str) -> dict[str, bool]:
    """For each categorical feature, whether an output's gradient reaches its vectors.

    The *gathered* vectors leave the shared layer once per side and audience; a blocked
    gradient is exactly zero in every element.
    """
    layer = joint.embeddings
    gathered = {k: v for outputs in calls_of(layer) for k, v in outputs.items()}
    gathered = {k: v for k, v in gathered.items() if SPEC[k].kind == "categorical"}
    outputs = {"out": joint.model.output[output], **gathered}
    seen = tf.keras.Model(joint.model.input, outputs)
    with tf.GradientTape() as tape:
        values = seen(batch(joint.spec.names))
        loss = tf.reduce_sum(values.pop("out") ** 2)
    zero = tf.UnconnectedGradients.ZERO
    found = tape.gradient(loss, values, unconnected_gradients=zero)
    return {
        name: bool((gradient.numpy() != 0).any()) for name, gradient in found.items()
    }


@pytest.mark.parametrize("output", ["recall", "coarse", "fine", "fine_hidden_hint"])
def test_a_block_gives_exact_zeros_on_the_gathered_embedding(joint, blocked, output):
    read = {"history", "item_id"}
    assert trains(joint, output) == {
        name: name in read for name in ("user_id", "history", "item_id", "dwell")
    }
    assert not any(trains(blocked, output).values())


def test_nets_are_blocked_by_name():
    joint = network(blocked=("coarse", "fine"))
    for output in ("coarse", "fine", "fine_hidden_hint"):
        assert not any(trains(joint, output).values())
    assert trains(joint, "recall")["history"] and trains(joint, "recall")["item_id"]


def test_blocked_nets_train_together_what_no_other_net_reads():
    nets = {
        "teacher": Net(DcnV2(1, (6,)), ("age", "item_id")),
        "coarse": Net(Dnn((4,)), ("user_id", "item_id")),
        "fine": Net(Dnn((4,)), ("user_id", "history", "item_id")),
    }
    joint = network(nets, (), blocked=("coarse", "fine"))
    for output in ("coarse", "fine"):
        found = trains(joint, output)
        assert found == {"user_id": True, "history": False, "item_id": False}


def test_who_is_not_blocked_trains_every_table_that_it_reads(blocked):
    found = trains(blocked, "teacher")
    assert found == dict.fromkeys(["user_id", "history", "item_id", "dwell"], True)


def test_a_table_that_the_teacher_does_not_read_is_trained_by_its_reader():
    """`history` is no feature of the teacher, but its table is the teacher's."""
    nets = {
        "teacher": Net(DcnV2(1, (6,)), ("age", "item_id")),
        "fine": Net(Dnn((4,)), ("user_id", "history", "item_id")),
    }
    joint = network(nets, (), blocked=("fine",))
    expected = {"user_id": True, "history": False, "item_id": False}
    assert trains(joint, "fine") == expected


SHARED = Representation(3, "relu")


@pytest.mark.parametrize("blocked", [(), ("fine",)])
def test_a_shared_representation_is_trained_by_who_is_not_blocked(blocked):
    """Exact zeros for the light net, in kernels too; what is its own learns."""
    nets = {
        "teacher": Net(DcnV2(1, (6,)), ("age", "item_id", "dwell")),
        "fine": Net(Dnn((4,)), (*STUDENT, "price")),
    }
    joint = network(nets, (), blocked=blocked, representation=SHARED)
    found = {}
    for output in ("fine", "teacher"):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(joint.model(batch(joint.spec.names))[output] ** 2)
        variables = [w for w in joint.model.trainable_weights if "kernel" in path_of(w)]
        for weight, gradient in zip(variables, tape.gradient(loss, variables)):
            name = path_of(weight).split("/")[-1].split("_kernel")[0]
            if name in joint.spec.names:
                learns = gradient is not None and bool((gradient.numpy() != 0).any())
                found[output, name] = learns
    own, shared = ("history", "price"), ("age", "item_id")
    expected = {("fine", name): True for name in own}
    expected |= {("fine", name): not blocked for name in shared}
    expected |= {("teacher", name): name not in own for name in joint.spec.names}
    assert found == {("fine", "dwell"): False} | expected
    assert trains(joint, "fine")["history"] is not bool(blocked)
    assert set(joint.part("fine").input) == {*STUDENT, "price"}


@dataclasses.dataclass(frozen=True)
class MeanOfSequence:
    """An architecture that reads a sequence and the target item's embedding."""

    def __call__(self, inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        def product(inputs):
            vectors, mask, target = inputs
            weights = tf.cast(mask, tf.float32)
            return tf.einsum("bnd,bn,bld->bl", vectors, weights, target)

        score = tf.keras.layers.Lambda(product, name=name)
        return {name: score((*inputs.sequence("history"), inputs.vector("item_id")))}


@pytest.mark.parametrize("representation", [None, SHARED])
@pytest.mark.parametrize("blocked", [(), ("fine",)])
def test_a_sequence_reaches_a_net_unpooled(representation, blocked):
    nets = {
        "teacher": Net(DcnV2(1, (6,)), ("age", "item_id")),
        "fine": Net(MeanOfSequence(), STUDENT),
    }
    joint = network(nets, (), blocked=blocked, representation=representation)
    x = batch(joint.spec.names)
    table = joint.embeddings.tables["4"].numpy()
    rows, target = (
        joint.embeddings.rows(SPEC[name], x[name]).numpy()
        for name in ("history", "item_id")
    )
    seen = (x["history"].numpy() != SPEC["history"].default)[..., None]
    total = (table[rows] * seen).sum(axis=1, keepdims=True)
    expected = (total * table[target]).sum(axis=-1)
    np.testing.assert_allclose(joint.model(x)["fine"], expected, rtol=1e-5, atol=1e-6)
    weights = joint.embeddings.trainable_weights
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(joint.model(x)["fine"])
    assert (tape.gradient(loss, weights)[0] is None) is bool(blocked)


def test_an_auxiliary_head_reads_the_trunk_and_is_not_served():
    joint = network(auxiliary=["fine"])
    part = joint.part("fine")
    assert not [path_of(w) for w in part.weights if "aux" in path_of(w)]
    kernel, bias = (w.numpy() for w in joint.model.get_layer("fine_aux_logit").weights)
    found = joint.model(batch())
    expected = (found["fine_hidden"].numpy() @ kernel + bias)[..., 0]
    np.testing.assert_allclose(found["fine_aux"], expected, rtol=1e-5, atol=1e-6)
    assert joint.part("fine", output="fine_aux").input.keys() == part.input.keys()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("age", r"net 'fine' reads no user sequence 'age', only \['history'\]"),
        ("dwell", "reads no user sequence 'dwell'"),
    ],
)
def test_a_sequence_that_a_net_does_not_read_is_refused(name, message):
    def wants(inputs: NetInputs, *, name: str) -> dict[str, tf.Tensor]:
        return {name: inputs.sequence(wanted)[0]}

    wanted = name
    with pytest.raises(ValueError, match=f"(?i){message}"):
        network({"fine": Net(wants, STUDENT)}, ())


def test_tensors_of_your_own_have_no_sequences_and_need_both_sides():
    user, item = {"user": tf.ones([2, 3])}, {"item": tf.ones([2, 4, 5])}
    with pytest.raises(ValueError, match="made without `unpooled`"):
        NetInputs(user, item).sequence("history")
    with pytest.raises(ValueError, match=r"'age', only \['item', 'user'\]"):
        NetInputs(user, item).vector("age")
    with pytest.raises(ValueError, match=r"no item feature, only \['user'\]"):
        NetInputs(user, {})
    with pytest.raises(ValueError, match=r"widths \[3, 5\].*representation="):
        NetInputs(user, item).fields()


def test_blocking_changes_no_value(joint, blocked):
    found = blocked.model(batch())
    for name, value in joint.model(batch()).items():
        np.testing.assert_array_equal(found[name], value)


def test_a_saved_network_scores_as_before(blocked, tmp_path):
    blocked.model.save(tmp_path / "joint.keras")
    loaded = tf.keras.models.load_model(tmp_path / "joint.keras")
    found = loaded(batch())
    for name, value in blocked.model(batch()).items():
        np.testing.assert_array_equal(found[name], value)


ONE = {"fine": Net(Dnn((4,)), STUDENT)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocked": "student"}, "names of some of the nets.*got 'student'"),
        ({"blocked": ("fine", "techer")}, "names of some of the nets.*techer"),
        ({"blocked": tuple(NETS)}, "but not of all"),
        (
            {"hints": [("fine_hidden", "techer_hidden")]},
            r"needs the outputs \['techer_hidden'\]",
        ),
        (
            {"hints": [("recall_hidden", "teacher_hidden")]},
            r"needs the outputs \['recall_hidden'\]",
        ),
        ({"hints": [HINTS[0], HINTS[0]]}, "'fine_hidden_hint'"),
        ({"nets": {}, "hints": ()}, "at least one net"),
        (
            {"nets": {"fine": Net(Dnn(), ("ages", "item_id"))}},
            r"No feature \['ages'\]",
        ),
        (
            {"nets": {"fine": Net(Dnn(), ("age",))}},
            "reads no item feature, only \\['age'\\]",
        ),
        (
            {"nets": {"recall": Net(TwoTower(), ("price",))}},
            "needs a user feature, but the net reads none, only \\['price'\\]",
        ),
        (
            {"nets": {**ONE, "fine_hidden": ONE["fine"]}, "hints": ()},
            "'fine_hidden'",
        ),
    ],
)
def test_contradictions_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        network(**change)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "fin"}, r"no net 'fin' .*nets: \['coarse'.*outputs: \['coarse'"),
        ({"name": "fine", "output": "fine_query"}, "an output 'fine_query'"),
        ({"name": "recall", "scope": "user"}, r"'recall' needs more than.*'history'"),
        ({"name": "fine", "output": "teacher"}, "'teacher' needs more than"),
    ],
)
def test_parts_that_are_not_there_are_refused(joint, arguments, message):
    with pytest.raises(ValueError, match=message):
        joint.part(**arguments)
