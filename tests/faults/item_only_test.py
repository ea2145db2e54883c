"""Rankers of item features alone: learning-to-rank sets, plain click logs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import RequestBatches, Requests
from tfdistill.export import publish, ranker_servable
from tfdistill.losses import SigmoidSoftLabel
from tfdistill.models import (
    AutoInt,
    CoarseTwoTower,
    DcnV2,
    DeepFm,
    Dnn,
    FiBiNet,
    Fm,
    Linear,
    Mmoe,
    Net,
    Representation,
    SeNetDnn,
    TwoTower,
    XDeepFm,
    joint_network,
)
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study.evaluators import ListEvaluator
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe, Schedule, Terms
from tfdistill.study.ways import train
from tfdistill.zoo.ranking_pair import pair_transfer

SPEC = FeatureSpec(
    (
        Feature("item", "categorical", "item", table="item"),
        Feature("tags", "categorical", "item", table="tag", shape=(2,)),
    ),
    (Table("item", 4, size=30), Table("tag", 4, size=9)),
)
NAMES = SPEC.names


def features(size=5):
    rng = np.random.default_rng(0)
    return {
        "item": tf.constant(rng.integers(0, 30, (3, size))),
        "tags": tf.constant(rng.integers(-1, 9, (3, size, 2))),
    }


RANKERS = [
    Dnn((8, 4)),
    DcnV2(units=(8,)),
    Linear(),
    Fm(),
    DeepFm((8,)),
    XDeepFm((8,), (4,)),
    FiBiNet((8,)),
    AutoInt(),
    SeNetDnn((8,)),
    Mmoe(("click", "like")),
]


@pytest.mark.parametrize("ranker", RANKERS, ids=lambda r: type(r).__name__)
def test_every_ranker_scores_each_candidate_by_itself(ranker):
    network = joint_network(SPEC, {"fine": Net(ranker, NAMES)})
    model, x = network.part("fine"), features()
    with tf.GradientTape() as tape:
        outputs = model(x)
        total = tf.add_n([tf.reduce_sum(o**2) for o in outputs.values()])
    order = [4, 2, 0, 1, 3]
    moved = model({name: tf.gather(v, order, axis=1) for name, v in x.items()})
    for name, scores in outputs.items():
        assert scores.shape == (3, 5) and np.isfinite(scores).all()
        np.testing.assert_allclose(moved[name], scores.numpy()[:, order], rtol=1e-5)
    trained = model.trainable_weights
    assert all(np.prod(weight.shape) for weight in trained)
    assert None not in tape.gradient(total, trained)


def test_a_dnn_is_a_plain_network_of_the_item():
    network = joint_network(SPEC, {"fine": Net(Dnn((8,)), NAMES)})
    model, x = network.part("fine"), features()
    vectors = network.embeddings(x)
    hidden = np.concatenate([vectors[name] for name in NAMES], -1)
    folded = next(w for w in model.layers if w.name == "fine_folded")
    kernel, bias = folded.get_weights()
    hidden = np.maximum(hidden @ kernel + bias, 0)
    (logit,) = [w for w in model.layers if isinstance(w, tf.keras.layers.Dense)]
    kernel, bias = logit.get_weights()
    np.testing.assert_allclose(
        model(x)["fine"], (hidden @ kernel + bias)[..., 0], rtol=1e-5, atol=1e-7
    )


def test_a_shared_representation_needs_no_user_either():
    network = joint_network(
        SPEC,
        {"teacher": Net(DcnV2(units=(8,)), NAMES), "fine": Net(Dnn((4,)), ("item",))},
        representation=Representation(6),
        hints=[("fine_hidden", "teacher_hidden")],
    )
    assert network.model(features())["fine"].shape == (3, 5)


@pytest.mark.parametrize("tower", [TwoTower(), CoarseTwoTower()])
def test_towers_need_a_user(tower):
    with pytest.raises(
        ValueError, match="needs a user feature, but the net reads none"
    ):
        joint_network(SPEC, {"net": Net(tower, NAMES)})


def test_a_student_is_distilled_and_every_signature_served(tmp_path):
    rng = np.random.default_rng(0)
    items = {name: v.numpy()[0] for name, v in features(30).items()}
    candidates = rng.integers(0, 30, (40, 5)).astype(np.int32)
    requests = Requests(
        {},
        items,
        candidates,
        (items["item"][candidates] > 14).astype(np.float32),
        np.arange(40),
    )
    recipe = Recipe(
        {"teacher": Net(DcnV2(units=(8,)), NAMES), "fine": Net(Dnn((4,)), ("item",))},
        terms=Terms(
            transfers=(pair_transfer("soft", "teacher", "fine", SigmoidSoftLabel()),)
        ),
        schedule=Schedule(epochs=2, batch_size=8, negatives=0),
    )
    nets = train(
        recipe,
        Problem(SPEC, requests, ListEvaluator(requests), ListEvaluator(requests)),
        tmp_path / "run",
    )
    model = nets["fine"].models["fine"]
    reports = publish({tmp_path / "1": ranker_servable(model, SPEC)})
    (report,) = reports.values()
    served = tf.saved_model.load(report.path).signatures
    assert {*served} == {
        *("serving_default", "packed", "tf_example", "elwc", "classify", "regress")
    }
    x = next(iter(RequestBatches(requests, batch_size=4, shuffle=False)()))[0]
    np.testing.assert_allclose(
        served["serving_default"](item=x["item"])["scores"],
        model({"item": x["item"]})["fine"],
        rtol=1e-5,
    )
    assert dataclasses.asdict(report)["max_difference"] < 1e-4
