"""Teachers that others made: SavedModels and functions of single candidates."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import RequestBatches, Requests
from tfdistill.export import ranker_servable
from tfdistill.layers import ConcatUserItem
from tfdistill.losses import SigmoidSoftLabel
from tfdistill.spec import Feature, FeatureSpec
from tfdistill.teachers import GbdtTeacher, PairTeacher, SavedModelTeacher
from tfdistill.trainers import Distiller, EnsembleTeacher, FrozenTeacher, Transfer

SPEC = FeatureSpec(
    (Feature("age", "numeric", "user"), Feature("price", "numeric", "item"))
)


def make_requests(count=40):
    rng = np.random.default_rng(0)
    candidates = rng.integers(0, 9, (count, 4)).astype(np.int32)
    candidates[::3, 3] = -1
    price = rng.normal(size=9).astype(np.float32)
    return Requests(
        {"age": rng.normal(size=count).astype(np.float32)},
        {"price": price},
        candidates,
        (price[candidates] > 0).astype(np.float32),
        np.arange(count),
    )


@pytest.fixture(scope="module")
def requests():
    return make_requests()


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(0)
    inputs = SPEC.keras_inputs()
    both = ConcatUserItem()((inputs["age"][:, None], inputs["price"][..., None]))
    logit = tf.keras.layers.Dense(1)(both)[..., 0]
    return tf.keras.Model(inputs, {"fine": logit})


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "1"
    ranker_servable(model, SPEC).save(path)
    return path


def test_a_saved_model_scores_as_the_model_it_was(requests, model, path):
    (x, _, _) = next(iter(RequestBatches(requests, batch_size=8)()))
    wanted = FrozenTeacher(model, {"score": "fine"})(x)["score"]
    teacher = SavedModelTeacher(path)
    np.testing.assert_allclose(teacher(x)["score"], wanted, rtol=1e-6)
    in_graph = tf.function(teacher)(x)["score"]
    np.testing.assert_allclose(in_graph, wanted, rtol=1e-6)
    renamed = SavedModelTeacher(path, signals={"z": "scores"}, inputs={"price": "cost"})
    np.testing.assert_allclose(
        renamed({"age": x["age"], "cost": x["price"]})["z"], wanted, rtol=1e-6
    )


def test_what_a_saved_model_lacks_is_named(path, tmp_path):
    with pytest.raises(ValueError, match="There is no SavedModel in"):
        SavedModelTeacher(tmp_path)
    with pytest.raises(ValueError, match=r"no signature 'rank'; it has .*'serving_d"):
        SavedModelTeacher(path, signature="rank")
    with pytest.raises(ValueError, match=r"no outputs \['z'\]; it has \['scores'\]"):
        SavedModelTeacher(path, signals={"score": "z"})
    with pytest.raises(ValueError, match=r"no inputs \['zip'\]; it has \['age', 'pri"):
        SavedModelTeacher(path, inputs={"zip": "code"})
    with pytest.raises(ValueError, match=r"needs the features \['price'\]; the batch"):
        SavedModelTeacher(path)({"age": [1.0]})


def test_trees_are_a_teacher_of_lists_and_of_ensembles(requests, model):
    trees = GbdtTeacher.fit(SPEC, requests, requests, rounds=5)
    teacher = PairTeacher(trees, users=["age"], items=["price"])
    (x, _, _) = next(iter(RequestBatches(requests, batch_size=40).once()))
    scores = teacher(x)["score"].numpy()
    np.testing.assert_array_equal(scores, trees.logits(requests))
    with pytest.raises(ValueError, match=r"needs the features \['mask'\]; the batch"):
        teacher({"age": [1.0], "price": [[1.0]]})
    both = EnsembleTeacher([teacher, FrozenTeacher(model, {"score": "fine"})])
    mean = both(x)["score"].numpy()
    own = model({name: x[name] for name in SPEC.names})["fine"].numpy()
    mask = x["mask"].numpy()
    np.testing.assert_allclose(mean[mask], (scores + own)[mask] / 2, rtol=1e-5)
    assert both.may_miss and np.isnan(mean[~mask]).all()


@pytest.mark.parametrize("kind", ["saved model", "pairs"])
def test_they_teach_in_the_graph_and_are_not_trained(requests, path, kind):
    teacher = SavedModelTeacher(path)
    if kind == "pairs":
        teacher = PairTeacher(lambda x: x["price"], users=["age"], items=["price"])
    inputs = SPEC.keras_inputs()
    logit = tf.keras.layers.Dense(1)(inputs["price"][..., None])[..., 0]
    transfer = Transfer("soft", "score", "fine", SigmoidSoftLabel(), mask="mask")
    student = Distiller(
        tf.keras.Model(inputs, {"fine": logit}), [transfer], teacher=teacher
    )
    student.compile(tf.keras.optimizers.Adam(0.05))
    batches = RequestBatches(requests, batch_size=8)
    history = student.fit(batches(), steps_per_epoch=10, epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert len(student.trainable_weights) == 2
