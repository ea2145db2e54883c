"""Gated ensembles: a mean at first, then a gate, and teachers that nothing moves."""

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
    gated_ensemble,
    joint_network,
)
from tfdistill.spec import Feature, FeatureSpec, Table

SPEC = FeatureSpec(
    features=(
        Feature("user_id", "categorical", "user", table="user"),
        Feature("age", "numeric", "user"),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("price", "numeric", "item"),
    ),
    tables=(Table("user", dim=4, size=6), Table("item", dim=4, size=9)),
)
LOG_LOSS = tf.keras.losses.BinaryCrossentropy(from_logits=True)
READ = [("user_id", "item_id", "price"), ("age", "item_id")]


def networks(seed: int = 4) -> list[JointNetwork]:
    """A DCN-v2 with dropout and a DNN, of different features, both "teacher"."""
    tf.keras.utils.set_random_seed(seed)
    architectures = [DcnV2(1, (6,), dropout=0.5), Dnn((3,), dropout=0.5)]
    return [
        joint_network(SPEC, {"teacher": Net(architecture, names)})
        for architecture, names in zip(architectures, READ)
    ]


def batch(size: int = 6, length: int = 5) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(size)
    return {
        "user_id": tf.constant(rng.integers(0, 6, size)),
        "age": tf.constant(rng.normal(size=size), tf.float32),
        "item_id": tf.constant(rng.integers(0, 9, (size, length))),
        "price": tf.constant(rng.normal(size=(size, length)), tf.float32),
    }


def logits(teachers, x) -> list[np.ndarray]:
    return [
        teacher({name: x[name] for name in teacher.input})["teacher"].numpy()
        for teacher in teachers
    ]


def labels(teachers, x) -> np.ndarray:
    """What the first teacher says where it says yes, else the second."""
    first, second = logits(teachers, x)
    return (np.where(first > 0, first, second) > 0).astype(np.float32)


@pytest.fixture
def teachers():
    return [network.part("teacher") for network in networks()]


@pytest.fixture
def trained(teachers):
    """An ensemble after some steps on `labels`."""
    ensemble, x = gated_ensemble(teachers, units=4), batch()
    ensemble.compile(tf.keras.optimizers.Adam(0.1), LOG_LOSS)
    ensemble.fit(x, {"ensemble": labels(teachers, x)}, epochs=30, verbose=0)
    return ensemble


@pytest.mark.parametrize(("size", "length"), [(6, 5), (1, 1), (2, 0)])
def test_it_starts_as_the_plain_mean(teachers, size, length):
    x = batch(size, length)
    found = gated_ensemble(teachers)(x)["ensemble"]
    assert found.shape == (size, length) and found.dtype == tf.float32
    np.testing.assert_allclose(found, np.mean(logits(teachers, x), axis=0), rtol=1e-6)


def test_the_gate_learns_and_nothing_else(teachers, trained):
    assert len(trained.trainable_weights) == 4
    assert {_keras.path_of(w).split("/")[0] for w in trained.trainable_weights} == {
        "ensemble"
    }
    x = batch()
    values = logits(teachers, x)
    mixed, truth = trained(x)["ensemble"], labels(teachers, x)
    others = [float(LOG_LOSS(truth, z)) for z in (*values, np.mean(values, axis=0))]
    assert float(LOG_LOSS(truth, mixed)) < min(others)
    assert np.ptp((mixed - values[1]) / (values[0] - values[1])) > 0.5
    members = [layer for layer in trained.layers if layer.name.startswith("member")]
    for member, teacher, value in zip(members, teachers, values):
        for copy, weight in zip(member.weights, teacher.weights):
            assert copy is not weight
            np.testing.assert_array_equal(copy, weight)
        np.testing.assert_array_equal(logits([member], x)[0], value)
    assert all(teacher.trainable_weights for teacher in teachers)


def test_frozen_is_without_dropout_and_cut_off_from_further_training(teachers):
    ensemble, x = gated_ensemble(teachers), batch()
    before = ensemble(x, training=True)["ensemble"].numpy()
    np.testing.assert_array_equal(before, ensemble(x)["ensemble"])
    for weight in teachers[0].trainable_weights:
        weight.assign_add(tf.ones_like(weight))
    np.testing.assert_array_equal(before, ensemble(x)["ensemble"])


def test_a_saved_ensemble_scores_as_before_and_stays_frozen(trained, tmp_path):
    trained.save(tmp_path / "ensemble.keras")
    loaded = tf.keras.models.load_model(tmp_path / "ensemble.keras")
    x = batch(4, 3)
    for training in (False, True):
        found = loaded(x, training=training)["ensemble"]
        np.testing.assert_array_equal(found, trained(x)["ensemble"])
    assert len(loaded.trainable_weights) == 4


def test_what_makes_no_ensemble_is_refused(teachers):
    with pytest.raises(ValueError, match="at least two teachers .* got 1 teachers"):
        gated_ensemble(teachers[:1])
    with pytest.raises(ValueError, match="one unit, got 2 teachers and units=0"):
        gated_ensemble(teachers, units=0)
    with pytest.raises(ValueError, match=r"one output by name, got \['teacher', "):
        gated_ensemble([teachers[0], networks()[1].model])
    age = tf.keras.Input([2], name="age")
    wide = tf.keras.Model({"age": age}, {"score": tf.keras.layers.Dense(3)(age)})
    with pytest.raises(ValueError, match=r"'age' as .*\(None,\) and .*\(None, 2\)"):
        gated_ensemble([teachers[1], wide])
