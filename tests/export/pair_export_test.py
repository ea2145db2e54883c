"""A ranker with features of pairs, served: every signature, in another process."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from export_fixture import answered

from tfdistill.export import (
    RankingStage,
    cascade_servable,
    elwc,
    example_batch,
    pack,
    publish,
    ranker_servable,
    recall_servable,
    tf_examples,
)
from tfdistill.layers import standalone
from tfdistill.models import CoarseTwoTower, Dnn, Net, TwoTower, joint_network
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    (
        Feature("age", "numeric", "user"),
        Feature("score", "numeric", "pair", privileged=False, mean=1.0),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("places", "numeric", "pair", shape=(2,), privileged=False),
        Feature("seen", "categorical", "pair", "seen", (2,), privileged=False),
        Feature("later", "numeric", "pair"),
    ),
    (Table("item", 4, size=30), Table("seen", 3, size=5)),
)
SERVED = SPEC.non_privileged()


@pytest.fixture(scope="module", params=["dnn", "coarse"])
def model(request):
    tf.keras.utils.set_random_seed(2)
    net = Dnn((6,)) if request.param == "dnn" else CoarseTwoTower((6,), 4, 3)
    made = joint_network(SPEC, {"net": Net(net, SERVED.names)})
    for weight in made.model.trainable_weights:
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.2))
    return standalone(made.part("net"))


def batch(size, length, seed=0):
    drawn = example_batch(SERVED, batch_size=size, list_size=length, seed=seed)
    return {name: tf.constant(values) for name, values in drawn.items()}


def scored(model, features) -> np.ndarray:
    return model(features)["net"].numpy()


def test_it_is_published_by_a_process_without_this_package(model, tmp_path):
    publish({tmp_path / "net": ranker_servable(model, SPEC)}, version=1)
    loaded = tf.saved_model.load(str(tmp_path / "net" / "1"))
    served = loaded.signatures
    features = batch(3, 5)
    found = served["serving_default"](**features)["scores"]
    np.testing.assert_allclose(found, scored(model, features), atol=1e-5)
    shapes = {
        name: x.shape.as_list()
        for name, x in served["serving_default"].structured_input_signature[1].items()
    }
    assert shapes["score"] == [None, None] and shapes["seen"] == [None, None, 2]


def test_all_signatures_give_the_scores_of_python(model):
    servable = ranker_servable(model, SPEC, example=batch(2, 4))
    expected = scored(model, batch(2, 4))
    answers = answered(servable)
    for name in ("serving_default", "packed", "tf_example", "elwc"):
        np.testing.assert_allclose(answers[name]["scores"], expected, atol=1e-5)
    found = answers["regress"]["outputs"]
    np.testing.assert_allclose(found, expected.ravel(), atol=1e-5)


def test_lists_of_two_lengths_are_padded(model):
    signatures = ranker_servable(model, SPEC).signatures
    short, long = batch(1, 2), batch(1, 5, seed=1)
    for name, write in (("tf_example", tf_examples), ("elwc", elwc)):
        records = [*write(short, SERVED), *write(long, SERVED)]
        found = signatures[name](tf.constant(records))["scores"].numpy()
        np.testing.assert_allclose(found[:1, :2], scored(model, short), atol=1e-5)
        np.testing.assert_allclose(found[1:], scored(model, long), atol=1e-5)
    packed = pack(long, SERVED, mask=[[True, False, True, True, False]])
    assert packed["item_numbers"].shape == (1, 5, 3)  # score and places
    assert packed["item_ids"].shape == (1, 5, 3)  # item_id and seen
    tensors = {name: tf.constant(values) for name, values in packed.items()}
    found = signatures["packed"](**tensors)["scores"].numpy()[0, [0, 2, 3]]
    np.testing.assert_allclose(found, scored(model, long)[0, [0, 2, 3]], atol=1e-5)


def test_pairs_must_be_as_many_as_candidates(model):
    features = batch(2, 4)
    features["score"] = features["score"][:, :3]
    served = ranker_servable(model, SPEC).signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="same size in axis 1"):
        served(**features)


def test_a_privileged_pair_feature_is_refused():
    net = Net(Dnn((3,)), ("age", "item_id", "later"))
    part = joint_network(SPEC, {"net": net}).part("net")
    with pytest.raises(ValueError, match=r"privileged features \['later'\]"):
        ranker_servable(part, SPEC)


def test_who_finds_the_candidates_himself_can_be_sent_no_pairs(model):
    net = Net(TwoTower((4,), dim=3), ("age", "item_id"), task="recall")
    network = joint_network(SPEC, {"recall": net})
    query, item = (
        network.part("recall", output=f"recall_{tower}", scope=scope)
        for tower, scope in (("query", "user"), ("item", "item"))
    )
    items, ids = {"item_id": np.arange(9)}, np.arange(9)
    with pytest.raises(ValueError, match=r"item side reads .*'score'.* of another"):
        recall_servable(query, model, SPEC, items, ids, k=3)
    stages = [RankingStage("fine", model, 2)]
    with pytest.raises(ValueError, match=r"'fine' reads the pair features .*'score'"):
        cascade_servable(query, item, stages, SPEC, items, ids, recall=3)
